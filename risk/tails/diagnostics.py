"""How far a fit can be trusted: robust standard errors, the tail at a ladder of thresholds, parameters moved.

Rows of three tables of a calibration, of assets. What cannot be computed is a row with zeros whose status says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from risk.calibration import Side
from risk.errors import DataError, RefusalError
from risk.market import FloatArray
from risk.tails.extreme_value import exceedance_count
from risk.tails.stability import quantile_interval, threshold_stability
from risk.validation.stability import sensitivities
from risk.volatility.coordinates import FORMS
from risk.volatility.engine import filter_variances
from risk.volatility.innovations import Innovations
from risk.volatility.models import PARAMETER_NAMES, SKEW, FitResult, VolatilityModel, fit
from risk.volatility.standard_errors import CovarianceKind, parameter_covariance

Row = tuple[object, ...]

PARAMETER_SCHEMA = {
    "subject": "str", "model": "str", "parameter": "str", "in_use": "f8", "estimate": "f8", "standard_error": "f8",
    "hessian_error": "f8", "lower": "f8", "upper": "f8", "n_observations": "i8", "condition": "f8", "status": "str",
}  # fmt: skip
"""`in_use` is the fit with the prior, `estimate` the likelihood's own; `standard_error` is the sandwich's, robust
to a wrong density, with its 90 % interval; `hessian_error` is the inverse information's."""
THRESHOLD_SCHEMA = {
    "subject": "str", "side": "str", "n_exceedances": "i8", "n_observations": "i8", "usual": "bool",
    "threshold": "f8", "xi": "f8", "xi_error": "f8", "scale": "f8", "mean_excess": "f8", "hill": "f8",
    "quantile": "f8", "lower": "f8", "upper": "f8", "spread": "f8", "stable": "bool", "status": "str",
}  # fmt: skip
"""Tails of standardised residuals. `scale` and `mean_excess` as in `risk.tails.stability.ThresholdFit`; `quantile` at
99 %. Of the whole ladder are `lower` and `upper`, the 90 % interval of the quantile at the usual threshold by profile
likelihood, `spread`, the largest quantile over the smallest less 1, and `stable`, every xi within two errors of the
usual one's. A figure that does not exist, such as Hill's where the threshold is not positive, is 0."""
SENSITIVITY_SCHEMA = {
    "subject": "str", "model": "str", "parameter": "str", "value": "f8", "share": "f8", "low": "f8", "base": "f8",
    "high": "f8", "elasticity": "f8", "n_observations": "i8", "status": "str",
}  # fmt: skip
"""Value at risk of the next bar at 99 %, a simple fall, with one parameter moved by `share` both ways."""

CONFIDENCE = 0.99
SHARE = 0.01
"""Small, because a tenth more memory is a model without a mean variance."""
NORMAL_90 = 1.6448536269514722
"""95 % quantile of the standard normal law."""
_NU_FLOOR = 2.05


@dataclass(frozen=True, slots=True)
class DiagnosticRows:
    """Rows of `PARAMETER_SCHEMA`, `THRESHOLD_SCHEMA` and `SENSITIVITY_SCHEMA`."""

    parameters: tuple[Row, ...] = ()
    thresholds: tuple[Row, ...] = ()
    sensitivities: tuple[Row, ...] = ()


def diagnose(
    subject: str, fits: Mapping[VolatilityModel, FitResult], paths: VolatilityModel, returns: FloatArray
) -> DiagnosticRows:
    """All rows of one subject; `paths` is the model that paths are made with, `returns` (n,) those fitted."""
    best = fits[paths]
    return DiagnosticRows(
        tuple(
            row for found in fits.values() if found.model in FORMS for row in parameter_rows(subject, found, returns)
        ),
        tuple(row for side in Side for row in threshold_rows(subject, side, best.residuals)),
        sensitivity_rows(subject, best, returns),
    )


def parameter_rows(subject: str, in_use: FitResult, returns: FloatArray) -> tuple[Row, ...]:
    """Standard errors of a model of the kernel; they are of the fit without a prior."""
    if not in_use.usable:
        return ()
    alone = fit(in_use.model, returns, presample=in_use.presample)
    try:
        robust = parameter_covariance(alone, returns, kind=CovarianceKind.SANDWICH)
        hessian = parameter_covariance(alone, returns, kind=CovarianceKind.HESSIAN)
    except (RefusalError, np.linalg.LinAlgError) as error:
        reason = f"no standard errors: {getattr(error, 'message', error)}"
        if alone.boundary:
            reason += f" ({', '.join(alone.boundary)})"
        return tuple(
            (subject, str(in_use.model), name, value, alone.parameters.get(name, 0.0), *[0.0] * 4, len(returns), 0.0,
             reason)
            for name, value in in_use.parameters.items() if value != 0.0
        )  # fmt: skip
    rows = []
    for name, spread, plain in zip(robust.names, robust.standard_errors, hessian.standard_errors, strict=True):
        estimate, width = alone.parameters[name], NORMAL_90 * float(spread)
        rows.append(
            (
                subject, str(in_use.model), name, in_use.parameters[name], estimate, float(spread), float(plain),
                estimate - width, estimate + width, len(returns), robust.condition, "ok",
            )
        )  # fmt: skip
    return tuple(rows)


def threshold_rows(subject: str, side: Side, residuals: FloatArray) -> tuple[Row, ...]:
    """The tail of one side at a ladder of thresholds."""
    losses = -residuals if side is Side.DOWN else residuals
    head = (subject, str(side))
    try:
        found = threshold_stability(losses, confidence=CONFIDENCE)
    except (DataError, RefusalError) as error:
        return ((*head, 0, len(losses), False, *[0.0] * 10, False, f"no tail: {error.message}"),)
    usual, _ = exceedance_count(len(losses))
    at = next(one for one in found.fits if one.n_exceedances == usual)
    status, ends = "ok", (0.0, 0.0)
    try:
        low, _, high = quantile_interval(losses, threshold=at.threshold, confidence=CONFIDENCE, level=0.9)
        ends = (low, high)
    except (DataError, RefusalError, ValueError) as error:
        status = f"no interval: {getattr(error, 'message', error)}"
    rows = []
    for one in found.fits:
        values = (
            one.xi,
            one.xi_error,
            one.scale,
            one.mean_excess,
            one.hill,
            one.quantile,
            *ends,
            found.quantile_spread,
        )
        rows.append(
            (
                *head, one.n_exceedances, len(losses), one is at, one.threshold,
                *(value if math.isfinite(value) else 0.0 for value in values), found.stable, status,
            )
        )  # fmt: skip
    return tuple(rows)


def sensitivity_rows(subject: str, best: FitResult, returns: FloatArray) -> tuple[Row, ...]:
    """What each parameter's error would do to the value at risk of the next bar; parameters of zero cannot be moved."""

    def figure(values: Mapping[str, float]) -> float:
        vector = np.array([values.get(name, 0.0) for name in PARAMETER_NAMES])
        variance = filter_variances(vector, returns, presample=best.presample)[-1]  # that of every model of paths
        law = Innovations(max(values["nu"], _NU_FLOOR), values.get(SKEW, 0.0))
        cut = values.get("mu", 0.0) + math.sqrt(variance) * float(law.quantile(1.0 - CONFIDENCE))
        return -math.expm1(cut)

    moved = {name: value for name, value in best.parameters.items() if value != 0.0}
    rows = []
    for found in sensitivities(figure, moved, share=SHARE):
        notes = []
        value = moved[found.parameter]
        if best.persistence + SHARE * abs(value) >= 1.0 and found.parameter in {"alpha", "gamma", "beta"}:
            notes.append("not stationary upwards")
        if found.parameter == "nu" and value * (1.0 - SHARE) < _NU_FLOOR:
            notes.append("nu held at its floor")
        known = found.elasticity if math.isfinite(found.elasticity) else 0.0
        rows.append(
            (
                subject, str(best.model), found.parameter, value, SHARE, found.low, found.base, found.high, known,
                len(returns), ", ".join(notes) or "ok",
            )
        )  # fmt: skip
    return tuple(rows)
