"""The library of crashes: complete, honest about its sources, near the real prices; hostile files are named."""

from __future__ import annotations

import csv
import gzip
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from risk.errors import DataError, EvidenceError, SettingsError
from risk.settings import AssetClass
from risk.stress.scenarios import REPLAY_STEP, Scenario, load_scenarios, read_scenario, replay
from tests.factories import make_settings

LIBRARY = load_scenarios()
TEXT = """
title = "T"
start = "2020-01-01T00:00:00Z"
hours = 2
severity = "s"
source = "a"
second_source = "b"
verified = false
assumed = []
oracle_delay = "1m"
depth_multiplier = 0.5
gas_multiplier = 2
[classes]
large_cap = [[0, 1.0], [1, 0.5]]
mid_cap = [[0, 1.0], [2, 0.5]]
exchange_token = [[0, 1.0]]
algorithmic = [[0, 1.0]]
stable = [[0, 1.0], [1, 0.9]]
wrapped = [[0, 1.0], [2, 0.9]]
"""


def test_six_events_with_sources_and_every_class() -> None:
    assert [s.name for s in LIBRARY] == [
        "black-thursday-2020", "cascade-2025", "ftx-2022", "luna-2022", "may-crash-2021", "usdc-depeg-2023",
    ]  # fmt: skip
    for scenario in LIBRARY:
        assert set(scenario.classes) == set(get_args(AssetClass))
        assert scenario.source
        assert scenario.second_source
        assert scenario.assumed
        assert datetime.fromisoformat(scenario.start).tzinfo is not None
    assert [s.name for s in load_scenarios(("luna-2022",))] == ["luna-2022"]


def test_replay_is_log_linear_and_follows_pegs() -> None:
    scenario, settings = read_scenario(TEXT, "t"), make_settings()
    found = replay(scenario, settings, ("ETH", "LINK", "USDC", "WSTETH", "USD"))
    assert found.shape == (2 * 3600 // REPLAY_STEP + 1, 5)
    assert (found[0] == 1).all()
    assert found[6] == pytest.approx([0.5, math.sqrt(0.5), 0.9, 0.5 * math.sqrt(0.9), 1.0])
    assert found[-1] == pytest.approx([0.5, 0.5, 0.9, 0.45, 1.0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wrapped = [[0, 1.0], [2, 0.9]]", "", "no path for wrapped"),
        ("[2, 0.9]", "[3, 0.9]", "wrapped: a path ends after the scenario"),
        ("[[0, 1.0], [1, 0.5]]", "[[0, 1.0], [1, 0.5], [1, 0.6]]", "large_cap: hours must ascend"),
        ("[[0, 1.0], [1, 0.5]]", "[[0, 0.9], [1, 0.5]]", r"large_cap: a path starts at \[0, 1.0\]"),
        ("[[0, 1.0], [1, 0.5]]", "[[0, 1.0], [1, 0.0]]", "greater than 0"),
        ("[[0, 1.0], [1, 0.5]]", "[]", "a path starts at"),
        ("gas_multiplier = 2", "gas_multiplier = 2\nwind = 3", "wind"),
        ('oracle_delay = "1m"', "oracle_delay = 60", "with its unit"),
        ("hours = 2", "hours = ", "not TOML"),
    ],
)
def test_hostile_files_are_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(DataError, match=message) as caught:
        read_scenario(TEXT.replace(old, new, 1), "t")
    assert caught.value.file == "t.toml"


def test_unknown_names_classes_and_pegs() -> None:
    with pytest.raises(SettingsError, match=r"no such scenario.*Known: black-thursday-2020"):
        load_scenarios(("mt-gox",))
    scenario, settings = LIBRARY[0], make_settings()
    with pytest.raises(EvidenceError, match="FTT: the book holds an asset without an asset class"):
        replay(scenario, settings, ("FTT",))
    with pytest.raises(EvidenceError, match=r"WSTETH\.peg: a wrapped asset has no peg"):
        replay(scenario, make_settings(assets={"WSTETH": {"asset_class": "wrapped"}}), ("WSTETH",))
    assert replay(scenario, make_settings(assets={"USDX": {"asset_class": "stable"}}), ("USDX",)).max() == 1.0


def hourly(path: Path, column: str) -> dict[int, float]:
    """Close at the end of each hour, by unix seconds."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    opened = (datetime.fromisoformat(row[column]).replace(tzinfo=UTC) for row in rows)
    return {
        int(at.timestamp()) + 3600: float(row.get("Close") or row["close"])
        for at, row in zip(opened, rows, strict=True)
    }


@pytest.mark.parametrize("scenario", LIBRARY, ids=lambda s: s.name)
def test_waypoints_are_near_the_real_closes(scenario: Scenario, shared: Path) -> None:
    start = int(datetime.fromisoformat(scenario.start).timestamp())
    for name in ("BTC", "ETH"):
        late = start > 1_704_067_200
        folder, column = ("hourly_btc_eth_2022_2025", "timestamp") if late else ("hourly_binance_2020_2024", "Date")
        suffix = "_1h.csv.gz"
        closes = hourly(shared / "data" / folder / f"{name}USDT{suffix}", column)
        path = scenario.assets.get(name, scenario.classes["large_cap"])
        whole = [(int(hour), level) for hour, level in path if hour == int(hour)]
        real = np.array([closes[start + 3600 * hour] / closes[start] for hour, _ in whole])
        # Rounded to half a per cent and, in the middle of a fall, read to the nearest hour.
        assert np.array([level for _, level in whole]) == pytest.approx(real, rel=0.02), name


def test_a_replay_of_nothing_has_its_steps_and_no_column() -> None:
    scenario = load_scenarios(("ftx-2022",))[0]
    assert replay(scenario, make_settings(), ()).shape == (round(scenario.hours * 6) + 1, 0)
