"""What the chain says on the real files around the falls of LUNA, FTT and the peg of USDC, as of the days before."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from oracle_adapters.snapshot import build_snapshot
from risk.parameters import Key
from risk.pipeline import calibrate, recommend, stress
from risk.recommendation import Recommendation
from risk.settings import read_settings
from risk.units import parse_instant

pytestmark = [pytest.mark.data, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2] / "tests/real"
MARKETS = {"LUNA": "illustrative", "FTT": "illustrative"}


@cache
def as_of(date: str, seed: int | None = None) -> Recommendation:
    settings = read_settings((ROOT / "riskcal.toml").read_text())
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    snapshot = build_snapshot(settings, root=ROOT, as_of=parse_instant(date))
    return recommend(snapshot, calibrate(snapshot, settings), settings)


def threshold(date: str, symbol: str, seed: int | None = None) -> float | None:
    """The target, or None where it is refused."""
    key = Key(MARKETS.get(symbol, "aave-core"), "reserve", symbol, (), "liquidation_threshold")
    found = as_of(date, seed)
    derivation = found.derivation(key)
    assert derivation is not None
    if derivation.refusal is not None:
        return None
    return float(found.target.ratio(key) or 0.0)


@pytest.mark.parametrize(("date", "seed"), [("2022-03-01", None), ("2022-05-07", None), ("2022-05-07", 1)])
def test_luna_lies_below_ether_before_its_fall_under_any_seed(shared: Path, date: str, seed: int | None) -> None:
    luna, ether = threshold(date, "LUNA", seed), threshold(date, "WETH", seed)
    assert luna is not None
    assert ether is not None
    assert luna < ether - 0.02


@pytest.mark.parametrize("symbol", ["WBTC", "WETH", "LUNA", "FTT", "USDC"])
def test_another_seed_moves_a_target_by_its_monte_carlo_error_only(shared: Path, symbol: str) -> None:
    """Each target's standard error is within a point: two differ by less than four and a half in all but 1 of 1,000."""
    one, two = threshold("2022-05-07", symbol), threshold("2022-05-07", symbol, 1)
    assert one is not None
    assert two is not None
    assert abs(one - two) < 3.3 * 0.01 * 2**0.5


def test_luna_is_refused_by_the_second_day_of_its_fall_and_new_borrowing_is_shut(shared: Path) -> None:
    assert threshold("2022-05-11", "LUNA") is None
    key = Key("illustrative", "reserve", "LUNA", (), "collateral_factor")
    assert as_of("2022-05-11").target.ratio(key) == 0


@pytest.mark.parametrize("symbol", ["WBTC", "WETH"])
def test_the_rest_does_not_jump_with_it(shared: Path, symbol: str) -> None:
    before, after = threshold("2022-05-07", symbol), threshold("2022-05-11", symbol)
    assert before is not None
    assert after is not None
    assert abs(after - before) < 0.06


def test_a_dollar_coin_is_not_riskless_before_its_depeg(shared: Path) -> None:
    found = threshold("2023-03-09", "USDC")
    assert found is not None
    assert 0.80 < found < 0.92, "the depths of the pool decide, about a tenth"


def test_the_dead_stay_in_the_universe_and_are_refused(shared: Path) -> None:
    assert threshold("2023-03-09", "LUNA") is None
    assert threshold("2023-03-09", "FTT") is None


def test_what_nobody_can_sell_stays_unliquidated_and_does_not_end_the_stress(shared: Path) -> None:
    """In March 2023 neither a depth nor a traded volume of LUNA is known any more."""
    settings = read_settings((ROOT / "riskcal.toml").read_text())
    snapshot = build_snapshot(settings, root=ROOT, as_of=parse_instant("2023-03-09"))
    found = stress(snapshot, calibrate(snapshot, settings), settings, {"in_force": snapshot.in_force})
    assert "LUNA" in found.facts["without_depth"]
    rows = {row["measure"]: row for row in found.rows.where(scenario="luna-2022").rows()}
    assert rows["bad_debt"]["value"] == rows["realised_bad_debt"]["value"] + rows["latent_bad_debt"]["value"]
    assert rows["latent_bad_debt"]["value"] > 1e6
    assert rows["unliquidated_debt"]["value"] > settings.appetite.backstop_usd
    assert rows["unliquidated_debt"]["status"] == "fail"
