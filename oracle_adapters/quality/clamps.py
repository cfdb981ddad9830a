"""Answers that an oracle cannot give: a floor or a ceiling at which it stands, or to which a stress would bring it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oracle_adapters.quality.check import Check, day
from risk.artifact import Table
from risk.market import Verdict

FLOOR_BAD, FLOOR_SUSPECT = 10.0, 1000.0
"""A floor within a fall of 90 % is one that a stress reaches; coins that died fell by more than 99.9 %, and a floor
that they reached priced worthless collateral (LUNA at .107, May 2022)."""
CEILING_BAD, CEILING_SUSPECT = 2.0, 10.0
"""A ceiling within a doubling is one that a stress reaches: beyond it a debt is priced too low."""


def check_clamps(aggregators: Table, rounds: Table) -> Check:
    """Whether a feed of rounds sits on a bound of its answers, ever sat on one, or may come to.

    Parameters
    ----------
    aggregators, rounds
        Rows of `Kind.AGGREGATOR` and of `Kind.ROUND` that were known at the instant. The aggregator that counts is
        the one of the last round.
    """
    if 0 in (len(aggregators), len(rounds)):
        return Check("clamps", Verdict.SUSPECT, 0, "nothing is known of the answers that the feed cannot give")
    phase = rounds["phase"]
    answer = rounds["answer"].astype(np.float64)
    bounds: dict[int, Mapping[str, Any]] = {row["phase"]: row for row in aggregators.rows()}
    low, high = (np.full(len(answer), value) for value in (-np.inf, np.inf))
    for number, row in bounds.items():
        low[phase == number] = float(row["clamp_low"] or "-inf")
        high[phase == number] = float(row["clamp_high"] or "inf")
    on = (answer <= low) | (answer >= high)
    floor, ceiling, last = float(low[-1]), float(high[-1]), float(answer[-1])
    serving = bounds.get(int(phase[-1]))
    who = "nothing is known of its aggregator" if serving is None else f"aggregator {serving['aggregator']}"
    who += f", which calls itself {serving['description']!r}" if serving and serving["description"] else ""
    said = " and ".join(
        f"{name} {bound:,.6g}" for name, bound in (("floor", floor), ("ceiling", ceiling)) if np.isfinite(bound)
    )
    detail = f"{said or 'no floor or ceiling'} of {who}"
    count = int(on.sum())
    if on[-1]:
        name = "floor" if last <= floor else "ceiling"
        return Check("clamps", Verdict.BAD, count, f"{last:,.6g} is its {name}, the market may be beyond it: {detail}")
    near = [
        (name, factor)
        for name, factor, reach in (
            ("floor", last / floor if floor > 0 else np.inf, FLOOR_SUSPECT),
            ("ceiling", ceiling / last if last > 0 else np.inf, CEILING_SUSPECT),
        )
        if factor < reach
    ]
    if near:
        bad = any(factor < {"floor": FLOOR_BAD, "ceiling": CEILING_BAD}[name] for name, factor in near)
        reached = ", ".join(f"its {name} lies a factor of {factor:,.3g} from {last:,.6g}" for name, factor in near)
        return Check("clamps", Verdict.BAD if bad else Verdict.SUSPECT, count, f"{reached}, where it stands: {detail}")
    if count:
        at = day(int(rounds["known_at"][np.flatnonzero(on)[-1]]))
        return Check("clamps", Verdict.SUSPECT, count, f"{count} answers were a bound, the last on {at}: {detail}")
    return Check("clamps", Verdict.SUSPECT if serving is None else Verdict.GOOD, 0, detail)
