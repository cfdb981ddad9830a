"""What is to be said of chains of options, funding rates and open interest before anybody counts on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from oracle_adapters.quality.check import Check, day, days
from oracle_adapters.quality.reading import check_gaps
from oracle_adapters.quality.standstill import FROZEN_RUN, STALE_BAD, STALE_SUSPECT_BARS, check_frozen, check_stale
from risk.derivatives import QUOTED, FundingHistory, OptionChain
from risk.market import FloatArray, PriceSeries, Verdict
from risk.units import DAY

CADENCE = DAY
"""How often a chain is expected where one only is held, so that its own spacing cannot be measured."""
CROSSED_BAD = 0.05
"""A chain is bad when more than this share of its two-sided quotes are crossed."""
ONE_SIDED_SUSPECT = 0.5
"""A chain is suspect when more than this share of its live options lack a side."""
FROZEN_WEEK = 21
"""Fundings of eight hours in a week: no rate but a venue's usual one stands so long."""
PERCENT = 0.005
"""A median rate above this is in percent or yearly: it would be over 500 % a year."""
OUTLIER_SCALES, OUTLIER_LEAST = 20.0, 0.005
"""A rate is an outlier when it is so many times its series' usual distance from its neighbours' median, and so much
off: of five neighbours, so that a storm of several fundings is none."""


def check_chain(chains: Sequence[OptionChain], as_of: int) -> list[Check]:
    """All checks of one feed's chains (at least one, in order of time); of the last one, against those before it.

    Crossed, one-sided and expired quotes stay in the chain: they are counted, and a user of the chain decides.
    """
    last = chains[-1]
    live = last.expiry > as_of
    return [
        _coverage(last),
        _chain_stale(chains, as_of),
        _expired(last, as_of),
        _crossed(last),
        _one_sided(last, int(live.sum())),
        _chain_frozen(chains),
    ]


def check_funding(history: FundingHistory, as_of: int) -> list[Check]:
    """All checks of funding rates, or of open interest."""
    found: list[Check] = []
    if history.rate is not None:
        rate = history.rate
        found += [check_gaps(rate), _magnitude(rate), _outliers(rate), _rate_frozen(rate), check_stale(rate, as_of)]
    interest = history.open_interest or history.open_interest_value
    if interest is not None:
        found += [check_gaps(interest), _empty(interest), check_frozen(interest), check_stale(interest, as_of)]
    return found


def _coverage(chain: OptionChain) -> Check:
    expiries = len(np.unique(chain.expiry))
    settled = "in the coin" if chain.coin_settled else f"in {chain.settlement}"
    return Check("coverage", Verdict.GOOD, len(chain), f"{expiries} expiries, settled {settled}")


def _chain_stale(chains: Sequence[OptionChain], as_of: int) -> Check:
    """The age of the last chain against the spacing of those that are held."""
    at = [chain.observed_at for chain in chains]
    cadence = int(np.median(np.diff(at))) if len(at) > 1 else CADENCE
    age = as_of - at[-1]
    if age <= STALE_SUSPECT_BARS * cadence:
        return Check("stale", Verdict.GOOD, 0)
    verdict = Verdict.BAD if age > max(STALE_BAD, STALE_SUSPECT_BARS * cadence) else Verdict.SUSPECT
    measured = f"they come every {cadence} s" if len(at) > 1 else "one a day is expected"
    return Check("stale", verdict, age // cadence, f"the last chain is of {day(at[-1])}, {measured}")


def _expired(chain: OptionChain, as_of: int) -> Check:
    """Options that no longer exist; those that the venue quoted after their end are its own mistake."""
    ended, already = int((chain.expiry <= as_of).sum()), int((chain.expiry <= chain.observed_at).sum())
    if ended == len(chain):
        return Check("expired", Verdict.BAD, ended, "no option of the chain is alive")
    detail = f"{already} had expired when they were quoted" if already else "by the as-of date" if ended else ""
    return Check("expired", Verdict.SUSPECT if already else Verdict.GOOD, ended, detail)


def _crossed(chain: OptionChain) -> Check:
    crossed = np.asarray(chain.two_sided & (chain.bid > chain.ask))
    if not (count := int(crossed.sum())):
        return Check("crossed", Verdict.GOOD, 0)
    bad = count > CROSSED_BAD * int(chain.two_sided.sum())
    detail = f"bid above ask, e.g. {chain.instrument[int(np.argmax(crossed))]}"
    return Check("crossed", Verdict.BAD if bad else Verdict.SUSPECT, count, detail)


def _one_sided(chain: OptionChain, live: int) -> Check:
    """Options without a bid or an ask; far from the money that is usual, everywhere it is no market."""
    without_bid, without_ask = int(np.isnan(chain.bid).sum()), int(np.isnan(chain.ask).sum())
    count = int((~chain.two_sided).sum())
    detail = f"{without_bid} without a bid, {without_ask} without an ask" if count else ""
    if count == len(chain):
        return Check("one_sided", Verdict.BAD, count, f"no option has both sides: {detail}")
    return Check("one_sided", Verdict.SUSPECT if count > ONE_SIDED_SUSPECT * live else Verdict.GOOD, count, detail)


def _chain_frozen(chains: Sequence[OptionChain]) -> Check:
    """How many chains at the end say the same to the last digit: a live one never does."""
    last = chains[-1]
    same = 1 + len(list(takewhile(lambda one: _same(one, last), reversed(chains[:-1]))))
    if same == 1:
        return Check("frozen", Verdict.GOOD, 0)
    verdict = Verdict.BAD if same >= FROZEN_RUN else Verdict.SUSPECT
    return Check("frozen", verdict, same, f"the last {same} chains, since {day(chains[-same].observed_at)}, are one")


def _same(one: OptionChain, other: OptionChain) -> bool:
    return np.array_equal(one.instrument, other.instrument) and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in QUOTED
    )


def _magnitude(rate: PriceSeries) -> Check:
    """Rates in percent, or of a year, in place of fractions of one interval."""
    usual = float(np.median(np.abs(rate.value)))
    if usual <= PERCENT:
        return Check("magnitude", Verdict.GOOD, 0)
    return Check("magnitude", Verdict.BAD, len(rate), f"the median is {usual:g}: a percentage, or a yearly rate")


def _outliers(rate: PriceSeries) -> Check:
    """Single rates far from those beside them; they stay, for extreme fundings did happen."""
    if len(rate) < FROZEN_RUN:
        return Check("outliers", Verdict.GOOD, 0)
    off = np.abs(rate.value - _middle(rate.value))
    outlying = off > max(OUTLIER_SCALES * float(np.mean(off)), OUTLIER_LEAST)
    if not (count := int(outlying.sum())):
        return Check("outliers", Verdict.GOOD, 0)
    return Check("outliers", Verdict.SUSPECT, count, days(rate.observed_at, outlying))


def _middle(value: FloatArray) -> FloatArray:
    """(n,) the median of each value and its two neighbours on either side."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(value, 2, mode="edge"), 5)
    return np.asarray(np.median(windows, axis=1), dtype=np.float64)


def _rate_frozen(rate: PriceSeries) -> Check:
    """A rate that stands still at the end; at the venue's usual one only for longer than it ever has."""
    changes = np.flatnonzero(np.diff(rate.value))
    run = len(rate) - 1 - int(changes[-1]) if len(changes) else len(rate)
    before, value = rate.value[: len(rate) - run], rate.value[-1]
    if run < FROZEN_RUN:
        return Check("frozen", Verdict.GOOD, 0)
    detail = f"{run} rates of {value:g} at the end"
    values, counts = np.unique(before, return_counts=True)
    if len(before) and values[np.argmax(counts)] == value:
        ends = np.concatenate(([-1], changes))
        longest = int(np.max(np.diff(ends), initial=0))
        longer = run > max(longest, FROZEN_WEEK)
        return Check("frozen", Verdict.SUSPECT if longer else Verdict.GOOD, run, f"{detail}, the venue's usual one")
    return Check("frozen", Verdict.BAD if run >= FROZEN_WEEK else Verdict.SUSPECT, run, detail)


def _empty(interest: PriceSeries) -> Check:
    """Open interest of zero: a market that is closed, or a figure that is missing."""
    empty = interest.value == 0
    count = int(empty.sum())
    return Check("empty", Verdict.SUSPECT if count else Verdict.GOOD, count, days(interest.observed_at, empty))
