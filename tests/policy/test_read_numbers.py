"""Numbers that are only read stay in force through policy, the books of stress, calldata and the tables."""

from __future__ import annotations

from decimal import Decimal

from reports.verdict import summary_table
from risk.parameters import Key, ParameterSet
from risk.pipeline import encode, recommend
from risk.units import Quantity, Ratio, TokenAmount
from tests.factories import make_calibration, make_parameters, make_settings, make_snapshot

READ: dict[Key, Quantity] = {
    Key("lending", "reserve", "WETH", (), "borrow_cap"): TokenAmount(Decimal(9000), "WETH"),
    Key("lending", "reserve", "WETH", (), "reserve_factor"): Ratio(Decimal("0.15")),
    Key("lending", "reserve", "WETH", (), "borrow_rate_slope_above"): Ratio(Decimal("0.8")),
    Key("lending", "efficiency_mode", "1", (), "liquidation_threshold"): Ratio(Decimal("0.95")),
}


def test_they_change_nothing_and_are_not_changed() -> None:
    settings, known = make_settings(), make_parameters()
    plain, read = make_snapshot(in_force=known), make_snapshot(in_force=ParameterSet({**known.values, **READ}))
    calibration = make_calibration(plain, settings)
    before, after = recommend(plain, calibration, settings), recommend(read, calibration, settings)
    assert {key: after.target.values[key] for key in READ} == {key: after.next_step.values[key] for key in READ} == READ
    assert {k: v for k, v in after.target.values.items() if k not in READ} == dict(before.target.values)
    assert after.derivations == before.derivations
    assert summary_table(after) == summary_table(before)
    assert encode(read, after, settings) == encode(plain, before, settings)
