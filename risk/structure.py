"""What a market is beside numbers to be chosen: flags, rate strategies, memberships, the block they were read at."""

from __future__ import annotations

from risk.artifact import Table

STRUCTURE_SCHEMA = {
    "market": "str",
    "kind": "str",
    "subject": "str",
    "fact": "str",
    "value": "str",
    "since": "i8",
}
"""Columns of the structure table: one row a fact; `since` is unix seconds, 0 where the last change is not known."""

STEWARD = "steward"
"""Fact of a parameter (the subject) whose step bound was read from the risk steward whose address is the value."""


def no_structure() -> Table:
    """The table where nothing is read on chain."""
    return Table.from_rows(STRUCTURE_SCHEMA, ())


def closed(structure: Table, market: str, reserve: str) -> bool:
    """Whether a market takes no more of a reserve (Compound III: a cap of zero, which elsewhere means no cap)."""
    return len(structure.where(market=market, kind="reserve", subject=reserve, fact="closed", value="true")) > 0
