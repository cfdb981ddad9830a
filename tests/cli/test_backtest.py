"""``riskcal backtest``: a branch of the chain in the run folder, the same on screen, as JSON and as Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports import run_folder
from reports.chain import Start, run_chain
from reports.cli.main import main
from reports.reproduction import Agreement, reproduce
from reports.track_record import losses, markdown
from risk.errors import ArtifactError
from tests.cli.market import write_market


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("market") / "m")


@pytest.fixture(scope="module")
def run(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["backtest", str(market), "--out", str(folder)]) in (0, 1)
    return folder


def test_the_run_folder_holds_the_record(run: Path) -> None:
    manifest = run_folder.read_manifest(run)
    assert set(manifest.stages) == {"snapshot", "backtest"}
    assert manifest.stages["backtest"].inputs == {"snapshot": manifest.stages["snapshot"].content_hash}
    found = run_folder.load_track_record(run)
    assert found.unavailable["subject"].tolist() == []
    # 400 bars make 399 returns, 120 before the first fit.
    assert set(found.record["n"].tolist()) == {279}
    assert set(found.record["subject"].tolist()) == {"BTC", "ETH", "LINK", "USDC"}
    assert (run / "backtest" / "track-record.md").read_text(encoding="utf-8") == markdown(found)


def test_json_and_exit_code(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_folder.load_track_record(run)
    assert main(["backtest", str(run), "--json"]) == (0 if found.met else 1)
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["met"] is found.met
    assert document["criteria"] == list(found.criteria.rows())
    assert document["exceptions"] == list(found.exceptions.rows())
    assert "as before" in captured.err


def test_the_screen_shows_the_bar_and_every_asset(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["backtest", str(run)])
    shown = capsys.readouterr().out
    assert code in (0, 1)
    for text in ("BTC", "USDC", "pooled exceedance", "missed" if code else "met", "track-record.md"):
        assert text in shown


def test_markdown_says_where_it_loses(run: Path) -> None:
    found = run_folder.load_track_record(run)
    text = markdown(found)
    missed = [row["criterion"] for row in found.criteria.rows() if not row["met"]]
    said = losses(found)
    assert sum("missed" in sentence for sentence in said) == len(missed)
    assert all(any(criterion in sentence for sentence in said) for criterion in missed)
    rows = [line for line in text.splitlines() if line.startswith("| BTC ")]
    assert len(rows) == 3  # its weeks, its count, and its models


def test_a_branch_keeps_the_line_and_the_line_keeps_the_branch(market: Path, tmp_path: Path) -> None:
    start = Start.from_config(market)
    run_chain(start, tmp_path / "one", until="calibration")
    run_chain(start, tmp_path / "one", until="backtest")
    run_chain(start, tmp_path / "two", until="backtest")
    run_chain(start, tmp_path / "two", until="calibration")
    one, two = (run_folder.read_manifest(tmp_path / name) for name in ("one", "two"))
    assert set(one.stages) == {"snapshot", "calibration", "backtest"}
    assert one == two
    made_again = reproduce(tmp_path / "one")
    assert [agreed.stage for agreed in made_again.stages] == ["snapshot", "calibration", "backtest"]
    assert made_again.agreement is Agreement.SAME_BYTES


def test_an_edited_record_is_refused(market: Path, tmp_path: Path) -> None:
    run_chain(Start.from_config(market), tmp_path, until="backtest")
    file = tmp_path / "backtest" / "record.csv"
    file.write_text(file.read_text().replace("True", "False", 1))
    with pytest.raises(ArtifactError, match="does not match the manifest"):
        run_folder.load_track_record(tmp_path)
    assert main(["backtest", str(tmp_path)]) == 2
