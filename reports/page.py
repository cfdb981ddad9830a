"""The proposal folder: text, page, numbers, calldata and charts, all from the same content."""

from __future__ import annotations

from collections.abc import Mapping

from reports.charts import build_charts
from reports.content import build_content
from reports.documents import render_markdown, render_page
from risk.artifact import readable_json
from risk.calibration import Calibration
from risk.market import MarketSnapshot
from risk.outcome import StressResult
from risk.protocols.proposal import EncodedProposal
from risk.recommendation import Recommendation
from risk.settings import Settings


def build_proposal(
    snapshot: MarketSnapshot,
    calibration: Calibration,
    recommendation: Recommendation,
    stress: StressResult,
    encoded: EncodedProposal,
    settings: Settings,
    identity: Mapping[str, str],
) -> dict[str, bytes]:
    """Build the files of a proposal; the same artifacts give the same bytes.

    Parameters
    ----------
    identity
        What the run is, as texts by name: seed, as-of and the hash of each stage.

    Returns
    -------
    dict
        Bytes by name: ``proposal.md``, ``proposal.json``, ``calldata.json``, ``index.html``, ``charts/*.svg``.
    """
    content = build_content(snapshot, calibration, recommendation, stress, encoded, settings, identity)
    charts = build_charts(calibration, recommendation, stress)
    return {
        "proposal.md": render_markdown(content),
        "proposal.json": readable_json(content).encode(),
        "calldata.json": readable_json(encoded.document()).encode(),
        "index.html": render_page(content, charts),
        **{f"charts/{chart.name}.svg": chart.file for chart in charts},
    }
