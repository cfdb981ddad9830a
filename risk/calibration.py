"""What the models say: one table of risk figures with intervals, the race, the track record, the path model.

Only the types: models fill them in `volatility`, `tails` and `dependence`, policy and stress read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np

from risk.artifact import Artifact, Table
from risk.market import FloatArray, IntArray, frozen


class Measure(StrEnum):
    """What a risk figure measures; all are positive fractions of the price."""

    VOLATILITY = "volatility"
    VALUE_AT_RISK = "value_at_risk"
    EXPECTED_SHORTFALL = "expected_shortfall"
    DRAWDOWN = "drawdown"


class Side(StrEnum):
    """Down: who holds the subject loses when it falls. Up: who is short of it."""

    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class RiskFigure:
    """A number that may be quoted: it carries everything that says what it is.

    Attributes
    ----------
    subject
        Asset, or pair as ``collateral:debt``.
    measure, confidence, horizon, side
        Horizon in seconds. A volatility has confidence zero.
    method
        How it was computed, e.g. ``ewma_t``, ``garch_t``, ``fhs``, ``through_the_cycle``, ``historical``.
    window
        Bars of history behind it.
    value, lower, upper
        Simple move as a positive fraction, and its 90 % interval.
    n_observations
        Returns behind it.
    status
        ``ok`` or what weakens it, e.g. ``short_history``.
    monte_carlo_error
        Standard error of `value` from the number of paths; zero for what needs none.
    """

    subject: str
    measure: Measure
    confidence: float
    horizon: int
    side: Side
    method: str
    window: int
    value: float
    lower: float
    upper: float
    n_observations: int
    status: str
    monte_carlo_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why there is no figure."""

    subject: str
    reason: str


FIGURE_SCHEMA = {
    "subject": "str", "measure": "str", "confidence": "f8", "horizon": "i8", "side": "str", "method": "str",
    "window": "i8", "value": "f8", "lower": "f8", "upper": "f8", "n_observations": "i8", "status": "str",
    "monte_carlo_error": "f8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SubjectModel:
    """What paths of one subject (an asset or a pair) are made from.

    Attributes
    ----------
    subject, collateral, debt
        ``ETH:USDC``, ``ETH``, ``USDC``.
    interval
        Bar length in seconds.
    model
        Name of the volatility model behind the draws.
    observed_at, returns, variances, residuals
        (n,) end times, log returns, filtered variances and standardised residuals of the subject's own history. With
        hour factors the last two, and all that follows, are those of returns over the factor of their hour.
    draws
        (n_draws, 7) posterior draws of mu, omega, alpha, gamma, beta, nu and next bar's variance.
    starting_variance
        (n_start,) through-the-cycle variances from which slow paths start: own history and the pooled panel.
    shocks
        (n_shocks,) standardised shocks with smoothed tails, from which bars are drawn.
    jump_intensity, jump_sizes
        Depeg jumps a year, (n_draws,) and their log sizes (n_sizes,); empty sizes where the subject has no peg.
    prior
        Vintage of the pooled prior.
    status
        ``ok`` or what weakens the fit.
    shock_draws
        (n_draws, n_nodes) the shocks under each draw, at the positions of `risk.tails.shocks.draw_nodes`; no rows where
        `shocks` hold under every draw.
    level_draws
        (n_draws,) factor on `starting_variance` under each draw: what the history leaves open about its level; empty
        where nothing is.
    hour_factors
        (24,) factors of volatility by hour of the day (UTC) that a bar covers, which bars of paths are multiplied by;
        empty for bars of a day or longer, and where no factor is known.
    """

    subject: str
    collateral: str
    debt: str
    interval: int
    model: str
    observed_at: IntArray
    returns: FloatArray
    variances: FloatArray
    residuals: FloatArray
    draws: FloatArray
    starting_variance: FloatArray
    shocks: FloatArray
    jump_intensity: FloatArray
    jump_sizes: FloatArray
    prior: str
    status: str
    shock_draws: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    level_draws: FloatArray = field(default_factory=lambda: np.empty(0))
    hour_factors: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "observed_at", frozen(self.observed_at, np.int64))
        for name in _ARRAYS:
            object.__setattr__(self, name, frozen(getattr(self, name)))


_ARRAYS = (
    "returns", "variances", "residuals", "draws", "starting_variance", "shocks", "jump_intensity", "jump_sizes",
    "shock_draws", "level_draws",
    "hour_factors",
)  # fmt: skip
SHORT_HISTORY_NOTE = "short_history"
"""In the status of a model with few returns behind it: margins then take the upper end of their band."""
_NAMES = ("subject", "collateral", "debt", "interval", "model", "prior", "status")
DRAW_COLUMNS = ("mu", "omega", "alpha", "gamma", "beta", "nu", "next_variance")


@dataclass(frozen=True, slots=True)
class Dependence:
    """A t-copula over assets: correlation (n, n), positive definite, and degrees of freedom."""

    assets: tuple[str, ...]
    correlation: FloatArray
    degrees_of_freedom: float
    n_observations: int
    status: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """The artifact of the calibration stage.

    Attributes
    ----------
    figures
        Table of `RiskFigure` rows.
    unavailable
        Table ``subject, reason``: every subject that has no model, and why.
    race
        Table: a row a subject and model, with out-of-sample scores and the winner.
    track_record
        Table: a row a subject, model, confidence and side, with exceptions against expectation.
    exceptions
        Table: the dated forecasts and exceptions behind the track record, for charts.
    assumptions
        Table: assumption, test, statistic, p_value, verdict, by subject.
    term_structure, methods
        Tables: figures beyond a day by horizon with their band, and how far simpler methods understate each quantile
        (`risk.tails.term_structure`, `risk.tails.comparison`).
    pegs, dependence_pairs
        Tables: how wrappers and pegs track, and how pairs of assets move together (`risk.tails.wrapper`,
        `risk.dependence.summary`).
    assets, pairs
        Path models by subject.
    dependence
        How the assets move together.
    diagnostics
        Further tables by name, of `DIAGNOSTICS`: how far fits can be trusted (`risk.tails.diagnostics`,
        `risk.tails.realised`, `risk.dependence.challenger`).
    """

    as_of: int
    figures: Table
    unavailable: Table
    race: Table
    track_record: Table
    exceptions: Table
    assumptions: Table
    term_structure: Table
    methods: Table
    pegs: Table
    dependence_pairs: Table
    assets: Mapping[str, SubjectModel]
    pairs: Mapping[str, SubjectModel]
    dependence: Dependence
    diagnostics: Mapping[str, Table] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""

    SCHEMA = "riskcal/calibration/4"

    def model(self, subject: str) -> SubjectModel | Unavailable:
        """The path model of an asset or pair, or why there is none."""
        found = self.assets.get(subject) or self.pairs.get(subject)
        return found if found is not None else Unavailable(subject, self.reason(subject))

    def reason(self, subject: str) -> str:
        """Why a subject has no model."""
        rows = self.unavailable.where(subject=subject)
        return str(rows["reason"][0]) if len(rows) else "not among the calibrated subjects"

    def figure(
        self,
        subject: str,
        *,
        measure: Measure,
        confidence: float,
        horizon: int,
        side: Side,
        method: str,
    ) -> RiskFigure | Unavailable:
        """One figure, or why there is none."""
        rows = self.figures.where(
            subject=subject, measure=str(measure), confidence=confidence, horizon=horizon, side=str(side), method=method
        )
        if not len(rows):
            return Unavailable(subject, self.reason(subject))
        row = next(rows.rows())
        return RiskFigure(**{**row, "measure": Measure(row["measure"]), "side": Side(row["side"])})

    def artifact(self) -> Artifact:
        """Logical content, for hashing and for the run folder."""
        groups: tuple[tuple[Literal["assets", "pairs"], Mapping[str, SubjectModel]], ...] = (
            ("assets", self.assets),
            ("pairs", self.pairs),
        )
        tables: dict[str, Table] = {name: getattr(self, name) for name in _TABLES} | dict(self.diagnostics)
        models: dict[str, list[dict[str, Any]]] = {"assets": [], "pairs": []}
        for group, subjects in groups:
            for subject in sorted(subjects):
                model = subjects[subject]
                models[group].append({name: getattr(model, name) for name in _NAMES})
            tables |= _tables_of(group, [subjects[name] for name in sorted(subjects)])
        document = {
            "as_of": self.as_of,
            "models": models,
            "dependence": {
                "assets": self.dependence.assets,
                "correlation": self.dependence.correlation.tolist(),
                "degrees_of_freedom": self.dependence.degrees_of_freedom,
                "n_observations": self.dependence.n_observations,
                "status": self.dependence.status,
            },
        }
        return Artifact(self.SCHEMA, document, tables, self.inputs, self.settings_hash)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Calibration:
        """Rebuild from logical content."""
        document, tables = artifact.document, artifact.tables
        dependence = {**document["dependence"], "assets": tuple(document["dependence"]["assets"])}
        dependence["correlation"] = frozen(dependence["correlation"])
        return cls(
            as_of=int(document["as_of"]),
            **{name: tables[name] for name in _TABLES},
            assets=_models_from("assets", document, tables),
            pairs=_models_from("pairs", document, tables),
            dependence=Dependence(**dependence),
            diagnostics={name: tables[name] for name in DIAGNOSTICS if name in tables},
            inputs=artifact.inputs,
            settings_hash=artifact.settings_hash,
        )


DIAGNOSTICS = ("parameters", "thresholds", "sensitivities", "realised", "dependence_race", "joint_falls")
_TABLES = (
    "figures", "unavailable", "race", "track_record", "exceptions", "assumptions", "term_structure", "methods", "pegs",
    "dependence_pairs",
)  # fmt: skip


def _tables_of(group: str, models: list[SubjectModel]) -> dict[str, Table]:
    """Long tables, each with the index of the model a row belongs to."""

    def stacked(names: tuple[str, ...], columns: tuple[str, ...], rows: tuple[str, ...] = ()) -> Table:
        arrays = [
            [getattr(m, n).ravel() if not rows else getattr(m, n)[:, i] for m in models] for i, n in enumerate(names)
        ]
        lengths = [len(a) for a in arrays[0]] if models else []
        joined = {c: np.concatenate(a) if a else np.empty(0) for c, a in zip(columns, arrays, strict=True)}
        return Table({"model": np.repeat(np.arange(len(models), dtype=np.int64), lengths), **joined})

    history = ("observed_at", "returns", "variances", "residuals")
    # Only where there are any: a calibration on daily bars has no such table.
    hours = ("hour_factors",) if any(model.hour_factors.size for model in models) else ()
    return {
        f"{group}_history": stacked(history, history),
        f"{group}_draws": stacked(("draws",) * len(DRAW_COLUMNS), DRAW_COLUMNS, DRAW_COLUMNS),
        f"{group}_intensity": stacked(("jump_intensity",), ("jump_intensity",)),
        f"{group}_starts": stacked(("starting_variance",), ("starting_variance",)),
        f"{group}_shocks": stacked(("shocks",), ("shocks",)),
        f"{group}_jumps": stacked(("jump_sizes",), ("jump_sizes",)),
        f"{group}_shock_draws": stacked(("shock_draws",), ("shock_draws",)),
        f"{group}_level_draws": stacked(("level_draws",), ("level_draws",)),
        **{f"{group}_hours": stacked((name,), (name,)) for name in hours},
    }


def _models_from(group: str, document: Mapping[str, Any], tables: Mapping[str, Table]) -> dict[str, SubjectModel]:
    models = {}
    for index, head in enumerate(document["models"][group]):

        def part(table: str, column: str, index: int = index) -> Any:
            source = tables[f"{group}_{table}"]
            return source[column][source["model"] == index]

        draws = np.column_stack([part("draws", column) for column in DRAW_COLUMNS])
        shock_draws = part("shock_draws", "shock_draws")
        models[head["subject"]] = SubjectModel(
            **head,
            observed_at=part("history", "observed_at"),
            returns=part("history", "returns"),
            variances=part("history", "variances"),
            residuals=part("history", "residuals"),
            draws=draws,
            starting_variance=part("starts", "starting_variance"),
            shocks=part("shocks", "shocks"),
            jump_intensity=part("intensity", "jump_intensity"),
            jump_sizes=part("jumps", "jump_sizes"),
            shock_draws=shock_draws.reshape(len(draws) if len(shock_draws) else 0, -1 if len(shock_draws) else 0),
            level_draws=part("level_draws", "level_draws"),
            hour_factors=part("hours", "hour_factors") if f"{group}_hours" in tables else np.empty(0),
        )
    return models
