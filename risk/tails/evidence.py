"""The evidence behind a subject's model: the race, the track record with its exceptions, the assumption tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from risk.calibration import Side
from risk.errors import DataError, RefusalError
from risk.market import FloatArray, IntArray
from risk.settings import Settings
from risk.streams import stream
from risk.tails.diagnostics import DiagnosticRows
from risk.tails.states import parameter_prior
from risk.units import DAY
from risk.validation.assumptions import AssumptionTest, residual_tests
from risk.validation.coverage import coverage_test
from risk.validation.inventory import CARDS, RESIDUAL_ASSUMPTIONS, STABILITY_ASSUMPTIONS
from risk.validation.scores import quantile_loss
from risk.validation.stability import nyblom_test, score_cusum_test, standing_alarm
from risk.volatility.coordinates import FORMS
from risk.volatility.forecast import innovations_of
from risk.volatility.forecasters import DRIVES_PATHS, Priors
from risk.volatility.models import FitResult, ParameterPrior, VolatilityModel
from risk.volatility.prior import load_prior
from risk.volatility.race import BENCHMARK, Race, WalkForward, choose, race, walk_forward
from risk.volatility.seasonality import FACTOR_DAYS, factors_in_time, fit_hour_factors
from risk.volatility.standard_errors import parameter_scores
from risk.volatility.track import LeftOut

MINIMUM_RACE = 250
"""Bars out of sample below which models are not raced: the hurdle would lie far inside the noise."""
RUN_LENGTH = 2500
"""Mean bars to a false alarm of the hit monitor, at least."""
EXCEPTION_CONFIDENCE = 0.99
"""Confidence of the dated forecasts kept for charts."""

DECAYED = "decayed: the benchmark stands in"
"""In the status of a race's winner whose exceptions have raised an alarm."""

Row = tuple[object, ...]

RACE_SCHEMA = {
    "subject": "str", "model": "str", "score": "f8", "difference": "f8", "standard_error": "f8", "n": "i8",
    "winner": "bool", "status": "str", "better_p_value": "f8", "set_p_value": "f8", "in_set": "bool", "crps": "f8",
    "quantile_loss": "f8", "fz0": "f8", "fz0_better_p_value": "f8", "fz0_set_p_value": "f8",
}  # fmt: skip
"""`score` is the mean out-of-sample log score in nats a bar, larger is better; `difference` to the benchmark ewma_t.

P-values: of Diebold and Mariano against "better than the benchmark", and of the model confidence set, which holds the
model (`in_set`) from 10 % on. CRPS, quantile loss and FZ0 are means, smaller is better, the latter two of falls at the
highest confidence raced.
"""
_NOT_COMPARED = (1.0, 1.0, True, 0.0, 0.0, 0.0, 1.0, 1.0)
"""What stands in the columns after `status` where there was no race: nothing speaks against any model."""
_LEFT_OUT = (1.0, 0.0, False, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The same of an entrant that was left out of a race."""
TRACK_SCHEMA = {
    "subject": "str", "model": "str", "confidence": "f8", "side": "str", "n": "i8", "exceptions": "i8",
    "expected": "f8", "p_one_sided": "f8", "p_two_sided": "f8", "quantile_loss": "f8",
}  # fmt: skip
"""One-step forecasts; `p_one_sided` is the chance of so many exceptions or more, `quantile_loss` of log returns."""
EXCEPTION_SCHEMA = {
    "subject": "str", "observed_at": "i8", "value": "f8", "value_at_risk": "f8", "volatility": "f8",
    "exception": "bool",
}  # fmt: skip
"""One-step forecasts of the winner: simple return, simple loss at 99 % as a positive fraction, log volatility."""
ASSUMPTION_SCHEMA = {
    "subject": "str", "assumption": "str", "test": "str", "statistic": "f8", "p_value": "f8", "verdict": "str",
    "model": "str",
}  # fmt: skip
"""Of every model that was fitted, and of the ``shocks`` that paths are drawn from; `risk.validation.inventory`."""

_RESIDUAL = {assumption.test for assumption in RESIDUAL_ASSUMPTIONS}


@dataclass(frozen=True, slots=True)
class EvidenceRows:
    """Rows of the calibration's tables of evidence, in the order of their schemas."""

    race: tuple[Row, ...] = ()
    track_record: tuple[Row, ...] = ()
    exceptions: tuple[Row, ...] = ()
    assumptions: tuple[Row, ...] = ()
    term_structure: tuple[Row, ...] = ()
    methods: tuple[Row, ...] = ()
    diagnostics: DiagnosticRows = field(default_factory=DiagnosticRows)


@dataclass(frozen=True, slots=True)
class RaceResult:
    """The model in use, and the walk-forward behind it; without one the default model stands in.

    Attributes
    ----------
    winner
        Of the race, or the benchmark while it stands in after an alarm.
    walk, summary
        None where there was no race.
    alarm
        Position in the walk of the alarm after which the benchmark stands in; None without one.
    paths
        The model that paths are made with: the winner, or the best in the confidence set that can drive paths.
    """

    winner: str
    walk: WalkForward | None = None
    summary: Race | None = None
    alarm: int | None = None

    @property
    def paths(self) -> VolatilityModel:
        """See the class."""
        if self.summary is None or self.winner in DRIVES_PATHS:
            return VolatilityModel(self.winner)
        means = {entry.model: -entry.log_score for entry in self.summary.entries}
        return VolatilityModel(
            choose(means, [e.model for e in self.summary.entries if e.in_set and e.model in DRIVES_PATHS])
        )


def run_race(
    observed_at: IntArray, returns: FloatArray, kinds: tuple[VolatilityModel, ...], interval: int, settings: Settings
) -> RaceResult:
    """Race the models out of sample; after an alarm of the hit monitor the benchmark stands in for a while.

    Each refit uses the pooled prior known by its own date, or none before the first.

    Where the series is too short for the window and `MINIMUM_RACE` bars beyond it, or the benchmark cannot be fitted
    on the first window, there is no race: garch_t stands in, or the benchmark where garch_t is not among the models.
    Any other model that cannot be fitted or scored is left out by name.
    """
    default = VolatilityModel.GARCH_T if VolatilityModel.GARCH_T in kinds else VolatilityModel.EWMA_T
    models = settings.models
    if len(returns) < models.walk_forward_window + MINIMUM_RACE:
        return RaceResult(default)

    levels = sorted({c for c in models.confidence if c > 0.5} | {EXCEPTION_CONFIDENCE})
    try:
        walk = walk_forward(
            returns, kinds, window=models.walk_forward_window, refit_every=models.refit_interval,
            confidences=levels, priors=priors_known(observed_at, interval),
            factors=hour_factors(observed_at, returns, interval, settings, start=models.walk_forward_window),
        )  # fmt: skip
    except RefusalError:
        return RaceResult(default)
    summary = race(walk, generator=stream(settings.seed, "race", "confidence_set"))
    hits = walk.tracks[summary.winner].exceptions_long[:, walk.confidences.index(EXCEPTION_CONFIDENCE)]
    alarm = standing_alarm(hits, 1.0 - EXCEPTION_CONFIDENCE, run_length=RUN_LENGTH, probation=MINIMUM_RACE)
    return RaceResult(summary.winner if alarm is None else BENCHMARK, walk, summary, alarm)


def hour_factors(
    observed_at: IntArray, returns: FloatArray, interval: int, settings: Settings, *, start: int
) -> FloatArray | None:
    """Hour-of-day factors known before each bar of a walk from `start` on; None for bars of a day or longer."""
    if interval >= DAY:
        return None
    refits = range(start, len(returns), settings.models.refit_interval)
    return factors_in_time(observed_at, returns, refits, window=FACTOR_DAYS * DAY // interval)


def hour_factors_as_of(observed_at: IntArray, returns: FloatArray, interval: int) -> FloatArray:
    """Factors (24,) of the volatility of each hour as of the last bar, from the bars of the last `FACTOR_DAYS` days.

    Empty for bars of a day or longer.

    Raises
    ------
    DataError
        An hour with too few bars, or none that moves.
    """
    if interval >= DAY:
        return np.empty(0)
    recent = slice(-(FACTOR_DAYS * DAY // interval), None)
    return fit_hour_factors(observed_at[recent], returns[recent]).factors


def priors_known(observed_at: IntArray, interval: int) -> Priors:
    """The pooled prior that was known at the bar before a refit; None before the first vintage.

    Parameters
    ----------
    observed_at
        (n,) end times of the returns.
    interval
        Bar length in seconds.
    """

    def known(kind: VolatilityModel, origin: int) -> ParameterPrior | None:
        try:
            return parameter_prior(load_prior(int(observed_at[origin - 1])), kind, interval)
        except RefusalError:
            return None

    return known


def evidence_rows(
    subject: str,
    observed_at: IntArray,
    result: RaceResult,
    fits: Mapping[VolatilityModel, FitResult],
    shocks: FloatArray,
    returns: FloatArray,
) -> EvidenceRows:
    """All rows of one subject; `shocks` are the quantiles that its paths are drawn from, `returns` those fitted."""
    walk = result.walk
    return EvidenceRows(
        race=_race_rows(subject, observed_at, result, fits),
        track_record=() if walk is None else _track_rows(subject, walk),
        exceptions=() if walk is None else _exception_rows(subject, observed_at, walk, result.winner),
        assumptions=(
            *(row for kind, found in fits.items() if found.usable for row in _residual_rows(subject, kind, found)),
            *(row for kind, found in fits.items() for row in stability_rows(subject, str(kind), found, returns)),
            _shock_row(subject, fits[result.paths], shocks),
        ),
    )


def left_out_status(one: LeftOut, observed_at: IntArray) -> str:
    """Why an entrant is not compared and since which bar; `observed_at` of the series raced."""
    return f"left out: {one.reason}, bar of {str(np.datetime64(int(observed_at[one.position]), 's'))[:16]}"


def _race_rows(
    subject: str, observed_at: IntArray, result: RaceResult, fits: Mapping[VolatilityModel, FitResult]
) -> tuple[Row, ...]:
    if result.summary is None or result.walk is None:
        return tuple(
            (subject, str(k), 0.0, 0.0, 0.0, 0, k == result.winner, f"not raced, fit {found.status}", *_NOT_COMPARED)
            for k, found in fits.items()
        )
    rows: list[Row] = []
    for entry in result.summary.entries:
        track = result.walk.tracks[entry.model]
        status = f"fit {fits[VolatilityModel(entry.model)].status}"
        if not entry.has_density:
            status += ", quantiles only"
        if entry.model == result.winner != result.paths:
            status += f", paths are of {result.paths}"
        if result.alarm is not None and entry.model == result.summary.winner:
            status += f", {DECAYED}"
        if track.n_carried:
            status += f", {track.n_carried} of {len(track.refits)} refits failed"
        rows.append(
            (
                subject, str(entry.model), entry.log_score, entry.difference, entry.difference_error,
                result.summary.n_observations, entry.model == result.winner, status, entry.p_better,
                entry.confidence_set, entry.in_set, entry.crps, entry.quantile_loss, entry.fz0,
                entry.fz0_comparison.p_better, entry.fz0_confidence_set,
            )
        )  # fmt: skip
    left = result.walk.left_out
    rows += [
        (subject, str(o.model), 0.0, 0.0, 0.0, 0, False, left_out_status(o, observed_at), *_LEFT_OUT) for o in left
    ]
    return tuple(rows)


def _track_rows(subject: str, walk: WalkForward) -> tuple[Row, ...]:
    rows: list[Row] = []
    n = len(walk.returns)
    for model, track in walk.tracks.items():
        for column, confidence in enumerate(walk.confidences):
            for side, losses, forecast, hits in (
                (Side.DOWN, -walk.returns, track.var_long, track.exceptions_long),
                (Side.UP, walk.returns, track.var_short, track.exceptions_short),
            ):
                count = int(hits[:, column].sum())
                test = coverage_test(count, n, 1.0 - confidence)
                loss = float(quantile_loss(losses, forecast[:, column], confidence).mean())
                rows.append(
                    (
                        subject, str(model), confidence, str(side), n, count, n * (1.0 - confidence),
                        test.too_many_p_value, test.two_sided_p_value, loss,
                    )
                )  # fmt: skip
    return tuple(rows)


def _exception_rows(subject: str, observed_at: IntArray, walk: WalkForward, winner: str) -> tuple[Row, ...]:
    track = walk.tracks[winner]
    column = walk.confidences.index(EXCEPTION_CONFIDENCE)
    return tuple(
        zip(
            [subject] * len(walk.returns),
            observed_at[walk.positions].tolist(),
            np.expm1(walk.returns).tolist(),
            (-np.expm1(-track.var_long[:, column])).tolist(),
            np.sqrt(track.variances).tolist(),
            track.exceptions_long[:, column].tolist(),
            strict=True,
        )
    )


def _residual_rows(subject: str, model: str, fit: FitResult) -> tuple[Row, ...]:
    """Tests of a model's residuals; one that cannot be tested (a run of equal prices, say) says so."""
    try:
        tests = residual_tests(fit.residuals, innovations_of(fit))
    except DataError as error:
        reason = f"not testable: {error.message}"
        return tuple(
            (subject, a.text, a.test, 0.0, 1.0, reason, str(model))
            for a in CARDS[model].assumptions
            if a.test in _RESIDUAL
        )
    return tuple((subject, t.assumption, t.test, t.statistic, t.p_value, t.verdict(), str(model)) for t in tests)


def stability_rows(subject: str, model: str, fit: FitResult, returns: FloatArray) -> tuple[Row, ...]:
    """Tests of constant parameters by the scores of a fit of the kernel; none for other models."""
    if fit.model not in FORMS:
        return ()
    try:
        names, scores = parameter_scores(fit, returns)
        tests = [nyblom_test(scores), score_cusum_test(scores)]
    except (DataError, RefusalError) as error:
        reason = f"not testable: {error.message}"
        return tuple((subject, a.text, a.test, 0.0, 1.0, reason, model) for a in STABILITY_ASSUMPTIONS)
    said = f" ({', '.join(names)})"
    made = [
        AssumptionTest(a.text + said, a.test, float(test.statistic), float(test.p_value))
        for a, test in zip(STABILITY_ASSUMPTIONS, tests, strict=True)
    ]
    return tuple((subject, t.assumption, t.test, t.statistic, t.p_value, t.verdict(), model) for t in made)


def _shock_row(subject: str, fit: FitResult, shocks: FloatArray) -> Row:
    squares = fit.residuals**2
    distance = (float(squares.mean()) - 1.0) / (float(squares.std()) / np.sqrt(len(squares)))
    test = AssumptionTest(
        f"residuals have unit variance (shocks are not rescaled; theirs is {float(np.mean(shocks**2)):.3f})",
        "z of the mean square",
        float(distance),
        float(2.0 * ndtr(-abs(distance))),
    )
    return (subject, test.assumption, test.test, test.statistic, test.p_value, test.verdict(), "shocks")
