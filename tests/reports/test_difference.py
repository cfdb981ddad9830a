"""What changed between two parameter sets and between two runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports import difference, run_folder
from reports.manifest import SCHEMA, Manifest, StageIdentity, environment, program
from risk.artifact import Table
from risk.calibration import Calibration
from risk.market import MarketSnapshot, PriceSeries
from tests.factories import DAY, make_calibration, make_parameters, make_settings, make_snapshot

LTV = "lending/reserve/WETH/collateral_factor"


def write_run(path: Path, snapshot: MarketSnapshot, calibration: Calibration | None, config: bytes, seed: int) -> Path:
    artifacts = {"snapshot": snapshot.artifact()}
    if calibration is not None:
        artifacts["calibration"] = calibration.artifact()
    with run_folder.writing(path) as writer:
        writer.begin(config)
        for stage, artifact in artifacts.items():
            writer.put_stage(stage, artifact.to_files())
        manifest = Manifest(
            schema=SCHEMA,
            program=program(),
            seed=seed,
            as_of=snapshot.as_of,
            settings_hash=make_settings().hash_of(),
            stages={n: StageIdentity(content_hash=a.content_hash, inputs=dict(a.inputs)) for n, a in artifacts.items()},
            files=writer.hashes(),
        )
        writer.finish(manifest, environment(workers=1, seconds={}))
    return path


def test_parameter_sets_differ_by_key_with_absent_sides() -> None:
    base = make_parameters()
    text = '[lending.reserve.WETH]\ncollateral_factor = "80.00%"\n[lending.reserve.NEW]\nliquidation_bonus = "5.00%"\n'
    head = make_parameters(text)
    found = difference.parameter_difference(base, head)
    rows = {row["key"]: (row["before"], row["after"]) for row in found.rows}
    assert rows[LTV] == ("80.50%", "80.00%")
    assert rows["lending/reserve/NEW/liquidation_bonus"] == (None, "5.00%")
    assert rows["lending/reserve/LINK/supply_cap"] == ("8000000 LINK", None)
    assert found.compared == len(base) + 1
    assert difference.parameter_difference(base, base).rows == ()


def test_runs_say_what_changed_in_settings_data_and_figures(tmp_path: Path) -> None:
    old = make_snapshot(n_bars=120, depth=False)
    # One feed gives several series, which share its name.
    named = tuple(replace(s, id=s.base) for s in old.series)
    old = replace(old, series=named)
    series = {f"{s.base}/{s.field}": s for s in named}
    eth, link = series["ETH/close"], series["LINK/close"]
    longer = PriceSeries(
        eth.id, eth.base, eth.quote, eth.source, eth.field, eth.interval,
        np.append(eth.observed_at, eth.observed_at[-1] + DAY), np.append(eth.known_at, eth.known_at[-1] + DAY),
        np.append(eth.value, 3100.0),
    )  # fmt: skip
    revised = PriceSeries(
        link.id, link.base, link.quote, link.source, link.field, link.interval, link.observed_at, link.known_at,
        np.where(np.arange(len(link)) == 5, 20.0, link.value),
    )  # fmt: skip
    changed = {**series, "ETH/close": longer, "LINK/close": revised}
    del changed["USDC/volume"]
    new = replace(old, series=tuple(changed.values()))
    before, after = make_calibration(old), make_calibration(old)
    figures = dict(after.figures.columns)
    figures["value"] = np.where(np.arange(len(after.figures)) == 3, 2.0, 1.0) * figures["value"]
    after = replace(after, figures=Table(figures))
    a = write_run(tmp_path / "a", old, before, b'seed = 7\n[models]\nwindow = 500\n[[feeds]]\nkind = "x"\n', 7)
    b = write_run(tmp_path / "b", new, after, b'seed = 8\n[models]\nwindow = 500\n[[feeds]]\nkind = "y"\n', 8)
    found = {section.title: section for section in difference.run_difference(a, b)}
    settings = {row["name"]: (row["before"], row["after"]) for row in found["Settings"].rows}
    assert settings == {"seed": ("7", "8"), "feeds[0].kind": ("x", "y")}
    assert {row["name"] for row in found["Identity"].rows} == {"seed", "snapshot", "calibration"}
    data = {row["series"]: row["change"] for row in found["Data"].rows}
    assert data == {"ETH close": "1 rows added", "LINK close": "1 rows revised", "USDC volume": "removed"}
    assert found["Models"].rows == ()
    assert [row["relative"] for row in found["Figures"].rows] == [pytest.approx(1.0)]
    assert found["Figures"].compared == len(before.figures)
    assert found["Stress"].note.endswith("holds no stress")
    same = difference.run_difference(a, a)
    assert not any(section.rows for section in same)
