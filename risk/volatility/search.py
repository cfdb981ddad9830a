"""Compiled maximisation of the (penalised) GARCH likelihood: quasi-Newton steps from several starts."""

from __future__ import annotations

import math

import numpy as np

from risk.volatility.density import NORMAL
from risk.volatility.jit import compiled
from risk.volatility.kernel import (
    NU_FLOOR,
    NU_LOG_CAP,
    SIZE,
    Array,
    Problem,
    chain_rule,
    expected_information,
    first_variance,
    natural,
    score,
)

CONVERGED, ITERATION_LIMIT, NO_DESCENT = 0, 1, 2
TOLERANCE = 1e-10  # nats that a further Newton step could still gain
SAME_OPTIMUM = 1e-4  # nats within which two starts have ended at the same height
_NEAR = 3.0  # nats within which the best optimum is a parabola that tells what lies in its basin
_HOPELESS = 50.0  # a start to which this many Newton decrements do not suffice to overtake the best is given up
_MAX_ITERATIONS = 300


@compiled
def invert(matrix: Array, out: Array) -> None:
    """Inverse of a symmetric positive matrix (7, 7) by Cholesky; a failing pivot is lifted to 1e-12."""
    n = matrix.shape[0]
    factor = np.zeros((n, n))
    for j in range(n):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= factor[j, k] * factor[j, k]
        factor[j, j] = math.sqrt(max(pivot, 1e-12))
        for i in range(j + 1, n):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = total / factor[j, j]
    column = np.zeros(n)
    for c in range(n):
        for i in range(n):
            total = 1.0 if i == c else 0.0
            for k in range(i):
                total -= factor[i, k] * column[k]
            column[i] = total / factor[i, i]
        for i in range(n - 1, -1, -1):
            total = column[i]
            for k in range(i + 1, n):
                total -= factor[k, i] * column[k]
            column[i] = total / factor[i, i]
        out[:, c] = column


@compiled
def penalty(x: Array, centre: Array, precision: Array, gradient: Array) -> float:
    """Half the quadratic form of a Gaussian prior; its derivative is added to `gradient` (7,)."""
    value = 0.0
    for i in range(SIZE):
        pull = 0.0
        for j in range(SIZE):
            pull += precision[i, j] * (x[j] - centre[j])
        gradient[i] += pull
        value += 0.5 * pull * (x[i] - centre[i])
    return value


@compiled
def objective(stated: Problem, x: Array, work: Array, gradient: Array) -> float:
    """Negative penalised log-likelihood and, in `gradient` (7,), its derivative; `work` is (2, n) scratch."""
    theta = np.empty(SIZE)
    raw = np.empty(SIZE)
    natural(x, stated.form, theta)
    value = -score(stated.y, theta, stated.presample, stated.form, work[0], work[1], raw)
    chain_rule(x, theta, raw, stated.form, gradient)
    for i in range(SIZE):
        gradient[i] = -gradient[i]
    return value + penalty(x, stated.centre, stated.precision, gradient)


@compiled
def leads_to(x: Array, value: float, gradient: Array, best_x: Array, best_metric: Array, best_value: float) -> bool:
    """Whether a Newton step with the metric of the best optimum would go from `x` to it and gain what lies between."""
    above = value - best_value
    if not -SAME_OPTIMUM < above < _NEAR:
        return False
    gain = 0.0
    distance = 0.0
    miss = 0.0
    for i in range(SIZE):
        step = 0.0
        for j in range(SIZE):
            step += best_metric[i, j] * gradient[j]
        gain += 0.5 * step * gradient[i]
        distance = max(distance, abs(x[i] - best_x[i]))
        miss = max(miss, abs(x[i] - best_x[i] - step))
    return distance < 2.0 and miss < 0.3 * distance + 0.02 and abs(gain - above) < 0.3 * above + SAME_OPTIMUM


@compiled
def descend(
    stated: Problem,
    x: Array,
    metric: Array,
    work: Array,
    best_x: Array,
    best_metric: Array,
    best_value: float,
) -> tuple[float, float, float, int]:
    """BFGS from `x` with inverse metric `metric`; both are updated in place.

    Stops on the Newton decrement. Stops early inside the basin of the best optimum known, with that one's value, and
    where the nats still to gain, many times over, would not reach it.

    Returns
    -------
    value, decrement, gradient_norm, flag
        Objective, nats still to gain, largest absolute gradient entry, and one of the flags above.
    """
    gradient = np.empty(SIZE)
    trial_gradient = np.empty(SIZE)
    trial = np.empty(SIZE)
    direction = np.empty(SIZE)
    change = np.empty(SIZE)
    metric_change = np.empty(SIZE)
    value = objective(stated, x, work, gradient)
    slope = 0.0
    flag = ITERATION_LIMIT
    for _ in range(_MAX_ITERATIONS):
        if leads_to(x, value, gradient, best_x, best_metric, best_value):
            value = best_value
            flag = CONVERGED
            break
        longest = 0.0
        slope = 0.0
        for i in range(SIZE):
            direction[i] = 0.0
            for j in range(SIZE):
                direction[i] -= metric[i, j] * gradient[j]
            slope += direction[i] * gradient[i]
            longest = max(longest, abs(direction[i]))
        if slope > -2.0 * TOLERANCE:
            flag = CONVERGED
            break
        if value + _HOPELESS * 0.5 * slope > best_value:
            break
        step = min(1.0, 3.0 / longest)
        accepted = False
        trial_value = value
        for _ in range(30):
            for i in range(SIZE):
                trial[i] = x[i] + step * direction[i]
            trial_value = objective(stated, trial, work, trial_gradient)
            if trial_value <= value + 1e-4 * step * slope:
                accepted = True
                break
            if math.isfinite(trial_value):
                curvature = trial_value - value - step * slope
                shorter = -0.5 * slope * step * step / curvature if curvature > 0.0 else 0.5 * step
                step = min(max(shorter, 0.1 * step), 0.6 * step)
            else:
                step *= 0.2
        if not accepted:
            # Below the rounding noise of the objective no step can show a gain.
            flag = CONVERGED if slope > -1e-12 * max(1.0, abs(value)) * SIZE else NO_DESCENT
            break
        curvature = 0.0
        for i in range(SIZE):
            change[i] = trial[i] - x[i]
            direction[i] = trial_gradient[i] - gradient[i]
            curvature += change[i] * direction[i]
            x[i] = trial[i]
            gradient[i] = trial_gradient[i]
        value = trial_value
        stretch = 0.0
        for i in range(SIZE):
            metric_change[i] = 0.0
            for j in range(SIZE):
                metric_change[i] += metric[i, j] * direction[j]
            stretch += metric_change[i] * direction[i]
        if curvature > 1e-10 * math.sqrt(max(stretch, 0.0)):
            factor = (1.0 + stretch / curvature) / curvature
            for i in range(SIZE):
                for j in range(SIZE):
                    metric[i, j] += (
                        factor * change[i] * change[j]
                        - (metric_change[i] * change[j] + change[i] * metric_change[j]) / curvature
                    )
    norm = 0.0
    for i in range(SIZE):
        norm = max(norm, abs(gradient[i]))
    return value, max(-0.5 * slope, 0.0), norm, flag


@compiled
def heights(y: Array, thetas: Array, presample: Array, out: Array) -> None:
    """Write into `out` (m,) the Student-t log-likelihoods, up to a constant, of `thetas` (m, 7) with one mu and nu.

    All recursions go through the sample side by side, so that none waits for its own last step.
    """
    mu, nu = thetas[0, 0], thetas[0, 5]
    inverse = 1.0 / (nu - 2.0)
    omega, up, down, beta = thetas[:, 1].copy(), thetas[:, 2].copy(), thetas[:, 3].copy(), thetas[:, 4].copy()
    m = thetas.shape[0]
    h = np.empty(m)
    for k in range(m):
        h[k] = first_variance(thetas[k], presample)
    product_h = np.ones(m)
    product_g = np.ones(m)
    out[:] = 0.0
    n = y.shape[0]
    for t in range(n):
        e = y[t] - mu
        square = e * e
        impact = down if e < 0.0 else up
        for k in range(m):
            product_h[k] *= h[k]
            product_g[k] *= h[k] + square * inverse  # as in `risk.volatility.density.student_terms`
            h[k] = omega[k] + impact[k] * square + beta[k] * h[k]
        if t % 16 == 15 or t == n - 1:
            for k in range(m):
                out[k] += 0.5 * nu * math.log(product_h[k]) - 0.5 * (nu + 1.0) * math.log(product_g[k])
                product_h[k] = 1.0
                product_g[k] = 1.0


@compiled
def starting_points(stated: Problem, points: Array) -> None:
    """Fill `points` (4, 7): at each of four persistences the best of three alphas; the best point first.

    They reach from nearly constant variance to ARCH, since short series hide optima at those edges; with leverage two
    of the four have most of the impact on one side. Heights are those of Student-t GARCH whatever the form: a start
    need not be exact.
    """
    idle = np.zeros(SIZE)
    y, form = stated.y, stated.form
    leverage = form.leverage
    levels = np.array([0.35, 0.35, 0.90, 0.98]) if leverage else np.array([0.35, 0.80, 0.95, 0.99])
    up_shares = np.array([0.95, 0.05, 0.50, 0.50]) if leverage else np.ones(4)
    alphas = np.array([0.01, 0.08, 0.30])
    candidates = np.zeros((12, SIZE))
    thetas = np.empty((12, SIZE))
    height = np.empty(12)
    mean = 0.0
    for t in range(y.shape[0]):
        mean += y[t]
    for c in range(12):
        x = candidates[c]
        level, alpha, up_share = levels[c // 3], alphas[c % 3], up_shares[c // 3]
        slack = 1.0 - level
        x[0] = mean / y.shape[0]
        x[1] = math.log(slack)
        x[2] = math.log(up_share * alpha / slack)
        x[3] = math.log((1.0 - up_share) * alpha / slack) if leverage else 0.0
        x[4] = math.log((level - alpha) / slack)
        x[5] = NU_LOG_CAP if form.innovations == NORMAL else math.log(5.0 - NU_FLOOR)
        natural(x, form, thetas[c])
    heights(y, thetas, stated.presample, height)
    for c in range(12):
        height[c] -= penalty(candidates[c], stated.centre, stated.precision, idle)
    first = 0
    for p in range(4):
        best = 3 * p + np.argmax(height[3 * p : 3 * p + 3])
        points[p] = candidates[best]
        height[p] = height[best]
        if height[p] > height[first]:
            first = p
    for i in range(SIZE):
        points[0, i], points[first, i] = points[first, i], points[0, i]


@compiled
def metric_at(stated: Problem, x: Array, out: Array) -> None:
    """Inverse of expected information plus prior precision at `x`, written into `out` (7, 7)."""
    theta = np.empty(SIZE)
    information = np.empty((SIZE, SIZE))
    natural(x, stated.form, theta)
    expected_information(stated.y, theta, stated.presample, stated.form, information)
    ridge = 1e-4 * stated.y.shape[0]
    for i in range(SIZE):
        information[i, i] += ridge
        for j in range(SIZE):
            information[i, j] += stated.precision[i, j]
    invert(information, out)


@compiled
def search(
    stated: Problem,
    warm: Array,
    warm_metric: Array,
    is_warm: bool,
    n_starts: int,
) -> tuple[Array, Array, float, float, float, int, int, int]:
    """Best optimum over the warm start (if any) and up to `n_starts` cold starts.

    Returns
    -------
    x, metric, value, decrement, gradient_norm, flag, tried, agreed
        Optimum, its inverse metric, objective, the measures of `descend`, starts run, and how many of them
        ended within 1e-4 nats of the best.
    """
    work = np.empty((2, stated.y.shape[0]))
    best_x = np.full(SIZE, math.inf)
    best_metric = np.empty((SIZE, SIZE))
    best = (math.inf, math.inf, math.inf, NO_DESCENT)
    points = np.empty((4, SIZE))
    ends = np.full(5, math.inf)
    tried = 0
    if is_warm:
        best_x[:] = warm
        best_metric[:, :] = warm_metric
        nowhere = np.full(SIZE, math.inf)
        best = descend(stated, best_x, best_metric, work, nowhere, best_metric.copy(), math.inf)
        ends[0] = best[0]
        tried = 1
    if n_starts > 0:
        starting_points(stated, points)
    x = np.empty(SIZE)
    metric = np.empty((SIZE, SIZE))
    for s in range(min(n_starts, 4)):
        x[:] = points[s]
        metric_at(stated, x, metric)
        end = descend(stated, x, metric, work, best_x, best_metric, best[0])
        ends[tried] = end[0]
        tried += 1
        if end[0] < best[0] or not math.isfinite(best[0]):
            best = end
            best_x[:] = x
            best_metric[:, :] = metric
    agreed = 0
    for s in range(tried):
        if ends[s] - best[0] < SAME_OPTIMUM:
            agreed += 1
    return best_x, best_metric, best[0], best[1], best[2], best[3], tried, agreed
