"""The update rule of feeds, recovered from simulated rounds and from real ones; prices and outages from rounds."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from oracle_adapters.feed import COLUMNS, FOREVER, Kind
from oracle_adapters.rounds import Outage, measure_update_rule, outages, rounds_to_prices
from risk.artifact import Table
from risk.errors import DataError

FEEDS = {
    "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419": ("ETH/USD", 8, 3600, 11_106),
    "0xF4030086522a5bEEa4988F8cA5B36dbC97BeE88c": ("BTC/USD", 8, 3600, 10_691),
    "0x86392dC19c0b719886221c78AB11eb8Cf5c52812": ("stETH/ETH", 18, 86400, 745),
    "0xAc559F25B1619171CbC396a50854A3240b6A4e99": ("ETH/BTC", 8, 3600, 813),
}
"""Name, decimals and heartbeat as Chainlink states it, and the number of complete rounds, by proxy."""


def table(rows: list[tuple[int, int, int, str]]) -> Table:
    """Rounds from (phase, round, time, answer)."""
    return Table.from_rows(COLUMNS[Kind.ROUND], ((p, n, at, at, at, answer) for p, n, at, answer in rows))


def simulated(heartbeat: int, deviation: float, hourly: float, *, clock: bool, seed: int, n: int) -> Table:
    """A random walk watched 300 times a heartbeat by a feed with a known rule, which takes one to four looks to update.

    With `clock` it beats at multiples of the heartbeat, whatever moves came between.
    """
    rng = np.random.default_rng(seed)
    look = heartbeat // 300
    steps = rng.standard_t(4, 300 * n) / np.sqrt(2) * hourly * np.sqrt(look / 3600)
    price = 2000 * np.exp(np.cumsum(steps))
    found: list[tuple[int, int, int, str]] = []
    last, beat, at = price[0], 0, 0
    while len(found) < n and at < len(price):
        late = look * at - beat >= heartbeat
        if late or abs(price[at] / last - 1) >= deviation:
            due = look * at
            at = min(at + int(rng.integers(1, 5)), len(price) - 1)
            beat = (due // heartbeat * heartbeat if late else beat) if clock else look * at
            last = price[at]
            found.append((1, len(found) + 1, look * at, f"{last:.8f}"))
        at += 1
    return table(found)


@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize(
    ("heartbeat", "deviation", "hourly", "n"),
    [(3600, 0.005, 0.006, 1500), (3600, 0.01, 0.006, 1500), (86400, 0.005, 0.0008, 1000)],
)
def test_the_rule_is_recovered(heartbeat: int, deviation: float, hourly: float, n: int, clock: bool) -> None:
    """The heartbeat to the delay of an update, the deviation to what the price moves within that delay."""
    rule = measure_update_rule(simulated(heartbeat, deviation, hourly, clock=clock, seed=7, n=n))
    assert rule.heartbeat is not None
    assert rule.deviation is not None
    look = heartbeat // 300
    assert heartbeat <= rule.heartbeat <= heartbeat + 5 * look
    assert abs(rule.deviation - deviation) <= hourly * np.sqrt(4 * look / 3600) / 2


def test_without_a_heartbeat_none_is_measured() -> None:
    """Gaps that spread like those of chance have no heartbeat, and without one no move is early."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(3600, 5000)).astype(int) + 1
    rows = table([(1, i + 1, int(at), f"{2000 + rng.normal():.8f}") for i, at in enumerate(times)])
    rule = measure_update_rule(rows)
    assert (rule.heartbeat, rule.deviation) == (None, None)


def test_a_phase_change_is_no_gap() -> None:
    rows = [(1 + i // 50, 1 + i % 50, 3600 * i + 10**6 * (i // 50), "1.5") for i in range(100)]
    assert measure_update_rule(table(rows)).longest_gap == 3600
    with pytest.raises(DataError, match="no two rounds of one phase"):
        measure_update_rule(table(rows[:1]))


def test_of_one_second_the_last_price_counts() -> None:
    rows = table([(1, 1, 100, "2.0"), (1, 2, 100, "3.0"), (1, 3, 110, "-1.0"), (2, 1, 120, "4.5")])
    chunk = rounds_to_prices(rows)
    assert chunk.rows["observed_at"].tolist() == [100, 120]
    assert chunk.rows["value"].tolist() == [3.0, 4.5]
    assert dict(chunk.counted) == {"nonpositive": 1, "replaced": 1}
    assert len(rounds_to_prices(table([])).rows) == 0


def test_outages_last_through_the_grace() -> None:
    rows = table([(1, 1, 0, "0"), (1, 2, 100, "1"), (1, 3, 130, "1"), (1, 4, 200, "0"), (1, 5, 900, "1")])
    assert outages(rows, 50) == [Outage(100, 250, 100), Outage(900, FOREVER, 900)]


def test_an_outage_begins_and_ends_when_it_did_and_not_when_it_was_reported() -> None:
    """An uptime feed dates a status back: what counts is since when it holds; when it was said is kept beside it."""
    reports = [(1, 1, 40, 40, 0, "0"), (1, 2, 160, 160, 100, "1"), (1, 3, 290, 290, 200, "0")]
    rows = Table.from_rows(COLUMNS[Kind.ROUND], reports)
    assert outages(rows, 50) == [Outage(100, 250, 160)]
    with pytest.raises(DataError, match="no uptime feed"):
        outages(table([(1, 1, 100, "2000.00000000")]), 50)


@pytest.mark.data
@pytest.mark.parametrize("address", FEEDS)
def test_the_rule_of_real_feeds(shared: Path, address: str) -> None:
    """Chainlink states .5 % and an hour, for stETH/ETH .5 % and a day; a block or five come on top."""
    name, decimals, heartbeat, count = FEEDS[address]
    with gzip.open(shared / "data" / "chainlink_rounds" / f"{address}.csv.gz", "rt") as file:
        rows = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    complete = sorted((number, answer, at) for number, answer, _, at, _ in rows if at)
    rounds = table([(n >> 64, n & (2**64 - 1), at, format(Decimal(a).scaleb(-decimals), "f")) for n, a, at in complete])
    assert len(rounds) == count, "the first round of a phase, of which all is zero, is none"
    rule = measure_update_rule(rounds)
    assert rule.heartbeat is not None, name
    assert heartbeat <= rule.heartbeat <= heartbeat * 1.011, name
    assert rule.longest_gap <= heartbeat * 1.034, name
    if name == "stETH/ETH":
        assert rule.n_early < 10
        assert rule.deviation is None, "it moved early 21 times in two years: too few to tell"
    else:
        assert rule.deviation == pytest.approx(0.005, rel=0.01), name
