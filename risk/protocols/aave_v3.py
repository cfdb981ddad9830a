"""Aave v3: the parameters of a reserve through the PoolConfigurator.

Ratios are basis points, a liquidation bonus is stored as 100 % plus the bonus, caps are whole tokens, a debt
ceiling is in cents, and zero means no cap and no ceiling. Sources: PoolConfigurator.sol
(configureReserveAsCollateral, setSupplyCap and its siblings), ReserveConfiguration.sol (bit widths) and
PercentageMath.sol (percentMul) of aave-v3-core 1.19.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from risk.errors import InputError, RefusalError
from risk.outcome import Finding, Severity
from risk.parameters import SPECS, Change, Key, Malformed, ParameterSet, Value
from risk.protocols.calldata import Function, checksummed
from risk.protocols.codec import Call, refuse_shared_tokens
from risk.units import GRIDS, Dimension, Quantity, Ratio, TokenAmount, Usd

HUNDRED_PERCENT = 10_000
"""PercentageMath.PERCENTAGE_FACTOR."""
CAP_MAXIMUM = 2**36 - 1
"""ReserveConfiguration.MAX_VALID_SUPPLY_CAP."""
RATIO_MAXIMUM = 2**16 - 1
"""ReserveConfiguration.MAX_VALID_LTV and its siblings: 16 bits each."""
CENTS = 100
"""Units of a debt ceiling a dollar: ReserveConfiguration.DEBT_CEILING_DECIMALS is 2."""
CEILING_MAXIMUM = 2**40 - 1
"""ReserveConfiguration.MAX_VALID_DEBT_CEILING."""
TRIPLE = ("collateral_factor", "liquidation_threshold", "liquidation_bonus")
CONFIGURE_COLLATERAL = Function(
    "configureReserveAsCollateral",
    (("asset", "address"), ("ltv", "uint256"), ("liquidationThreshold", "uint256"), ("liquidationBonus", "uint256")),
)


def _setter(name: str, argument: str) -> Function:
    return Function(name, (("asset", "address"), (argument, "uint256")))


SETTERS: Mapping[str, Function] = MappingProxyType(
    {
        "supply_cap": _setter("setSupplyCap", "newSupplyCap"),
        "borrow_cap": _setter("setBorrowCap", "newBorrowCap"),
        "debt_ceiling": _setter("setDebtCeiling", "newDebtCeiling"),
        "reserve_factor": _setter("setReserveFactor", "newReserveFactor"),
        "liquidation_protocol_fee": _setter("setLiquidationProtocolFee", "newFee"),
    }
)
"""Function that sets one parameter on its own; the triple goes through `CONFIGURE_COLLATERAL`."""
MAXIMUM: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(TRIPLE, RATIO_MAXIMUM),
        "liquidation_bonus": RATIO_MAXIMUM - HUNDRED_PERCENT,
        "supply_cap": CAP_MAXIMUM,
        "borrow_cap": CAP_MAXIMUM,
        "debt_ceiling": CEILING_MAXIMUM,
        "reserve_factor": HUNDRED_PERCENT,
        "liquidation_protocol_fee": HUNDRED_PERCENT,
    }
)
"""Largest raw value that the contract holds or accepts, by parameter."""
_UNLIMITED = ("supply_cap", "borrow_cap", "debt_ceiling")
_SCALE = {Dimension.RATIO: HUNDRED_PERCENT, Dimension.TOKEN: 1, Dimension.USD: CENTS}


def percent_mul(value: int, percentage: int) -> int:
    """``PercentageMath.percentMul``: value × percentage in basis points, rounded half up.

    So 9,524 × 10,500 gives 10,000 and passes a limit of 100 %, and 9,525 × 10,500 gives 10,001.
    """
    return (value * percentage + HUNDRED_PERCENT // 2) // HUNDRED_PERCENT


@dataclass(frozen=True, slots=True)
class AaveV3:
    """Codec of one Aave v3 market.

    Attributes
    ----------
    market
        Name of the market in keys.
    configurator
        Address of its PoolConfigurator.
    tokens
        Address of each reserve's token, by the reserve's symbol.
    """

    market: str
    configurator: str
    tokens: Mapping[str, str]

    def __post_init__(self) -> None:
        refuse_shared_tokens(self.market, self.tokens)

    def encode(self, changes: Sequence[Change], base: ParameterSet) -> tuple[Call, ...]:
        """Calls that make the changes, those that tighten first.

        The contract takes factor, threshold and bonus at once, so they share a call, in which what does not
        change is restated from `base`.

        Raises
        ------
        RefusalError
            When a value is missing, is not on the contract's grid, or would make the contract revert.
        """
        for change in changes:
            known = change.key.parameter in MAXIMUM and change.key.kind == "reserve"
            if change.key.market != self.market or not known:
                raise RefusalError(f"{self.market} has no function that sets it", field=str(change.key))
            if change.after is None:
                raise RefusalError("it cannot be taken away on chain", field=str(change.key), remedy="Set a value")
        head = ParameterSet({**base.values, **{c.key: c.after for c in changes if c.after is not None}})
        calls = []
        for (subject, parameter), group in _grouped(changes):
            call = self._collateral(subject, head) if parameter in TRIPLE else self._single(subject, parameter, head)
            calls.append((any(change.tightening < 0 for change in group), call))
        return tuple(call for _, call in sorted(calls, key=lambda ranked: ranked[0]))

    def decode(self, calls: Sequence[Call]) -> dict[Key, Quantity]:
        """The quantities that the calls' data set, by key; only `to` and `data` are read.

        Raises
        ------
        InputError
            When a call goes to another contract, has an unknown function or token, or data that its
            function would not have.
        """
        values: dict[Key, Quantity] = {}
        for call in calls:
            values |= self._decoded(call)
        return values

    def rules(self, parameters: ParameterSet) -> list[Finding]:
        """What the PoolConfigurator would say of the set.

        ======  =====================================================================================
        A001    a value that the contract's integer cannot hold exactly
        A002    ltv <= liquidationThreshold
        A003    a threshold above zero: bonus above zero and percentMul(threshold, 100 % + bonus) <= 100 %
        A004    a threshold of zero: no bonus; and no suppliers, which only the chain can tell (warning)
        A005    a cap or ceiling of zero: the contract accepts it and reads it as "none" (warning)
        ======  =====================================================================================
        """
        found: list[Finding] = []
        subjects = sorted({k.subject for k in parameters.values if (k.market, k.kind) == (self.market, "reserve")})
        for subject in subjects:
            keys = [self._key(subject, name) for name in MAXIMUM]
            present = {key: value for key in keys if (value := parameters.values.get(key)) is not None}
            unfit = [
                self._finding("A001", key, parameters, reason)
                for key, value in present.items()
                if (reason := _unfit(key, value)) is not None
            ]
            found += unfit
            raw = {key.parameter: _raw(value) for key, value in present.items()} if not unfit else {}
            if raw.keys() >= set(TRIPLE):
                found += self._collateral_rules(subject, raw, parameters)
            for name in _UNLIMITED:
                if raw.get(name) == 0:
                    what = "ceiling" if name == "debt_ceiling" else "cap"
                    message = f"the contract reads a {what} of zero as no {what}"
                    found.append(self._finding("A005", self._key(subject, name), parameters, message, Severity.WARNING))
        return found

    def _collateral_rules(self, subject: str, raw: Mapping[str, int], parameters: ParameterSet) -> Iterator[Finding]:
        factor, threshold, bonus = (raw[name] for name in TRIPLE)
        factor_key, threshold_key, bonus_key = (self._key(subject, name) for name in TRIPLE)
        if factor > threshold:
            message = "the contract reverts when the factor is above the threshold"
            yield self._finding("A002", factor_key, parameters, message)
        if threshold == 0:
            if bonus != 0:
                message = "with a threshold of zero the contract accepts no bonus"
                yield self._finding("A004", bonus_key, parameters, message)
            message = "the contract accepts a threshold of zero only while the reserve has no suppliers"
            yield self._finding("A004", threshold_key, parameters, message, Severity.WARNING)
        elif bonus == 0:
            message = "with a threshold above zero the contract wants a bonus above zero"
            yield self._finding("A003", bonus_key, parameters, message)
        elif percent_mul(threshold, HUNDRED_PERCENT + bonus) > HUNDRED_PERCENT:
            message = "the contract reverts when threshold × (1 + bonus) is above 100 %"
            yield self._finding("A003", threshold_key, parameters, message)

    def _finding(
        self, code: str, key: Key, parameters: ParameterSet, message: str, severity: Severity = Severity.ERROR
    ) -> Finding:
        value = parameters.values.get(key)
        text = None if value is None else str(value)
        return Finding(code, str(key), severity, message, head=text, line=parameters.lines.get(key))

    def _collateral(self, subject: str, head: ParameterSet) -> Call:
        keys = tuple(self._key(subject, name) for name in TRIPLE)
        factor, threshold, bonus = self._checked(keys, head)
        stored_bonus = bonus + HUNDRED_PERCENT if threshold else bonus
        return self._call(CONFIGURE_COLLATERAL, (self._token(subject), factor, threshold, stored_bonus), keys)

    def _single(self, subject: str, parameter: str, head: ParameterSet) -> Call:
        key = self._key(subject, parameter)
        return self._call(SETTERS[parameter], (self._token(subject), *self._checked((key,), head)), (key,))

    def _checked(self, keys: Sequence[Key], head: ParameterSet) -> list[int]:
        """Raw values of the keys.

        Raises
        ------
        RefusalError
            When one is missing or the chain's rules do not hold.
        """
        for key in keys:
            if key not in head.values:
                raise RefusalError(
                    "the contract sets it together with what changes, and its value is not known",
                    field=str(key),
                    remedy="Give its value in the parameters in force",
                )
        own = ParameterSet({key: head.values[key] for key in keys})
        broken = [finding for finding in self.rules(own) if finding.severity is Severity.ERROR]
        if broken:
            raise RefusalError(
                f"{broken[0].message} ({broken[0].code})",
                field=broken[0].key,
                value=broken[0].head,
                remedy="Choose a value that the contract accepts",
            )
        return [_raw(head.values[key]) for key in keys]

    def _call(self, function: Function, values: tuple[int | str, ...], keys: tuple[Key, ...]) -> Call:
        to = checksummed(self.configurator, f"markets.{self.market}.configurator")
        names = (name for name, _ in function.arguments)
        arguments = MappingProxyType(dict(zip(names, values, strict=True)))
        return Call(to, 0, function.name, function.signature, arguments, function.encode(values), keys)

    def _decoded(self, call: Call) -> dict[Key, Quantity]:
        def refuse(message: str, value: object) -> InputError:
            return InputError(message, field=f"calls to {self.market}", value=value, remedy="Check the calldata")

        if call.to.lower() != self.configurator.lower():
            raise refuse("the call goes to another contract", call.to)
        selector = call.data[:10].lower()
        parameter = next((name for name, f in SETTERS.items() if f.selector == selector), None)
        if parameter is None and selector != CONFIGURE_COLLATERAL.selector:
            raise refuse("the call's function is not known", call.data[:10])
        function = SETTERS[parameter] if parameter is not None else CONFIGURE_COLLATERAL
        asset, *numbers = function.decode(call.data)
        subject = next((s for s, token in sorted(self.tokens.items()) if token.lower() == asset), None)
        if subject is None:
            raise refuse("no reserve has this token", asset)
        maximum = RATIO_MAXIMUM if parameter is None else MAXIMUM[parameter]
        if max(numbers) > maximum:
            raise refuse(f"the contract's integer holds no more than {maximum}", max(numbers))
        if parameter is not None:
            return {self._key(subject, parameter): quantity(parameter, numbers[0], subject)}
        factor, threshold, stored_bonus = numbers
        if 0 < stored_bonus < HUNDRED_PERCENT + (threshold == 0):
            raise refuse("a stored bonus is 100 % plus the bonus, or zero where the threshold is", stored_bonus)
        bonus = stored_bonus - HUNDRED_PERCENT if stored_bonus else 0
        return {
            self._key(subject, name): Ratio(Decimal(raw) / HUNDRED_PERCENT)
            for name, raw in zip(TRIPLE, (factor, threshold, bonus), strict=True)
        }

    def _token(self, subject: str) -> str:
        """Checksummed address of a reserve's token."""
        if subject not in self.tokens:
            raise RefusalError(
                "the token's address is not known",
                field=f"{self.market}/reserve/{subject}",
                remedy="Give the asset its token in the settings",
            )
        return checksummed(self.tokens[subject], f"{self.market}/reserve/{subject}")

    def _key(self, subject: str, parameter: str) -> Key:
        return Key(self.market, "reserve", subject, (), parameter)


def quantity(parameter: str, raw: int, subject: str) -> Quantity:
    """The quantity of a raw integer; a bonus without the 100 % that the contract adds."""
    dimension = SPECS[parameter].dimension
    value = Decimal(raw) / _SCALE[dimension]
    if dimension is Dimension.TOKEN:
        return TokenAmount(value, subject)
    return Usd(value) if dimension is Dimension.USD else Ratio(value)


def _grouped(changes: Sequence[Change]) -> list[tuple[tuple[str, str], list[Change]]]:
    """Changes by reserve and by the function that makes them (its first parameter), in key order."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in sorted(changes, key=lambda change: change.key):
        parameter = TRIPLE[0] if change.key.parameter in TRIPLE else change.key.parameter
        groups.setdefault((change.key.subject, parameter), []).append(change)
    return list(groups.items())


def _unfit(key: Key, value: Value) -> str | None:
    """Why the contract's integer cannot hold the value exactly, or None."""
    if isinstance(value, Malformed):
        return f"not a quantity: {value.reason}"
    if value.dimension is not key.spec.dimension:
        return f"a {key.spec.dimension} is expected"
    if isinstance(value, TokenAmount) and value.symbol != key.subject:
        return f"an amount of {value.symbol}, not of {key.subject}"
    if not GRIDS["aave_v3"].holds(value):
        return f"not a multiple of {GRIDS['aave_v3'].step(value.dimension)}, the smallest step that the contract stores"
    maximum = MAXIMUM[key.parameter]
    if not 0 <= _raw(value) <= maximum:
        return f"outside 0 to {maximum}, which is what the contract's integer holds"
    return None


def _raw(value: Any) -> int:
    """Basis points, whole tokens or cents; exact, because the grid was asserted."""
    return int(value.value * _SCALE[value.dimension])
