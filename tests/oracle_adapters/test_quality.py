from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.quality import Check, assess, spikes
from oracle_adapters.quality.pegs import check_depeg
from oracle_adapters.quality.reading import COUNTS
from oracle_adapters.quality.standstill import standing
from risk.market import PriceSeries, Verdict
from risk.units import DAY

START = 1_700_006_400


def series(value: object, field: str = "close", at: object = None, interval: int = DAY) -> PriceSeries:
    values = np.asarray(value, dtype=float)
    ends = START + interval * np.arange(len(values)) if at is None else np.asarray(at)
    return PriceSeries("ETH/USD@test", "ETH", "USD", "test", field, interval, ends, ends, values)


def walk(n: int = 400, seed: int = 1, scale: float = 0.03) -> np.ndarray:
    shocks = np.random.default_rng(seed).standard_t(4, n - 1) * scale / np.sqrt(2)
    return 100 * np.exp(np.concatenate(([0.0], np.cumsum(shocks))))


def checks(
    one: PriceSeries, *others: PriceSeries, counted: dict[str, int] | None = None, age: int = 0
) -> dict[str, Check]:
    found = assess([one, *others], counted or {}, int(one.observed_at[-1]) + age)
    assert len({check.check for check in found}) == len(found)
    return {check.check: check for check in found}


def test_a_clean_series_is_good_in_every_check() -> None:
    found = checks(series(walk()))
    assert {check.verdict for check in found.values()} == {Verdict.GOOD}
    assert found["coverage"].count == 400
    assert {check.count for name, check in found.items() if name != "coverage"} == {0}


class TestSpikes:
    @given(st.integers(40, 300), st.sampled_from([-1, 1]), st.floats(0.7, 8), st.integers(1, 2), st.integers(0, 20))
    def test_a_wrong_print_that_is_gone_again_is_found(
        self, at: int, sign: int, size: float, bars: int, seed: int
    ) -> None:
        value = walk(seed=seed)
        # What is wrong is the print, so the market around it stays calm enough for the move to be gone.
        value[at : at + bars] = value[at - 1] * np.exp(sign * size)
        value[at + bars :] *= value[at - 1] / value[at + bars]
        assert spikes(series(value))[at : at + bars].all()

    @given(st.integers(40, 300), st.sampled_from([-1, 1]), st.floats(0.3, 8), st.integers(0, 20))
    def test_a_move_that_stays_is_kept(self, at: int, sign: int, size: float, seed: int) -> None:
        value = walk(seed=seed)
        before = spikes(series(value)).copy()
        value[at:] *= np.exp(sign * size)
        before[at - 3 : at + 3] = True  # next to the shift, an ordinary move may be read differently
        assert not (spikes(series(value)) & ~before).any()
        assert not spikes(series(value))[at] or abs(np.log(value[at + 1] / value[at - 1])) < size / 2

    def test_a_crash_that_recovers_a_third_is_kept(self) -> None:
        value = walk()
        value[200] *= 0.6
        value[201:] *= 0.6 * 1.15
        assert not spikes(series(value)).any()

    def test_the_last_bar_is_not_yet_judged(self) -> None:
        value = walk()
        value[-1] *= 10
        assert not spikes(series(value)).any()

    def test_a_move_across_a_gap_is_none(self) -> None:
        value = walk()
        value[200] *= 10
        ends = START + DAY * np.arange(400)
        ends[200:] += 30 * DAY
        assert not spikes(series(value, at=ends)).any()

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_short_series_have_none(self, n: int) -> None:
        assert not spikes(series(walk()[:n])).any()

    def test_they_make_a_series_suspect_and_name_their_bars(self) -> None:
        value = walk()
        value[200] *= 10
        found = checks(series(value))["spikes"]
        assert (found.verdict, found.count, found.detail) == (Verdict.SUSPECT, 1, "2024-06-02")


class TestGaps:
    def test_missing_bars_are_counted_and_the_longest_hole_named(self) -> None:
        ends = START + DAY * np.delete(np.arange(403), [100, 200, 201])
        found = checks(series(walk(), at=ends))["gaps"]
        assert (found.verdict, found.count, found.detail) == (Verdict.SUSPECT, 3, "longest 2 bars before 2024-06-04")

    def test_a_tenth_missing_is_bad(self) -> None:
        ends = START + DAY * np.arange(400)
        ends[200:] += 60 * DAY
        assert checks(series(walk(), at=ends))["gaps"].verdict == Verdict.BAD

    def test_civil_days_have_no_gaps(self) -> None:
        ends = START + DAY * np.arange(400)
        ends[150:300] -= 3600
        assert checks(series(walk(), at=ends))["gaps"].count == 0


class TestFrozen:
    def test_a_constant_price_is_bad(self) -> None:
        found = checks(series(np.full(100, 5.0)))["frozen"]
        assert (found.verdict, found.count) == (Verdict.BAD, 100)
        assert "longest 100 bars of 5" in found.detail

    def test_a_run_in_the_middle_is_suspect(self) -> None:
        value = walk()
        value[100:106] = value[100]
        found = checks(series(value))["frozen"]
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 6)

    def test_a_feed_that_got_stuck_is_bad(self) -> None:
        value = walk()
        value[-5:] = value[-5]
        found = checks(series(value))["frozen"]
        assert found.verdict == Verdict.BAD
        assert "at the end" in found.detail

    def test_a_coarsely_rounded_stablecoin_may_end_in_a_run(self) -> None:
        value = np.round(1 + 0.008 * np.random.default_rng(3).standard_normal(400), 2)
        value[-6:] = 1.0
        assert checks(series(value))["frozen"].verdict == Verdict.SUSPECT

    def test_a_peg_that_returns_to_a_few_ticks_is_coarse_and_not_frozen(self) -> None:
        value = np.round(1 + 3e-5 * np.random.default_rng(3).standard_normal(2000), 4)
        assert (np.diff(value) == 0).mean() > 0.5
        assert checks(series(value))["frozen"].verdict == Verdict.SUSPECT
        stuck = np.repeat(walk(300), np.random.default_rng(3).geometric(1 / 6, 300))
        assert checks(series(stuck))["frozen"].verdict == Verdict.BAD

    def test_bars_at_the_pace_of_a_slow_feed_are_suspect_and_bad_once_it_stops(self) -> None:
        """A price every sixth bar: its heartbeat is measured, and only a longer silence at the end is a stuck feed."""
        value = np.repeat(walk(300), 6)
        found = checks(series(value))["frozen"]
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 1500)
        assert found.detail == "heartbeat 518400 s, measured: prices repeat between updates"
        late = checks(series(np.append(value, np.full(6, value[-1]))))["frozen"]
        assert (late.verdict, late.detail) == (Verdict.SUSPECT, "longest wait 950400 s, heartbeat 518400 s, measured")
        dead = checks(series(np.append(value, np.full(18, value[-1]))))["frozen"]
        assert dead.verdict == Verdict.BAD
        assert dead.detail.startswith("longest wait 1987200 s, at the end")

    def test_four_equal_closes_are_nothing(self) -> None:
        value = walk()
        value[100:104] = value[100]
        assert checks(series(value))["frozen"].verdict == Verdict.GOOD


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(0, "good"), (2 * DAY, "good"), (2 * DAY + 1, "suspect"), (7 * DAY, "suspect"), (7 * DAY + 1, "bad")],
)
def test_staleness_grows_with_age(age: int, verdict: str) -> None:
    assert checks(series(walk()), age=age)["stale"].verdict == verdict


def test_what_reading_mended_is_told() -> None:
    found = checks(series(walk(5)), counted={"duplicates": 2, "unsorted": 1, "cut": 9})
    assert [(found[n].verdict, found[n].count) for n in ("duplicates", "unsorted", "cut")] == [
        (Verdict.SUSPECT, 2), (Verdict.SUSPECT, 1), (Verdict.GOOD, 9),
    ]  # fmt: skip
    assert checks(series(walk(5)), counted={"unsorted": 4})["unsorted"] == Check(
        "unsorted", Verdict.GOOD, 4, "newest first"
    )


COUNTED = re.compile(r'counted\["(\w+)"\]|return "(\w+)"$|^ +"(\w+)": (?:self\._closed|times -|value <)', re.M)


def test_everything_that_an_adapter_counts_has_a_row_in_words(repository: Path) -> None:
    """What the adapters' sources count, found in their text; a word that nobody knows is suspect."""
    names = {"backfilled", "disordered", "replaced", "volume_in_contracts"}
    for file in (
        "chainlink",
        "rounds",
        "sampled",
        "pyth",
        "wrappers",
        "uniswap_v3",
        "exchange/history",
        "exchange/bars",
    ):
        text = (repository / f"oracle_adapters/{file}.py").read_text()
        names |= {name for match in COUNTED.findall(text) for name in match if name}
    assert names >= {
        "late",
        "history_cut",
        "stale",
        "sequencer",
        "nonpositive",
        "unanswered",
        "uncertain",
        "incomplete",
    }
    found = checks(series(walk(5)), counted={**dict.fromkeys(names, 3), "unheard_of": 2})
    for name in names - {"duplicates"}:
        assert found[f"read_{name}"].count == 3
        assert found[f"read_{name}"].detail == COUNTS[name][1]
    assert found["read_unheard_of"].verdict is Verdict.SUSPECT
    assert not any(name.startswith("read_") for name in checks(series(walk(5)), counted={"late": 0}))


def test_a_price_of_zero_is_bad_and_a_volume_of_zero_is_not() -> None:
    value = walk()
    value[7] = 0.0
    assert checks(series(value))["non_positive"] == Check("non_positive", Verdict.BAD, 1, "close")
    assert checks(series(walk()), series(np.zeros(400), "volume"))["non_positive"].count == 0


def test_a_high_below_the_close_is_inconsistent() -> None:
    value = walk()
    high, low = value * 1.01, value * 0.99
    high[3], low[5] = value[3] * 0.98, value[5] * 1.02
    found = checks(series(value), series(high, "high"), series(low, "low"))["inconsistent"]
    assert (found.verdict, found.count, found.detail) == (Verdict.SUSPECT, 2, "first 2023-11-18")


def test_one_bar_is_no_series() -> None:
    assert checks(series([5.0]))["coverage"].verdict == Verdict.BAD


class TestHeartbeat:
    """An on-chain feed is late by its heartbeat, not by bars."""

    def updates(self, *waits: int) -> PriceSeries:
        at = START + np.cumsum([0, *waits])
        return series(np.linspace(1, 2, len(at)), at=at, interval=3600)

    @pytest.mark.parametrize(
        ("age", "verdict"), [(0, "good"), (3960, "good"), (3961, "suspect"), (10_800, "suspect"), (10_801, "bad")]
    )
    def test_staleness(self, age: int, verdict: str) -> None:
        one = self.updates(3600, 60, 3600)
        found = {c.check: c for c in assess([one], {}, int(one.observed_at[-1]) + age, heartbeat=3600)}
        assert found["stale"].verdict == verdict
        assert "gaps" not in found

    def test_late_updates_are_counted(self) -> None:
        """3,720 s is the longest wait in the real rounds of ETH/USD, and within the grace; 5,000 s is not."""
        one = self.updates(3600, 3720, 5000, 20)
        found = {c.check: c for c in assess([one], {}, int(one.observed_at[-1]), heartbeat=3600)}["late"]
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 1)
        assert "longest 5000 s" in found.detail


class TestDepeg:
    def test_a_stablecoin_off_its_peg_is_suspect_with_its_worst_bar(self) -> None:
        value = np.ones(100)
        value[50:52] = [0.9562, 0.9917]
        found = check_depeg(series(value), None, "USD", 0.02, grows=False)
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 1)
        assert "0.9562 USD on 2024-01-04" in found.detail
        assert "now too" not in found.detail

    @pytest.mark.parametrize("worst", [1.30, 0.70])
    @pytest.mark.parametrize("peg", [None, "ETH"])
    def test_a_price_above_its_peg_is_off_like_one_below(self, worst: float, peg: str | None) -> None:
        """DAI printed 1.30 on one venue; a debt that costs more than its peg harms, too."""
        value = np.ones(100)
        value[50], value[60] = worst, 1.019
        quoted = None if peg is None else series(np.full(100, 2000.0))
        found = check_depeg(series(value if peg is None else 2000 * value), quoted, peg or "USD", 0.02, grows=False)
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 1)
        assert f"{worst:.4f} {peg or 'USD'} on 2024-01-04" in found.detail

    def test_one_that_is_off_now_says_so(self) -> None:
        value = np.ones(100)
        value[-1] = 0.9
        assert "now too" in check_depeg(series(value), None, "USD", 0.02, grows=False).detail

    def test_a_wrapper_that_grows_is_on_its_peg_and_one_that_falls_is_not(self) -> None:
        ether = 2000 * walk(400) / 100
        ratio = 1.1 * np.exp(0.0001 * np.arange(400))
        assert check_depeg(series(ether * ratio), series(ether), "ETH", 0.02, grows=True).verdict == Verdict.GOOD
        ratio[300:310] *= 0.94  # stETH, June 2022
        found = check_depeg(series(ether * ratio), series(ether), "ETH", 0.02, grows=True)
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 10)

    @pytest.mark.parametrize(("value", "said"), [(1e10, "10^10"), (1e-12, "10^-12")])
    def test_a_wrong_size_is_bad(self, value: float, said: str) -> None:
        found = check_depeg(series(np.full(40, value)), None, "USD", 0.02, grows=False)
        assert found.verdict == Verdict.BAD
        assert said in found.detail

    def test_without_a_common_bar_it_is_suspect(self) -> None:
        late = series(np.ones(5), at=START + 100 * DAY + DAY * np.arange(5))
        assert check_depeg(series(np.ones(5)), late, "ETH", 0.02, grows=False).verdict == Verdict.SUSPECT


class TestStanding:
    def test_every_other_must_have_moved_one_way(self) -> None:
        still = np.ones(10)
        down, up = np.linspace(1, 0.8, 10), np.linspace(1, 1.2, 10)
        assert standing(still, np.column_stack((down, down)), 0.05)[-1]
        assert not standing(still, np.column_stack((down, up)), 0.05).any()
        assert not standing(still, np.column_stack((down, still)), 0.05).any()
        assert not standing(down, np.column_stack((still, up)), 0.05).any()

    def test_four_bars_are_not_enough(self) -> None:
        value = np.array([1.0, 1.1, 1.1, 1.1, 1.1])
        other = np.array([1.0, 1.1, 1.5, 1.6, 1.7])
        assert not standing(value, other[:, None], 0.05).any()


def test_a_spike_that_a_second_source_confirms_is_told_and_not_marked() -> None:
    value = walk()
    value[200] *= 3
    confirmed = np.ones(400, dtype=bool)
    found = {c.check: c for c in assess([series(value)], {}, START + 400 * DAY, confirmed=confirmed)}["spikes"]
    assert (found.verdict, found.count, found.detail) == (Verdict.GOOD, 0, "1 confirmed by a second source")
