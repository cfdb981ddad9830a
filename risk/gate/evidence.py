"""Evidence: whether the prices behind a changed number can be relied on. Bad evidence is missing evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from risk.gate.context import GateContext, Place, Remark, Rule, each_changed
from risk.market import MarketSnapshot, StepBound, Verdict
from risk.outcome import Severity
from risk.parameters import Key
from risk.settings import Settings
from risk.structure import STEWARD


def assets_of(key: Key, settings: Settings) -> tuple[str, ...]:
    """Assets whose prices a number rests on: the subject's, and those it may be borrowed against as a reserve."""
    named = set(re.split("[-:]", key.subject))
    found = {
        name
        for name, asset in settings.assets.items()
        if key.market in (asset.reserve, asset.perpetual, asset.pool) and named & {name, asset.symbol}
    }
    debts = {debt for name in found if key.kind == "reserve" for debt in settings.assets[name].debts}
    return tuple(sorted(found | (debts & settings.assets.keys())))


def bad_prices(snapshot: MarketSnapshot, assets: Iterable[str]) -> dict[str, str]:
    """Why an asset's prices are bad or not there, by asset; none of those that are good or suspect."""
    found = {}
    for asset in sorted(assets):
        known = asset in snapshot.assets
        verdict, why = snapshot.verdict(asset) if known else (Verdict.BAD, "there are none by the as-of date")
        if verdict is Verdict.BAD:
            found[asset] = why
    return found


def read_bounds(snapshot: MarketSnapshot, settings: Settings) -> dict[str, StepBound]:
    """Step bounds by parameter that the snapshot has from the steward that the trusted settings name, and no other."""
    found = {}
    for row in snapshot.structure.where(fact=STEWARD).rows():
        market = settings.markets.get(row["market"])
        named = market.state.steward if market is not None and market.state is not None else None
        if named is not None and named.lower() == row["value"].lower():
            found[row["subject"]] = snapshot.bounds[row["subject"]]
    return found


def _relied_on(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    bad = {name: context.bad_prices[name] for name in assets_of(key, context.settings) if name in context.bad_prices}
    if not bad:
        return None
    safer = any(change.key == key and change.tightening > 0 for change in context.changes)
    return Remark(
        f"evidence is missing: the prices of {'; '.join(f'{name} are bad ({why})' for name, why in bad.items())}",
        "Mend or replace the feed and run again; until then only tighten",
        {"bad": bad},
        Severity.WARNING if safer else None,
    )


RULES = (Rule("E005", "the prices behind a changed number are good", Severity.ERROR, each_changed, _relied_on),)
