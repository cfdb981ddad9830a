"""Bad debt of parameter sets in crashes: replays of history, simulation against the declared budgets, a shock curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from risk.artifact import Table
from risk.calibration import Calibration
from risk.depth import Depth
from risk.market import NUMERAIRE, FloatArray, MarketSnapshot
from risk.outcome import STRESS_SCHEMA, Measure, StressResult
from risk.parameters import ParameterSet
from risk.settings import Settings
from risk.stress import measures
from risk.stress.book import StressBook, book_of, newly_liquidatable
from risk.stress.kernel import LATENT, LIQUIDATED, REALISED, UNLIQUIDATED
from risk.stress.liquidation import depths_of, liquidate, terms_of
from risk.stress.measures import Estimate
from risk.stress.paths import JointModel, joint_model, simulate, unavailable
from risk.stress.scenarios import REPLAY_STEP, Scenario, load_scenarios, replay
from risk.tails.horizon import YEAR, bars_of
from risk.units import DAY

MONTE_CARLO = "monte_carlo"
"""Name of the simulation among the scenarios."""
SHOCKS = tuple(step / 20 for step in range(15))
"""Falls of the shock curve: 0 to 70 % in steps of 5 %."""
HOUR = 3600
TAIL = 0.99
_REPLAYED = (
    (Measure.BAD_DEBT, (LATENT, REALISED), True), (Measure.LATENT, (LATENT,), False),
    (Measure.REALISED, (REALISED,), False), (Measure.UNLIQUIDATED, (UNLIQUIDATED,), True),
    (Measure.LIQUIDATED, (LIQUIDATED,), False),
)  # fmt: skip
"""Measures of a replay: the columns that add up to each, and whether it is held against the backstop."""
ASSUMPTIONS = (
    "bad debt against a budget is realised plus latent at the end of the horizon, at market prices",
    "replays: debt that could be liquidated and that nobody has taken by the end is held against the backstop as well",
    "simulation: the whole move of a bar happens at its start, then keepers have hourly rounds at that price",
    "simulation: today's positions, nobody adds collateral, repays or opens an account; no drift of prices",
    "crises are common: one mixing variable moves all assets of a bar, and starting variances have one rank",
    "an asset pegged to another follows it times its own ratio, which is independent of the market",
    "depth is shared by all accounts, comes back with the declared half-life and does not shrink with the price",
    "keepers have capital; liquidations do not move the path of prices",
    "replays: the multipliers of depth come on top of the declared stressed depth",
    "perpetual positions are not in the book",
)
"""What holds in every run; the reader of a result must know it."""
ABSORBED = (
    "a market that absorbs takes whole accounts after the keepers' delay and sells their collateral at its discount",
    "its reserves stay below their target, so that all absorbed collateral is for sale, and cover what is credited",
)
"""What holds where a market absorbs accounts."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One parameter set: its book, the part of it that can be simulated, and depth by collateral."""

    name: str
    book: StressBook
    simulated: StressBook
    depths: Mapping[str, Depth]


class BookLossModel:
    """Bad debt of a position book; implements `risk.outcome.LossModel`.

    Parameters
    ----------
    snapshot, calibration, settings
        Market, path models and what is declared.
    inputs
        Content hashes of the artifacts behind them, by stage.
    """

    def __init__(
        self,
        snapshot: MarketSnapshot,
        calibration: Calibration,
        settings: Settings,
        *,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        self._snapshot, self._calibration, self._settings = snapshot, calibration, settings
        self._inputs = dict(inputs or {})
        self._scenarios = load_scenarios(settings.stress.scenarios)

    def loss(self, sets: Mapping[str, ParameterSet]) -> StressResult:
        """Stress the named sets on the same paths; they come out in name order.

        An asset without a path model takes its accounts out of the simulation: they are named in the facts, and
        every simulated row of a set that holds such an account counts all its paths as failed and so fails. A set
        under which nothing is lent loses nothing: its rows are zero, and the facts name it.

        Raises
        ------
        EvidenceError
            A set or the book lacks what a verdict needs: a threshold, an exposure.
        DataError, SettingsError
            From the book's prices or the settings' scenarios and pegs.
        """
        snapshot, settings = self._snapshot, self._settings
        books = {name: book_of(snapshot, settings, sets[name]) for name in sorted(sets)}
        assets = tuple(sorted({asset for book in books.values() for asset in book.assets} - {NUMERAIRE}))
        missing = unavailable(self._calibration, settings, assets)
        cases = [
            _Case(name, book, book.without(frozenset(missing)), depths_of(snapshot, settings, book))
            for name, book in books.items()
        ]
        rows: list[tuple[object, ...]] = []
        for scenario in self._scenarios:
            rows += self._replay(scenario, cases)
        simulated, facts = self._simulate(cases, tuple(name for name in assets if name not in missing))
        rows += simulated
        losses = facts.pop("losses")
        return StressResult(
            rows=Table.from_rows(STRESS_SCHEMA, rows),
            curve=self._curve(cases),
            losses=losses,
            scenarios={scenario.name: scenario.facts() for scenario in self._scenarios},
            facts={**self._facts(cases, missing), "newly_liquidatable": self._newly_liquidatable(sets), **facts},
            inputs=self._inputs,
            settings_hash=settings.hash_of("seed", "assets", "appetite", "execution", "models", "stress"),
        )

    def _replay(self, scenario: Scenario, cases: list[_Case]) -> list[tuple[object, ...]]:
        """One row a set and measure; bad debt, and debt that nobody could liquidate, against the backstop."""
        rows: list[tuple[object, ...]] = []
        for case in cases:
            path = replay(scenario, self._settings, case.book.assets)
            terms = terms_of(
                self._snapshot,
                self._settings,
                case.book,
                case.depths,
                round_seconds=REPLAY_STEP,
                oracle_delay=scenario.oracle_delay,
                depth_multiplier={a: scenario.depth.get(a, scenario.depth_multiplier) for a in case.book.assets},
                gas_multiplier=scenario.gas_multiplier,
            )
            outcome = liquidate(case.book, path[None], terms, (len(path) - 1,))[0, 0]
            for measure, columns, budgeted in _REPLAYED:
                estimate = Estimate(float(outcome[list(columns)].sum()), 0.0, 1, 0)
                budget = self._settings.appetite.backstop_usd if budgeted else None
                rows.append(
                    _row(scenario.name, case.name, measure, round(scenario.hours * HOUR), 0.0, estimate, budget)
                )
        return rows

    def _simulate(self, cases: list[_Case], assets: tuple[str, ...]) -> tuple[list[tuple[object, ...]], dict[str, Any]]:
        """Rows against the budgets, the losses by path, and facts of the simulation."""
        settings, appetite = self._settings, self._settings.appetite
        joint = joint_model(self._calibration, settings, assets)
        interval = joint.interval or DAY
        horizons = (settings.models.monte_carlo_horizon, appetite.es_horizon, appetite.parameter_life)
        marks = tuple(bars_of(seconds, interval) for seconds in horizons)
        simulated = self._losses(cases, joint, marks, interval)
        rows: list[tuple[object, ...]] = []
        facts: dict[str, Any] = {"any_shortfall_probability": {}, "binding": {}}
        losses = []
        for case in cases:
            loss = simulated[case.name]
            lost = len(loss) if len(case.simulated.accounts) < len(case.book.accounts) else 0
            seconds = [mark * interval for mark in marks]
            budgets = (
                (Measure.EXPECTED_PER_YEAR, seconds[0], 0.0, measures.mean(loss[:, 0], YEAR / seconds[0]),
                 appetite.expected_bad_debt_usd_per_year),
                (Measure.ES99, seconds[1], TAIL, measures.expected_shortfall(loss[:, 1], TAIL), appetite.es99_usd),
                (Measure.BREACH_PROBABILITY, seconds[2], 0.0,
                 measures.share_above(loss[:, 2], appetite.shortfall_tolerance_usd), appetite.breach_probability),
            )  # fmt: skip
            use = {}
            for measure, horizon, confidence, found, budget in budgets:
                estimate = Estimate(found.value, found.standard_error, found.n_paths, max(found.n_failed, lost))
                rows.append(_row(MONTE_CARLO, case.name, measure, horizon, confidence, estimate, budget))
                use[measure] = estimate.value / budget if budget > 0 else float(estimate.value > 0)
            binding = max(use, key=lambda measure: use[measure])
            facts["binding"][case.name] = {"measure": str(binding), "used": use[binding]}
            facts["any_shortfall_probability"][case.name] = measures.share_above(loss[:, 2], 0.0).value
            good = np.flatnonzero(np.isfinite(loss[:, 1]))
            losses += [(case.name, path, float(loss[path, 1])) for path in good.tolist()]
        facts["losses"] = Table.from_rows({"set_id": "str", "path": "i8", "loss": "f8"}, losses)
        facts["simulation"] = {
            "paths": settings.models.monte_carlo_paths,
            "bar_seconds": interval,
            "bars": max(marks),
            "losses_horizon": marks[1] * interval,
        }
        return rows, facts

    def _losses(
        self, cases: list[_Case], joint: JointModel, marks: tuple[int, ...], interval: int
    ) -> dict[str, FloatArray]:
        """Realised plus latent debt (n_paths, n_marks) by set, on common paths."""
        n_paths, rounds = self._settings.models.monte_carlo_paths, max(1, interval // HOUR)
        column = {name: i for i, name in enumerate((*joint.assets, NUMERAIRE))}
        terms = [
            terms_of(
                self._snapshot, self._settings, c.simulated, c.depths, round_seconds=interval // rounds, rounds=rounds
            )
            for c in cases
        ]  # fmt: skip
        found: dict[str, list[FloatArray]] = {case.name: [] for case in cases}
        for paths in simulate(joint, seed=self._settings.seed, n_paths=n_paths, n_steps=max(marks)):
            relative = np.concatenate((paths, np.ones((*paths.shape[:2], 1))), axis=2)
            for case, term in zip(cases, terms, strict=True):
                own = relative[:, :, [column[name] for name in case.simulated.assets]]
                outcome = liquidate(case.simulated, own, term, marks)
                found[case.name].append(outcome[:, :, LATENT] + outcome[:, :, REALISED])
        return {name: np.concatenate(blocks) for name, blocks in found.items()}

    def _curve(self, cases: list[_Case]) -> Table:
        """Bad debt a day after everything but stable coins fell at once by each shock."""
        rows: list[tuple[object, ...]] = []
        for case in cases:
            falls = np.array([not self._stable(name) for name in case.book.assets], dtype=np.float64)
            path = np.ones((len(SHOCKS), DAY // HOUR + 1, len(falls)))
            path[:, 1:] -= np.array(SHOCKS)[:, None, None] * falls
            terms = terms_of(self._snapshot, self._settings, case.book, case.depths, round_seconds=HOUR)
            outcome = liquidate(case.book, path, terms, (DAY // HOUR,))[:, 0]
            rows += [
                (case.name, shock, *(float(value) for value in (line[LATENT], line[REALISED], line[UNLIQUIDATED])))
                for shock, line in zip(SHOCKS, outcome, strict=True)
            ]
        schema = {"set_id": "str", "shock": "f8", "latent": "f8", "realised": "f8", "unliquidated": "f8"}
        return Table.from_rows(schema, rows)

    def _stable(self, name: str) -> bool:
        return name == NUMERAIRE or self._settings.assets[name].asset_class == "stable"

    def _newly_liquidatable(self, sets: Mapping[str, ParameterSet]) -> dict[str, Any]:
        """Accounts and debt that each set makes liquidatable at today's prices; empty where no book is known."""
        snapshot, found = self._snapshot, {}
        if snapshot.book is None:
            return {}
        debt = snapshot.book.debt @ np.array([snapshot.last_price(name) for name in snapshot.book.assets])
        for name in sorted(sets):
            crossing = newly_liquidatable(snapshot, self._settings, snapshot.in_force, sets[name])
            found[name] = {
                "accounts": len(crossing),
                "debt_usd": float(crossing["debt_usd"].sum()),
                "of_accounts": len(debt),
                "of_debt_usd": float(debt.sum()),
            }
        return found

    def _facts(self, cases: list[_Case], missing: Mapping[str, str]) -> dict[str, Any]:
        """What a reader must know: positions, depth, what could not be simulated, and what is assumed."""
        books = {
            case.name: {
                "accounts": len(case.book.accounts),
                "collateral_usd": float((case.book.collateral @ case.book.price).sum()),
                "debt_usd": float((case.book.debt @ case.book.price).sum()),
                "bad_debt_at_start_usd": float(
                    np.maximum(0.0, (case.book.debt - case.book.collateral) @ case.book.price).sum()
                ),
                "accounts_not_simulated": len(case.book.accounts) - len(case.simulated.accounts),
            }
            for case in cases
        }
        depth: dict[str, Any] = {}
        for case in cases:
            for asset, found in case.depths.items():
                entry = depth.setdefault(asset, {"origin": str(found.origin), "note": found.note, "usd": {}})
                entry["usd"][case.name] = found.usd
        return {
            "positions": {"origin": str(cases[0].book.origin), "note": cases[0].book.note} if cases else {},
            "books": books,
            "nothing_lent": [name for name, found in books.items() if found["debt_usd"] == 0],
            "depth": depth,
            "without_depth": {asset: entry["note"] for asset, entry in depth.items() if not max(entry["usd"].values())},
            "not_simulated": dict(missing),
            "assumptions": [
                *ASSUMPTIONS,
                *(ABSORBED if any(case.book.absorption is not None for case in cases) else ()),
            ],
        }


def _row(
    scenario: str, name: str, measure: Measure, horizon: int, confidence: float, found: Estimate, budget: float | None
) -> tuple[object, ...]:
    """A row of `STRESS_SCHEMA`; failed paths never pass."""
    status = "info" if budget is None else "pass" if found.value <= budget and found.n_failed == 0 else "fail"
    return (
        scenario, name, str(measure), horizon, confidence, found.value, found.standard_error, found.n_paths,
        found.n_failed, budget or 0.0, budget is not None, status,
    )  # fmt: skip
