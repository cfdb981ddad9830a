"""The calibration of one subject: fits, race, shocks, path model, figures and the evidence for them.

A pure function of the subject's own series and the settings, so that it runs anywhere and no other subject can
change its numbers. It never raises for bad data: a subject that cannot be calibrated says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from risk.calibration import SHORT_HISTORY_NOTE, RiskFigure, SubjectModel
from risk.errors import DataError, RefusalError
from risk.market import FloatArray, IntArray, PriceSeries
from risk.settings import Backing, Settings
from risk.streams import stream
from risk.tails.comparison import method_rows
from risk.tails.diagnostics import DiagnosticRows, diagnose
from risk.tails.evidence import EvidenceRows, evidence_rows, hour_factors_as_of, run_race
from risk.tails.figures import LOG_MOVE_CAP, FigureRequest, figures_and_draws, simulated_figures
from risk.tails.horizon import bars_of, score_driven, stream_subject
from risk.tails.one_bar import historical_figures, parametric_figures, volatility_figure
from risk.tails.peg import depeg_component
from risk.tails.shocks import ShockDistribution, draw_nodes, fit_shocks
from risk.tails.spacing import known_returns
from risk.tails.states import (
    bound_persistence,
    exponential_draws,
    level_draws,
    parameter_prior,
    persistence_bound,
    posterior_draws,
    residuals_by_draw,
    starting_variances,
)
from risk.tails.term_structure import life_confidences, term_rows
from risk.volatility.forecasters import DRIVES_PATHS
from risk.volatility.models import FitResult, FitStatus, VolatilityModel, fit
from risk.volatility.prior import PooledPrior, load_prior
from risk.volatility.seasonality import hour_of_day

SHORT_HISTORY = 500
"""Fewer returns than this are called a short history."""
GIANT_MOVE = "tenfold_move_in_history"
"""In the status of a model with a bar in its history that took the price below a tenth, or above ten times."""
STALE_BARS = 3
"""A series whose last bar ended longer ago is called stale."""


@dataclass(frozen=True, slots=True)
class SubjectTask:
    """What the calibration of one subject needs to know beside the settings.

    Attributes
    ----------
    subject, collateral, debt
        ``ETH:USDC``, ``ETH``, ``USDC``; an asset is its own subject, against the unit of account.
    series
        Closes, of the pair for a pair.
    as_of
        Instant of the calibration; chooses the vintage of the pooled prior.
    pegged, backing
        Whether the collateral should keep a price, and what backs it.
    latency
        Seconds that the oracle of the subject may lag.
    refusal
        Why the series must not be used; empty when it may.
    """

    subject: str
    collateral: str
    debt: str
    series: PriceSeries
    as_of: int
    pegged: bool
    backing: Backing | None
    latency: int
    refusal: str = ""

    @property
    def stream_name(self) -> str:
        """Name of the random streams: a pair against the unit of account is the asset itself."""
        return stream_subject(self.collateral, self.debt)


@dataclass(frozen=True, slots=True)
class SubjectOutcome:
    """A calibrated subject, or the reason why it is not.

    Attributes
    ----------
    subject
        Its name.
    model
        The path model, None when unavailable.
    figures, evidence
        Rows of the calibration's tables.
    reason
        Why there is no model; empty when there is.
    """

    subject: str
    model: SubjectModel | None = None
    figures: tuple[RiskFigure, ...] = ()
    evidence: EvidenceRows = field(default_factory=EvidenceRows)
    reason: str = ""


def calibrate_subject(task: SubjectTask, settings: Settings) -> SubjectOutcome:
    """Calibrate one subject.

    Returns
    -------
    SubjectOutcome
        Without a model when the series was refused or ends in too few returns, does not move, lies before the
        first pooled prior, or when the fit of the winning model has not converged.
    """
    if task.refusal:
        return SubjectOutcome(task.subject, reason=task.refusal)
    try:
        return _calibrate(task, settings)
    except (DataError, RefusalError, np.linalg.LinAlgError) as error:
        return SubjectOutcome(task.subject, reason=str(error))


def usable_returns(task: SubjectTask, settings: Settings) -> tuple[IntArray, FloatArray]:
    """End times and log returns (n,) of the bars known as of the task's instant, in the settings' window.

    Raises
    ------
    RefusalError
        Too few returns, or none that differs from another.
    """
    observed_at, returns = task.series.as_of(task.as_of).log_returns()
    if settings.models.window is not None:
        observed_at, returns = observed_at[-settings.models.window :], returns[-settings.models.window :]
    if len(returns) < settings.models.minimum_observations:
        raise RefusalError(known_returns(len(returns), settings.models.minimum_observations, task.series))
    if np.ptp(returns) <= 1e-12:
        raise RefusalError("the price does not move")
    return observed_at, returns


def figure_request(task: SubjectTask, settings: Settings) -> FigureRequest:
    """The confidences and horizons that settings name anywhere, in bars rounded up.

    Horizons are one bar, the liquidation (keeper delay and oracle latency), the borrower's reaction, the trader's
    time to add margin, the appetite's, and the parameter life.
    """
    execution, appetite = settings.execution, settings.appetite
    seconds = (
        task.series.interval,
        execution.keeper_delay + task.latency,
        execution.reaction_time,
        execution.user_margin_horizon,
        appetite.es_horizon,
        appetite.parameter_life,
    )
    confidences = {*settings.models.confidence, settings.policy.margin_confidence, execution.reaction_confidence, 0.99}
    return FigureRequest(
        confidences=tuple(sorted(c for c in confidences if c > 0.0)),
        horizons=tuple(sorted({bars_of(value, task.series.interval) for value in seconds})),
        n_paths_per_draw=settings.models.paths_per_draw,
        seed=settings.seed,
    )


def _calibrate(task: SubjectTask, settings: Settings) -> SubjectOutcome:
    prior = load_prior(task.as_of)
    observed_at, returns = usable_returns(task, settings)
    kinds = tuple(dict.fromkeys([VolatilityModel.EWMA_T, *map(VolatilityModel, settings.models.volatility)]))
    priors = {kind: parameter_prior(prior, kind, task.series.interval) for kind in kinds}
    try:
        hours, unknown = hour_factors_as_of(observed_at, returns, task.series.interval), False
    except DataError:
        hours, unknown = np.empty(0), True
    flat = returns / hours[hour_of_day(observed_at)] if hours.size else returns
    fits = {kind: fit(kind, flat, prior=priors[kind]) for kind in kinds}
    result = run_race(observed_at, returns, kinds, task.series.interval, settings)
    winner = result.paths
    best = fits[winner]
    if best.status not in (FitStatus.CONVERGED, FitStatus.BOUNDARY):
        raise RefusalError(f"the fit of {winner} ended as {best.status}")
    name = task.stream_name
    draws = {
        kind: posterior_draws(
            found,
            flat,
            prior=priors[kind],
            generator=stream(settings.seed, f"posterior/{kind}", name),
            n_draws=settings.models.posterior_draws,
        )
        for kind, found in fits.items()
        if found.usable and kind in DRIVES_PATHS
    }
    shocks = fit_shocks(best.residuals, prior=prior)
    residuals = residuals_by_draw(best, flat, draws[winner])
    shock_draws = shocks.draws(stream(settings.seed, "shocks", name), residuals)
    model = path_model(task, settings, prior, best, draws[winner], shocks, observed_at, returns, hours)
    model = replace(
        model,
        shock_draws=shock_draws[:, draw_nodes()],
        level_draws=level_draws(
            model.draws, shock_draws, len(returns), stream(settings.seed, "level", name),
            driven=score_driven(best.model),
        ),
    )  # fmt: skip
    if result.walk is None:
        model = _noted(model, "not_raced")
    if unknown:
        model = _noted(model, "hour_factors_unknown")
    if result.winner != winner:
        model = _noted(model, f"{result.winner}_drives_no_paths")
    request = figure_request(task, settings)
    life = life_confidences(settings, request.horizons, task.series.interval)
    conditional = figures_and_draws(model, shock_draws, replace(request, life=life), start="conditional")
    figures = [
        *(figure for figure, _ in conditional if figure.confidence in request.confidences),
        *simulated_figures(model, shock_draws, request, start="through_the_cycle"),
        volatility_figure(model, model.draws[:, 6], method="conditional"),
        *historical_figures(model, request),
    ]
    for kind, drawn in draws.items():
        if fits[kind].skew != 0.0:
            continue  # the closed form is of Student-t; paths take their shocks from residuals, skew and all
        labelled = _noted(model, "not_converged") if fits[kind].status is FitStatus.NOT_CONVERGED else model
        if result.walk is not None and kind not in result.walk.tracks:
            labelled = _noted(labelled, "left_out_of_race")
        elif result.summary is not None and not result.summary.entry(kind).in_set:
            labelled = _noted(labelled, "outside_confidence_set")
        rows = drawn
        if kind is VolatilityModel.EWMA_T:
            rows = exponential_draws(fits[kind], flat, drawn, stream(settings.seed, "exponential", name))
        figures += parametric_figures(labelled, rows, method=str(kind), confidences=request.confidences)
    evidence = evidence_rows(task.subject, observed_at, result, fits, model.shocks, flat)
    evidence = replace(
        evidence,
        term_structure=term_rows(model, conditional, replace(request, life=life)),
        methods=() if ":" in task.subject else method_rows(
            task.subject, returns, window=settings.models.walk_forward_window,
            refit_every=settings.models.refit_interval,
        ),
        diagnostics=DiagnosticRows() if ":" in task.subject else diagnose(task.subject, fits, winner, flat),
    )  # fmt: skip
    return SubjectOutcome(task.subject, model, tuple(figures), evidence)


def path_model(
    task: SubjectTask,
    settings: Settings,
    prior: PooledPrior,
    best: FitResult,
    draws: FloatArray,
    shocks: ShockDistribution,
    observed_at: IntArray,
    returns: FloatArray,
    hours: FloatArray,
) -> SubjectModel:
    """The path model of a fit: its draws under the bound on persistence, starting variances, shocks and peg jumps."""
    interval = task.series.interval
    quantiles = shocks.quantiles()
    level = float(best.variances.mean())
    bounded, share = bound_persistence(
        draws, quantiles, level, persistence_bound(prior, interval), driven=score_driven(best.model)
    )
    notes = {
        SHORT_HISTORY_NOTE: len(returns) < SHORT_HISTORY,
        GIANT_MOVE: float(np.abs(returns).max()) > LOG_MOVE_CAP,
        "stale": task.as_of - int(observed_at[-1]) > STALE_BARS * interval,
        shocks.status: shocks.status != "ok",
        "persistence_bounded": share > 0.5,
        "prior_of_other_bars": interval != prior.bar_seconds,
    }
    intensity, sizes = np.empty(0), np.empty(0)
    if task.pegged:
        generator = stream(settings.seed, "depeg", task.stream_name)
        depeg = depeg_component(prior.depeg, task.backing, generator=generator, n_draws=len(draws))
        intensity, sizes = depeg.intensity, depeg.sizes
        notes[f"depeg_sizes_of_{depeg.basis}"] = depeg.basis != task.backing
    return SubjectModel(
        subject=task.subject,
        collateral=task.collateral,
        debt=task.debt,
        interval=interval,
        model=str(best.model),
        observed_at=observed_at,
        returns=returns,
        variances=best.variances,
        residuals=best.residuals,
        draws=bounded,
        starting_variance=starting_variances(best.variances, prior),
        shocks=quantiles,
        jump_intensity=intensity,
        jump_sizes=sizes,
        prior=prior.as_of,
        status=", ".join(note for note, weak in notes.items() if weak) or "ok",
        hour_factors=hours,
    )


def _noted(model: SubjectModel, note: str) -> SubjectModel:
    return replace(model, status=note if model.status == "ok" else f"{model.status}, {note}")
