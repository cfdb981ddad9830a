"""An Aave v3 market at one block: reserves, efficiency modes, rates, the risk steward's bounds, positions.

Values in force come from calls at the block; when they last changed comes from the PoolConfigurator's events.
The two are compared: a value that the events do not explain has no date, and is counted. All versions from 3.0
to 3.6 are read; where they differ, the later form is asked for first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oracle_adapters.contract_call import Call
from oracle_adapters.protocol_state.events import Event, LastChange, last_changes
from oracle_adapters.protocol_state.positions import Holding, book_of, received
from oracle_adapters.protocol_state.state import Fact, MarketState, Token, counted, times_of, tokens_of
from oracle_adapters.quality import Check
from oracle_adapters.rpc import Block, Log, Node
from risk.errors import DataError, SettingsError
from risk.market import Book, StepBound, Verdict
from risk.parameters import Key
from risk.protocols.aave_v3 import HUNDRED_PERCENT, TRIPLE, quantity
from risk.protocols.aave_v3_state import (
    RATES,
    RAY,
    ReserveConfiguration,
    bonus_above_par,
    decode_configuration,
    decode_rates,
    decode_steward,
    decode_triple,
    members,
    uses,
)
from risk.settings import Settings
from risk.state_settings import StateSource
from risk.units import Quantity

LAST_REVISION = 10
"""Revision of the pool of version 3.6, the last whose events are known."""
_RESERVE_DATA = (
    "getReserveData(address)(uint256,uint128,uint128,uint128,uint128,uint128,uint40,uint16,"
    "address,address,address,address,uint128,uint128,uint128)"
)
_RATES_IN_RAY = ("OPTIMAL_USAGE_RATIO", "getBaseVariableBorrowRate", "getVariableRateSlope1", "getVariableRateSlope2")
_TRANSFER = Event("Transfer(address indexed,address indexed,uint256)")
_LISTED = Event("ReserveInitialized(address indexed asset,address indexed,address,address,address rate_strategy)")
_EVENTS = (
    _LISTED,
    Event(
        "CollateralConfigurationChanged(address indexed asset,uint256 collateral_factor,"
        "uint256 liquidation_threshold,uint256 liquidation_bonus)"
    ),
    Event("SupplyCapChanged(address indexed asset,uint256,uint256 supply_cap)"),
    Event("BorrowCapChanged(address indexed asset,uint256,uint256 borrow_cap)"),
    Event("DebtCeilingChanged(address indexed asset,uint256,uint256 debt_ceiling)"),
    Event("ReserveFactorChanged(address indexed asset,uint256,uint256 reserve_factor)"),
    Event("LiquidationProtocolFeeChanged(address indexed asset,uint256,uint256 liquidation_protocol_fee)"),
    Event("ReserveInterestRateStrategyChanged(address indexed asset,address,address rate_strategy)"),
    Event("ReserveInterestRateDataChanged(address indexed asset,address indexed,bytes rates)"),
    Event("ReserveActive(address indexed asset,bool active)"),
    Event("ReserveFrozen(address indexed asset,bool frozen)"),
    Event("ReservePaused(address indexed asset,bool paused)"),
    Event("ReserveBorrowing(address indexed asset,bool borrowing)"),
    Event("ReserveStableRateBorrowing(address indexed asset,bool stable_borrowing)"),
    Event("ReserveFlashLoaning(address indexed asset,bool flash_loans)"),
    Event("SiloedBorrowingChanged(address indexed asset,bool,bool siloed_borrowing)"),
    Event("BorrowableInIsolationChanged(address asset,bool borrowable_in_isolation)"),
    Event("EModeAssetCategoryChanged(address indexed asset,uint8,uint8 efficiency_mode)"),
    Event(
        "EModeCategoryAdded(uint8 indexed category,uint256 collateral_factor,uint256 liquidation_threshold,"
        "uint256 liquidation_bonus,address,string)"
    ),
)
_BY_TOPIC = {event.topic: event for event in _EVENTS}
_AT_LISTING: Mapping[str, Any] = {
    **dict.fromkeys((*TRIPLE, "supply_cap", "borrow_cap", "debt_ceiling"), 0),
    **dict.fromkeys(("reserve_factor", "liquidation_protocol_fee", "efficiency_mode"), 0),
    **dict.fromkeys(("frozen", "paused", "borrowing", "stable_borrowing", "flash_loans"), False),
    **dict.fromkeys(("siloed_borrowing", "borrowable_in_isolation"), False),
    "active": True,
}
"""What a reserve holds once it is listed, as events would state it."""


@dataclass(frozen=True, slots=True)
class _Reserve:
    """A reserve that the pool lists; `name` is None where the settings do not declare it."""

    address: str
    name: str | None
    number: int
    configuration: ReserveConfiguration
    receipt: str
    debts: tuple[str, ...]
    strategy: str

    def raw(self, name: str) -> Any:
        """A flag or the mode as events state it."""
        return self.configuration.efficiency_mode if name == "efficiency_mode" else self.configuration.flags[name]


def read_aave_v3(
    market: str, settings: Settings, source: StateSource, node: Node, block: Block, assets: Sequence[str]
) -> MarketState:
    """Read a market.

    Parameters
    ----------
    market, settings, source
        Name of the market, and what is declared of it.
    node, block
        Where to read, and the block at which everything is read.
    assets
        Assets that have a price.

    Raises
    ------
    SettingsError
        When the pool's configurator is not the declared one.
    DataError
        When the contract is no Aave v3 pool.
    SourceError
        When the node cannot be asked, or keeps no state of the block.
    """
    tokens = tokens_of(market, settings)
    revision = _pool_revision(market, settings, source, node, block)
    reserves = _reserves(source, node, block, tokens)
    own = [reserve for reserve in reserves if reserve.name is not None]
    rates, strange = _rates(own, node, block)
    configurator = settings.markets[market].configurator or ""
    history = _history(configurator, source, node, block)
    modes, memberships = _modes(history, reserves, source, node, block)
    bounds, others = _steward(source, node, block)

    parameters: dict[Key, Quantity] = {}
    for reserve in own:
        named = {**reserve.configuration.parameters, **rates.get(reserve.address, {})}
        parameters |= {Key(market, "reserve", str(reserve.name), (), name): value for name, value in named.items()}
    for category, triple in modes.items():
        parameters |= {Key(market, "efficiency_mode", str(category), (), n): value for n, value in triple.items()}

    times = times_of(node, {change.block for change in history.values()})
    changed_at, unexplained = _changed_at(parameters, own, history, times)
    structure = [Fact("market", market, "pool_revision", str(revision)), *memberships]
    structure += [Fact("market", market, f"steward.{name}", f"{bound} in {delay} s") for name, (delay, bound) in others]
    structure += [fact for reserve in own for fact in _facts(reserve, history, times)]
    book, checks = _positions(market, reserves, tokens, source, node, block, assets)
    missing = {asset.symbol or name for name, asset in settings.assets.items() if asset.reserve == market}
    halted = [str(r.name) for r in own if r.raw("frozen") or r.raw("paused") or not r.raw("active")]
    undeclared = [reserve.address for reserve in reserves if reserve.name is None]
    if revision > LAST_REVISION:
        newer = f"the pool's revision is later than {LAST_REVISION}: what it says in another form is not read"
        checks.append(Check("revision", Verdict.SUSPECT, revision, newer))
    checks += counted("undeclared", undeclared, "reserves of the pool that no asset declares, so they are left out")
    checks += counted("absent", sorted(missing - {str(r.name) for r in own}), "declared reserves that the pool lacks")
    checks += counted("halted", halted, "reserves that are frozen, paused or not active")
    checks += counted(
        "rates", strange, "reserves whose rate strategy is of an unknown kind, so their rates are left out"
    )
    checks += counted("history", unexplained, "values that the configurator's events do not explain, so without a date")
    return MarketState(market, block, parameters, changed_at, bounds, tuple(sorted(structure)), book, tuple(checks))


def _pool_revision(market: str, settings: Settings, source: StateSource, node: Node, block: Block) -> int:
    pool = source.contract
    revision, provider = node.calls(
        [Call(pool, "POOL_REVISION()(uint256)"), Call(pool, "ADDRESSES_PROVIDER()(address)")], block.number
    )
    found = node.call(Call(provider.value, "getPoolConfigurator()(address)"), block.number).value
    declared = settings.markets[market].configurator or ""
    if found.lower() != declared.lower():
        raise SettingsError(
            "the pool has another configurator",
            field=f"markets.{market}.configurator",
            value=declared,
            remedy=f"The pool's is {found}: mend one of the two addresses",
        )
    return int(revision.value)


def _reserves(source: StateSource, node: Node, block: Block, tokens: Mapping[str, Token]) -> list[_Reserve]:
    pool = source.contract
    listed = node.call(Call(pool, "getReservesList()(address[])"), block.number).value
    found = []
    for address, result in zip(
        listed, node.calls([Call(pool, _RESERVE_DATA, (one,)) for one in listed], block.number), strict=True
    ):
        word, number, receipt, stable, variable, strategy = (result.values[i] for i in (0, 7, 8, 9, 10, 11))
        token = tokens.get(address.lower())
        name = token.reserve if token is not None else None
        debts = tuple(one.lower() for one in (variable, stable) if int(one, 16))
        configuration = decode_configuration(word, name or address.lower())
        found.append(_Reserve(address.lower(), name, number, configuration, receipt.lower(), debts, strategy.lower()))
    return found


def _rates(reserves: Sequence[_Reserve], node: Node, block: Block) -> tuple[dict[str, dict[str, Quantity]], list[str]]:
    """Rates by reserve, and the reserves whose strategy answers in neither way."""
    later = "getInterestRateDataBps(address)(uint16,uint32,uint32,uint32)"
    rates, strange = {}, []
    answers = node.calls([Call(r.strategy, later, (r.address,)) for r in reserves], block.number)
    for reserve, answer in zip(reserves, answers, strict=True):
        if answer.ok:
            rates[reserve.address] = decode_rates(answer.values, HUNDRED_PERCENT)
            continue
        single = node.calls([Call(reserve.strategy, f"{name}()(uint256)") for name in _RATES_IN_RAY], block.number)
        if all(one.ok for one in single):
            rates[reserve.address] = decode_rates([one.value for one in single], RAY)
        else:
            strange.append(str(reserve.name))
    return rates, strange


def _history(configurator: str, source: StateSource, node: Node, block: Block) -> Mapping[Hashable, LastChange]:
    """Last change of each (kind, subject, parameter or fact), subjects by address or category."""
    logs = node.logs(configurator, [list(_BY_TOPIC)], source.first_block, block.number + 1)
    return last_changes(entry for log in logs for entry in _entries(log))


def _entries(log: Log) -> Iterator[tuple[int, Hashable, Any]]:
    event = _BY_TOPIC[log.topics[0]]
    told = event.read(log)
    kind = "efficiency_mode" if "category" in told else "reserve"
    subject = str(told.pop("category" if "category" in told else "asset")).lower()
    if event is _LISTED:
        told |= _AT_LISTING
    if (data := told.pop("rates", None)) is not None:
        words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, 32 * len(RATES), 32)]
        told |= dict(zip(RATES, words, strict=True))
    for name, value in told.items():
        yield log.block, (kind, subject, name), value.lower() if isinstance(value, str) else value


def _changed_at(
    parameters: Mapping[Key, Quantity],
    reserves: Sequence[_Reserve],
    history: Mapping[Hashable, LastChange],
    times: Mapping[int, int],
) -> tuple[dict[Key, int], list[str]]:
    """Time of the last change by key, and the keys whose value the events do not explain."""
    address_of = {reserve.name: reserve.address for reserve in reserves}
    strategy_of = {reserve.name: reserve.strategy for reserve in reserves}
    changed_at, unexplained = {}, []
    for key, value in parameters.items():
        subject = address_of[key.subject] if key.kind == "reserve" else key.subject
        change = history.get((key.kind, subject, key.parameter))
        explained = change is not None and _as_quantity(key, change.value) == value
        if key.parameter in RATES:
            strategy = history.get(("reserve", subject, "rate_strategy"))
            same = strategy is not None and strategy.value == strategy_of[key.subject]
            if change is None:  # up to version 3.0 another curve is another strategy contract
                change, explained = strategy, same
        if change is not None and explained:
            changed_at[key] = times[change.block]
        else:
            unexplained.append(str(key))
    return changed_at, unexplained


def _as_quantity(key: Key, raw: int) -> Quantity:
    if key.parameter in RATES:
        return decode_rates([raw] * len(RATES), HUNDRED_PERCENT)[key.parameter]
    value = bonus_above_par(raw, str(key)) if key.parameter == "liquidation_bonus" else raw
    return quantity(key.parameter, value, key.subject)


def _modes(
    history: Mapping[Hashable, LastChange], reserves: Sequence[_Reserve], source: StateSource, node: Node, block: Block
) -> tuple[dict[int, dict[str, Quantity]], list[Fact]]:
    """Factor, threshold and bonus by category, and the facts of each: its label and its members."""
    pool, modes, facts = source.contract, {}, []
    categories = sorted({int(thing[1]) for thing in history if isinstance(thing, tuple) and thing[0] != "reserve"})
    name_of = {reserve.number: reserve.name or reserve.address for reserve in reserves}
    for category in categories:
        views = (
            "getEModeCategoryCollateralConfig(uint8)(uint16,uint16,uint16)",
            "getEModeCategoryLabel(uint8)(string)",
            "getEModeCategoryCollateralBitmap(uint8)(uint128)",
            "getEModeCategoryBorrowableBitmap(uint8)(uint128)",
        )
        later = node.calls([Call(pool, view, (category,)) for view in views], block.number)
        if later[0].ok:
            triple, label = later[0].values, later[1].value
            parts = {"collateral": members(later[2].value), "borrowable": members(later[3].value)}
        else:
            view = "getEModeCategoryData(uint8)((uint16,uint16,uint16,address,string))"
            *triple, _, label = node.call(Call(pool, view, (category,)), block.number).value
            inside = [r.number for r in reserves if r.configuration.efficiency_mode == category]
            parts = {"collateral": inside, "borrowable": inside}
        modes[category] = decode_triple(triple, str(category))
        facts.append(Fact("efficiency_mode", str(category), "label", label))
        for part, numbers in parts.items():
            names = sorted(name_of.get(number, f"reserve {number}") for number in numbers)
            facts.append(Fact("efficiency_mode", str(category), part, " ".join(names)))
    return modes, facts


def _steward(
    source: StateSource, node: Node, block: Block
) -> tuple[dict[str, StepBound], list[tuple[str, tuple[int, int]]]]:
    if source.steward is None:
        return {}, []
    answer = node.call(Call(source.steward, "getRiskConfig()(uint256)"), block.number)
    if not answer.ok:
        raise DataError(
            f"the risk steward has no bounds: {answer.reason or 'getRiskConfig reverts'}",
            file=f"contract {source.steward}",
            remedy="Check the steward's address, or declare [bounds] in the settings instead",
        )
    words = [int.from_bytes(answer.data[at : at + 32], "big") for at in range(0, len(answer.data), 32)]
    bounds, others = decode_steward(words)
    return bounds, sorted(others.items())


def _facts(reserve: _Reserve, history: Mapping[Hashable, LastChange], times: Mapping[int, int]) -> Iterator[Fact]:
    held: dict[str, Any] = {**reserve.configuration.flags, "rate_strategy": reserve.strategy}
    held["efficiency_mode"] = reserve.configuration.efficiency_mode
    for name, value in held.items():
        change = history.get(("reserve", reserve.address, name))
        since = times[change.block] if change is not None and change.value == value else 0
        text = str(value).lower()
        yield Fact("reserve", str(reserve.name), name, text, since)


def _positions(
    market: str,
    reserves: Sequence[_Reserve],
    tokens: Mapping[str, Token],
    source: StateSource,
    node: Node,
    block: Block,
    assets: Sequence[str],
) -> tuple[Book | None, list[Check]]:
    """Who ever received a receipt or debt token, and what of it counts as collateral or debt now."""
    if not source.positions or not reserves:
        return None, []
    issued = {reserve.receipt: (reserve, False) for reserve in reserves}
    issued |= {debt: (reserve, True) for reserve in reserves for debt in reserve.debts}
    logs = node.logs(sorted(issued), [_TRANSFER.topic], source.first_block, block.number + 1)
    pairs = sorted(received(logs, receiver=2))
    accounts = sorted({account for _, account in pairs})
    pool = source.contract
    bitmaps = node.calls([Call(pool, "getUserConfiguration(address)(uint256)", (a,)) for a in accounts], block.number)
    used = {account: bitmap.value for account, bitmap in zip(accounts, bitmaps, strict=True) if bitmap.value}
    asked = [
        (issued[token], account, token)
        for token, account in pairs
        if account in used and uses(used[account], issued[token][0].number)[0 if issued[token][1] else 1]
    ]
    balances = node.calls([Call(token, "balanceOf(address)(uint256)", (who,)) for _, who, token in asked], block.number)
    holdings = [
        Holding(account, reserve.address, balance.value, reserve.configuration.decimals, owed)
        for ((reserve, owed), account, _), balance in zip(asked, balances, strict=True)
    ]
    book, checks = book_of(market, holdings, tokens, assets, len(accounts))
    entered = node.calls([Call(pool, "getUserEMode(address)(uint256)", (a,)) for a in used], block.number)
    inside = {f"{market}/{a}": f"{market}/{mode.value}" for a, mode in zip(used, entered, strict=True) if mode.value}
    if book is None or not inside.keys() & set(book.accounts):
        return book, checks
    modes = tuple(inside.get(account, "") for account in book.accounts)
    said = "accounts in an efficiency mode, whose threshold and bonus then count"
    checks.append(Check("efficiency_mode", Verdict.GOOD, sum(map(bool, modes)), said))
    return replace(book, modes=modes), checks
