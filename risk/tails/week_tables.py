"""Tables of the weeks of a track record: every subject, and all of them pooled by blocks of weeks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from risk.streams import stream
from risk.tails.backtest import LEVEL, Row, SubjectRecord
from risk.tails.week import CONFIDENCES, METHODS
from risk.validation.comparison import date_block_bootstrap
from risk.validation.coverage import coverage_test
from risk.validation.scores import quantile_loss

BLOCK_WEEKS = 3
"""Weeks in a block of the bootstrap: as many days as in that of one-bar forecasts."""


def week_rows(record: SubjectRecord) -> Iterator[Row]:
    """Rows of `risk.track_record.WEEK_SCHEMA` of one subject; none where it has no weeks."""
    week = record.week
    if week is None:
        return
    n = len(week.losses)
    for i, method in enumerate(METHODS):
        for j, confidence in enumerate(CONFIDENCES):
            count = int(np.sum(week.losses > week.var[i, j]))
            p = coverage_test(count, n, 1.0 - confidence).too_many_p_value
            loss = float(quantile_loss(week.losses, week.var[i, j], confidence).mean())
            yield (
                record.subject, method, confidence, n, count, n * (1.0 - confidence), p, p >= LEVEL, loss,
                week.n_broken,
            )  # fmt: skip


def pooled_week_rows(records: list[SubjectRecord], seed: int) -> Iterator[Row]:
    """Rows of `risk.track_record.POOLED_WEEK_SCHEMA`."""
    found = [record.week for record in records if record.week is not None]
    if not found:
        return
    weeks = np.concatenate([week.weeks for week in found])
    losses = np.concatenate([week.losses for week in found])
    var = np.concatenate([week.var for week in found], axis=2)
    for j, confidence in enumerate(CONFIDENCES):
        scores = np.array([quantile_loss(losses, row, confidence) for row in var[:, j]])
        for i, method in enumerate(METHODS):
            hits = (losses > var[i, j]).astype(np.float64)
            rate, better = (
                date_block_bootstrap(
                    weeks, values, block=BLOCK_WEEKS,
                    generator=stream(seed, "backtest", f"week/{method}/{confidence}/{name}"),
                )
                for name, values in (("rate", hits), ("quantile", scores[i] - scores[-1]))
            )  # fmt: skip
            passing = sum(
                coverage_test(int(np.sum(w.losses > w.var[i, j])), len(w.losses), 1.0 - confidence).too_many_p_value
                >= LEVEL
                for w in found
            )
            yield (
                method, confidence, len(found), passing, rate.n_dates, len(losses), int(hits.sum()), rate.estimate,
                rate.lower, rate.upper, float(scores[i].mean() / scores[-1].mean()), better.p_negative,
            )  # fmt: skip
