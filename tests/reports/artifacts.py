"""Synthetic recommendation, stress and proposal for tests of the documents."""

from __future__ import annotations

from typing import Any

import numpy as np

from reports.page import build_proposal
from risk.artifact import Table
from risk.outcome import STRESS_SCHEMA, Measure, StressResult
from risk.parameters import Key, ParameterSet
from risk.protocols.proposal import encode_proposal
from risk.recommendation import Derivation, Operation, Recommendation, Trail
from tests.factories import AS_OF, make_calibration, make_parameters, make_settings, make_snapshot

DAY = 86_400


def make_recommendation(in_force: ParameterSet | None = None, *, note: str = "Depth is declared.") -> Recommendation:
    """Every ratio of a reserve moves to nine tenths of itself in steps of .5 %; LINK's threshold is refused."""
    in_force = make_parameters() if in_force is None else in_force
    target, step, derivations = dict(in_force.values), dict(in_force.values), []
    for key, value in in_force.values.items():
        current = float(value.value)  # type: ignore[union-attr]
        trail = Trail()
        trail.apply("Price move in the liquidation window", Operation.START, 1.0, "figure: drawdown 99 %, 1 day")
        trail.apply("What is left of the collateral", Operation.MULTIPLY, 0.9 * current, "oracle | policy", (0.8, 0.95))
        refused = key.subject == "LINK" and key.parameter == "liquidation_threshold"
        moves = key.kind == "reserve" and key.parameter in ("collateral_factor", "liquidation_threshold")
        if moves and not refused:
            trail.apply("The protocol's grid", Operation.ROUND_DOWN, 0.0001, "aave_v3")
            texts = {str(key): f"{trail.value * 100:.2f}%"}
            target[key] = ParameterSet.from_texts(texts).values[key]
            step[key] = ParameterSet.from_texts({str(key): f"{(current - 0.005) * 100:.2f}%"}).values[key]
        derivations.append(
            Derivation(
                key=key,
                terms=tuple(trail.terms),
                binding="mean loss over the life",
                current=str(value),
                target=None if refused else str(target[key]),
                next_step=None if refused else str(step[key]),
                lower=0.85 * current if moves else None,
                upper=0.95 * current if moves else None,
                earliest=AS_OF + DAY if moves else None,
                emergency="freeze" if refused else None,
                undercoverage="0.40 % of the debt" if moves else None,
                notes=(note,),
                refusal="a realised move of 61.00 % exceeds what the target was built for" if refused else None,
            )
        )
    facts = {
        "any_shortfall_probability": {"target": {"WETH": 0.031, "LINK": 0.2}, "in_force": {"WETH": 0.12, "LINK": 0.4}},
        "binding": {"WETH": "mean loss over the life", "LINK": "breach probability"},
        "sensitivity": {"WETH": {"half_life_doubled_threshold": 0.71}, "LINK": {"half_life_doubled_threshold": 0.5}},
        "refused": {str(Key("lending", "reserve", "LINK", (), "liquidation_threshold")): "a realised move"},
    }
    return Recommendation(AS_OF, ParameterSet(target), ParameterSet(step), tuple(derivations), facts)


def make_stress(*, target_fails: bool = False, n_failed: int = 0) -> StressResult:
    """A Monte-Carlo with three budgets and two replays; what is in force breaks the expected-loss budget."""
    rows: list[tuple[Any, ...]] = []
    year, breach = Measure.EXPECTED_PER_YEAR, Measure.BREACH_PROBABILITY
    for set_id, scale in (("in_force", 2.0), ("next_step", 1.8), ("target", 0.6)):
        fails = "fail" if scale > 1 or target_fails else "pass"
        simulated = (
            (year, 14 * DAY, 0.0, 150_000 * scale, 9_000 * scale, n_failed, 250_000.0, fails),
            (Measure.ES99, 7 * DAY, 0.99, 2_000_000 * scale, 120_000.0, 0, 5_000_000.0, "pass"),
            (breach, 28 * DAY, 0.0, 0.008 * scale, 0.001, 0, 0.02, "pass"),
        )
        for measure, horizon, confidence, value, error, failed, budget, status in simulated:
            rows.append(
                ("monte_carlo", set_id, measure, horizon, confidence, value, error, 2000, failed, budget, True, status)
            )
        for name, size in (("black_thursday_2020", 1.0), ("usdc_depeg_2023", 0.1)):
            replay = (name, set_id)
            rows.append((*replay, Measure.REALISED, 2 * DAY, 0.0, 3e6 * size * scale, 0.0, 1, 0, 2e7, True, "pass"))
            rows += [
                (*replay, measure, 2 * DAY, 0.0, 5e5 * size * scale, 0.0, 1, 0, 0.0, False, "info")
                for measure in (Measure.LATENT, Measure.UNLIQUIDATED, Measure.LIQUIDATED)
            ]
    shocks = np.arange(0.0, 0.71, 0.05)
    curve = [
        (name, float(s), 4e7 * scale * max(0.0, s - 0.2) ** 2, 1e7 * scale * max(0.0, s - 0.1) ** 2, 1e6 * s)
        for name, scale in (("in_force", 2.0), ("target", 0.6))
        for s in shocks
    ]
    rng = np.random.default_rng(3)
    draws = np.where(rng.random(800) < 0.3, np.exp(rng.normal(10, 2, 800)), 0.0)
    scales = {"in_force": 2.0, "target": 0.6}
    losses = [(name, i, float(x * scale)) for name, scale in scales.items() for i, x in enumerate(draws)]
    columns = ("shock", "latent", "realised", "unliquidated")
    source = "public prices"
    return StressResult(
        rows=Table.from_rows(STRESS_SCHEMA, rows),
        curve=Table.from_rows({"set_id": "str", **dict.fromkeys(columns, "f8")}, curve),
        losses=Table.from_rows({"set_id": "str", "path": "i8", "loss": "f8"}, losses),
        scenarios={
            "black_thursday_2020": {
                "title": "Black Thursday",
                "date": "2020-03-12",
                "source": source,
                "verified": True,
            },
            "usdc_depeg_2023": {"title": "USDC de-peg", "date": "2023-03-10", "source": source, "verified": False},
        },
        facts={
            "positions": {"origin": "measured"},
            "books": {"target": {"accounts": 40, "debt_usd": 1.5e6}},
            "any_shortfall_probability": {"in_force": 0.12, "next_step": 0.1, "target": 0.031},
            "binding": {name: {"measure": str(year), "used": 0.36} for name in ("in_force", "next_step", "target")},
            "simulation": {"paths": 800, "bar_seconds": DAY, "losses_horizon": 7 * DAY},
            "assumptions": ["Oracle prices are not moved by liquidations."],
        },
    )


IDENTITY = {"seed": "7", "as_of": str(AS_OF), "settings": "ab" * 32, "snapshot": "cd" * 32, "calibration": "ef" * 32}


def make_proposal(**parts: Any) -> dict[str, bytes]:
    """The files of a proposal from synthetic artifacts; a keyword replaces an artifact."""
    settings = parts.get("settings") or make_settings()
    snapshot = parts.get("snapshot") or make_snapshot()
    calibration = parts.get("calibration") or make_calibration(snapshot, settings)
    recommendation = parts.get("recommendation") or make_recommendation(snapshot.in_force)
    stress = parts.get("stress") or make_stress()
    changes = snapshot.in_force.diff(recommendation.next_step)
    encoded = encode_proposal(changes, snapshot.in_force, settings)
    identity = parts.get("identity") or IDENTITY
    return build_proposal(snapshot, calibration, recommendation, stress, encoded, settings, identity)
