"""Write ``docs/track-record.md`` from the real data: daily and hourly.

Usage: ``python -m tools.build_track_record``, from the root of the project, with the folder of real market data beside
it. The settings are those of ``riskcal backtest tests/real/track_record.toml`` and its hourly neighbour.
"""

from __future__ import annotations

from pathlib import Path

from reports.chain import Start, recompute
from reports.track_record import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "track-record.md"
PARTS = {"Daily": "tests/real/track_record.toml", "Hourly": "tests/real/track_record_hourly.toml"}
INTRODUCTION = """Made by `python -m tools.build_track_record`; a part alone by `riskcal backtest SETTINGS --out RUN`.

Dead assets are in, LUNA until its halt and FTT until its end. No setting was chosen per asset. Two rules were settled
after a first look at these data, so the record is not blind to them: EWMA-t is no contestant on a tie (in use on a tie
it had too many exceptions), and no forecast is made before the first pooled prior. One-bar forecasts are those of the
plain parametric models that race; those of weeks have the smoothed tails of a calibration. Parameter uncertainty is in
neither. How often intervals hold the truth, those of the policy's output too, is in
[interval-coverage.md](interval-coverage.md).

Scaling by earlier ratios of loss to forecast was settled on bars before 2023, and its one constant by reasoning; that
EWMA-t wins no ties was settled on them again against winning them. The depeg jump of pegged assets is in their
forecasts because it is in their paths, and was not tuned: exceptions are fewer with it, and the FZ0 of coins that
stayed quiet is worse, because shortfall holds a loss that did not come. The whole record had been read before, so that
hours were known to have too many exceptions, and the later half is not untouched evidence. Both halves of each rule
stand under *What else could have been in use*."""


def page() -> str:
    """The page's text."""
    parts = ["# Track record on real data", INTRODUCTION]
    for name, settings in PARTS.items():
        found = recompute(Start.from_config(ROOT / settings), until="backtest").track_record
        body = markdown(found).replace("\n## ", "\n### ").removeprefix("# Track record\n\n").rstrip()
        parts += [f"## {name} bars", f"`riskcal backtest {settings} --out RUN`", body]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
