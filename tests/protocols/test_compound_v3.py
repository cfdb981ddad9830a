"""The Compound III codec: golden calldata, exact round trips, and refusals that equal the contracts'."""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from risk.errors import InputError, RefusalError, SettingsError
from risk.outcome import Severity
from risk.parameters import Key, Malformed, ParameterSet, Value
from risk.protocols.codec import Call
from risk.protocols.compound_v3 import CAP_MAXIMUM, SETTERS, UPGRADE, CompoundV3
from risk.protocols.proposal import codec_of, encode_proposal
from risk.units import Ratio, TokenAmount
from tests.factories import make_settings

COMET = "0xc3d688B66703497DAA19211EEdff47f25384cdc3"
CONFIGURATOR = "0x316f9708bB98af7dA9c68C1C3b5e79039cD336E3"
ADMIN = "0x1EC63B5883C3481134FD50D5DAebc83Ecd2E8779"
WETH, WBTC = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599"
CODEC = CompoundV3(
    "m", COMET, CONFIGURATOR, ADMIN, "USDC", {"WETH": WETH, "WBTC": WBTC}, {"WETH": 18, "WBTC": 8}
)  # fmt: skip
FRONT = Key("m", "base", "USDC", (), "store_front_price_factor")


def key(parameter: str, subject: str = "WETH") -> Key:
    return Key("m", "reserve", subject, (), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def asset(factor: int, threshold: int, penalty: int, cap: int, subject: str = "WETH") -> dict[Key, Value]:
    names = ("collateral_factor", "liquidation_threshold", "liquidation_factor")
    values: dict[Key, Value] = {
        key(n, subject): bps(v) for n, v in zip(names, (factor, threshold, penalty), strict=True)
    }
    return {**values, key("supply_cap", subject): TokenAmount(Decimal(cap), subject)}


BASE = ParameterSet({**asset(8250, 8950, 9500, 350_000), **asset(7000, 7700, 9500, 12_000, "WBTC"), FRONT: bps(5000)})


def word(value: int) -> str:
    return f"{value:064x}"


def padded(address: str) -> str:
    return address[2:].lower().rjust(64, "0")


def errors(values: dict[Key, Value]) -> set[str]:
    return {f.code for f in CODEC.rules(ParameterSet(values)) if f.severity is Severity.ERROR}


def test_selectors_are_the_deployed_contracts() -> None:
    """Selectors as block explorers list them; the arguments are written out by hand."""
    head = BASE.replace(
        {
            **asset(8000, 8900, 9400, 300_000),
            key("supply_cap", "WBTC"): TokenAmount(Decimal(13_000), "WBTC"),
            FRONT: bps(6000),
        }
    )
    calls = CODEC.encode(BASE.diff(head), BASE)
    assert {call.data[:10]: call.function for call in calls} == {
        "0xb73585f1": "updateAssetBorrowCollateralFactor",
        "0x77a7dafd": "updateAssetLiquidateCollateralFactor",
        "0xecb9a875": "updateAssetLiquidationFactor",
        "0xa2ced7fd": "updateAssetSupplyCap",
        SETTERS[FRONT.parameter].selector: "setStoreFrontPriceFactor",
        "0x9627816f": "deployAndUpgradeTo",
    }
    data = {call.data for call in calls}
    assert "0xb73585f1" + padded(COMET) + padded(WETH) + word(800_000_000_000_000_000) in data
    assert "0xa2ced7fd" + padded(COMET) + padded(WBTC) + word(13_000 * 10**8) in data
    assert SETTERS[FRONT.parameter].selector + padded(COMET) + word(6 * 10**17) in data
    assert calls[-1].data == "0x9627816f" + padded(CONFIGURATOR) + padded(COMET)
    assert [call.to for call in calls] == [CONFIGURATOR] * (len(calls) - 1) + [ADMIN]
    assert calls[-2].function == "updateAssetSupplyCap", "the only call that loosens comes last"
    assert CODEC.decode(calls) == {c.key: c.after for c in BASE.diff(head)}


def test_no_change_needs_no_upgrade() -> None:
    assert CODEC.encode((), BASE) == ()
    assert CODEC.decode(()) == {}


@given(
    st.lists(st.integers(1, 9999), min_size=2, max_size=2, unique=True).map(sorted),
    st.integers(0, 10_000),
    st.integers(0, CAP_MAXIMUM),
    st.integers(0, 10_000),
)
def test_any_legal_set_comes_back_equal(pair: list[int], penalty: int, cap: int, front: int) -> None:
    head = BASE.replace({**asset(pair[0], pair[1], penalty, cap), FRONT: bps(front)})
    changes = BASE.diff(head)
    decoded = CODEC.decode(CODEC.encode(changes, BASE))
    assert decoded == {change.key: change.after for change in changes}


def contract_accepts(factor: int, threshold: int) -> bool:
    """getPackedAssetInternal once more, in raw 1e18 units: before and after it keeps four decimals."""
    if factor >= threshold or threshold > 10**18:
        return False
    return factor // 10**14 < threshold // 10**14


@given(st.integers(0, 10_100), st.integers(0, 10_100))
@example(8950, 8950)
@example(8949, 8950)
@example(9999, 10_000)
@example(9999, 10_001)
@example(0, 0)
def test_refusals_equal_the_contracts(factor: int, threshold: int) -> None:
    head = BASE.replace({key("collateral_factor"): bps(factor), key("liquidation_threshold"): bps(threshold)})
    refused = bool(errors(dict(head.values)))
    assert refused is not contract_accepts(factor * 10**14, threshold * 10**14)
    changes = BASE.diff(head)
    if refused and changes:
        with pytest.raises(RefusalError, match=r"CM00[123]"):
            CODEC.encode(changes, BASE)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({key("liquidation_factor"): Ratio(Decimal("0.95005"))}, "CM001"),
        ({key("supply_cap"): TokenAmount(Decimal("1.5"), "WETH")}, "CM001"),
        ({key("supply_cap"): TokenAmount(Decimal(CAP_MAXIMUM + 1), "WETH")}, "CM001"),
        ({key("supply_cap"): TokenAmount(Decimal(5), "WBTC")}, "CM001"),
        ({key("collateral_factor"): Malformed("82", "a ratio needs a percent sign")}, "CM001"),
        ({key("collateral_factor"): bps(-1)}, "CM001"),
        ({key("liquidation_factor"): bps(10_001)}, "CM003"),
        ({FRONT: bps(10_001)}, "CM003"),
        ({key("collateral_factor"): bps(8950)}, "CM002"),
    ],
)
def test_what_the_contract_would_not_hold_is_refused(changed: dict[Key, Value], code: str) -> None:
    assert errors({**BASE.values, **changed}) == {code}
    head = BASE.replace(changed)
    with pytest.raises(RefusalError, match=code):
        CODEC.encode(BASE.diff(head), BASE)


def test_what_the_chain_accepts_and_a_reader_must_know() -> None:
    head = {**asset(8250, 9500, 9500, 0), **asset(7000, 7700, 9500, 12_000, "WBTC"), FRONT: bps(5000)}
    told = {(f.code, f.severity) for f in CODEC.rules(ParameterSet(head))}
    assert told == {("CM004", Severity.WARNING), ("CM005", Severity.WARNING)}


def test_what_cannot_be_set_is_refused_by_name() -> None:
    gone = ParameterSet({k: v for k, v in BASE.values.items() if k != key("supply_cap")})
    with pytest.raises(RefusalError, match="cannot be taken away"):
        CODEC.encode(BASE.diff(gone), BASE)
    other = BASE.replace({key("borrow_cap"): TokenAmount(Decimal(1), "WETH")})
    with pytest.raises(RefusalError, match="m/reserve/WETH/borrow_cap: m has no function"):
        CODEC.encode(BASE.diff(other), BASE)
    alone = ParameterSet({key("collateral_factor"): bps(8000)})
    with pytest.raises(RefusalError, match="m/reserve/WETH/liquidation_threshold: the contract compares"):
        CODEC.encode(ParameterSet({}).diff(alone), ParameterSet({}))
    stranger = ParameterSet({key("liquidation_factor", "XYZ"): bps(9000)})
    with pytest.raises(RefusalError, match="m/reserve/XYZ: the token's address is not known"):
        CODEC.encode(ParameterSet({}).diff(stranger), ParameterSet({}))


def altered(call: Call, **changes: str) -> Call:
    return replace(call, **changes)  # type: ignore[arg-type]


def test_foreign_or_damaged_calldata_is_refused() -> None:
    head = BASE.replace({key("collateral_factor"): bps(8000)})
    setter, upgrade = CODEC.encode(BASE.diff(head), BASE)
    stranger = "0x" + "ab" * 20
    wrong = [
        ((setter,), "the last call is not the upgrade"),
        ((setter, altered(upgrade, to=stranger)), "the last call is not the upgrade"),
        ((setter, altered(upgrade, data=UPGRADE.encode((CONFIGURATOR, stranger)))), "another Comet"),
        ((altered(setter, to=stranger), upgrade), "another contract"),
        ((altered(setter, data="0xdeadbeef" + setter.data[10:]), upgrade), "function is not known"),
        ((altered(setter, data=setter.data.replace(padded(COMET), padded(stranger))), upgrade), "another Comet"),
        ((altered(setter, data=setter.data.replace(padded(WETH), padded(stranger))), upgrade), "no reserve"),
        ((altered(setter, data=setter.data[:-1] + "1"), upgrade), "would hold another value"),
        ((altered(setter, data=setter.data + "00"), upgrade), "more than the arguments"),
        ((upgrade, setter), "the last call is not the upgrade"),
    ]
    for calls, message in wrong:
        with pytest.raises(InputError, match=message):
            CODEC.decode(calls)


def settings_with(**market: str) -> object:
    declared = {"asset_class": "large_cap", "reserve": "m", "symbol": "WETH", "token": WETH, "debts": ["USDC"]}
    usdc = {"asset_class": "stable", "peg": "USD", "backing": "fiat"}
    return make_settings(
        markets={"m": {"protocol": "compound_v3", "chain_id": 1, **market}}, assets={"ETH": declared, "USDC": usdc}
    )


def test_a_market_with_its_addresses_is_encoded_and_one_without_says_so() -> None:
    head = BASE.replace({key("collateral_factor"): bps(8000), FRONT: bps(6000)})
    full = settings_with(comet=COMET, configurator=CONFIGURATOR, proxy_admin=ADMIN)
    encoded = encode_proposal(BASE.diff(head), BASE, full)  # type: ignore[arg-type]
    assert not encoded.unencoded
    assert [call.function for call in encoded.calls][-1] == "deployAndUpgradeTo"
    bare = settings_with()
    assert codec_of("m", bare) is None  # type: ignore[arg-type]
    left = encode_proposal(BASE.diff(head), BASE, bare)  # type: ignore[arg-type]
    assert not left.calls
    assert {u.reason for u in left.unencoded} == {
        "markets.m has no configurator and proxy_admin that calls could go to"
    }


@pytest.mark.parametrize(
    ("market", "message"),
    [
        ({"configurator": CONFIGURATOR}, "both its configurator and its proxy_admin"),
        ({"configurator": CONFIGURATOR, "proxy_admin": ADMIN}, "comet, the address of its proxy"),
        ({"protocol": "generic", "comet": COMET}, "only a compound_v3 market"),
    ],
)
def test_addresses_that_do_not_go_together(market: dict[str, str], message: str) -> None:
    with pytest.raises((SettingsError, ValueError), match=message):
        settings_with(**market)


def test_a_comet_lends_one_asset() -> None:
    listed = {
        name: {"asset_class": "large_cap", "reserve": "m", "debts": debts}
        for name, debts in (("ETH", ["USDC"]), ("BTC", ["USD"]))
    }
    usdc = {"asset_class": "stable", "peg": "USD", "backing": "fiat"}
    with pytest.raises((SettingsError, ValueError), match="a Comet lends one base asset"):
        make_settings(markets={"m": {"protocol": "compound_v3"}}, assets={**listed, "USDC": usdc})


@pytest.mark.data
def test_real_deployments_come_back_from_their_calldata(shared: Path) -> None:
    """Every asset of every deployment file, from nothing; a cap that is not whole is refused and not floored."""
    path = shared / "data" / "compound_v3_params" / "comet_configuration_versions.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    refused = 0
    for row in rows:
        number, _, exponent = row["supply_cap"].partition("e")
        codec = CompoundV3("m", COMET, CONFIGURATOR, ADMIN, "USDC", {row["asset"]: WETH}, {row["asset"]: int(exponent)})
        names = {"collateral_factor": "borrow_cf", "liquidation_threshold": "liquidate_cf"}
        names["liquidation_factor"] = "liquidation_factor"
        values: dict[Key, Value] = {key(n, row["asset"]): Ratio(Decimal(row[column])) for n, column in names.items()}
        values[key("supply_cap", row["asset"])] = TokenAmount(Decimal(number), row["asset"])
        head = ParameterSet(values)
        warnings = {finding.code for finding in codec.rules(head)}
        assert "CM004" not in warnings, "every deployment's liquidation factor is above its threshold"
        if "CM001" in warnings:
            refused += 1
            with pytest.raises(RefusalError, match="CM001"):
                codec.encode(ParameterSet({}).diff(head), ParameterSet({}))
            continue
        assert codec.decode(codec.encode(ParameterSet({}).diff(head), ParameterSet({}))) == values
    assert refused == sum("." in row["supply_cap"] for row in rows) > 0
