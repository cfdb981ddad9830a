"""Compound III (Comet): the parameters of a market through its Configurator, and the upgrade that puts them in force.

The Configurator checks nothing and nothing it is told is in force: the last call deploys a new implementation from what
it holds and upgrades the proxy to it, and it is that implementation's constructor that reverts on what it does not
accept. Factors are scaled by 1e18 and kept with four decimals, a cap is in the asset's base units and kept in whole
tokens; both are floored, so that a value off the grid would be another one than was voted on. Sources: Configurator.sol
(the setters), CometProxyAdmin.sol (deployAndUpgradeTo), AssetList.sol (getPackedAssetInternal) and
CometWithExtendedAssetList.sol (constructor, quoteCollateral) of compound-finance/comet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from risk.errors import InputError, RefusalError
from risk.outcome import Finding, Severity
from risk.parameters import Change, Key, Malformed, ParameterSet, Value
from risk.protocols.calldata import Function, checksummed
from risk.protocols.codec import Call, refuse_shared_tokens
from risk.protocols.compound_v3_state import FACTOR_SCALE, FACTORS, fraction
from risk.seizure.absorption import BASE, STORE_FRONT
from risk.units import GRIDS, Quantity, Ratio, TokenAmount

CAP_MAXIMUM = 2**64 - 1
"""Most whole tokens of a cap: AssetList packs it in 64 bits, and cuts off what is more."""
CAP_UNITS_MAXIMUM = 2**128 - 1
"""Most base units of a cap: AssetConfig.supplyCap is a uint128."""
UPGRADE = Function("deployAndUpgradeTo", (("configuratorProxy", "address"), ("cometProxy", "address")))
_COMET = ("cometProxy", "address")
SETTERS: Mapping[str, Function] = MappingProxyType(
    {
        name: Function(function, (_COMET, ("asset", "address"), (argument, kind)))
        for name, function, argument, kind in (
            ("collateral_factor", "updateAssetBorrowCollateralFactor", "newBorrowCF", "uint64"),
            ("liquidation_threshold", "updateAssetLiquidateCollateralFactor", "newLiquidateCF", "uint64"),
            ("liquidation_factor", "updateAssetLiquidationFactor", "newLiquidationFactor", "uint64"),
            ("supply_cap", "updateAssetSupplyCap", "newSupplyCap", "uint128"),
        )
    }
    | {STORE_FRONT: Function("setStoreFrontPriceFactor", (_COMET, ("newStoreFrontPriceFactor", "uint64")))}
)
"""Function that sets each parameter."""


@dataclass(frozen=True, slots=True)
class CompoundV3:
    """Codec of one Comet.

    Attributes
    ----------
    market
        Name of the market in keys.
    comet, configurator, proxy_admin
        Addresses of the Comet's proxy, of the Configurator's, and of the CometProxyAdmin.
    base
        Name of its base asset in keys.
    tokens, decimals
        Address and decimals of each collateral asset, by the reserve's symbol.
    """

    market: str
    comet: str
    configurator: str
    proxy_admin: str
    base: str
    tokens: Mapping[str, str]
    decimals: Mapping[str, int]

    def __post_init__(self) -> None:
        refuse_shared_tokens(self.market, self.tokens)

    def encode(self, changes: Sequence[Change], base: ParameterSet) -> tuple[Call, ...]:
        """A call a change, those that tighten first, and the upgrade that puts them in force; none for no change.

        Raises
        ------
        RefusalError
            When a value is not on the contract's grid, or the new implementation would revert.
        """
        for change in changes:
            if change.key.market != self.market or self._kind(change.key.parameter) != change.key.kind:
                raise RefusalError(f"{self.market} has no function that sets it", field=str(change.key))
            if change.after is None:
                raise RefusalError("it cannot be taken away on chain", field=str(change.key), remedy="Set a value")
        head = base.replace({c.key: c.after for c in changes if c.after is not None})
        self._check({change.key for change in changes}, head)
        ordered = sorted(changes, key=lambda change: (change.tightening < 0, change.key))
        calls = [self._setter(change.key, head) for change in ordered]
        return (*calls, self._upgrade()) if calls else ()

    def decode(self, calls: Sequence[Call]) -> dict[Key, Quantity]:
        """The quantities that the calls' data set, by key; only `to` and `data` are read.

        Raises
        ------
        InputError
            When a call goes to another contract or Comet, has an unknown function or token, or data that its function
            would not have, and when the last one is not the upgrade without which nothing is in force.
        """
        if not calls:
            return {}
        *setters, last = calls
        self._decode_upgrade(last)
        values: dict[Key, Quantity] = {}
        for call in setters:
            key, value = self._decoded(call)
            values[key] = value
        return values

    def rules(self, parameters: ParameterSet) -> list[Finding]:
        """What the new implementation would say of the set.

        =======  =====================================================================================
        CM001    a value that the contract would floor, cut off or not hold
        CM002    borrowCollateralFactor < liquidateCollateralFactor
        CM003    a factor above 100 %: the constructor reverts, or every sale of the collateral does
        CM004    liquidateCollateralFactor < liquidationFactor: later implementations revert (warning)
        CM005    a cap of zero: the asset is closed to new supply, not free of a cap (warning)
        =======  =====================================================================================
        """
        found: list[Finding] = []
        for key, value in parameters.values.items():
            if key.market != self.market or self._kind(key.parameter) != key.kind:
                continue
            if (reason := self._unfit(key, value)) is not None:
                found.append(_finding("CM001", key, parameters, reason))
            elif isinstance(value, Ratio) and value.value > 1:
                found.append(_finding("CM003", key, parameters, "the contract reverts on a factor above 100 %"))
            elif key.parameter == "supply_cap" and not isinstance(value, Malformed) and value.value == 0:
                message = "a Comet closes an asset whose cap is zero; it does not read it as no cap"
                found.append(_finding("CM005", key, parameters, message, Severity.WARNING))
        for key in parameters.values:
            if (key.market, key.kind, key.parameter) == (self.market, "reserve", "liquidation_threshold"):
                found += _pairs(key, parameters)
        return found

    def _check(self, changed: set[Key], head: ParameterSet) -> None:
        """Refuse what the upgrade would revert on, in the subjects that change."""
        subjects = {(key.kind, key.subject) for key in changed}
        own = {k: v for k, v in head.values.items() if k.market == self.market and (k.kind, k.subject) in subjects}
        for key in sorted(changed):
            partner = {"collateral_factor": "liquidation_threshold", "liquidation_threshold": "collateral_factor"}
            other = partner.get(key.parameter)
            if other is not None and key.sibling(other) not in own:
                raise RefusalError(
                    "the contract compares it with what changes, and its value is not known",
                    field=str(key.sibling(other)),
                    remedy="Give its value in the parameters in force",
                )
        for finding in self.rules(ParameterSet(own)):
            if finding.severity is Severity.ERROR:
                raise RefusalError(
                    f"{finding.message} ({finding.code})",
                    field=finding.key,
                    value=finding.head,
                    remedy="Choose a value that the contract accepts",
                )

    def _setter(self, key: Key, head: ParameterSet) -> Call:
        value, function, place = head.values[key], SETTERS[key.parameter], f"markets.{self.market}"
        asset = () if key.kind == BASE else (self._token(key.subject),)
        values: tuple[int | str, ...] = (checksummed(self.comet, f"{place}.comet"), *asset, self._raw(key, value))
        to = checksummed(self.configurator, f"{place}.configurator")
        names = (name for name, _ in function.arguments)
        arguments = MappingProxyType(dict(zip(names, values, strict=True)))
        return Call(to, 0, function.name, function.signature, arguments, function.encode(values), (key,))

    def _upgrade(self) -> Call:
        place = f"markets.{self.market}"
        to = checksummed(self.proxy_admin, f"{place}.proxy_admin")
        values = checksummed(self.configurator, f"{place}.configurator"), checksummed(self.comet, f"{place}.comet")
        names = (name for name, _ in UPGRADE.arguments)
        arguments = MappingProxyType(dict(zip(names, values, strict=True)))
        return Call(to, 0, UPGRADE.name, UPGRADE.signature, arguments, UPGRADE.encode(values), ())

    def _decode_upgrade(self, call: Call) -> None:
        if call.to.lower() != self.proxy_admin.lower() or call.data[:10].lower() != UPGRADE.selector:
            raise self._refused("the last call is not the upgrade that puts the others in force", call.to)
        configurator, comet = UPGRADE.decode(call.data)
        if (configurator, comet) != (self.configurator.lower(), self.comet.lower()):
            raise self._refused("the upgrade is of another Comet, or from another Configurator", comet)

    def _decoded(self, call: Call) -> tuple[Key, Quantity]:
        if call.to.lower() != self.configurator.lower():
            raise self._refused("the call goes to another contract", call.to)
        selector = call.data[:10].lower()
        parameter = next((name for name, f in SETTERS.items() if f.selector == selector), None)
        if parameter is None:
            raise self._refused("the call's function is not known", call.data[:10])
        comet, *asset, number = SETTERS[parameter].decode(call.data)
        if comet != self.comet.lower():
            raise self._refused("the call is about another Comet", comet)
        subject = self.base
        if asset:
            found = next((s for s, token in sorted(self.tokens.items()) if token.lower() == asset[0]), None)
            if found is None:
                raise self._refused("no reserve has this token", asset[0])
            subject = found
        key = Key(self.market, "reserve" if asset else BASE, subject, (), parameter)
        value: Quantity = Ratio(fraction(number))
        if parameter == "supply_cap":
            value = TokenAmount(Decimal(f"{number}E-{self.decimals[subject]}"), subject)
        if (reason := self._unfit(key, value)) is not None:
            raise self._refused(f"{key}: {reason}", number)
        return key, value

    def _refused(self, message: str, value: object) -> InputError:
        return InputError(message, field=f"calls to {self.market}", value=value, remedy="Check the calldata")

    def _kind(self, parameter: str) -> str | None:
        """Kind of the subject that has a parameter which can be set."""
        if parameter not in SETTERS:
            return None
        return BASE if parameter == STORE_FRONT else "reserve"

    def _unfit(self, key: Key, value: Value) -> str | None:
        """Why the contract would not hold the value as it is, or None."""
        if isinstance(value, Malformed):
            return f"not a quantity: {value.reason}"
        if value.dimension is not key.spec.dimension:
            return f"a {key.spec.dimension} is expected"
        if isinstance(value, TokenAmount) and value.symbol != key.subject:
            return f"an amount of {value.symbol}, not of {key.subject}"
        if not GRIDS["compound_v3"].holds(value) or value.value < 0:
            step = GRIDS["compound_v3"].step(value.dimension)
            return f"no whole multiple of {step} from zero on: the contract would hold another value"
        most = min(CAP_MAXIMUM, CAP_UNITS_MAXIMUM // 10 ** self.decimals.get(key.subject, 0))
        too_much = isinstance(value, TokenAmount) and value.value > most
        return f"above {most} tokens: the contract would cut it off" if too_much else None

    def _raw(self, key: Key, value: Value) -> int:
        """The contract's integer; exact, because the grid was asserted."""
        scale = 10 ** self.decimals[key.subject] if isinstance(value, TokenAmount) else FACTOR_SCALE
        whole = 0 if isinstance(value, Malformed) else value.value
        return int(whole * scale)

    def _token(self, subject: str) -> str:
        """Checksummed address of a collateral's token."""
        if subject not in self.tokens:
            raise RefusalError(
                "the token's address is not known",
                field=f"{self.market}/reserve/{subject}",
                remedy="Give the asset its token in the settings",
            )
        return checksummed(self.tokens[subject], f"{self.market}/reserve/{subject}")


def _pairs(key: Key, parameters: ParameterSet) -> Iterator[Finding]:
    """What holds between the factors of one asset."""
    factor, threshold, penalty = (parameters.get(key.sibling(name)) for name in FACTORS)
    if threshold is None:
        return
    if factor is not None and factor.value >= threshold.value:
        message = "the contract reverts unless the borrow collateral factor is below the liquidate collateral factor"
        yield _finding("CM002", key.sibling(FACTORS[0]), parameters, message)
    if penalty is not None and threshold.value >= penalty.value:
        message = "later implementations revert unless the liquidation factor is above it"
        yield _finding("CM004", key, parameters, message, Severity.WARNING)


def _finding(
    code: str, key: Key, parameters: ParameterSet, message: str, severity: Severity = Severity.ERROR
) -> Finding:
    value = parameters.values.get(key)
    text = None if value is None else str(value)
    return Finding(code, str(key), severity, message, head=text, line=parameters.lines.get(key))
