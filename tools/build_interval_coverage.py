"""Write ``docs/interval-coverage.md``: how often 90 % intervals hold the truth, in simulation.

Usage: ``python -m tools.build_interval_coverage [HISTORIES]``, from the root of the project; about three seconds a
history and law on one quiet core.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tools.interval_coverage import LAWS, REQUIRED, Count, binomial_interval, measure

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interval-coverage.md"
CASES = tuple((law, 500) for law in LAWS)
"""Law, and bars of each history."""
FIRST_SEED = 1000
"""Of the histories: none that was looked at while bands were made."""
HISTORIES = 169
INTRODUCTION = """Made by `python -m tools.build_interval_coverage {histories}` from histories with seeds {first}
on, by which no band was chosen.

Histories of daily closes are drawn from a known volatility model. riskcal sees the closes only, with the pooled prior
of its vintages, calibrates GARCH-t on them (so short a history has no race) and derives parameters, with 50 posterior
draws and 100 paths a draw: where the truth has leverage the model is the wrong one, as it may be on real data. Each
90 % interval that it prints is held against the same figure under the model that made the history: its parameters, its
next variance, its shocks and the variances of its stationary law. *Below* counts intervals that lie wholly below the
truth, *above* those wholly above it. *May be* holds every true coverage that the count does not contradict (Clopper and
Pearson, 90 %). The method asks of the policy's output that 85 % to 95 % of intervals hold the truth: *falls short*
stands where all that coverage may be is less, *holds more* where all is more, *yes* where the found share lies within,
*not contradicted* elsewhere.

Rows of one case share their histories and are not independent. Margin moves are compared with cautions and all: the
stressed window and the long look-back are facts of a history, and where they decide the interval has no width to
miss by, which is why the conditional part stands below."""
CAVEATS = """## What falls short, and why

- Where the share found is below 85 % the bar is not shown to be met, whatever the count does not contradict.
- Where the truth is GJR-t, GARCH-t takes rises and falls alike: intervals know the error of parameters, and not that of
  the model.
- The liquidation threshold hangs on the rarest of all losses and on the variances from which paths start, of which
  half are the pool's by design: caution, and no estimate of this one law.
- A history's own one-bar figures (*historical*) know no tail beyond their sample. At 99 % a short history has a
  handful of losses beyond the quantile, and their mean lies below the true expected shortfall: its bootstrap cannot
  see what was not drawn. Read them as a description of the sample, not as an estimate."""


def verdict(count: Count) -> str:
    """How a count compares with what is required."""
    low, high = binomial_interval(count.held, count.n)
    if high < REQUIRED[0]:
        return "falls short"
    if low > REQUIRED[1]:
        return "holds more"
    return "yes" if REQUIRED[0] <= count.coverage <= REQUIRED[1] else "not contradicted"


def rows(found: Mapping[str, Count]) -> list[str]:
    """Lines of one case's table."""
    lines = [
        "| Interval of | Hold the truth | Below | Above | May be | 85 % to 95 % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, count in sorted(found.items(), reverse=True):
        low, high = binomial_interval(count.held, count.n)
        lines.append(
            f"| {name} | {count.coverage:.1%} | {count.below} | {count.above} | {low:.0%} to {high:.0%} "
            f"| {verdict(count)} |"
        )
    return lines


def page(counts: Mapping[tuple[str, int], Mapping[str, Count]]) -> str:
    """The page's text from the counts of each law and length."""
    histories = next(iter(next(iter(counts.values())).values())).n
    parts = ["# How often intervals hold the truth", INTRODUCTION.format(histories=histories, first=FIRST_SEED)]
    for (law, n), found in counts.items():
        parts += [f"## {histories} histories of {n} bars of {law}", "\n".join(rows(found))]
    return "\n\n".join([*parts, CAVEATS]) + "\n"


if __name__ == "__main__":
    n_histories = int(sys.argv[1]) if len(sys.argv) > 1 else HISTORIES
    found = {(law.name, n): measure(law, n, n_histories, FIRST_SEED) for law, n in CASES}
    PAGE.write_text(page(found), encoding="utf-8")
