"""What was known of a market at one instant: prices, oracle facts, depth, positions, parameters in force.

Time is UTC in int64 unix seconds. `observed_at` is what a value is about, `known_at` when the public could
know it; a bar is known at its end. When we fetched it is outside every artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np

from risk.artifact import Artifact, Table
from risk.derivatives import FundingHistory, OptionChain, read_chains, read_funding, written_chains, written_funding
from risk.errors import DataError
from risk.facts import OracleFacts, Origin, StepBound
from risk.parameters import Key, ParameterSet
from risk.series import BoolArray, FloatArray, IntArray, PriceSeries, frozen
from risk.structure import no_structure

__all__ = [
    "NUMERAIRE",
    "QUALITY_SCHEMA",
    "Book",
    "BoolArray",
    "FloatArray",
    "Impact",
    "IntArray",
    "LiquidityCurve",
    "MarketSnapshot",
    "OracleFacts",
    "Origin",
    "PriceSeries",
    "StepBound",
    "Verdict",
    "frozen",
]

NUMERAIRE = "USD"
"""The unit of account; as a debt asset its price is one by definition."""


class Verdict(StrEnum):
    """What a quality check says of a series."""

    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"


QUALITY_SCHEMA = {"series": "str", "check": "str", "verdict": "str", "count": "i8", "detail": "str"}
"""Columns of the quality table: one row a series and check."""


class Impact(StrEnum):
    """What "within x %" means on a liquidity curve."""

    AVERAGE = "average"
    MARGINAL = "marginal"


@dataclass(frozen=True, slots=True)
class LiquidityCurve:
    """Price impact against size sold of `base` for `quote`.

    Attributes
    ----------
    size_usd
        (n,) US dollars, strictly increasing, first above zero.
    impact
        (n,) fraction of the price lost, non-decreasing, below one.
    kind
        Whether `impact` is of the average or the marginal price.
    origin
        Measured, declared, or an assumption (a share of the daily volume).
    """

    base: str
    quote: str
    size_usd: FloatArray
    impact: FloatArray
    kind: Impact
    origin: Origin

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_usd", frozen(self.size_usd))
        object.__setattr__(self, "impact", frozen(self.impact))
        good = (
            len(self.size_usd) == len(self.impact) > 0
            and np.isfinite(self.size_usd).all()
            and np.isfinite(self.impact).all()
            and self.size_usd[0] > 0
            and (np.diff(self.size_usd) > 0).all()
            and (np.diff(self.impact) >= 0).all()
            and self.impact[0] >= 0
            and self.impact[-1] < 1
        )
        if not good:
            raise DataError(
                "a liquidity curve is not monotone",
                field=f"{self.base}/{self.quote}",
                remedy="Sizes must grow, impacts must not fall, and both must be positive",
            )

    def size_within(self, impact: float) -> float:
        """US dollars that can be sold within `impact`; linear between points, never beyond the last."""
        sizes, impacts = np.concatenate(([0.0], self.size_usd)), np.concatenate(([0.0], self.impact))
        if impact >= impacts[-1]:
            return float(sizes[-1])
        index = int(np.searchsorted(impacts, impact, side="right"))
        low, high = impacts[index - 1], impacts[index]
        return float(sizes[index - 1] + (sizes[index] - sizes[index - 1]) * (impact - low) / (high - low))

    def impact_of(self, size_usd: float) -> float:
        """Impact of selling `size_usd`; extrapolated beyond the last point by its average slope, below one."""
        sizes, impacts = np.concatenate(([0.0], self.size_usd)), np.concatenate(([0.0], self.impact))
        if size_usd <= sizes[-1]:
            return float(np.interp(size_usd, sizes, impacts))
        return float(min(impacts[-1] * size_usd / sizes[-1], 1.0 - 1e-9))


@dataclass(frozen=True, slots=True)
class Book:
    """Accounts with collateral and debt by asset, in whole tokens.

    Attributes
    ----------
    accounts, assets
        Names of the rows and columns.
    collateral, debt
        (n_accounts, n_assets), non-negative.
    origin
        Measured (read from chain), declared in a file, or assumed (the reference book).
    modes
        Efficiency mode of each account as ``market/category``, "" for none; empty where nobody is in one.
    """

    accounts: tuple[str, ...]
    assets: tuple[str, ...]
    collateral: FloatArray
    debt: FloatArray
    origin: Origin
    modes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "collateral", frozen(self.collateral))
        object.__setattr__(self, "debt", frozen(self.debt))
        shape = (len(self.accounts), len(self.assets))
        if self.collateral.shape != shape or self.debt.shape != shape or len(self.modes) not in (0, shape[0]):
            raise DataError("its arrays do not match accounts and assets", field="book", value=self.debt.shape)
        for name, array in (("collateral", self.collateral), ("debt", self.debt)):
            if not np.isfinite(array).all() or (array < 0).any():
                raise DataError("a position is negative or not finite", field=f"book.{name}")


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """Everything that was known at one instant; the input of calibration, policy and stress.

    Attributes
    ----------
    as_of
        Unix seconds; nothing in it was known later.
    assets
        Assets in the universe as of the date.
    series
        Fields of each asset's price in US dollars; the close of an asset is `close`.
    sources
        Fields of feeds and composites behind these prices, which are nobody's price themselves.
    depth
        Liquidity curve by ``base/quote``.
    book
        Positions, or None where none is known.
    in_force, changed_at
        Parameters in force and when each last changed (unix seconds).
    bounds
        Step bound by parameter name.
    oracle
        Facts by asset.
    quality, structure
        Tables of checks, and of what markets are beside numbers (`STRUCTURE_SCHEMA`).
    options, rates
        The last chain of options, and funding and open interest, by feed. They are written only where there are
        any, so that a snapshot without them is what it was before there were such feeds.
    """

    as_of: int
    assets: tuple[str, ...]
    series: tuple[PriceSeries, ...]
    depth: Mapping[str, LiquidityCurve]
    book: Book | None
    in_force: ParameterSet
    changed_at: Mapping[Key, int]
    bounds: Mapping[str, StepBound]
    oracle: Mapping[str, OracleFacts]
    quality: Table
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""
    structure: Table = field(default_factory=no_structure)
    sources: tuple[PriceSeries, ...] = ()
    options: Mapping[str, OptionChain] = field(default_factory=dict)
    rates: Mapping[str, FundingHistory] = field(default_factory=dict)

    SCHEMA = "riskcal/snapshot/2"

    def field_of(self, asset: str, field: str) -> PriceSeries | None:
        """The series of one field of an asset, or None."""
        return next((s for s in self.series if s.base == asset and s.field == field), None)

    def verdict(self, asset: str) -> tuple[Verdict, str]:
        """The worst verdict on an asset's closes, and the checks that say so ("" when all are good)."""
        rows = self.quality.where(series=self.close(asset).id)
        for verdict in (Verdict.BAD, Verdict.SUSPECT):
            if said := [f"{row['check']}: {row['detail']}" for row in rows.where(verdict=verdict.value).rows()]:
                return verdict, "; ".join(said)
        return Verdict.GOOD, ""

    def close(self, asset: str) -> PriceSeries:
        """Closing prices of an asset.

        Raises
        ------
        DataError
            When the snapshot has none.
        """
        if (found := self.field_of(asset, "close")) is None:
            raise DataError("no price series", field=asset, remedy="Give the asset a feed in the settings")
        return found

    def last_price(self, asset: str) -> float:
        """Last close; one for the unit of account."""
        return 1.0 if asset == NUMERAIRE else float(self.close(asset).value[-1])

    def pair(self, collateral: str, debt: str) -> PriceSeries:
        """Closes of collateral in units of debt, on the bars that both have.

        Raises
        ------
        DataError
            When the bars differ in length, or fewer than nine in ten of the shorter series' bars within the
            common span share an end time: such a ratio would mix instants.
        """
        first = self.close(collateral)
        if debt == NUMERAIRE:
            return first
        second = self.close(debt)
        name = f"{collateral}:{debt}"
        if first.interval != second.interval:
            raise DataError("the pair's bars differ in length", field=name, remedy="Compare assets on the same bar")
        common, left, right = np.intersect1d(first.observed_at, second.observed_at, return_indices=True)
        start = max(first.observed_at[0], second.observed_at[0])
        stop = min(first.observed_at[-1], second.observed_at[-1])
        within = min(int(((s.observed_at >= start) & (s.observed_at <= stop)).sum()) for s in (first, second))
        if len(common) < 0.9 * max(within, 1):
            raise DataError(
                f"only {len(common)} of {within} bars end at the same instant",
                field=name,
                remedy="Use sources whose days end at the same hour, or drop the pair",
            )
        known = np.maximum(first.known_at[left], second.known_at[right])
        return PriceSeries(
            name, collateral, debt, f"{first.source} / {second.source}", "close", first.interval,
            common, known, first.value[left] / second.value[right],
        )  # fmt: skip

    def artifact(self) -> Artifact:
        """Logical content, for hashing and for the run folder."""
        head = ("id", "base", "quote", "source", "field", "interval")
        every = (*self.series, *self.sources)
        listed = Table.from_rows(
            {**{name: "i8" if name == "interval" else "str" for name in head}, "is_price": "bool"},
            ([*(getattr(s, name) for name in head), i < len(self.series)] for i, s in enumerate(every)),
        )
        prices = Table(
            {
                "series": np.repeat(np.arange(len(every)), [len(s) for s in every]),
                "observed_at": np.concatenate([np.empty(0, np.int64), *(s.observed_at for s in every)]),
                "known_at": np.concatenate([np.empty(0, np.int64), *(s.known_at for s in every)]),
                "value": np.concatenate([np.empty(0), *(s.value for s in every)]),
            }
        )
        depth = Table.from_rows(
            {"pair": "str", "kind": "str", "origin": "str", "size_usd": "f8", "impact": "f8"},
            (
                (pair, curve.kind, curve.origin, size, impact)
                for pair, curve in sorted(self.depth.items())
                for size, impact in zip(curve.size_usd, curve.impact, strict=True)
            ),
        )
        tables = {"series": listed, "prices": prices, "depth": depth, "quality": self.quality}
        tables |= {"structure": self.structure} if len(self.structure) else {}
        about: dict[str, Any] | None = None
        tables |= {"options": written_chains(self.options)} if self.options else {}
        tables |= {"rates": written_funding(self.rates)} if self.rates else {}
        if self.book is not None:
            about = {name: getattr(self.book, name) for name in ("origin", "accounts", "assets", "modes")}
            about = about if any(self.book.modes) else {k: v for k, v in about.items() if k != "modes"}
            cells = np.nonzero((self.book.collateral > 0) | (self.book.debt > 0))
            names = (np.array(self.book.accounts, dtype=str)[cells[0]], np.array(self.book.assets, dtype=str)[cells[1]])
            columns = (*names, self.book.collateral[cells], self.book.debt[cells])
            tables["book"] = Table(dict(zip(("account", "asset", "collateral", "debt"), columns, strict=True)))
        document = {
            "as_of": self.as_of,
            "assets": self.assets,
            "book": about,
            "in_force": {str(key): str(value) for key, value in self.in_force.values.items()},
            "changed_at": {str(key): at for key, at in sorted(self.changed_at.items())},
            "bounds": {name: asdict(bound) for name, bound in self.bounds.items()},
            "oracle": {name: facts.document() for name, facts in self.oracle.items()},
        }
        return Artifact(self.SCHEMA, document, tables, self.inputs, self.settings_hash)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> MarketSnapshot:
        """Rebuild from logical content."""
        document, tables = artifact.document, artifact.tables
        prices = tables["prices"]
        series: dict[bool, list[PriceSeries]] = {True: [], False: []}
        for index, row in enumerate(tables["series"].rows()):
            mask = prices["series"] == index
            part = {name: prices[name][mask] for name in ("observed_at", "known_at", "value")}
            series[bool(row.pop("is_price"))].append(PriceSeries(**row, **part))
        depth = {}
        for pair in dict.fromkeys(tables["depth"]["pair"].tolist()):
            points = tables["depth"].where(pair=pair)
            base, _, quote = pair.partition("/")
            kind, origin = Impact(str(points["kind"][0])), Origin(str(points["origin"][0]))
            depth[pair] = LiquidityCurve(base, quote, points["size_usd"], points["impact"], kind, origin)
        book = None
        if (head := document["book"]) is not None:
            accounts, assets = tuple(head["accounts"]), tuple(head["assets"])
            (collateral, debt), listed = np.zeros((2, len(accounts), len(assets))), tables["book"]
            row_of, column_of = {a: i for i, a in enumerate(accounts)}, {a: j for j, a in enumerate(assets)}
            cells = [row_of[a] for a in listed["account"].tolist()], [column_of[a] for a in listed["asset"].tolist()]
            collateral[cells], debt[cells] = listed["collateral"], listed["debt"]
            book = Book(accounts, assets, collateral, debt, Origin(head["origin"]), tuple(head.get("modes", ())))
        return cls(
            as_of=int(document["as_of"]),
            assets=tuple(document["assets"]),
            series=tuple(series[True]),
            sources=tuple(series[False]),
            depth=MappingProxyType(depth),
            book=book,
            in_force=ParameterSet.from_texts(document["in_force"]),
            changed_at={Key.parse(key): int(at) for key, at in document["changed_at"].items()},
            bounds={name: StepBound(**bound) for name, bound in document["bounds"].items()},
            oracle={name: OracleFacts.from_document(facts) for name, facts in document["oracle"].items()},
            quality=tables["quality"],
            inputs=artifact.inputs,
            settings_hash=artifact.settings_hash,
            structure=tables.get("structure", no_structure()),
            options=read_chains(tables["options"]) if "options" in tables else {},
            rates=read_funding(tables["rates"]) if "rates" in tables else {},
        )
