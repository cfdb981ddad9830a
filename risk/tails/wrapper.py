"""How well a wrapper or a pegged asset keeps to what it stands for: tracking error and the half-life of a gap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.errors import DataError, RefusalError
from risk.market import NUMERAIRE, FloatArray, MarketSnapshot
from risk.settings import Settings

MINIMUM_BARS = 60


@dataclass(frozen=True, slots=True)
class Tracking:
    """Of the log ratio of a wrapper to its underlying.

    Attributes
    ----------
    n_observations
    mean_gap
        Mean log ratio: a staking token accrues, a discount persists.
    tracking_error
        Standard deviation of the change of the log ratio per bar.
    worst_gap
        Lowest log ratio under its mean, a negative number.
    reversion
        Coefficient of the gap on its last value; 1 is a walk that does not come back.
    reversion_error
        Its least-squares standard error.
    half_life_bars
        log(1/2) / log(reversion): 0 where a gap is gone at once, inf where reversion is not below 1 by more than
        two standard errors, for then the sample does not show that gaps close.
    tracking_error_error
        Its standard error; `worst_gap` is a fact of the sample, and has none.
    half_life_interval
        90 % interval of `half_life_bars`, from that of the reversion.
    """

    n_observations: int
    mean_gap: float
    tracking_error: float
    worst_gap: float
    reversion: float
    reversion_error: float
    half_life_bars: float
    tracking_error_error: float = 0.0
    half_life_interval: tuple[float, float] = (0.0, 0.0)


def tracking(wrapper: FloatArray, underlying: FloatArray | None, *, drift: bool = False) -> Tracking:
    """Measure how a wrapper tracks.

    Parameters
    ----------
    wrapper, underlying
        (n,) prices at the same bars; positive. No underlying is the unit of account itself, one throughout.
    drift
        Take a linear trend out of the log ratio first, for tokens whose ratio accrues.

    Raises
    ------
    DataError
        Prices that are not finite and positive, or of different lengths.
    RefusalError
        Fewer than 60 bars, or an underlying that has stopped trading (no change in the last 60 bars): a ratio to a
        price that stands still measures nothing.
    """
    above = np.asarray(wrapper, dtype=np.float64)
    below = np.ones_like(above) if underlying is None else np.asarray(underlying, dtype=np.float64)
    good = above.shape == below.shape and above.ndim == 1
    if not good or not all((np.isfinite(p) & (p > 0.0)).all() for p in (above, below)):
        raise DataError("wrapper and underlying are finite positive prices at the same bars", field="wrapper")
    n = above.size
    if n < MINIMUM_BARS or (underlying is not None and np.ptp(below[-MINIMUM_BARS:]) == 0.0):
        raise RefusalError(f"tracking needs {MINIMUM_BARS} bars of an underlying that trades", field="wrapper", value=n)
    ratio = np.log(above / below)
    steps = np.arange(n)
    level = np.polyval(np.polyfit(steps, ratio, 1), steps) if drift else np.full(n, ratio.mean())
    gap = ratio - level
    before, after = gap[:-1], gap[1:]
    variation = float(before @ before)
    # A ratio that never moves beyond rounding of prices keeps its peg exactly.
    if variation <= (1e-12) ** 2 * n:
        return Tracking(n, float(ratio.mean()), 0.0, 0.0, 0.0, 0.0, 0.0)
    reversion = float(before @ after) / variation
    rest = after - reversion * before
    error = math.sqrt(float(rest @ rest) / (n - 2) / variation)
    half_life = math.inf if reversion + 2.0 * error >= 1.0 else _half_life(reversion)
    changes = np.diff(gap)
    squares = (changes - changes.mean()) ** 2
    spread = float(changes.std())
    return Tracking(
        n_observations=n,
        mean_gap=float(ratio.mean()),
        tracking_error=spread,
        worst_gap=float(gap.min()),
        reversion=reversion,
        reversion_error=error,
        half_life_bars=half_life,
        # Of a standard deviation, by the spread of the squares behind it: heavy tails and all.
        tracking_error_error=float(squares.std()) / math.sqrt(n - 1) / (2.0 * spread) if spread > 0.0 else 0.0,
        half_life_interval=(_half_life(reversion - 1.645 * error), _half_life(reversion + 1.645 * error)),
    )


def _half_life(reversion: float) -> float:
    """Bars in which a gap is halved: none from a reversion of zero down, never from one up."""
    if reversion <= 0.0:
        return 0.0
    return math.inf if reversion >= 1.0 else math.log(0.5) / math.log(reversion)


PEG_SCHEMA = {
    "asset": "str", "peg": "str", "n_observations": "i8", "mean_gap": "f8", "tracking_error": "f8", "worst_gap": "f8",
    "reversion": "f8", "reversion_error": "f8", "half_life": "f8", "status": "str",
    "tracking_error_error": "f8", "half_life_lower": "f8", "half_life_upper": "f8",
}  # fmt: skip
"""See `Tracking`; gaps are log ratios, the half-life is in seconds, and 0 where the status says that gaps
are not seen to close; an upper end of 0 with a lower one above is none."""

NEVER_CLOSES = "gaps_not_seen_to_close"


def peg_rows(snapshot: MarketSnapshot, settings: Settings) -> tuple[tuple[object, ...], ...]:
    """A row for every asset with a peg and closes, about its gap to what it stands for.

    A wrapper of a token that accrues (of any asset but the unit of account) has its trend taken out first.
    """
    rows: list[tuple[object, ...]] = []
    for name, asset in sorted(settings.assets.items()):
        if asset.peg is None or name not in snapshot.assets:
            continue
        try:
            series = (snapshot.close(name) if asset.peg == NUMERAIRE else snapshot.pair(name, asset.peg)).as_of(
                snapshot.as_of
            )
            found = tracking(series.value, None, drift=asset.peg != NUMERAIRE)
        except (DataError, RefusalError) as error:
            rows.append((name, asset.peg, 0, *[0.0] * 6, error.message, 0.0, 0.0, 0.0))
            continue
        closes = math.isfinite(found.half_life_bars)
        half_life = found.half_life_bars * series.interval if closes else 0.0
        rows.append(
            (
                name, asset.peg, found.n_observations, found.mean_gap, found.tracking_error, found.worst_gap,
                found.reversion, found.reversion_error, half_life, "ok" if closes else NEVER_CLOSES,
                found.tracking_error_error,
                *(each * series.interval if math.isfinite(each) else 0.0 for each in found.half_life_interval),
            )
        )  # fmt: skip
    return tuple(rows)
