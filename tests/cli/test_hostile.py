"""Hostile input through the command: the right message, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.cli import main as command
from tests.cli.market import write_market
from tests.reports.test_run_folder import write_run

Edit = Callable[[Path], None]


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Folder of a fresh small market."""
    write_market(tmp_path / "market")
    return tmp_path / "market"


def eth(edit: Callable[[list[str]], list[str]]) -> Edit:
    """Edit the lines of ETH's price file; the header is line 0."""

    def apply(folder: Path) -> None:
        file = folder / "prices/ETH.csv"
        file.write_text("".join(f"{line}\n" for line in edit(file.read_text().splitlines())))

    return apply


def settings(old: str, new: str) -> Edit:
    def apply(folder: Path) -> None:
        file = folder / "riskcal.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return apply


def with_cell(lines: list[str], row: int, column: int, text: str) -> list[str]:
    cells = lines[row].split(",")
    cells[column] = text
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


BAD_INPUT: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "empty file": (eth(lambda lines: []), ("prices/ETH.csv", "the file is empty", "name another file")),
    "header only": (eth(lambda lines: lines[:1]), ("prices/ETH.csv", "a header and no rows", "name another file")),
    "text for a number": (
        eth(lambda lines: with_cell(lines, 7, 1, "cheap")),
        ("prices/ETH.csv", "row 8, column close", "not a number", "'cheap'"),
    ),
    "negative price": (
        eth(lambda lines: with_cell(lines, 7, 1, "-3000.5")),
        ("prices/ETH.csv", "row 8, column close", "above zero", "'-3000.5'"),
    ),
    "duplicate times that disagree": (
        eth(lambda lines: [*lines[:10], with_cell(lines, 9, 1, "17.5")[9], *lines[10:]]),
        ("prices/ETH.csv", "row 11, column close", "rows 10 and 11 disagree"),
    ),
    "missing file": (lambda folder: (folder / "prices/ETH.csv").unlink(), ("prices/ETH.csv", "no such file")),
    "missing column": (
        eth(lambda lines: ["time,price,volume", *lines[1:]]),
        ("prices/ETH.csv", "close"),
    ),
    "unknown key": (
        settings("[appetite]", "[appetite]\nappetit_usd = 1"),
        ("riskcal.toml", "appetite.appetit_usd", "unknown key"),
    ),
    "missing appetite": (
        settings('es99_usd = "5000000 USD"\n', ""),
        ("riskcal.toml", "appetite.es99_usd", "required", "no default"),
    ),
    "no unit": (settings('"5000000 USD"', '"5000000"'), ("riskcal.toml", "appetite.es99_usd", "250000 USD")),
    "not TOML": (settings("[appetite]", "[appetite"), ("riskcal.toml", "not TOML")),
    "missing settings": (lambda folder: (folder / "riskcal.toml").unlink(), ("riskcal.toml", "No such file")),
    "settings in another coding": (
        lambda folder: (folder / "riskcal.toml").write_bytes(b"\xff\xfe\x00"),
        ("riskcal.toml", "UTF-8"),
    ),
    "unknown parameter in force": (
        lambda folder: (folder / "parameters.toml").write_text('[lending.reserve.WETH]\nfactor = "1%"\n'),
        ("parameters.toml: line 2, lending/reserve/WETH/factor", "unknown parameter"),
    ),
    "in force without a unit": (
        lambda folder: (folder / "parameters.toml").write_text(
            '[lending.reserve.WETH]\nliquidation_bonus = "5%"\nliquidation_threshold = "6400"\n'
        ),
        ("parameters.toml: line 3, lending/reserve/WETH/liquidation_threshold", "percent sign", "'6400'"),
    ),
    "in force beyond what can be": (
        lambda folder: (folder / "parameters.toml").write_text(
            '[lending.reserve.WETH]\nliquidation_threshold = "6400%"\n'
        ),
        ("parameters.toml: line 2, lending/reserve/WETH/liquidation_threshold", "cannot be right"),
    ),
    "prices in another coding": (
        lambda folder: (folder / "prices/ETH.csv").write_bytes(b"time,close\xff\n1,2\n"),
        ("prices/ETH.csv", "not text in UTF-8. Save it as UTF-8"),
    ),
    "a folder for a file": (
        lambda folder: ((folder / "prices/ETH.csv").unlink(), (folder / "prices/ETH.csv").mkdir()),
        ("prices/ETH.csv", "Is a directory. Name a file, not a folder"),
    ),
    "no volume": (
        eth(lambda lines: [line.rpartition(",")[0] for line in lines]),
        ("prices/ETH.csv", "column volume", "leave out what is optional"),
    ),
    "a huge price": (
        eth(lambda lines: with_cell(lines, 7, 1, "1e308")),
        ("prices/ETH.csv", "row 8, column close", "not a plausible price", "'1e308'"),
    ),
    "a tiny price": (
        eth(lambda lines: with_cell(lines, 7, 1, "1e-320")),
        ("prices/ETH.csv", "row 8, column close", "not a plausible price", "'1e-320'"),
    ),
    "a huge volume": (
        eth(lambda lines: with_cell(lines, 7, 2, "1e300")),
        ("prices/ETH.csv", "row 8, column volume", "not a plausible volume"),
    ),
    "a seed in quotes": (settings("seed = 11", 'seed = "eleven"'), ("seed: must be a whole number", "such as 7")),
    "feeds that are one table": (
        lambda folder: (folder / "riskcal.toml").write_text(
            (folder / "riskcal.toml").read_text().replace("[[feeds]]", "[feeds]", 1).partition("[[feeds]]")[0]
        ),
        ("feeds: must be a list", "[[its name]]"),
    ),
    "lots": (
        settings('"5000000 USD"', '"lots"'),
        ("es99_usd: an amount of money needs its unit (found 'lots'). Write",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_2_names_the_place_and_writes_nothing(
    market: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, words = BAD_INPUT[case]
    edit(market)
    for verb in (["feeds"], ["propose", "--out", str(market / "run")]):
        assert command.main([verb[0], str(market / "riskcal.toml"), *verb[1:]]) == 2
        out, err = capsys.readouterr()
        assert out == "" or (verb == ["feeds"] and out.startswith("Feeds known at")), "the other feeds are shown"
        assert [word for word in words if word not in err] == []
        assert "Traceback" not in err
        assert not (market / "run").exists()


def quality(market: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]]]:
    """Exit code of ``feeds``, and the quality rows of ETH that are not good."""
    code = command.main(["feeds", str(market / "riskcal.toml"), "--json"])
    rows = json.loads(capsys.readouterr().out)["quality"]
    return code, [row for row in rows if row["series"].startswith("ETH") and row["verdict"] != "good"]


def test_the_same_row_twice_and_rows_out_of_order_are_mended_and_counted(
    market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, before = quality(market, capsys)
    assert code == 0
    eth(lambda lines: [*lines[:10], lines[9], *lines[10:200], lines[201], lines[200], *lines[202:]])(market)
    code, after = quality(market, capsys)
    assert code == 0
    new = {(row["check"], row["count"]) for row in after if row not in before}
    assert {("duplicates", 1), ("unsorted", 1)} <= new


@pytest.mark.parametrize("case", ["20 rows", "constant price"])
def test_a_series_that_cannot_carry_a_model_is_refused_counted_and_the_others_go_on(
    market: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if case == "20 rows":
        eth(lambda lines: [lines[0], *lines[-20:]])(market)
    else:
        eth(
            lambda lines: [
                lines[0],
                *(",".join((line.split(",")[0], "3000.0", line.split(",")[2])) for line in lines[1:]),
            ]
        )(market)
    code = command.main(["calibrate", str(market / "riskcal.toml"), "--out", str(market / "run"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    reasons = {row["subject"]: row["reason"] for row in document["unavailable"]}
    assert {"ETH", "ETH:USD", "ETH:BTC"} <= set(reasons)
    assert any(word in reasons["ETH"] for word in ("20", "19", "constant", "frozen", "bad"))
    subjects = {row["subject"] for row in document["figures"]}
    assert {"BTC", "LINK", "USDC"} <= subjects
    assert "ETH" not in subjects


def test_a_folder_that_cannot_be_written_is_2_before_any_work(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (market / "file").write_text("x")
    assert command.main(["propose", str(market / "riskcal.toml"), "--out", str(market / "file/run")]) == 2
    err = capsys.readouterr().err
    assert "file/run: cannot be written: Not a directory" in err
    assert "snapshot" not in err
    assert (market / "file").read_text() == "x"


def test_a_folder_that_is_not_a_run_is_2_and_left_alone(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in market.iterdir())
    assert command.main(["propose", str(market / "riskcal.toml"), "--out", str(market)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert sorted(path.name for path in market.iterdir()) == before


def test_no_out_and_an_as_of_for_a_run_are_2(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["calibrate", str(market / "riskcal.toml")]) == 2
    assert "--out" in capsys.readouterr().err
    assert command.main(["calibrate", str(market), "--as-of", "2024-01-01"]) == 2
    assert "snapshot is fixed" in capsys.readouterr().err
    assert command.main(["calibrate", str(market)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_an_as_of_before_every_datum_is_an_error(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["feeds", str(market / "riskcal.toml"), "--as-of", "2019-01-01"]) == 2
    assert "nothing was known at the as-of date" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_is_130_and_leaves_whole_stages_and_no_manifest(market: Path, workers: int) -> None:
    arguments = ["propose", market / "riskcal.toml", "--out", market / "run", "--workers", workers]
    with subprocess.Popen(
        [sys.executable, "-m", "reports.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        while not (market / "run/snapshot").exists():
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    names = {path.name for path in (market / "run").iterdir()}
    assert {".incomplete", "config.toml", "snapshot"} <= names
    assert not names & {"manifest.json", "environment.json", "proposal"}
    assert not [name for name in names if name.startswith(".writing")]


def test_an_interrupt_of_a_run_over_a_finished_one_leaves_the_finished_one(market: Path) -> None:
    run = market / "run"
    write_run(run)
    before = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    arguments = ["calibrate", market / "riskcal.toml", "--out", run, "--seed", "99"]
    with subprocess.Popen(
        [sys.executable, "-m", "reports.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        while not list(run.glob(".writing-*/snapshot")) and not (run / ".incomplete").exists():
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_value_and_a_date_are_said_once_and_readably(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings('"5000000 USD"', '"lots"')(market)
    assert command.main(["feeds", str(market / "riskcal.toml")]) == 2
    assert capsys.readouterr().err.count("lots") == 1
    settings('"lots"', '"5000000 USD"')(market)
    assert command.main(["feeds", str(market / "riskcal.toml"), "--as-of", "1999-01-01"]) == 2
    assert "'1999-01-01 00:00 UTC'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "words"), [("20 rows", "observations"), ("constant price", "frozen"), ("stale", "stale")]
)
def test_without_any_model_the_reason_of_each_asset_is_said(
    market: Path, case: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(lines: list[str]) -> list[str]:
        if case == "20 rows":
            return [lines[0], *lines[-20:]]
        if case == "stale":
            return lines
        return [lines[0], *(",".join((line.split(",")[0], "3.0", line.split(",")[2])) for line in lines[1:])]

    for file in (market / "prices").iterdir():
        file.write_text("".join(f"{line}\n" for line in edit(file.read_text().splitlines())))
    as_of = ["--as-of", "2026-06-30"] if case == "stale" else []
    assert command.main(["calibrate", str(market / "riskcal.toml"), "--out", str(market / "run"), *as_of]) == 1
    err = capsys.readouterr().err
    assert "no asset can have a model. BTC: " in err
    assert "; ETH: " in err
    assert words in err
    assert "residuals" not in err
