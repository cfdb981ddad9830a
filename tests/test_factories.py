"""The synthetic market of the tests is valid, deterministic, and survives its artifacts."""

from __future__ import annotations

from risk.calibration import Calibration
from risk.market import MarketSnapshot
from tests.factories import make_calibration, make_settings, make_snapshot


def test_round_trips_through_artifacts() -> None:
    settings, snapshot = make_settings(), make_snapshot()
    calibration = make_calibration(snapshot, settings)
    assert MarketSnapshot.from_artifact(snapshot.artifact()).artifact().content_hash == snapshot.artifact().content_hash
    again = Calibration.from_artifact(calibration.artifact()).artifact()
    assert again.content_hash == calibration.artifact().content_hash
    assert make_calibration().artifact().content_hash == again.content_hash
