"""Falls over a week, forecast as slow figures are and held against what came: the record beyond one bar.

Windows of seven daily bars that do not overlap and begin on the same weekday for all assets. The forecast is the
combination of `risk.tails.combination`; beside it stand the conditional simulation alone, and the one-bar quantile of
the same simulation times the square root of time.
GARCH-t drives the paths, at the parameters of its fit: the uncertainty of parameters is not in these forecasts. What is
forecast begins after the window of its fit ends, so that nothing is left to purge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from risk.calibration import Side, SubjectModel
from risk.market import FloatArray, IntArray, frozen
from risk.settings import Settings
from risk.tails.combination import scaled_history
from risk.tails.evidence import priors_known
from risk.tails.figures import simple_loss, tail_statistics
from risk.tails.horizon import simulate
from risk.tails.shocks import fit_shocks
from risk.tails.subject import SubjectTask, path_model
from risk.units import DAY
from risk.volatility.forecast import following_variances
from risk.volatility.forecasters import window_fits
from risk.volatility.models import FitResult, VolatilityModel
from risk.volatility.prior import load_prior

WEEK = 7
"""Bars of a day."""
CONFIDENCES = (0.95, 0.99)
METHODS = ("combination", "simulation", "square root of time")
REFIT_WEEKS = 4
MINIMUM_WEEKS = 20
"""Windows below which there is no record."""
_COPIES, _PATHS = 50, 100
"""Intensities of a peg's jump, and paths under each."""


@dataclass(frozen=True, slots=True)
class WeekRecord:
    """Forecasts of weeks against what came, simple losses.

    Attributes
    ----------
    weeks
        (n,) number of each week since 1970, the same for all assets.
    losses
        (n,)
    var
        (len(METHODS), len(CONFIDENCES), n)
    n_broken
        Weeks left out because bars are missing in them.
    """

    weeks: IntArray
    losses: FloatArray
    var: FloatArray
    n_broken: int


def week_record(
    task: SubjectTask, settings: Settings, observed_at: IntArray, returns: FloatArray, *, start: int
) -> WeekRecord | None:
    """Walk the weeks of one asset of daily bars forward from bar `start`; None with fewer than `MINIMUM_WEEKS`.

    Raises
    ------
    RefusalError
        The first window cannot be fitted, or residuals have no tails.
    """
    begins, n_broken = _weeks(observed_at, start)
    if len(begins) < MINIMUM_WEEKS:
        return None
    window = max(settings.models.walk_forward_window, start)
    refits = begins[::REFIT_WEEKS].tolist()
    fits = window_fits(
        VolatilityModel.GARCH_T, returns, refits, window, priors=priors_known(observed_at, DAY), decay=0.94
    )
    var = np.empty((len(METHODS), len(CONFIDENCES), len(begins)))
    last, began = fits[0], refits[0]
    for number, (origin, found) in enumerate(zip(refits, fits, strict=True)):
        model = None
        if found.usable:
            last, began = found, origin
        for week in range(number * REFIT_WEEKS, min((number + 1) * REFIT_WEEKS, len(begins))):
            begin = int(begins[week])
            known = slice(max(begin - window, 0), begin)
            if model is None:
                model = _model(task, settings, last, observed_at[known], returns[known])
            variance = float(following_variances(last, returns[began:begin])[-1])
            var[:, :, week] = _forecast(model, variance, returns[known], settings.seed, week)
    moves = np.array([returns[begin : begin + WEEK].sum() for begin in begins])
    weeks = (observed_at[begins] - DAY // 2) // DAY // WEEK
    return WeekRecord(frozen(weeks, np.int64), frozen(simple_loss(moves, Side.DOWN)), frozen(var), n_broken)


def _weeks(observed_at: IntArray, start: int) -> tuple[IntArray, int]:
    """Positions of the first bars of whole weeks from `start` on, and how many weeks miss a bar."""
    days = (observed_at - DAY // 2) // DAY
    first = np.arange(start, len(days) - WEEK + 1)
    first = first[days[first] % WEEK == 0]
    whole = days[first + WEEK - 1] - days[first] == WEEK - 1
    numbers = np.unique(days[start:] // WEEK)
    # The first week may begin before the record and the last end after it: they are not broken.
    n_inner = int(np.sum((numbers * WEEK >= days[start]) & (numbers * WEEK + WEEK - 1 <= days[-1])))
    found: IntArray = first[whole]
    return found, n_inner - len(found)


def _model(
    task: SubjectTask, settings: Settings, fit: FitResult, observed_at: IntArray, returns: FloatArray
) -> SubjectModel:
    """The path model as it is calibrated, with the fit's parameters in every draw."""
    prior = load_prior(int(observed_at[-1]))
    draws = np.tile([*fit.vector, fit.last_variance], (_COPIES, 1))
    shocks = fit_shocks(fit.residuals, prior=prior)
    return path_model(task, settings, prior, fit, draws, shocks, observed_at, returns, np.empty(0))


def _forecast(model: SubjectModel, variance: float, returns: FloatArray, seed: int, week: int) -> FloatArray:
    """Value at risk (len(METHODS), len(CONFIDENCES)) of the week that begins with a variance."""
    draws = model.draws.copy()
    draws[:, 6] = variance
    paths = simulate(
        replace(model, draws=draws), n_bars=WEEK, n_paths_per_draw=_PATHS, seed=seed, start="conditional",
        common=False, block=week,
    ).log_price  # fmt: skip
    alone, _ = tail_statistics(simple_loss(paths[:, WEEK], Side.DOWN)[None], CONFIDENCES)
    slow, _ = tail_statistics(simple_loss(scaled_history(returns, WEEK), Side.DOWN)[None], CONFIDENCES)
    bar, _ = tail_statistics(-paths[None, :, 1], CONFIDENCES)
    return np.array([0.5 * (alone[0] + slow[0]), alone[0], -np.expm1(-math.sqrt(WEEK) * bar[0])])
