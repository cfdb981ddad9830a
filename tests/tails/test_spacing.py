"""A file of hourly bars under a feed of daily ones: the message names the file and the interval to write."""

from __future__ import annotations

import numpy as np
import pytest

from risk.market import PriceSeries
from risk.tails.spacing import duration_text, known_returns
from risk.units import Dimension, parse_quantity
from tests.factories import DAY


def bars(apart: int, *, n: int = 500, interval: int = DAY) -> PriceSeries:
    times = 1_700_000_000 + apart * np.arange(n)
    return PriceSeries("ETH/USD", "ETH", "USD", "files:eth.csv", "close", interval, times, times, np.full(n, 10.0))


def test_the_message_names_the_file_and_the_interval() -> None:
    said = known_returns(0, 120, bars(3600))
    assert said.startswith("only 0 returns between neighbouring bars are known")
    assert 'bars of files:eth.csv are 1h apart, and its feed says interval = "1d": write interval = "1h"' in said


def test_bars_as_far_apart_as_said_need_no_remedy() -> None:
    assert known_returns(1, 120, bars(DAY, n=2)) == (
        "only 1 return between neighbouring bars is known, and models.minimum_observations asks for 120"
    )
    assert "write interval" not in known_returns(0, 120, bars(DAY, n=1))


@pytest.mark.parametrize(("seconds", "text"), [(3600, "1h"), (5400, "90m"), (DAY, "1d"), (61, "61s"), (604800, "7d")])
def test_durations_are_written_as_settings_read_them(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
    assert parse_quantity(text, Dimension.SECONDS).value == seconds
