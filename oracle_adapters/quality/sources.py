"""What several sources say of each other: who was outvoted, who stood still, and whether one carries the price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from oracle_adapters.aggregate import Aggregate
from oracle_adapters.bars import values_at
from oracle_adapters.magnitude import explain
from oracle_adapters.quality.check import Check, day, days
from oracle_adapters.quality.standstill import check_clamped
from risk.market import PriceSeries, Verdict

RECENT = 30
"""Bars at the end that say whether something is still so."""
CONTESTED_BAD = 0.05
"""Share of bars without a majority from which the price is bad."""
AGREED_AGAIN = 2
"""Bars at the end; contested on all of them, a price is bad now."""


def check_aggregate(made: Aggregate, minimum: int) -> Iterator[Check]:
    """Rows on the aggregate: how many sources carry it, and on which bars they did not agree.

    Parameters
    ----------
    minimum
        Fewer sources than this at the end make the price suspect.
    """
    yield check_sources(made, minimum)
    contested, close = made.contested, made.close
    share, now = float(contested.mean()), bool(contested[-AGREED_AGAIN:].all())
    verdict = Verdict.GOOD
    if contested.any():
        verdict = Verdict.BAD if share > CONTESTED_BAD or now else Verdict.SUSPECT
    bar = int(np.argmax(np.where(contested, np.nanmax(np.abs(made.deviation), axis=1), -1.0)))
    detail = ""
    if contested.any():
        said = ", ".join(
            f"{name} {value:,.6g}"
            for name, value in zip(made.sources, made.value[bar].tolist(), strict=True)
            if np.isfinite(value)
        )
        detail = f"no majority, e.g. {day(int(close.observed_at[bar]))}: {said}; {close.value[bar]:,.6g} was taken"
    yield Check("contested", verdict, int(contested.sum()), detail)
    away = np.abs(made.deviation)
    worst = float(np.nanmax(away)) if made.votes.any() else 0.0
    typical = float(np.nanmedian(away)) if made.votes.any() else 0.0
    yield Check(
        "deviation", Verdict.GOOD, int(made.outvoted.any(axis=1).sum()),
        f"sources lie {np.expm1(typical):.3%} from the price at the median, {np.expm1(worst):.2%} at most",
    )  # fmt: skip


def check_sources(made: Aggregate, minimum: int) -> Check:
    """Dependence on a single source: declared alone, or alone at the end because the others fell silent."""
    count = len(made.sources)
    carrying = (made.votes & ~made.outvoted)[-RECENT:].any(axis=0)
    if count > 1 and carrying.sum() < 2:
        only = made.sources[int(np.argmax(carrying))]
        several = np.flatnonzero(made.confirmed)
        since = f" since {day(int(made.close.observed_at[several[-1]]))}" if len(several) else ""
        return Check("sources", Verdict.SUSPECT, 1, f"{only} alone carries the price{since}")
    verdict = Verdict.SUSPECT if count < minimum else Verdict.GOOD
    detail = f"only {made.sources[0]}: nothing confirms its prices" if count == 1 else ", ".join(made.sources)
    return Check("sources", verdict, count, detail)


def check_source(made: Aggregate, source: int, factors: Mapping[str, PriceSeries], tolerance: float) -> Iterator[Check]:
    """Rows on one source: when it was outvoted and by how much, and whether it stood still.

    Bad when it is outvoted on most of its last bars: what it prints now is wrong.

    Parameters
    ----------
    factors
        Closes by name that a wrong magnitude may be explained with.
    """
    out, name = made.outvoted[:, source], made.sources[source]
    value, observed_at = made.value[:, source], made.close.observed_at
    verdict, detail = Verdict.GOOD, ""
    if out.any():
        recent = made.votes[:, source].nonzero()[0][-RECENT:]
        verdict = Verdict.BAD if out[recent].mean() > 0.5 else Verdict.SUSPECT
        bar = int(np.argmax(np.where(out, np.abs(made.deviation[:, source]), -1.0)))
        others = float(made.close.value[bar])
        near = values_at(factors, int(observed_at[bar]))
        why = explain(float(value[bar]), others, near, tolerance)
        detail = (
            f"{name} has {value[bar]:,.6g} where the price is {others:,.6g} on {day(int(observed_at[bar]))}"
            f"{', ' + why if why else ''}; first {days(observed_at, out)}"
        )
    yield Check("outvoted", verdict, int(out.sum()), detail)
    yield check_clamped(name, value, made.others(source), observed_at, made.still[:, source])
