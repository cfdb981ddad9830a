"""The committed track record: what it covers, and that the program still makes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oracle_adapters.snapshot import build_snapshot
from reports.chain import Start
from risk.units import parse_instant
from tools import build_track_record

pytestmark = pytest.mark.data


def test_the_daily_universe(shared: Path, repository: Path) -> None:
    """At least 50 distinct assets with 500 daily rows or more; LUNA until its halt and FTT until its end are in."""
    start = Start.from_config(repository / build_track_record.PARTS["Daily"])
    snapshot = build_snapshot(start.settings, root=start.root)
    closes = {asset: snapshot.close(asset) for asset in snapshot.assets}
    assert sum(len(series) >= 500 for series in closes.values()) >= 50
    assert {series.interval for series in closes.values()} == {86400}
    # The bar of 2022-05-13 ends with the halt; what trades from 2022-05-31 on is another asset.
    assert closes["LUNA"].observed_at[-1] == parse_instant("2022-05-14")
    assert closes["FTT"].observed_at[-1] < parse_instant("2022-12-01")
    assert len({series.value[-100:].tobytes() for series in closes.values()}) == len(closes)


def test_the_hourly_universe(shared: Path, repository: Path) -> None:
    start = Start.from_config(repository / build_track_record.PARTS["Hourly"])
    snapshot = build_snapshot(start.settings, root=start.root)
    assert len(snapshot.assets) == 8
    assert {snapshot.close(asset).interval for asset in snapshot.assets} == {3600}


def test_the_page_names_every_asset_and_its_losses(shared: Path, repository: Path) -> None:
    text = build_track_record.PAGE.read_text(encoding="utf-8")
    for settings in build_track_record.PARTS.values():
        start = Start.from_config(repository / settings)
        for asset in start.settings.assets:
            assert re.search(rf"^\| {asset} \| 1 (day|hour) \|", text, re.MULTILINE), asset
    assert text.count("### Where it loses") == 2


@pytest.mark.slow
def test_the_page_is_what_the_program_makes(shared: Path) -> None:
    assert build_track_record.page() == build_track_record.PAGE.read_text(encoding="utf-8")
