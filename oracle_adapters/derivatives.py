"""Chains of options, funding rates and open interest from the rows of feeds, as they were known at an instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from oracle_adapters.feed import Chunk, FeedSpec, Kind, price_series
from oracle_adapters.quality import Check
from oracle_adapters.quality.derivatives import check_chain, check_funding
from oracle_adapters.quality.reading import check_counts
from risk.artifact import Table
from risk.derivatives import FundingHistory, OptionChain, chain_of
from risk.market import Verdict

DERIVATIVES = frozenset({Kind.OPTION, Kind.FUNDING})
"""Kinds of feeds that derivatives markets quote."""


@dataclass(frozen=True, slots=True)
class Derivatives:
    """What was quoted, by feed, and a row of the quality table for every check."""

    options: Mapping[str, OptionChain]
    rates: Mapping[str, FundingHistory]
    checks: Sequence[tuple[str, Check]]


def quoted_derivatives(feeds: Sequence[tuple[FeedSpec, Chunk]], as_of: int) -> Derivatives:
    """The last chain of every feed of options, and the whole history of every other one, with their verdicts.

    Nothing that became known after `as_of` changes the result. A feed that knew nothing by then is left out, and
    has a row that says so.
    """
    options: dict[str, OptionChain] = {}
    rates: dict[str, FundingHistory] = {}
    checks: list[tuple[str, Check]] = []
    for spec, chunk in sorted(feeds, key=lambda feed: feed[0].id):
        rows = chunk.rows.take(chunk.rows["known_at"] <= as_of)
        if not len(rows):
            detail = "nothing was known by then: left out; chains are sampled only when they are fetched"
            checks.append((spec.id, Check("absent", Verdict.SUSPECT, 0, detail)))
            continue
        found: list[Check] = []
        if spec.kind is Kind.OPTION:
            chains = [_chain(spec, part) for part in _moments(rows)]
            options[spec.id] = chains[-1]
            found = check_chain(chains, as_of)
        else:
            rates[spec.id] = FundingHistory.of(price_series(spec, rows))
            found = check_funding(rates[spec.id], as_of)
        checks += [(spec.id, check) for check in (*found, *check_counts(chunk.counted))]
    return Derivatives(options, rates, checks)


def _chain(spec: FeedSpec, rows: Table) -> OptionChain:
    return chain_of(spec.id, spec.base, spec.quote, spec.source, rows)


def _moments(rows: Table) -> list[Table]:
    """The rows of each chain; they are in order of time."""
    starts = np.flatnonzero(np.diff(rows["observed_at"])) + 1
    bounds = [0, *starts.tolist(), len(rows)]
    return [rows.take(np.arange(first, stop)) for first, stop in pairwise(bounds)]
