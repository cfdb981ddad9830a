"""The Aave v3 codec: golden calldata, exact round trips, and refusals that equal the contract's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from risk.errors import InputError, RefusalError
from risk.outcome import Severity
from risk.parameters import Change, Key, Malformed, ParameterSet, Value
from risk.protocols.aave_v3 import CAP_MAXIMUM, MAXIMUM, TRIPLE, AaveV3, percent_mul, quantity
from risk.protocols.proposal import encode_proposal
from risk.units import Quantity, Ratio, TokenAmount, Usd
from tests.factories import make_parameters, make_settings
from tests.gate.strategies import legal_steps, valid_sets

CONFIGURATOR = "0x64b761D848206f447Fe2dd461b0c635Ec39EbB27"
WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
CODEC = AaveV3("m", CONFIGURATOR, {"WETH": WETH})
SETTINGS = make_settings()


def key(parameter: str, subject: str = "WETH") -> Key:
    return Key("m", "reserve", subject, (), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def triple(factor: int, threshold: int, bonus: int) -> dict[Key, Value]:
    return {key(name): bps(raw) for name, raw in zip(TRIPLE, (factor, threshold, bonus), strict=True)}


def word(value: int) -> str:
    return f"{value:064x}"


def errors(values: dict[Key, Value]) -> set[str]:
    return {f.code for f in CODEC.rules(ParameterSet(values)) if f.severity is Severity.ERROR}


def test_selectors_are_the_deployed_contracts() -> None:
    """Selectors as block explorers list them for the PoolConfigurator; the arguments are written out by hand."""
    base = ParameterSet({**triple(8050, 8300, 500), key("supply_cap"): TokenAmount(Decimal(1_800_000), "WETH")})
    head = base.replace({key(TRIPLE[0]): bps(8000), key("supply_cap"): TokenAmount(Decimal(1_500_000), "WETH")})
    collateral, cap = CODEC.encode(base.diff(head), base)
    token = WETH[2:].lower().rjust(64, "0")
    assert collateral.data == "0x7c4e560b" + token + word(8000) + word(8300) + word(10_500)
    assert cap.data == "0x571f03e5" + token + word(1_500_000)
    assert collateral.signature == "configureReserveAsCollateral(address,uint256,uint256,uint256)"
    assert dict(cap.arguments) == {"asset": WETH, "newSupplyCap": 1_500_000}
    assert {(call.to, call.value) for call in (collateral, cap)} == {(CONFIGURATOR, 0)}
    assert collateral.keys == tuple(key(name) for name in TRIPLE)


@given(base=valid_sets(), head=valid_sets())
@settings(max_examples=60)
def test_any_legal_set_comes_back_equal(base: ParameterSet, head: ParameterSet) -> None:
    """Every reserve of head is set from whatever base was; the rest has no codec and says so."""
    known = ParameterSet({k: v for k, v in base.values.items() if k in head.values})
    changes = known.diff(head)
    encoded = encode_proposal(changes, base.replace(head.values), SETTINGS)
    codec = AaveV3("lending", "0x" + "11" * 20, {s: a.token for _, s, a in SETTINGS.reserves() if a.token})
    decoded = codec.decode(encoded.calls)
    assert {k: v for k, v in decoded.items() if head.values[k] != v} == {}
    assert {c.key for c in changes if c.key.kind == "reserve"} <= set(decoded)
    assert {u.key for u in encoded.unencoded} == {c.key for c in changes if c.key.kind == "market"}
    assert all("generic" in u.reason for u in encoded.unencoded)


@given(legal_steps())
@settings(max_examples=60)
def test_tightening_calls_come_first_and_each_change_is_in_one_call(step: tuple[ParameterSet, ParameterSet]) -> None:
    base, head = step
    changes = {c.key: c for c in base.diff(head)}
    calls = encode_proposal(tuple(changes.values()), base, SETTINGS).calls
    loosening = [any(changes[k].tightening < 0 for k in call.keys if k in changes) for call in calls]
    assert loosening == sorted(loosening)
    listed = [k for call in calls for k in call.keys if k in changes]
    assert sorted(listed) == sorted(k for k in changes if k.kind == "reserve")


def contract_accepts(factor: int, threshold: int, bonus: int) -> bool:
    """PoolConfigurator.configureReserveAsCollateral and ReserveConfiguration, written down a second time.

    `bonus` is the stored one, 100 % plus the bonus.
    """
    if not (0 <= factor <= 65_535 and 0 <= threshold <= 65_535 and 0 <= bonus <= 65_535) or factor > threshold:
        return False
    if threshold == 0:
        return bonus == 0
    product = Decimal(threshold) * bonus / 10_000
    return bonus > 10_000 and product.quantize(Decimal(1), rounding="ROUND_HALF_UP") <= 10_000


numbers = st.one_of(st.sampled_from((0, 1, 8299, 8300, 8301, 9523, 9524, 9525, 9999, 10_000)), st.integers(0, 10_100))


@given(numbers, numbers, st.one_of(st.sampled_from((0, 1, 499, 500, 501)), st.integers(0, 66_000)))
@settings(max_examples=500)
@example(9524, 9524, 500)
@example(9525, 9525, 500)
@example(0, 0, 0)
@example(0, 0, 500)
@example(0, 1, 0)
@example(0, 1, 55_535)
@example(0, 1, 55_536)
@example(8301, 8300, 500)
def test_refusals_equal_the_contracts(factor: int, threshold: int, bonus: int) -> None:
    stored = bonus + 10_000 if threshold or bonus else 0
    accepted = contract_accepts(factor, threshold, stored)
    values = triple(factor, threshold, bonus)
    assert (errors(values) == set()) is accepted
    changes = ParameterSet({}).diff(ParameterSet(values))
    if accepted:
        [call] = CODEC.encode(changes, ParameterSet({}))
        assert [call.arguments[n] for n in ("ltv", "liquidationThreshold", "liquidationBonus")] == [
            factor, threshold, stored,
        ]  # fmt: skip
        assert CODEC.decode([call]) == values
    else:
        with pytest.raises(RefusalError, match="A00"):
            CODEC.encode(changes, ParameterSet({}))


def test_percent_mul_rounds_half_up_as_the_chain_does() -> None:
    """Both executed on a local chain: 9,524 × 10,500 is accepted and 9,525 × 10,500 reverts."""
    assert percent_mul(9524, 10_500) == 10_000
    assert percent_mul(9525, 10_500) == 10_001
    assert errors(triple(8000, 9524, 500)) == set()
    assert errors(triple(8000, 9525, 500)) == {"A003"}


@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        ("liquidation_threshold", Ratio(Decimal("0.83005")), "A001"),
        ("liquidation_threshold", bps(-1), "A001"),
        ("liquidation_threshold", Malformed("83", "a ratio needs a percent sign"), "A001"),
        ("liquidation_threshold", Usd(Decimal(1)), "A001"),
        ("collateral_factor", bps(8301), "A002"),
        ("liquidation_bonus", bps(0), "A003"),
        ("supply_cap", TokenAmount(Decimal("1.5"), "WETH"), "A001"),
        ("supply_cap", TokenAmount(Decimal(-1), "WETH"), "A001"),
        ("supply_cap", TokenAmount(Decimal(CAP_MAXIMUM + 1), "WETH"), "A001"),
        ("supply_cap", TokenAmount(Decimal(5), "WBTC"), "A001"),
    ],
)
def test_a_value_that_the_contract_would_not_hold_is_refused_by_name(parameter: str, value: Value, code: str) -> None:
    base = ParameterSet({**triple(8050, 8300, 500), key("supply_cap"): TokenAmount(Decimal(10), "WETH")})
    head = base.replace({key(parameter): value})
    [finding] = [f for f in CODEC.rules(head) if f.severity is Severity.ERROR]
    assert (finding.code, finding.key) == (code, str(key(parameter)))
    with pytest.raises(RefusalError, match=code) as caught:
        CODEC.encode(base.diff(head), base)
    assert caught.value.field == str(key(parameter))
    assert caught.value.exit_code == 1


def test_the_largest_cap_is_accepted_and_zero_warns() -> None:
    for cap in (CAP_MAXIMUM, 1, 0):
        values: dict[Key, Value] = {key("supply_cap"): TokenAmount(Decimal(cap), "WETH")}
        [call] = CODEC.encode(ParameterSet({}).diff(ParameterSet(values)), ParameterSet({}))
        assert CODEC.decode([call]) == values
    [warning] = CODEC.rules(ParameterSet(values))
    assert (warning.code, warning.severity) == ("A005", Severity.WARNING)
    [warning] = CODEC.rules(ParameterSet(triple(0, 0, 0)))
    assert (warning.code, warning.severity) == ("A004", Severity.WARNING)


SINGLES = {
    "supply_cap": (TokenAmount(Decimal(1_500_000), "WETH"), 1_500_000),
    "borrow_cap": (TokenAmount(Decimal(120_000), "WETH"), 120_000),
    "debt_ceiling": (Usd(Decimal("1234567.89")), 123_456_789),
    "reserve_factor": (bps(2000), 2000),
    "liquidation_protocol_fee": (bps(1000), 1000),
}


@pytest.mark.parametrize("parameter", SINGLES)
def test_each_number_with_a_setter_of_its_own(parameter: str) -> None:
    """Borrow caps and ceilings share no call with a supply cap, and a ceiling is in cents."""
    value, raw = SINGLES[parameter]
    [call] = CODEC.encode([Change(key(parameter), None, value)], ParameterSet({}))
    assert list(call.arguments.values()) == [WETH, raw]
    assert CODEC.decode([call]) == {key(parameter): value}
    assert call.keys == (key(parameter),)


def test_each_number_has_its_largest_value() -> None:
    for parameter, largest in MAXIMUM.items():
        if parameter in SINGLES:
            [change] = ParameterSet({}).diff(ParameterSet({key(parameter): quantity(parameter, largest, "WETH")}))
            CODEC.encode([change], ParameterSet({}))
            over = replace(change, after=quantity(parameter, largest + 1, "WETH"))
            with pytest.raises(RefusalError, match="A001"):
                CODEC.encode([over], ParameterSet({}))


def test_rates_and_modes_have_no_call() -> None:
    for foreign in (key("base_borrow_rate"), Key("m", "efficiency_mode", "1", (), "collateral_factor")):
        with pytest.raises(RefusalError, match="no function"):
            CODEC.encode([Change(foreign, None, bps(100))], ParameterSet({}))


def test_warnings_of_the_chain_reach_the_proposal() -> None:
    base = make_parameters()
    zero = Key("lending", "reserve", "WETH", (), "supply_cap")
    head = base.replace({zero: TokenAmount(Decimal(0), "WETH")})
    assert [w.code for w in encode_proposal(base.diff(head), base, SETTINGS).warnings] == ["A005"]


def test_what_must_be_restated_must_be_known() -> None:
    base = ParameterSet({key("liquidation_threshold"): bps(8300), key("liquidation_bonus"): bps(500)})
    head = base.replace({key("liquidation_threshold"): bps(8200)})
    with pytest.raises(RefusalError, match=r"m/reserve/WETH/collateral_factor.*not known"):
        CODEC.encode(base.diff(head), base)


def test_what_has_no_call_is_refused() -> None:
    gone = Change(key("supply_cap"), TokenAmount(Decimal(1), "WETH"), None)
    with pytest.raises(RefusalError, match="cannot be taken away"):
        CODEC.encode([gone], ParameterSet({}))
    foreign = Change(Key("m", "pool", "ETH-USDC", (), "swap_fee"), None, bps(30))
    with pytest.raises(RefusalError, match="no function"):
        CODEC.encode([foreign], ParameterSet({}))
    tokenless = AaveV3("m", CONFIGURATOR, {})
    change = Change(key("supply_cap"), None, TokenAmount(Decimal(1), "WETH"))
    with pytest.raises(RefusalError, match="token's address is not known"):
        tokenless.encode([change], ParameterSet({}))


def test_a_mistyped_address_is_refused() -> None:
    change = Change(key("supply_cap"), None, TokenAmount(Decimal(1), "WETH"))
    for codec in (
        AaveV3("m", CONFIGURATOR, {"WETH": WETH[:-1] + "3"}),
        AaveV3("m", CONFIGURATOR[:-1] + "8", {"WETH": WETH}),
    ):
        with pytest.raises(InputError, match="checksum"):
            codec.encode([change], ParameterSet({}))
    [call] = AaveV3("m", CONFIGURATOR.lower(), {"WETH": WETH.lower()}).encode([change], ParameterSet({}))
    assert (call.to, call.arguments["asset"]) == (CONFIGURATOR, WETH)
    with pytest.raises(InputError, match="the same token"):
        AaveV3("m", CONFIGURATOR, {"WETH": WETH, "ETH": WETH.lower()})


def test_calldata_that_is_not_this_markets_is_refused() -> None:
    change = Change(key("supply_cap"), None, TokenAmount(Decimal(7), "WETH"))
    [call] = CODEC.encode([change], ParameterSet({}))
    wrong = {
        "another contract": replace(call, to=WETH),
        "not known": replace(call, data="0xdeadbeef" + call.data[10:]),
        "cannot be read": replace(call, data=call.data[:-2]),
        "more than": replace(call, data=call.data + "00"),
        "no reserve has this token": replace(call, data=call.data.replace("c02a", "c02b")),
        "holds no more": replace(call, data=call.data[:74] + "f" * 64),
    }
    for message, bad in wrong.items():
        with pytest.raises(InputError, match=message):
            CODEC.decode([bad])
    with pytest.raises(InputError, match="cannot be read"):
        CODEC.decode([replace(call, data=call.data[:-1] + "g")])
    [collateral] = CODEC.encode(ParameterSet({}).diff(ParameterSet(triple(8000, 8300, 500))), ParameterSet({}))
    with pytest.raises(InputError, match="100 % plus the bonus"):
        CODEC.decode([replace(collateral, data=collateral.data[:-64] + word(500))])
    assert CODEC.decode([replace(call, data="0x" + call.data[2:].upper())]) == {key("supply_cap"): change.after}


def test_an_unknown_market_is_listed_with_its_reason() -> None:
    change = Change(key("supply_cap"), None, TokenAmount(Decimal(1), "WETH"))
    encoded = encode_proposal([change], ParameterSet({}), SETTINGS)
    assert encoded.calls == ()
    assert "no market is called m" in encoded.unencoded[0].reason


def test_documents_are_plain() -> None:
    base = make_parameters()
    cap: Quantity = TokenAmount(Decimal(50_000), "WETH")
    head = base.replace({Key("lending", "reserve", "WETH", (), "supply_cap"): cap})
    document = encode_proposal(base.diff(head), base, SETTINGS).document()
    [call] = document["calls"]
    assert call["arguments"]["newSupplyCap"] == 50_000
    assert call["keys"] == ["lending/reserve/WETH/supply_cap"]
