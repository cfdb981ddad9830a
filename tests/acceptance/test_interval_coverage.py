"""How often printed intervals hold the truth: the page, its limits, and that the program still makes such counts."""

from __future__ import annotations

import re

import pytest
from scipy.stats import binom, binomtest

from tools.build_interval_coverage import CASES, PAGE, page, verdict
from tools.interval_coverage import REQUIRED, Count, binomial_interval, measure

ROW = re.compile(
    r"^\| ((?:policy|calibration): [^|]+?) \| [\d.]+% \| (\d+) \| (\d+) \|.*\| ([a-z ]+) \|$", re.MULTILINE
)
FALL_SHORT = set[tuple[str, str]]()
"""Of the policy's intervals by law, those known to hold the truth too seldom: none."""


def published() -> dict[tuple[str, int], dict[str, tuple[Count, str]]]:
    """Counts and verdicts by law and length."""
    cases = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        if heading := re.match(r"(\d+) histories of (\d+) bars of (\S+)", part):
            n = int(heading[1])
            cases[heading[3], int(heading[2])] = {
                name: (Count(n - int(below) - int(above), int(below), int(above)), said)
                for name, below, above, said in ROW.findall(part)
            }
    return cases


@pytest.mark.parametrize(("held", "n"), [(0, 40), (1, 40), (34, 40), (40, 40)])
def test_binomial_intervals_are_those_of_scipy(held: int, n: int) -> None:
    exact = binomtest(held, n).proportion_ci(0.9, method="exact")
    assert binomial_interval(held, n) == pytest.approx((exact.low, exact.high), rel=1e-9)


@pytest.mark.parametrize(
    ("held", "said"), [(20, "falls short"), (30, "not contradicted"), (36, "yes"), (39, "not contradicted")]
)
def test_verdicts(held: int, said: str) -> None:
    assert verdict(Count(held, 40 - held, 0)) == said


def test_the_page_says_of_every_policy_interval_how_it_fares() -> None:
    cases = published()
    assert set(cases) == {(law.name, n) for law, n in CASES}
    short = set()
    for (law, _), found in cases.items():
        policy = {name for name in found if name.startswith("policy")}
        assert {"policy: liquidation threshold", "policy: borrower's move behind the collateral factor"} < policy
        assert sum("margin move" in name for name in policy) == 4
        assert all(said == verdict(count) for count, said in found.values())
        short |= {(law, name) for name in policy if found[name][1] == "falls short"}
    assert short == FALL_SHORT
    counts = {case: {name: count for name, (count, _) in found.items()} for case, found in cases.items()}
    assert page(counts) == PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_on_other_histories() -> None:
    """Ten histories that the page has not seen.

    So few must hold the truth that the lowest coverage which the page allows, and 85 % for the policy's output that
    does not fall short, would be rejected at one in a thousand.
    """
    law, n = CASES[0]
    found, known = measure(law, n, 10, first_seed=0), published()[law.name, n]
    assert found.keys() == known.keys()
    for name, count in found.items():
        least = binomial_interval(known[name][0].held, known[name][0].n)[0]
        if name.startswith("policy") and (law.name, name) not in FALL_SHORT:
            least = max(least, REQUIRED[0])
        assert count.held >= binom.ppf(0.001, count.n, least), name
