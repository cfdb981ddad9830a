"""The constant t copula against dynamic conditional correlation and against none, out of sample.

All see the first two thirds of the last 1,000 common bars and forecast the joint ranks of the rest, one bar ahead,
with the same margins: the empirical laws of the first part. DCC's path of correlation takes its degrees of freedom
from a profile of ranks as the constant copula does, so that what is compared is whether correlation moves.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import chdtri, gammaln, stdtr, stdtrit

from risk.calibration import Dependence
from risk.dependence.copula import GRID, Residuals, common_bars, fit_dependence, log_density, twins
from risk.dependence.dynamic import MINIMUM_ROWS, DynamicFit, fit_dynamic
from risk.market import FloatArray
from risk.streams import stream
from risk.validation.comparison import diebold_mariano
from risk.validation.scores import energy_score

Row = tuple[object, ...]

RACE_SCHEMA = {
    "model": "str", "n_assets": "i8", "n_fitted": "i8", "n": "i8", "log_score": "f8", "difference": "f8",
    "standard_error": "f8", "better_p_value": "f8", "energy": "f8", "energy_n": "i8", "energy_better_p_value": "f8",
    "degrees_of_freedom": "f8", "news": "f8", "memory": "f8", "verdict": "str", "status": "str",
}  # fmt: skip
"""`log_score` is the mean log density of the copula in nats a bar, larger is better, 0 for independence; `difference`
and the p-values (Diebold and Mariano, "better") are against the constant t copula. `energy` is the mean energy score of
standardised residuals over `energy_n` bars, smaller is better. `news` and `memory` are a and b of DCC."""
CONSTANT = "t_copula"
LEVEL = 0.05
TRAINED = 2.0 / 3.0
MOST_BARS = 1000
"""The last common bars raced; the time of a fit grows with them and with the cube of the assets."""
ENERGY_BARS, ENERGY_MEMBERS = 100, 100
"""Bars and draws of the energy score; the draws of all models come from the same random numbers."""


def dependence_race(residuals: Residuals, dependence: Dependence, *, seed: int) -> tuple[Row, ...]:
    """A row a model; the constant copula stays in force whatever the verdict, which says whether it should.

    Parameters
    ----------
    residuals
        As of `fit_dependence`.
    dependence
        The copula in force, for its assets.
    seed
    """
    leaders = [name for name in dependence.assets if name not in twins(residuals)]
    times, values = common_bars(leaders, residuals)
    times, values = times[-MOST_BARS:], values[-MOST_BARS:]
    n, d = values.shape
    trained = int(n * TRAINED)
    if d < 2 or trained < MINIMUM_ROWS:
        reason = f"{d} distinct assets over {n} common bars; {math.ceil(MINIMUM_ROWS / TRAINED)} are needed"
        return tuple(_nothing(model, d, n, reason) for model in ("independent", CONSTANT, "dcc"))
    past = values[:trained]
    constant = fit_dependence({name: (times[:trained], past[:, i]) for i, name in enumerate(leaders)})
    dynamic = fit_dynamic(past)
    uniforms = _uniforms(past, values)
    still = np.broadcast_to(constant.correlation, (n - trained, d, d))
    scores = {"independent": np.zeros(n - trained)}
    scores[CONSTANT] = log_density(uniforms[trained:], constant.correlation, constant.degrees_of_freedom)
    paths, freedoms = {CONSTANT: still}, {CONSTANT: constant.degrees_of_freedom}
    if math.isfinite(dynamic.a):
        moving = correlation_path(values, dynamic, trained)
        heights = [path_log_density(uniforms[:trained], moving[:trained], nu).sum() for nu in GRID[::2]]
        nu = float(GRID[::2][np.argmax(heights)])
        scores["dcc"] = path_log_density(uniforms[trained:], moving[trained:], nu)
        paths["dcc"], freedoms["dcc"] = moving[trained:], nu
    energies = _energies(past, values[trained:], paths, freedoms, seed)
    rows: list[Row] = []
    for model, own in scores.items():
        fared, energy = diebold_mariano(-own, -scores[CONSTANT]), diebold_mariano(energies[model], energies[CONSTANT])
        is_dynamic = model == "dcc"
        status = f"fit {dynamic.status}" if is_dynamic else constant.status if model == CONSTANT else "ok"
        p_worse = 1.0 - fared.p_better
        rows.append(
            (
                model, d, trained, n - trained, float(own.mean()), 0.0 - fared.difference, fared.standard_error,
                fared.p_better if model != CONSTANT else 1.0, float(energies[model].mean()), len(energies[model]),
                energy.p_better if model != CONSTANT else 1.0, freedoms.get(model, 0.0),
                dynamic.a if is_dynamic else 0.0, dynamic.b if is_dynamic else 0.0,
                _verdict(model, fared.p_better, p_worse), status,
            )
        )  # fmt: skip
    if "dcc" not in scores:
        rows.append(_nothing("dcc", d, n, f"fit {dynamic.status}"))
    return tuple(rows)


def correlation_path(values: FloatArray, fit: DynamicFit, trained: int) -> FloatArray:
    """Correlation (n, d, d) forecast for each bar of `values` (n, d) by dynamics fitted to the first `trained`."""
    n, d = values.shape
    long_run = values[:trained].T @ values[:trained] / trained
    q, out = long_run.copy(), np.empty((n, d, d))
    for t, z in enumerate(values):
        scale = 1.0 / np.sqrt(np.diag(q))
        out[t] = q * np.outer(scale, scale)
        q = (1.0 - fit.a - fit.b) * long_run + fit.a * np.outer(z, z) + fit.b * q
    return out


def path_log_density(u: FloatArray, correlations: FloatArray, nu: float) -> FloatArray:
    """Log density (n,) of t copulas with a correlation each (n, d, d) at u (n, d); see `log_density` for one of all."""
    d = u.shape[1]
    x = stdtrit(nu, u)
    lower = np.linalg.cholesky(correlations)
    z = np.linalg.solve(lower, x[:, :, None])[:, :, 0]
    constant = gammaln((nu + d) / 2) + (d - 1) * gammaln(nu / 2) - d * gammaln((nu + 1) / 2)
    determinant = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    joint = constant - determinant - (nu + d) / 2 * np.log1p((z * z).sum(axis=1) / nu)
    density: FloatArray = joint + (nu + 1) / 2 * np.log1p(x * x / nu).sum(axis=1)
    return density


def _uniforms(past: FloatArray, values: FloatArray) -> FloatArray:
    """Ranks (n, d) of values among the past ones, inside the open unit cube."""
    ordered = np.sort(past, axis=0)
    columns = [
        0.5
        * (np.searchsorted(ordered[:, i], values[:, i], "left") + np.searchsorted(ordered[:, i], values[:, i], "right"))
        for i in range(values.shape[1])
    ]
    uniforms: FloatArray = (np.column_stack(columns) + 0.5) / (len(past) + 1)
    return uniforms


def _energies(
    past: FloatArray,
    outcomes: FloatArray,
    paths: dict[str, FloatArray],
    freedoms: dict[str, float],
    seed: int,
) -> dict[str, FloatArray]:
    """Energy scores of the last bars by model, from the same random numbers."""
    generator = stream(seed, "dependence", "energy")
    d, bars = past.shape[1], min(ENERGY_BARS, len(outcomes))
    normals = generator.standard_normal((ENERGY_MEMBERS, d))
    mixing = generator.random(ENERGY_MEMBERS)
    ordered = np.sort(past, axis=0)

    def members(uniforms: FloatArray) -> FloatArray:
        place = np.minimum((uniforms * len(past)).astype(np.int64), len(past) - 1)
        return np.take_along_axis(ordered, place, axis=0)

    def joint(correlation: FloatArray, nu: float) -> FloatArray:
        # `chdtri` inverts the survival function: one uniform a draw, whatever the degrees of freedom.
        return members(
            stdtr(nu, normals @ np.linalg.cholesky(correlation).T * np.sqrt(nu / chdtri(nu, mixing))[:, None])
        )

    last = outcomes[len(outcomes) - bars :]
    found = {"independent": energy_score(last, members(generator.random((ENERGY_MEMBERS, d))))}
    for model, path in paths.items():
        nu = freedoms[model]
        if model == CONSTANT:
            found[model] = energy_score(last, joint(path[0], nu))
        else:
            found[model] = np.array(
                [energy_score(came[None], joint(at, nu))[0] for came, at in zip(last, path[-bars:], strict=True)]
            )
    return found


def _verdict(model: str, p_better: float, p_worse: float) -> str:
    if model == CONSTANT:
        return "in force"
    if p_better < LEVEL:
        return "better than the constant copula: correlation moves more than it allows"
    return "worse than the constant copula" if p_worse < LEVEL else "not better by more than noise"


def _nothing(model: str, n_assets: int, n: int, reason: str) -> Row:
    return (model, n_assets, 0, n, 0.0, 0.0, 0.0, 1.0, 0.0, 0, 1.0, 0.0, 0.0, 0.0, "not compared", reason)
