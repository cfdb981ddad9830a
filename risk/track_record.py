"""The track record: how forecasts made before each bar fared over all assets, and the bar that riskcal sets itself.

Only the type and its tables: `risk.tails.record_tables` fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from risk.artifact import Artifact, Table

RECORD_SCHEMA = {
    "subject": "str", "interval": "i8", "side": "str", "confidence": "f8", "start": "i8", "stop": "i8", "n": "i8",
    "exceptions": "i8", "expected": "f8", "p_one_sided": "f8", "p_two_sided": "f8", "passes": "bool",
    "independence_p_value": "f8", "dynamic_quantile_p_value": "f8", "shortfall_z2": "f8",
    "quantile_loss": "f8", "benchmark_quantile_loss": "f8", "quantile_loss_worse_p_value": "f8",
    "fz0": "f8", "benchmark_fz0": "f8", "fz0_worse_p_value": "f8", "benchmark_exceptions": "i8",
}  # fmt: skip
"""A row a subject, side and confidence, of one-step forecasts; quantile loss of simple moves, FZ0 of log moves.

`p_one_sided` is the binomial probability of so many exceptions or more, and `passes` when it is 5 % or more. Scores
are means, smaller is better; ``..._worse_p_value`` is Diebold and Mariano's against "worse than the benchmark":
below 5 % the subject is worse beyond its own noise.
"""
POOLED_SCHEMA = {
    "interval": "i8", "side": "str", "confidence": "f8", "n_subjects": "i8", "n_dates": "i8", "n": "i8",
    "exceptions": "i8", "rate": "f8", "lower": "f8", "upper": "f8", "benchmark_rate": "f8",
    "quantile_loss_ratio": "f8", "quantile_loss_better_p_value": "f8", "fz0_difference": "f8",
    "fz0_better_p_value": "f8",
}  # fmt: skip
"""A row an interval, side and confidence, of all subjects together; intervals and p-values by blocks of dates.

`quantile_loss_ratio` and `fz0_difference` compare with the benchmark: below 1 and below 0 are better than it.
"""
CRITERIA_SCHEMA = {
    "interval": "i8", "criterion": "str", "value": "f8", "required": "str", "met": "bool", "detail": "str",
}  # fmt: skip
"""The bar: what is asked of falls at 99 %, one bar ahead, and whether it was met."""
EXCEPTION_SCHEMA = {
    "subject": "str", "side": "str", "confidence": "f8", "observed_at": "i8", "model": "str", "loss": "f8",
    "value_at_risk": "f8",
}  # fmt: skip
"""Every exception at 99 % with its date: loss and value at risk as simple moves, positive fractions."""
VARIANT_SCHEMA = {
    "interval": "i8", "assets": "str", "bars": "str", "forecast": "str", "n": "i8", "exceptions": "i8", "rate": "f8",
    "n_subjects": "i8", "passing": "i8", "quantile_loss_ratio": "f8",
}  # fmt: skip
"""Falls at 99 % of what is in use beside what else could have been, on all bars, on those before a date by which rules
were settled, and since. `assets` are ``all`` or the ``pegged`` ones.

`n_subjects` have enough bars in that part to be judged alone, `passing` of them pass the one-sided test;
`quantile_loss_ratio` is to the benchmark's, below 1 is better.
"""
WEEK_SCHEMA = {
    "subject": "str", "method": "str", "confidence": "f8", "n": "i8", "exceptions": "i8", "expected": "f8",
    "p_one_sided": "f8", "passes": "bool", "quantile_loss": "f8", "broken": "i8",
}  # fmt: skip
"""Falls over a week of daily bars, a row a subject, method and confidence; weeks do not overlap. `broken` weeks miss a
bar and are left out."""
POOLED_WEEK_SCHEMA = {
    "method": "str", "confidence": "f8", "n_subjects": "i8", "passing": "i8", "n_weeks": "i8", "n": "i8",
    "exceptions": "i8", "rate": "f8", "lower": "f8", "upper": "f8", "quantile_loss_ratio": "f8",
    "quantile_loss_better_p_value": "f8",
}  # fmt: skip
"""A row a method and confidence, all subjects together; intervals and p-values by blocks of weeks, quantile loss
relative to the square root of time."""
BRIER_SCHEMA = {
    "interval": "i8", "threshold": "f8", "n": "i8", "events": "i8", "brier": "f8", "benchmark_brier": "f8",
    "better_p_value": "f8", "reliability": "f8", "resolution": "f8", "uncertainty": "f8", "within_bins": "f8",
}  # fmt: skip
"""Brier score of the probability of a fall beyond a threshold within a bar, all subjects together, with its parts."""
RELIABILITY_SCHEMA = {
    "interval": "i8", "threshold": "f8", "forecast": "f8", "frequency": "f8", "lower": "f8", "upper": "f8", "n": "i8",
}  # fmt: skip
"""Bins of the reliability diagram behind each Brier score; limits as if assets were independent, so too narrow."""
MODEL_SCHEMA = {
    "subject": "str", "model": "str", "n": "i8", "share": "f8", "log_score": "f8", "alarms": "str",
    "status": "str",
}  # fmt: skip
"""How often each model was the one in use, its mean log score over all bars, and when the hit monitor fell back on
the benchmark (dates)."""
TEST_SCHEMA = {
    "subject": "str", "interval": "i8", "side": "str", "confidence": "f8", "test": "str", "statistic": "f8",
    "p_value": "f8", "n": "i8", "detail": "str", "status": "str",
}  # fmt: skip
"""Every further backtest (`risk.validation.record_tests`) at 99 %, by side; of the whole law side ``both`` and
confidence 0. A test that could not be made has a p-value of 1 and its reason as status."""
TRANSFORM_SCHEMA = {"subject": "str", "interval": "i8", "lower": "f8", "upper": "f8", "n": "i8", "expected": "f8"}
"""Histogram of the probability integral transforms of the model in use: equal bins hold as many if laws are sound."""
CHALLENGER_SCHEMA = {
    "subject": "str", "interval": "i8", "model": "str", "side": "str", "confidence": "f8", "n": "i8",
    "exceptions": "i8", "expected": "f8", "p_one_sided": "f8", "quantile_loss": "f8", "quantile_loss_in_use": "f8",
    "better_p_value": "f8", "worse_p_value": "f8", "crps": "f8", "crps_in_use": "f8", "verdict": "str",
    "status": "str",
}  # fmt: skip
"""Forecasters of another kind than the models that race: quantile regressions and plain history. Quantile losses and
CRPS are of log moves over the same bars as the model in use, p-values Diebold and Mariano's; CRPS is 0 for a
forecaster of quantiles only."""
UNAVAILABLE_SCHEMA = {"subject": "str", "reason": "str"}


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The artifact of the backtest stage; the tables are documented with their schemas.

    Attributes
    ----------
    as_of
        Unix seconds; nothing in it was known later.
    record, pooled, criteria, variants, weeks, pooled_weeks, brier, reliability, exceptions, models, tests, transforms,
    challengers
        Tables of `RECORD_SCHEMA`, `POOLED_SCHEMA`, `CRITERIA_SCHEMA`, `VARIANT_SCHEMA`, `WEEK_SCHEMA`,
        `POOLED_WEEK_SCHEMA`, `BRIER_SCHEMA`, `RELIABILITY_SCHEMA`, `EXCEPTION_SCHEMA`, `MODEL_SCHEMA`, `TEST_SCHEMA`,
        `TRANSFORM_SCHEMA`, `CHALLENGER_SCHEMA`.
    unavailable
        Table ``subject, reason``: every subject without a record, and why.
    """

    as_of: int
    record: Table
    pooled: Table
    criteria: Table
    variants: Table
    weeks: Table
    pooled_weeks: Table
    brier: Table
    reliability: Table
    exceptions: Table
    models: Table
    tests: Table
    transforms: Table
    challengers: Table
    unavailable: Table
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""

    SCHEMA = "riskcal/backtest/2"

    @property
    def met(self) -> bool:
        """Whether every criterion is met, and there is one."""
        return len(self.criteria) > 0 and bool(self.criteria["met"].all())

    def artifact(self) -> Artifact:
        """Logical content, for hashing and for the run folder."""
        tables = {name: getattr(self, name) for name in _TABLES}
        return Artifact(self.SCHEMA, {"as_of": self.as_of}, tables, self.inputs, self.settings_hash)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> TrackRecord:
        """Rebuild from logical content."""
        tables = {name: artifact.tables[name] for name in _TABLES}
        return cls(int(artifact.document["as_of"]), **tables, inputs=artifact.inputs,
                   settings_hash=artifact.settings_hash)  # fmt: skip


_TABLES = (
    "record", "pooled", "criteria", "variants", "weeks", "pooled_weeks", "brier", "reliability", "exceptions", "models",
    "tests", "transforms", "challengers", "unavailable",
)  # fmt: skip
