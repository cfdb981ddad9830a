"""Parameters: the one address of a number, what a parameter is, and sets of them.

A key is ``market/kind/subject/parameter``, e.g. ``aave-core/reserve/WETH/liquidation_threshold`` or
``perps/market/ETH-USD/tiers/2/initial_margin``. In TOML it is a line under its table::

    [aave-core.reserve.WETH]
    liquidation_threshold = "83.00%"

A set is always constructible, also when it is wrong, because the gate must be able to report it; export
refuses it. A value that cannot be read is kept as `Malformed`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from risk.artifact import json_hash
from risk.errors import InputError, UnitError
from risk.units import Dimension, Quantity, Ratio, Rounding, parse_quantity

_PART = re.compile(r"[A-Za-z0-9_:.\-]+")
_TIER = re.compile(r"0|[1-9][0-9]{0,5}")
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")
_ASSIGN = re.compile(r"\s*([A-Za-z0-9_\-]+|\"[^\"]*\")\s*=")


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What is known of a parameter wherever it appears; policy, gate and reports iterate over these.

    Attributes
    ----------
    name, title
        Name in keys, and in text.
    dimension
        What it measures.
    lower, upper
        Bounds within which a value can be right at all (ratios as fractions), both included.
    tightening
        +1 when a higher value is safer for the protocol, -1 when a lower one is, 0 when neither is.
    rounding
        Direction in which policy rounds to the grid.
    coupled_with
        Parameters that must be read and moved together with it.
    zero_is_unlimited
        Aave v3 reads a cap of zero as "no cap": a target of zero must become the smallest cap.
    """

    name: str
    title: str
    dimension: Dimension
    lower: Decimal
    upper: Decimal
    tightening: int
    rounding: Rounding
    coupled_with: tuple[str, ...] = ()
    zero_is_unlimited: bool = False


def _ratio(name: str, title: str, upper: str, tightening: int, rounding: Rounding, *coupled: str) -> ParameterSpec:
    return ParameterSpec(name, title, Dimension.RATIO, Decimal(0), Decimal(upper), tightening, rounding, coupled)


_SPECS = (
    _ratio("collateral_factor", "Collateral factor", "0.99", -1, Rounding.DOWN, "liquidation_threshold"),
    _ratio(
        "liquidation_threshold",
        "Liquidation threshold",
        "0.99",
        -1,
        Rounding.DOWN,
        "collateral_factor",
        "liquidation_bonus",
    ),
    _ratio("liquidation_bonus", "Liquidation bonus", "0.30", 0, Rounding.UP, "liquidation_threshold"),
    ParameterSpec(
        "supply_cap",
        "Supply cap",
        Dimension.TOKEN,
        Decimal(0),
        Decimal("1e15"),
        -1,
        Rounding.DOWN,
        zero_is_unlimited=True,
    ),
    _ratio("initial_margin", "Initial margin", "1", 1, Rounding.UP, "maintenance_margin"),
    _ratio("maintenance_margin", "Maintenance margin", "1", 1, Rounding.UP, "initial_margin"),
    ParameterSpec(
        "notional_limit", "Notional limit of the tier", Dimension.USD, Decimal(0), Decimal("1e15"), -1, Rounding.DOWN
    ),
    _ratio("swap_fee", "Swap fee", "0.10", 0, Rounding.NEAREST),
    ParameterSpec(
        "borrow_cap",
        "Borrow cap",
        Dimension.TOKEN,
        Decimal(0),
        Decimal("1e15"),
        -1,
        Rounding.DOWN,
        zero_is_unlimited=True,
    ),
    ParameterSpec(
        "debt_ceiling",
        "Debt ceiling in isolation",
        Dimension.USD,
        Decimal(0),
        Decimal("1e12"),
        -1,
        Rounding.DOWN,
        zero_is_unlimited=True,
    ),
    _ratio("reserve_factor", "Reserve factor", "1", 0, Rounding.NEAREST),
    _ratio("liquidation_protocol_fee", "Protocol's share of the bonus", "1", 0, Rounding.NEAREST),
    _ratio("liquidation_factor", "Liquidation factor", "1", 0, Rounding.DOWN, "liquidation_threshold"),
    _ratio("store_front_price_factor", "Store front price factor", "1", 0, Rounding.NEAREST),
    _ratio("optimal_utilisation", "Optimal utilisation", "1", 0, Rounding.NEAREST),
    _ratio("base_borrow_rate", "Base borrow rate", "10", 0, Rounding.NEAREST),
    _ratio("borrow_rate_slope_below", "Slope below the optimal utilisation", "10", 0, Rounding.NEAREST),
    _ratio("borrow_rate_slope_above", "Slope above the optimal utilisation", "10", 0, Rounding.NEAREST),
)
SPECS: Mapping[str, ParameterSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""The registry. A new parameter is one entry here and the policy module that derives it.

One that no policy derives yet is read from chain, kept in force and checked by the gate; it has no derivation.
"""

_COLLATERAL = frozenset({"collateral_factor", "liquidation_threshold", "liquidation_bonus"})
_RESERVE = _COLLATERAL | {
    "supply_cap",
    "borrow_cap",
    "debt_ceiling",
    "reserve_factor",
    "liquidation_protocol_fee",
    "liquidation_factor",
    "optimal_utilisation",
    "base_borrow_rate",
    "borrow_rate_slope_below",
    "borrow_rate_slope_above",
}

KINDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "reserve": _RESERVE,
        "efficiency_mode": _COLLATERAL,
        "base": frozenset({"store_front_price_factor"}),
        "market": frozenset({"initial_margin", "maintenance_margin", "notional_limit"}),
        "pool": frozenset({"swap_fee"}),
    }
)
"""Which parameters each kind of subject has."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The address of one number.

    Attributes
    ----------
    market, kind, subject
        E.g. ``aave-core``, ``reserve``, ``WETH``.
    path
        The rest but the parameter, e.g. ``("tiers", "2")``; empty for most.
    parameter
        Name in `SPECS`.
    """

    market: str
    kind: str
    subject: str
    path: tuple[str, ...]
    parameter: str

    def __str__(self) -> str:
        return "/".join((self.market, self.kind, self.subject, *self.path, self.parameter))

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key.

        Raises
        ------
        InputError
            For an unknown kind or parameter, or a malformed address.
        """
        parts = text.split("/")
        if len(parts) < 4 or not all(_PART.fullmatch(part) for part in parts):
            raise InputError("not a parameter key", field=text, remedy="Write market/kind/subject/parameter")
        key = cls(parts[0], parts[1], parts[2], tuple(parts[3:-1]), parts[-1])
        if key.kind not in KINDS:
            raise InputError("unknown kind of subject", field=text, value=key.kind, remedy=f"Known: {', '.join(KINDS)}")
        if key.parameter not in KINDS[key.kind]:
            known = ", ".join(sorted(KINDS[key.kind]))
            raise InputError("unknown parameter", field=text, value=key.parameter, remedy=f"A {key.kind} has: {known}")
        tiers = key.kind == "market"
        if (tiers and (len(key.path) != 2 or key.path[0] != "tiers" or not _TIER.fullmatch(key.path[1]))) or (
            not tiers and key.path
        ):
            raise InputError(
                "unknown part of a key", field=text, value="/".join(key.path), remedy="Only tiers/N under a market"
            )
        return key

    @property
    def spec(self) -> ParameterSpec:
        """The specification of the parameter."""
        return SPECS[self.parameter]

    def sibling(self, parameter: str) -> Key:
        """The key of another parameter of the same subject."""
        return Key(self.market, self.kind, self.subject, self.path, parameter)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A value that is not a quantity, kept so that the gate can report it."""

    text: str
    reason: str

    def __str__(self) -> str:
        return self.text


Value = Quantity | Malformed
_K = TypeVar("_K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two sets; None where the key is absent."""

    key: Key
    before: Value | None
    after: Value | None

    @property
    def tightening(self) -> int:
        """+1 when the change is safer for the protocol, -1 when it may take more risk, 0 for neither.

        A change from or to an unknown value may take more risk; a cap of zero that means "no cap" is the
        loosest of all.
        """
        spec = self.key.spec
        sides = [None if v is None or isinstance(v, Malformed) else Decimal(v.value) for v in (self.before, self.after)]
        before, after = (Decimal("Infinity") if spec.zero_is_unlimited and v == 0 else v for v in sides)
        if before is None or after is None:
            return -abs(spec.tightening)
        return spec.tightening * ((after > before) - (after < before))


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """Values by key, and the line each stood on when it was read from a file.

    Lines are for messages only: they take no part in equality or the hash.
    """

    values: Mapping[Key, Value]
    lines: Mapping[Key, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(sorted(self.values.items()))))

    def __len__(self) -> int:
        return len(self.values)

    def get(self, key: Key) -> Quantity | None:
        """The quantity at a key, or None when it is absent or malformed."""
        value = self.values.get(key)
        return None if isinstance(value, Malformed) else value

    def ratio(self, key: Key) -> float | None:
        """A ratio as a float64 fraction, or None."""
        value = self.get(key)
        return float(value.value) if isinstance(value, Ratio) else None

    def diff(self, other: ParameterSet) -> tuple[Change, ...]:
        """Changes from this set to the other, in key order."""
        keys = sorted({*self.values, *other.values})
        changes = (Change(key, self.values.get(key), other.values.get(key)) for key in keys)
        return tuple(change for change in changes if change.before != change.after)

    def replace(self, values: Mapping[Key, Value]) -> ParameterSet:
        """A set with some values replaced or added."""
        return ParameterSet({**self.values, **values}, self.lines)

    def arrays(self, market: str, kind: str, subjects: Iterable[str], parameter: str) -> npt.NDArray[np.float64]:
        """Ratios or amounts of one parameter as float64 over subjects; NaN where absent or malformed."""
        quantities = (self.get(Key(market, kind, subject, (), parameter)) for subject in subjects)
        return np.array([np.nan if q is None else float(q.value) for q in quantities], dtype=np.float64)

    @property
    def content_hash(self) -> str:
        """Hash over keys and values."""
        return json_hash({str(key): str(value) for key, value in self.values.items()})

    def to_toml(self) -> str:
        """One table a subject, one line a number."""
        blocks: dict[tuple[str, ...], list[str]] = {}
        for key, value in self.values.items():
            header = (key.market, key.kind, key.subject, *key.path)
            blocks.setdefault(header, []).append(f'{key.parameter} = "{value}"')
        tables = (
            "[" + ".".join(_quoted(p) for p in header) + "]\n" + "\n".join(lines) for header, lines in blocks.items()
        )
        return "\n\n".join(tables) + "\n"

    @classmethod
    def from_toml(cls, text: str, *, file: str = "parameters") -> ParameterSet:
        """Read a set.

        Raises
        ------
        InputError
            When the text is not TOML or holds an unknown key. A value that cannot be right is not an error
            here: it becomes a `Malformed` value or an out-of-bounds quantity that the gate reports.
        """
        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"not TOML: {error}", file=file, remedy="Mend the syntax") from error
        values: dict[Key, Value] = {}
        try:
            _collect(document, (), values)
        except InputError as error:
            if error.field is not None and (line := _lines(text, {error.field: 0}).get(0)) is not None:
                error.field = f"line {line}, {error.field}"
            raise error.at(file=file) from None
        return cls(values, _lines(text, {str(key): key for key in values}))

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> ParameterSet:
        """Read a set from key and value texts, as artifacts keep it."""
        keys = {Key.parse(key): text for key, text in texts.items()}
        return cls({key: _value(text, key) for key, text in keys.items()})


def _collect(node: object, path: tuple[str, ...], values: dict[Key, Value]) -> None:
    if isinstance(node, Mapping):
        if len(path) > 8:
            raise InputError("tables are nested too deep", field="/".join(path[:8]))
        for name, child in node.items():
            if "/" in name:  # else two names in the file could mean one number
                raise InputError("a name holds a slash", field="/".join((*path, name)), remedy="Write it without")
            _collect(child, (*path, name), values)
        return
    key = Key.parse("/".join(path))
    if not isinstance(node, str):
        values[key] = Malformed(str(node), "a value is a string with its unit")
        return
    values[key] = _value(node, key)


def _value(text: str, key: Key) -> Value:
    try:
        return parse_quantity(text, key.spec.dimension)
    except UnitError as error:
        return Malformed(text, error.message)


def _lines(text: str, known: Mapping[str, _K]) -> dict[_K, int]:
    """Line of each name of a number in a file written with one number a line; those written otherwise have none."""
    lines: dict[_K, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = "/".join(part.strip().strip("\"'") for part in _split_dotted(header[1]))
        elif assign := _ASSIGN.match(line):
            name = assign[1].strip('"')
            if (key := known.get(f"{table}/{name}")) is not None:
                lines[key] = number
    return lines


def _split_dotted(text: str) -> list[str]:
    return re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", text)


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_\-]+", part) else f'"{part}"'
