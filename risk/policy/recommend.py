"""The policy stage: a target for every number, its derivation, and the next legal step."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from risk.calibration import Calibration
from risk.errors import SettingsError
from risk.market import MarketSnapshot
from risk.policy.ledger import Ledger
from risk.policy.perpetual import perpetual
from risk.policy.reserve_numbers import ReserveTask, first_exposed, reserve_numbers
from risk.policy.swap_fee import swap_fee
from risk.recommendation import Recommendation
from risk.settings import Settings


def recommend(
    snapshot: MarketSnapshot,
    calibration: Calibration,
    settings: Settings,
    inputs: Mapping[str, str] | None = None,
    executor: Executor | None = None,
) -> Recommendation:
    """Derive every number of every configured market.

    A number that cannot be derived is refused by name and keeps its value in force; the rest goes on. What is found
    does not depend on the executor.

    Raises
    ------
    SettingsError
        When the declared life of a parameter is shorter than a bar.
    """
    _refuse_short_lives(calibration, settings)
    ledger = Ledger(snapshot, settings)
    tasks = _reserve_tasks(snapshot, calibration, settings)
    run = map if executor is None else executor.map
    for found in run(reserve_numbers, tasks, [snapshot] * len(tasks), [settings] * len(tasks)):
        ledger.numbers.add(found)
    for asset, declared in sorted(settings.assets.items()):
        if declared.perpetual is not None:
            perpetual(ledger, calibration, asset, declared.perpetual)
        if declared.pool is not None:
            swap_fee(ledger, calibration, asset, declared.pool)
    ledger.couple()
    in_force, numbers = snapshot.in_force, ledger.numbers
    return Recommendation(
        snapshot.as_of, in_force.replace(numbers.target), in_force.replace(numbers.step),
        tuple(sorted(numbers.derivations, key=lambda d: d.key)), numbers.facts, dict(inputs or {}),
        settings.hash_of("seed", "assets", "markets", "appetite", "execution", "models", "policy", "bounds"),
    )  # fmt: skip


def _reserve_tasks(snapshot: MarketSnapshot, calibration: Calibration, settings: Settings) -> list[ReserveTask]:
    exposed = {asset: first_exposed(snapshot, settings, asset) for asset, _, _ in settings.reserves()}
    total = sum(usd for usd in exposed.values() if not isinstance(usd, str))
    return [
        ReserveTask(
            asset, tuple(calibration.model(f"{asset}:{debt}") for debt in declared.debts), exposed[asset], total
        )
        for asset, _, declared in settings.reserves()
    ]


def _refuse_short_lives(calibration: Calibration, settings: Settings) -> None:
    longest = max((model.interval for model in calibration.pairs.values()), default=0)
    life = settings.appetite.parameter_life
    if life < longest:
        raise SettingsError(
            f"shorter than a bar of {longest} s",
            field="appetite.parameter_life",
            value=f"{life} s",
            remedy="Declare a life of at least one bar, or give the assets shorter bars",
        )
