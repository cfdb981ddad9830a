"""Falls over weeks: whole weeks only, blind to the future, between both views, and counted as they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from risk.tails.backtest import backtest_subject
from risk.tails.record_tables import assemble_track_record
from risk.tails.week import CONFIDENCES, METHODS, WEEK, WeekRecord, week_record
from tests.factories import DAY, make_snapshot
from tests.tails.test_backtest import JUNE_2025, settings, simulated, task


def walked(returns: np.ndarray, *, gap: int | None = None) -> WeekRecord | None:
    """Weeks from bar 120 on; the bar at `gap` is missing."""
    times = JUNE_2025 - DAY * np.arange(len(returns) - 1, -1, -1)
    kept = np.arange(len(returns)) != (-1 if gap is None else gap)
    return week_record(task(returns), settings(), times[kept], returns[kept], start=120)


def test_weeks_are_whole_and_do_not_overlap() -> None:
    returns = simulated(500)
    found = walked(returns)
    assert found is not None
    assert np.all(np.diff(found.weeks) == 1)
    assert found.n_broken == 0
    # By hand: the bar that ends at midnight is of the day before; weeks are counted from the first day of 1970.
    day = (JUNE_2025 - DAY * np.arange(499, -1, -1)) // DAY - 1
    for week, loss in zip(found.weeks.tolist(), found.losses, strict=True):
        inside = (day >= 7 * week) & (day < 7 * week + 7)
        assert inside.sum() == WEEK
        assert loss == pytest.approx(1.0 - np.exp(returns[inside].sum()))
    broken = walked(returns, gap=300)
    assert broken is not None
    assert (broken.n_broken, len(broken.losses)) == (1, len(found.losses) - 1)


def test_no_week_sees_its_future() -> None:
    returns = simulated(500)
    other = returns.copy()
    other[300:] = 3.0 * other[300:][::-1] - 0.01
    first, second = walked(returns), walked(other)
    assert first is not None
    assert second is not None
    day = (JUNE_2025 - DAY * np.arange(499, -1, -1)) // DAY - 1
    known = np.searchsorted(first.weeks * WEEK, day[300], side="right")
    np.testing.assert_array_equal(first.var[..., :known], second.var[..., :known])
    assert not np.any(first.var[..., known:] == second.var[..., known:])


def test_the_combination_lies_between_its_views_and_the_table_counts() -> None:
    record = backtest_subject(task(simulated(500)), settings())
    week = record.week
    assert week is not None
    assert week.var.shape == (len(METHODS), len(CONFIDENCES), len(week.losses))
    assert np.all(week.var[:, 1] > week.var[:, 0])
    found = assemble_track_record(make_snapshot(), settings(), (record,))
    for row in found.weeks.rows():
        i, j = METHODS.index(row["method"]), CONFIDENCES.index(row["confidence"])
        assert row["exceptions"] == np.sum(week.losses > week.var[i, j])
    for row, pooled in zip(
        found.weeks.where(method="combination").rows(), found.pooled_weeks.where(method="combination").rows(),
        strict=True,
    ):  # fmt: skip
        assert (row["n"], row["exceptions"]) == (pooled["n"], pooled["exceptions"])
    assert found.pooled_weeks.where(method=METHODS[-1])["quantile_loss_ratio"].tolist() == [1.0, 1.0]


def test_too_few_weeks_have_no_record() -> None:
    assert walked(simulated(120 + 19 * 7)) is None
