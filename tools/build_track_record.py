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
after a first look at these data, so the record is not blind to them: EWMA-t is no contestant on a tie (in use on a
tie it had too many exceptions), and no forecast is made before the first pooled prior. Models are the plain parametric
ones that race; the figures of a calibration add smoothed tails and parameter uncertainty, which is not tested here,
nor is how often the intervals of the policy's output cover."""


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
