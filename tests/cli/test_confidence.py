"""Confidences that say nothing, or the same twice, are bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.cli.main import main
from tests.cli.market import write_market


@pytest.mark.parametrize("written", ['["0%"]', "[]", '["99%", "95%", "99%"]'])
def test_confidences_that_cannot_be_meant(written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = write_market(tmp_path / "m")
    text = market.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("confidence = ")]
    assert "[models]" in lines
    lines.insert(lines.index("[models]") + 1, f"confidence = {written}")
    market.write_text("\n".join(lines), encoding="utf-8")
    assert main(["calibrate", str(market), "--out", str(tmp_path / "run")]) == 2
    assert "models.confidence" in capsys.readouterr().err
