"""A Compound III market (one Comet) at one block: collateral assets, rates, pause flags, positions.

Everything that governance sets is a constant of the implementation behind the proxy, so it changes only when the
proxy is upgraded: what the Configurator's events announce is not in force before. Hence the last change of a
value is found by reading it at each upgrade, and no version of the Configurator needs to be known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from oracle_adapters.contract_call import Call
from oracle_adapters.protocol_state.events import Event, last_changes
from oracle_adapters.protocol_state.positions import Holding, address_of, book_of, received
from oracle_adapters.protocol_state.state import Fact, MarketState, Token, counted, times_of, tokens_of
from oracle_adapters.quality import Check
from oracle_adapters.rpc import Block, Node
from risk.errors import DataError
from risk.market import Book
from risk.parameters import Key
from risk.protocols.compound_v3_state import (
    ASSET_INFO,
    MARKET,
    PAUSES,
    RATES,
    AssetInfo,
    decode_asset,
    fraction,
    per_year,
)
from risk.seizure.absorption import BASE, STORE_FRONT
from risk.settings import Settings
from risk.state_settings import StateSource
from risk.units import Quantity, Ratio

_UPGRADED = Event("Upgraded(address indexed)")
_PAUSED = Event("PauseAction(bool,bool,bool,bool,bool)")
_SUPPLIED = Event("SupplyCollateral(address indexed,address indexed,address indexed,uint256)")
_MOVED = Event("TransferCollateral(address indexed,address indexed,address indexed,uint256)")


def read_compound_v3(
    market: str, settings: Settings, source: StateSource, node: Node, block: Block, assets: Sequence[str]
) -> MarketState:
    """Read a market; arguments and errors as of `read_aave_v3`.

    The base asset's rates stand among the facts: Comet keeps them a second and floored, so that no yearly
    number lies on a grid; its store front price factor is a parameter of the base asset. A collateral asset with a
    cap of zero has no supply cap here (elsewhere zero means that there is none), and is counted.
    """
    tokens = tokens_of(market, settings)
    names = {asset.token.lower(): asset.symbol or name for name, asset in settings.assets.items() if asset.token}
    comet, number = source.contract, block.number
    infos = _assets(comet, tokens, node, number)
    own = {address: info for address, info in infos.items() if _reserve(tokens, address) is not None}
    parameters = _parameters(market, own, tokens)
    base, base_decimals = (
        result.value
        for result in node.calls([Call(comet, "baseToken()(address)"), Call(comet, "decimals()(uint8)")], number)
    )
    front = _store_front(market, comet, names.get(base.lower()), node, number)
    parameters |= front
    changed_at = _changed_at(market, parameters, names.get(base.lower()), tokens, source, node, block)
    structure = _facts(market, comet, base, own, tokens, node, source, block)
    book, checks = _positions(market, base.lower(), base_decimals, infos, tokens, source, node, block, assets)
    declared = {asset.symbol or name for name, asset in settings.assets.items() if asset.reserve == market}
    known = {str(_reserve(tokens, address)) for address in (*own, base.lower())}
    closed = [str(_reserve(tokens, address)) for address, info in own.items() if info.closed]
    paused = [fact.fact for fact in structure if fact.kind == "market" and fact.value == "true"]
    checks += counted(
        "undeclared", sorted(set(infos) - set(own)), "collateral that no asset declares, so it is left out"
    )
    checks += counted("absent", sorted(declared - known), "declared reserves that the Comet lacks")
    checks += counted("closed", closed, "collateral with a cap of zero, so that no more of it can be supplied")
    checks += counted("halted", paused, "actions that are paused")
    if not front:
        checks += counted("base", [base.lower()], "a base token that no asset declares: no store front price factor")
    undated = [str(key) for key in parameters if key not in changed_at]
    checks += counted("history", undated, "values that no upgrade since the first block explains, so without a date")
    return MarketState(market, block, parameters, changed_at, {}, tuple(sorted(structure)), book, tuple(checks))


def _reserve(tokens: Mapping[str, Token], address: str) -> str | None:
    return tokens[address].reserve if address in tokens else None


def _assets(comet: str, tokens: Mapping[str, Token], node: Node, number: int) -> dict[str, AssetInfo]:
    """Collateral assets by address.

    Raises
    ------
    DataError
        When the contract is no Comet.
    """
    count = node.call(Call(comet, "numAssets()(uint8)"), number).value
    answers = node.calls([Call(comet, f"getAssetInfo(uint8)({ASSET_INFO})", (i,)) for i in range(count)], number)
    found = {}
    for answer in answers:
        address = str(answer.value[1]).lower()
        found[address] = decode_asset(answer.value, _reserve(tokens, address) or address)
    return found


def _parameters(market: str, infos: Mapping[str, AssetInfo], tokens: Mapping[str, Token]) -> dict[Key, Quantity]:
    return {
        Key(market, "reserve", str(_reserve(tokens, address)), (), name): value
        for address, info in infos.items()
        for name, value in info.parameters.items()
    }


def _store_front(market: str, comet: str, base: str | None, node: Node, number: int) -> dict[Key, Quantity]:
    """What the market has beside its collateral: the store front's share of the penalty, under the base asset."""
    raw = node.call(Call(comet, "storeFrontPriceFactor()(uint256)"), number).value
    return {} if base is None else {Key(market, BASE, base, (), STORE_FRONT): Ratio(fraction(raw))}


def _changed_at(
    market: str,
    parameters: Mapping[Key, Quantity],
    base: str | None,
    tokens: Mapping[str, Token],
    source: StateSource,
    node: Node,
    block: Block,
) -> dict[Key, int]:
    """Time of the upgrade since which each value stands.

    Within one block the last upgrade counts. What is not there at an upgrade and comes back later has changed.
    """
    logs = node.logs(source.contract, [_UPGRADED.topic], source.first_block, block.number + 1)
    upgrades = sorted({log.block for log in logs})
    entries = []
    for number in upgrades:
        if not node.call(Call(source.contract, "numAssets()(uint8)"), number).ok:
            continue  # a proxy whose first implementation is not Comet's holds no parameters yet
        infos = _assets(source.contract, tokens, node, number)
        then = _parameters(market, {a: i for a, i in infos.items() if _reserve(tokens, a) is not None}, tokens)
        then |= _store_front(market, source.contract, base, node, number)
        entries += [(number, key, then.get(key)) for key in parameters]
    last = last_changes(entries)
    times = times_of(node, {change.block for change in last.values()})
    return {
        key: times[last[key].block] for key, value in parameters.items() if key in last and last[key].value == value
    }


def _facts(
    market: str,
    comet: str,
    base: str,
    infos: Mapping[str, AssetInfo],
    tokens: Mapping[str, Token],
    node: Node,
    source: StateSource,
    block: Block,
) -> list[Fact]:
    """Flags with their last change, the rate curve, and what else holds for the whole market."""

    def read(views: Sequence[str], kind: str) -> list[int]:
        answers = node.calls([Call(comet, f"{view}()({kind})") for view in views], block.number)
        return [answer.value for answer in answers]

    pauses = list(node.logs(comet, [_PAUSED.topic], source.first_block, block.number + 1))
    since = last_changes(
        (log.block, view, bool(log.data[32 * place + 31])) for log in pauses for place, view in enumerate(PAUSES)
    )
    times = times_of(node, {change.block for change in since.values()})
    facts = [Fact("market", market, "base_token", base.lower())]
    for view, paused in zip(PAUSES, read(PAUSES, "bool"), strict=True):
        name = view.removeprefix("is").replace("Paused", "_paused").lower()
        change = since.get(view)
        at = times[change.block] if change is not None and change.value == paused else 0
        facts.append(Fact("market", market, name, str(bool(paused)).lower(), at))
    for name, raw in zip(RATES, read(tuple(RATES.values()), "uint256"), strict=True):
        value = fraction(raw) if name.endswith("kink") else per_year(raw)
        facts.append(Fact("market", market, name, _plain(value)))
    front, minimum, reserves = read(tuple(MARKET.values()), "uint256")
    facts.append(Fact("market", market, "store_front_price_factor", _plain(fraction(front))))
    facts += [
        Fact("market", market, name, f"{raw} base units")
        for name, raw in zip(tuple(MARKET)[1:], (minimum, reserves), strict=True)
    ]
    for address, info in infos.items():
        name = str(_reserve(tokens, address))
        facts.append(Fact("reserve", name, "price_feed", info.price_feed))
        facts.append(Fact("reserve", name, "closed", str(info.closed).lower()))
    return facts


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _positions(
    market: str,
    base: str,
    base_decimals: int,
    infos: Mapping[str, AssetInfo],
    tokens: Mapping[str, Token],
    source: StateSource,
    node: Node,
    block: Block,
    assets: Sequence[str],
) -> tuple[Book | None, list[Check]]:
    """Who ever received collateral, what of it is left, and the debt against it; lenders hold no collateral."""
    if not source.positions:
        return None, []
    span = source.first_block, block.number + 1
    logs = list(node.logs(source.contract, [[_SUPPLIED.topic, _MOVED.topic]], *span))
    accounts = sorted({account for _, account in received(logs, receiver=2)})
    pairs = sorted({(address_of(log.topics[2]), address_of(log.topics[3])) for log in logs})
    if unknown := {asset for _, asset in pairs} - set(infos):
        raise DataError(
            "an account was given collateral that the Comet does not list",
            file=f"contract {source.contract}",
            value=sorted(unknown)[0],
            remedy="Check the Comet's address",
        )
    comet, number = source.contract, block.number
    view = "userCollateral(address,address)(uint128,uint128)"
    left = node.calls([Call(comet, view, pair) for pair in pairs], number)
    owed = node.calls([Call(comet, "borrowBalanceOf(address)(uint256)", (who,)) for who in accounts], number)
    holdings = [
        Holding(who, asset, result.values[0], infos[asset].decimals, owed=False)
        for (who, asset), result in zip(pairs, left, strict=True)
    ]
    holdings += [
        Holding(who, base, result.value, base_decimals, owed=True) for who, result in zip(accounts, owed, strict=True)
    ]
    return book_of(market, holdings, tokens, assets, len(accounts))
