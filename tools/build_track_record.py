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


def page() -> str:
    """The page's text."""
    parts = [
        "# Track record on real data",
        "Made by `python -m tools.build_track_record`; each part alone by `riskcal backtest SETTINGS --out RUN`. Dead "
        "assets are in, LUNA until its halt and FTT until its end. No setting was chosen per asset.",
    ]
    for name, settings in PARTS.items():
        found = recompute(Start.from_config(ROOT / settings), until="backtest").track_record
        body = markdown(found).replace("\n## ", "\n### ").removeprefix("# Track record\n\n").rstrip()
        parts += [f"## {name} bars", f"`riskcal backtest {settings} --out RUN`", body]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
