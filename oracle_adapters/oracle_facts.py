"""How an asset's on-chain feed updates: as declared, and as its rounds show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oracle_adapters.feed import FeedSpec
from oracle_adapters.quality import Check
from oracle_adapters.rounds import UpdateRule, measure_update_rule
from risk.artifact import Table
from risk.errors import DataError
from risk.market import NUMERAIRE, OracleFacts, Origin, Verdict
from risk.settings import OracleSettings

DEVIATION_APART, HEARTBEAT_APART = 0.25, 0.10
"""Shares of the declared figure by which a measured one may differ: a price moves on before an update is in a block."""
NOT_MEASURED = "too few updates lie together to tell"


def oracle_facts(
    declared: Mapping[str, OracleSettings], rounds: Sequence[tuple[FeedSpec, Table]]
) -> tuple[dict[str, OracleFacts], list[tuple[str, Check]]]:
    """Facts by asset, and a row of the quality table for every feed of rounds that prices an asset in US dollars.

    What is declared counts; where a feed's rounds say otherwise that is suspect. Where nothing is declared the
    measured rule counts, of several feeds of an asset the one with the larger deviation, and it says that it is
    measured, and from what. Rounds tell no latency: a measured rule has none.

    Parameters
    ----------
    declared
        By asset.
    rounds
        Rows of rounds that were known at the instant, by feed.
    """
    facts = {name: OracleFacts(one.deviation, one.heartbeat, one.latency) for name, one in declared.items()}
    measured: dict[str, OracleFacts] = {}
    checks: list[tuple[str, Check]] = []
    for spec, rows in rounds:
        if spec.quote != NUMERAIRE:
            continue
        try:
            rule = measure_update_rule(rows)
        except DataError:
            rule = UpdateRule(None, None, 0, 0, 0)
        checks.append((spec.id, _check(rule, len(rows), facts.get(spec.base))))
        if rule.heartbeat is not None and rule.deviation is not None and spec.base not in facts:
            first, last = (int(rows["observed_at"][i]) for i in (0, -1))
            found = OracleFacts(rule.deviation, rule.heartbeat, 0, Origin.MEASURED, len(rows), first, last)
            measured[spec.base] = max(measured.get(spec.base, found), found, key=lambda one: one.deviation)
    return dict(sorted((facts | measured).items())), checks


def _check(rule: UpdateRule, rounds: int, declared: OracleFacts | None) -> Check:
    """What the rounds say of the rule, beside what is declared."""
    deviation = NOT_MEASURED if rule.deviation is None else f"{rule.deviation:.2%} from {rule.n_early} moves"
    heartbeat = NOT_MEASURED if rule.heartbeat is None else f"{rule.heartbeat} s from {rule.n_late} gaps"
    said = f"measured from {rounds} rounds: deviation {deviation}; heartbeat {heartbeat}"
    if declared is None:
        used = rule.deviation is not None and rule.heartbeat is not None
        tail = "nothing is declared, so this counts" if used else "nothing is declared, so there is no rule"
        return Check("update_rule", Verdict.GOOD if used else Verdict.SUSPECT, rounds, f"{said}; {tail}")
    pairs = (
        ("deviation", rule.deviation, declared.deviation, DEVIATION_APART),
        ("heartbeat", rule.heartbeat, declared.heartbeat, HEARTBEAT_APART),
    )
    apart = [name for name, found, told, share in pairs if found is not None and abs(found - told) > share * abs(told)]
    if not apart:
        return Check("update_rule", Verdict.GOOD, rounds, said)
    told = f"declared are {declared.deviation:.2%} and {declared.heartbeat} s"
    return Check(
        "update_rule", Verdict.SUSPECT, rounds, f"{said}; {told}, which count and differ in {' and '.join(apart)}"
    )
