"""A changed number that rests on bad prices fails for want of evidence, unless it makes the protocol safer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from risk.artifact import Table
from risk.gate.evidence import assets_of, bad_prices
from risk.market import QUALITY_SCHEMA, MarketSnapshot
from risk.outcome import Severity
from risk.parameters import Key
from tests.factories import PARAMETERS, make_parameters, make_settings, make_snapshot
from tests.gate.strategies import gate

BASE = make_parameters()
THRESHOLD = "lending/reserve/WETH/liquidation_threshold"


def judged(asset: str, verdict: str) -> MarketSnapshot:
    """The factory's market with one bad row on the closes of an asset."""
    snapshot = make_snapshot()
    rows = [*snapshot.quality.rows()]
    row = {"series": snapshot.close(asset).id, "check": "clamped", "verdict": verdict, "count": 9, "detail": "held"}
    listed = ([one[name] for name in QUALITY_SCHEMA] for one in [*rows, row])
    return replace(snapshot, quality=Table.from_rows(QUALITY_SCHEMA, listed))


@pytest.mark.parametrize(
    ("key", "assets"),
    [
        (THRESHOLD, ("BTC", "ETH", "USDC")),
        ("lending/reserve/LINK/supply_cap", ("LINK", "USDC")),
        ("perps/market/ETH-USD/tiers/1/initial_margin", ("ETH",)),
        ("elsewhere/reserve/WETH/liquidation_threshold", ()),
    ],
)
def test_a_number_rests_on_its_asset_and_what_is_borrowed_against_it(key: str, assets: tuple[str, ...]) -> None:
    assert assets_of(Key.parse(key), make_settings()) == assets


@pytest.mark.parametrize("asset", ["ETH", "USDC"])
def test_loosening_on_bad_prices_fails_and_names_them(asset: str) -> None:
    head = make_parameters(PARAMETERS.replace('"83.00%"', '"83.20%"', 1))
    bad = bad_prices(judged(asset, "bad"), make_settings().assets)
    assert bad == {asset: "clamped: held"}
    [finding] = gate(BASE, head, settings=make_settings(), bad_prices=bad).findings
    assert (finding.code, finding.key, finding.severity) == ("E005", THRESHOLD, Severity.ERROR)
    assert f"the prices of {asset} are bad (clamped: held)" in finding.message


def test_tightening_on_bad_prices_is_a_warning() -> None:
    head = make_parameters(PARAMETERS.replace('"83.00%"', '"82.80%"', 1))
    result = gate(BASE, head, settings=make_settings(), bad_prices={"ETH": "stale"})
    assert [(f.code, f.severity) for f in result.findings] == [("E005", Severity.WARNING)]
    assert not result.failed


@pytest.mark.parametrize("verdict", ["good", "suspect"])
def test_a_suspect_is_shown_elsewhere_and_does_not_fail(verdict: str) -> None:
    assert bad_prices(judged("ETH", verdict), make_settings().assets) == {}


def test_prices_of_an_asset_that_nobody_touches_do_not_matter() -> None:
    head = make_parameters(PARAMETERS.replace('"83.00%"', '"83.20%"', 1))
    assert not gate(BASE, head, settings=make_settings(), bad_prices={"LINK": "stale"}).failed


def test_an_asset_that_is_not_in_the_universe_has_no_evidence() -> None:
    snapshot = make_snapshot()
    without = replace(snapshot, assets=tuple(name for name in snapshot.assets if name != "LINK"))
    assert bad_prices(without, make_settings().assets) == {"LINK": "there are none by the as-of date"}
