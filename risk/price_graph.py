"""Prices as a typed graph: feeds are edges from base to quote, and a composite price is a path.

A path is checked as units are: each factor starts in the unit that the one before ended in. What does not fit is
an error when the settings are loaded, with the path drawn in words: a factor that was forgotten, one that is the
wrong way round, decimals that differ, a circle, two declarations of one price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from risk.errors import SettingsError
from risk.market import NUMERAIRE
from risk.price_settings import Composite

_PAIR = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.\-]*)/([A-Za-z0-9][A-Za-z0-9_.\-]*)")
_INVERTED = re.compile(r"1/\((.*)\)")


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Price of one `base` in units of `quote`."""

    base: str
    quote: str

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"

    @property
    def inverse(self) -> Pair:
        """The pair the other way round."""
        return Pair(self.quote, self.base)

    @classmethod
    def parse(cls, text: str, field: str) -> Pair:
        """Read ``base/quote``; `field` is named where it cannot be read."""
        match = _PAIR.fullmatch(text.strip())
        if match is None:
            raise SettingsError("a pair is written base/quote", field=field, value=text)
        if match[1] == match[2]:
            raise SettingsError("the base and the quote are one and the same", field=field, value=text)
        return cls(match[1], match[2])


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a path: a pair as its feed gives it, inverted or not."""

    pair: Pair
    inverted: bool = False

    def __str__(self) -> str:
        return f"1/({self.pair})" if self.inverted else str(self.pair)

    @property
    def leads(self) -> Pair:
        """From which unit to which the factor leads."""
        return self.pair.inverse if self.inverted else self.pair

    @property
    def turned(self) -> Factor:
        """The factor the other way round."""
        return Factor(self.pair, not self.inverted)


@dataclass(frozen=True, slots=True)
class Path:
    """A price as a product of feeds' prices.

    Attributes
    ----------
    pair
        What the product is a price of.
    factors
        Pairs that have a feed, in order from the base to the quote.
    declared
        Whether the settings say so; else it is the only shortest path.
    maximum_age
        Seconds beyond which a factor is too old; None for two of its bars.
    """

    pair: Pair
    factors: tuple[Factor, ...]
    declared: bool = True
    maximum_age: int | None = None

    def __str__(self) -> str:
        return f"{self.pair} = {self.product}"

    @property
    def product(self) -> str:
        """The factors in words, e.g. ``cbETH/ETH × ETH/USD``."""
        return " × ".join(map(str, self.factors))


@dataclass(frozen=True, slots=True)
class Edge:
    """A feed as far as the graph sees it: its pair, its name for messages, decimals of its raw integers if any."""

    pair: Pair
    name: str
    decimals: int | None = None


def price_paths(edges: Iterable[Edge], composites: Mapping[str, Composite], assets: Iterable[str]) -> dict[Pair, Path]:
    """Paths of all declared composites, and derived ones of assets that no feed prices in US dollars.

    Parameters
    ----------
    edges
        All feeds.
    composites
        Declared composites by ``base/quote``. A factor may be one itself where it has no feed.
    assets
        Assets that need a price in US dollars. One that no feed is about is not looked at.

    Raises
    ------
    SettingsError
        For a factor that is missing, inverted, or has other decimals than declared; for a circle, two
        declarations of one price, and an asset with no path to the US dollar or several shortest ones.
    """
    graph = _Graph(tuple(edges), composites)
    paths = {pair: graph.expanded(pair, ()) for pair in graph.declared}
    for asset in sorted(set(assets)):
        wanted = Pair(asset, NUMERAIRE)
        if wanted in graph.feeds or wanted in paths or asset not in graph.bases:
            continue
        paths[wanted] = graph.derived(wanted)
    return dict(sorted(paths.items()))


class _Graph:
    def __init__(self, edges: tuple[Edge, ...], composites: Mapping[str, Composite]) -> None:
        self.feeds: dict[Pair, list[Edge]] = {}
        for edge in edges:
            self.feeds.setdefault(edge.pair, []).append(edge)
        self.bases = {pair.base for pair in self.feeds}
        self.settings: dict[Pair, Composite] = {}
        self.declared: dict[Pair, tuple[Factor, ...]] = {}
        for name, composite in composites.items():
            field = f"composites.{name}"
            pair = Pair.parse(name, field)
            for other in (pair, pair.inverse):
                if other in self.declared:
                    raise SettingsError(
                        "two declarations disagree about one price",
                        field=field,
                        value=f"{Path(other, self.declared[other])}; {name} = {' × '.join(composite.path)}",
                        remedy="Keep one of them",
                    )
            self.settings[pair] = composite
            self.declared[pair] = tuple(_factor(text, field) for text in composite.path)
        for pair in self.declared:
            self._fits(pair)

    def _fits(self, pair: Pair) -> None:
        """Whether each factor of a declaration starts where the one before ended, and exists."""
        path, composite = Path(pair, self.declared[pair]), self.settings[pair]
        visited, unit = [pair.base], pair.base
        for factor in path.factors:
            leads = factor.leads
            if leads.base != unit:
                if leads.quote == unit:
                    raise _broken(path, f"{factor} is the wrong way round here", f"Write {factor.turned}")
                raise _missing(path, Pair(unit, leads.base))
            if leads.quote in visited:
                raise _broken(path, f"it goes in a circle through {leads.quote}", "Leave the circle out")
            unit = leads.quote
            visited.append(unit)
            self._exists(path, factor)
        if unit != pair.quote:
            raise _missing(path, Pair(unit, pair.quote), ends=unit)
        for name, decimals in composite.decimals.items():
            self._scaled(path, name, decimals)

    def _exists(self, path: Path, factor: Factor) -> None:
        if factor.pair in self.feeds or (factor.pair in self.declared and factor.pair != path.pair):
            return
        if factor.pair.inverse in self.feeds or factor.pair.inverse in self.declared:
            other = Factor(factor.pair.inverse, not factor.inverted)
            raise _broken(path, f"{factor.pair} has no feed but {factor.pair.inverse} has", f"Write {other}")
        raise _broken(path, f"{factor.pair} has no feed", "Add it under [[feeds]]")

    def _scaled(self, path: Path, name: str, decimals: int) -> None:
        pair = Pair.parse(name, f"composites.{path.pair}.decimals")
        if pair not in {factor.pair for factor in path.factors}:
            raise _broken(path, f"decimals are declared of {pair}, which is no factor of it", "Mend the pair's name")
        for edge in self.feeds.get(pair, ()):
            if edge.decimals != decimals:
                found = "none" if edge.decimals is None else edge.decimals
                raise _broken(
                    path,
                    f"{pair} is declared with {decimals} decimals and its feed {edge.name} has {found}",
                    "Find out which is right: the price is off by that power of ten",
                )

    def expanded(self, pair: Pair, above: tuple[Pair, ...]) -> Path:
        """The path of a declared composite, with factors that are composites themselves written out."""
        if pair in above:
            circle = " → ".join(str(one) for one in (*above[above.index(pair) :], pair))
            raise _broken(
                Path(pair, self.declared[pair]), f"it goes in a circle: {circle}", "Add a feed of one of them"
            )
        factors: list[Factor] = []
        for factor in self.declared[pair]:
            if factor.pair in self.feeds:
                factors.append(factor)
                continue
            inner = self.expanded(factor.pair, (*above, pair)).factors
            factors += [one.turned for one in reversed(inner)] if factor.inverted else inner
        return Path(pair, tuple(factors), maximum_age=self.settings[pair].maximum_age)

    def derived(self, wanted: Pair) -> Path:
        """The only shortest path over feeds in their own direction."""
        found: list[tuple[Factor, ...]] = []
        reached: list[tuple[str, tuple[Factor, ...]]] = [(wanted.base, ())]
        seen = {wanted.base}
        while reached and not found:
            longer = [
                (pair.quote, (*factors, Factor(pair)))
                for unit, factors in reached
                for pair in sorted(self.feeds)
                if pair.base == unit and pair.quote not in seen
            ]
            found = [factors for unit, factors in longer if unit == wanted.quote]
            seen |= {unit for unit, _ in longer}
            reached = longer
        if len(found) > 1:
            raise SettingsError(
                f"{len(found)} paths are equally short: {'; '.join(str(Path(wanted, one)) for one in found)}",
                field=f"assets.{wanted.base}",
                remedy=f'Declare one under [composites."{wanted}"]',
            )
        if not found:
            feeds = ", ".join(str(pair) for pair in sorted(self.feeds))
            raise SettingsError(
                f"no feed and no path gives {wanted}; the feeds are {feeds}",
                field=f"assets.{wanted.base}",
                remedy=f'Add the missing feed, or declare [composites."{wanted}"]',
            )
        return Path(wanted, found[0], declared=False)


def _factor(text: str, field: str) -> Factor:
    match = _INVERTED.fullmatch(text.strip())
    return Factor(Pair.parse(match[1] if match else text, f"{field}.path"), inverted=match is not None)


def _broken(path: Path, why: str, remedy: str) -> SettingsError:
    return SettingsError(f"{path}; {why}", field=f"composites.{path.pair}", remedy=remedy)


def _missing(path: Path, gap: Pair, ends: str | None = None) -> SettingsError:
    why = (
        f"it ends in {ends}, not in {gap.quote}: the factor {gap} is missing"
        if ends
        else f"the factor {gap} is missing"
    )
    return _broken(path, why, "Add the factor to the path")
