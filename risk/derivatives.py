"""What derivatives markets quote: chains of options, and the funding and open interest of perpetual contracts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from risk.artifact import Table
from risk.errors import DataError
from risk.series import BoolArray, FloatArray, IntArray, PriceSeries, frozen

OPTION_COLUMNS = {
    "option_type": "str", "strike": "f8", "expiry": "i8", "settlement": "str", "underlying": "str",
    "synthetic": "bool", "underlying_price": "f8", "mark": "f8", "mark_iv": "f8", "bid": "f8", "ask": "f8",
    "open_interest": "f8", "absent": "str",
}  # fmt: skip
"""Columns of one option after its name; `absent` names, with blanks between, the figures that hold zero for none."""

QUOTED = ("underlying_price", "mark", "mark_iv", "bid", "ask", "open_interest")
"""Figures that a venue may leave out."""
_HEAD = {"feed": "str", "base": "str", "quote": "str", "source": "str"}
_CHAIN = {**_HEAD, "observed_at": "i8", "known_at": "i8", "instrument": "str", **OPTION_COLUMNS}
_FUNDING = {**_HEAD, "interval": "i8", "field": "str", "observed_at": "i8", "known_at": "i8", "value": "f8"}
_FIELDS = ("rate", "open_interest", "open_interest_value")
_Texts = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class OptionChain:
    """All options of one underlying asset that a venue quoted at one instant.

    Attributes
    ----------
    id
        Name of the feed.
    base, quote, source
        Underlying asset, currency of the strikes, and where it comes from.
    settlement
        Currency of mark, bid and ask.
    observed_at, known_at
        Unix seconds.
    instrument
        (n,) the venue's names, in order, each once.
    option_type
        (n,) ``call`` or ``put``.
    strike, expiry
        (n,) in the quote, above zero; unix seconds.
    underlying, synthetic
        (n,) name of the forward that it is valued on, "" where the venue names none; whether no such future is listed.
    underlying_price
        (n,) of that forward, in the quote.
    mark, bid, ask
        (n,) in the settlement currency.
    mark_iv
        (n,) volatility of the mark, a yearly fraction.
    open_interest
        (n,) in the venue's own count.

    NaN in one of the last six is a figure that the venue does not give.

    Raises
    ------
    DataError
        When lengths differ, a name is there twice, or a figure is negative or infinite.
    """

    id: str
    base: str
    quote: str
    source: str
    settlement: str
    observed_at: int
    known_at: int
    instrument: _Texts
    option_type: _Texts
    strike: FloatArray
    expiry: IntArray
    underlying: _Texts
    synthetic: BoolArray
    underlying_price: FloatArray
    mark: FloatArray
    mark_iv: FloatArray
    bid: FloatArray
    ask: FloatArray
    open_interest: FloatArray

    def __post_init__(self) -> None:
        for name in ("instrument", "option_type", "underlying"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.str_))
        for name in ("strike", *QUOTED):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        object.__setattr__(self, "expiry", frozen(self.expiry, np.int64))
        object.__setattr__(self, "synthetic", frozen(self.synthetic, np.bool_))
        arrays = ("option_type", "strike", "expiry", "underlying", "synthetic", *QUOTED)
        if any(getattr(self, name).shape != self.instrument.shape for name in arrays) or self.instrument.ndim != 1:
            raise DataError("the columns of a chain of options differ in length", field=self.id)
        if len(np.unique(self.instrument)) < len(self):
            raise DataError("two options of one name", field=self.id)
        if not np.isin(self.option_type, ("call", "put")).all():
            raise DataError("an option is a call or a put", field=self.id)
        if not (np.isfinite(self.strike) & (self.strike > 0)).all():
            raise DataError("a strike must be above zero", field=self.id)
        for name in QUOTED:
            figures = getattr(self, name)
            if (np.isinf(figures) | (figures < 0)).any():
                raise DataError("a figure of an option is negative or infinite", field=f"{self.id}, {name}")

    def __len__(self) -> int:
        return len(self.instrument)

    @property
    def coin_settled(self) -> bool:
        """Whether prices are in the underlying asset itself, as of Deribit's inverse options."""
        return self.settlement == self.base

    @property
    def years(self) -> FloatArray:
        """(n,) time from observation to expiry in years of 365 days; not above zero once expired."""
        return np.asarray((self.expiry - self.observed_at) / (365 * 86_400.0), dtype=np.float64)

    @property
    def two_sided(self) -> BoolArray:
        """(n,) whether there is a bid and an ask."""
        return np.asarray(np.isfinite(self.bid) & np.isfinite(self.ask), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class FundingHistory:
    """What a perpetual contract paid, or how much of it was open; a feed gives one or the other.

    Attributes
    ----------
    id
        Name of the feed.
    base, quote, source
        E.g. ``BTC``, ``USDT``, ``exchange:binance:BTC/USDT:USDT:funding:8h``.
    interval
        Seconds between two fundings, or two figures of the open interest, as declared.
    rate
        Fraction of the notional for one funding interval, paid by longs to shorts where positive.
    open_interest, open_interest_value
        In the venue's own count, units of the base or contracts; and in the quote. None for what is not given.

    Raises
    ------
    DataError
        When there is none of the three.
    """

    id: str
    base: str
    quote: str
    source: str
    interval: int
    rate: PriceSeries | None = None
    open_interest: PriceSeries | None = None
    open_interest_value: PriceSeries | None = None

    def __post_init__(self) -> None:
        if not self.series:
            raise DataError("neither funding rates nor open interest", field=self.id)

    @classmethod
    def of(cls, series: Iterable[PriceSeries]) -> FundingHistory:
        """From the fields of one feed.

        Raises
        ------
        DataError
            For a field that is none of the three.
        """
        fields = {one.field: one for one in series}
        if unknown := sorted(fields.keys() - set(_FIELDS)):
            raise DataError("not a field of funding", field=fields[unknown[0]].id, value=unknown[0])
        if not fields:
            raise DataError("neither funding rates nor open interest", field="funding")
        head = next(iter(fields.values()))
        return cls(head.id, head.base, head.quote, head.source, head.interval, **fields)

    @property
    def series(self) -> tuple[PriceSeries, ...]:
        """Those of the three that are there."""
        return tuple(one for one in (self.rate, self.open_interest, self.open_interest_value) if one is not None)


def chain_of(name: str, base: str, quote: str, source: str, rows: Table) -> OptionChain:
    """A chain from the rows of one instant; see `OPTION_COLUMNS`.

    Raises
    ------
    DataError
        When the rows are of several instants or settlement currencies, or there are none.
    """
    for column in ("observed_at", "known_at", "settlement"):
        if len(different := np.unique(rows[column])) != 1:
            raise DataError(f"a chain has one {column}", field=name, value=different.tolist())
    absent = [set(text.split()) for text in rows["absent"].tolist()]
    figures = {one: np.where([one in names for names in absent], np.nan, rows[one]) for one in QUOTED}
    arrays = {one: rows[one] for one in ("instrument", "option_type", "strike", "expiry", "underlying", "synthetic")}
    observed_at, known_at = int(rows["observed_at"][0]), int(rows["known_at"][0])
    settlement = str(rows["settlement"][0])
    return OptionChain(name, base, quote, source, settlement, observed_at, known_at, **arrays, **figures)


def written_chains(chains: Mapping[str, OptionChain]) -> Table:
    """One table of chains by feed, for an artifact."""
    return Table.concatenate(_CHAIN, (_chain_rows(chains[name]) for name in sorted(chains)))


def read_chains(table: Table) -> Mapping[str, OptionChain]:
    """Chains by feed of a table that `written_chains` made."""
    return MappingProxyType({name: chain_of(name, *head, rows) for name, head, rows in _by_feed(table)})


def written_funding(histories: Mapping[str, FundingHistory]) -> Table:
    """One table of funding and open interest by feed, for an artifact."""
    return Table.concatenate(
        _FUNDING, (_series_rows(one) for name in sorted(histories) for one in histories[name].series)
    )


def read_funding(table: Table) -> Mapping[str, FundingHistory]:
    """Funding and open interest by feed of a table that `written_funding` made."""
    found = {}
    for name, head, rows in _by_feed(table):
        fields = [(one, rows.where(field=one)) for one in _FIELDS]
        found[name] = FundingHistory.of(
            PriceSeries(
                name, *head, one, int(part["interval"][0]), part["observed_at"], part["known_at"], part["value"]
            )
            for one, part in fields
            if len(part)
        )
    return MappingProxyType(found)


def _by_feed(table: Table) -> Iterable[tuple[str, tuple[str, str, str], Table]]:
    for name in dict.fromkeys(table["feed"].tolist()):
        rows = table.where(feed=name)
        yield name, (str(rows["base"][0]), str(rows["quote"][0]), str(rows["source"][0])), rows


def _repeated(feed: OptionChain | PriceSeries) -> dict[str, _Texts]:
    head = {"feed": feed.id, "base": feed.base, "quote": feed.quote, "source": feed.source}
    return {name: np.full(len(feed), text) for name, text in head.items()}


def _chain_rows(chain: OptionChain) -> Table:
    absent = {name: np.isnan(getattr(chain, name)) for name in QUOTED}
    texts = [" ".join(name for name in QUOTED if absent[name][i]) for i in range(len(chain))]
    columns = {name: getattr(chain, name) for name in OPTION_COLUMNS if name not in ("settlement", "absent")}
    columns |= {name: np.where(absent[name], 0.0, columns[name]) for name in QUOTED}
    columns |= {name: np.full(len(chain), getattr(chain, name)) for name in ("observed_at", "known_at", "settlement")}
    columns |= {**_repeated(chain), "instrument": chain.instrument, "absent": np.array(texts, dtype=np.str_)}
    return Table({name: columns[name] for name in _CHAIN})


def _series_rows(series: PriceSeries) -> Table:
    columns = {name: getattr(series, name) for name in ("observed_at", "known_at", "value")}
    columns |= {name: np.full(len(series), getattr(series, name)) for name in ("interval", "field")}
    columns |= _repeated(series)
    return Table({name: columns[name] for name in _FUNDING})
