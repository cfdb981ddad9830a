"""The stages composed: snapshot to calibration to recommendation to stress to calldata, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from risk.artifact import Table
from risk.calibration import Calibration
from risk.dependence.challenger import RACE_SCHEMA, dependence_race
from risk.dependence.copula import fit_dependence
from risk.dependence.joint_falls import JOINT_SCHEMA, joint_falls
from risk.dependence.summary import dependence_pairs
from risk.errors import EvidenceError
from risk.market import MarketSnapshot
from risk.outcome import StressResult
from risk.parameters import ParameterSet
from risk.policy.recommend import recommend as _recommend
from risk.protocols.proposal import EncodedProposal, encode_proposal
from risk.recommendation import Recommendation
from risk.settings import Settings
from risk.stress.run import BookLossModel
from risk.tails.backtest import backtest_subjects
from risk.tails.calibrate import assemble, calibrate_subjects, residuals_by_asset
from risk.tails.record_tables import assemble_track_record
from risk.track_record import TrackRecord


def _hashes(snapshot: MarketSnapshot, calibration: Calibration) -> dict[str, str]:
    return {"snapshot": snapshot.artifact().content_hash, "calibration": calibration.artifact().content_hash}


def calibrate(snapshot: MarketSnapshot, settings: Settings, executor: Executor | None = None) -> Calibration:
    """Fit every asset and pair on its own, then how they move together.

    Raises
    ------
    EvidenceError
        When no asset can have a model; says of each why.
    """
    outcomes = calibrate_subjects(snapshot, settings, executor)
    residuals = residuals_by_asset(outcomes)
    if not residuals:
        why = "; ".join(f"{one.subject}: {one.reason}" for one in outcomes if ":" not in one.subject)
        raise EvidenceError(
            f"no asset can have a model. {why}",
            remedy="Give at least one asset a feed whose series is long enough, moves and reaches the as-of date",
        )
    dependence = fit_dependence(residuals)
    sectors = {name: asset.asset_class for name, asset in settings.assets.items()}
    pairs = dependence_pairs(dependence, residuals, sectors)
    models = {one.subject: one.model for one in outcomes if one.model is not None and one.subject in residuals}
    falls = joint_falls(models, dependence, horizon=settings.appetite.es_horizon, seed=settings.seed)
    diagnostics = {
        "dependence_race": Table.from_rows(RACE_SCHEMA, dependence_race(residuals, dependence, seed=settings.seed)),
        "joint_falls": Table.from_rows(JOINT_SCHEMA, falls),
    }
    inputs = {"snapshot": snapshot.artifact().content_hash}
    return assemble(snapshot, settings, outcomes, dependence, pairs, diagnostics=diagnostics, inputs=inputs)


def backtest(snapshot: MarketSnapshot, settings: Settings, executor: Executor | None = None) -> TrackRecord:
    """Walk every asset forward, forecast before every bar, and compare with what came."""
    records = backtest_subjects(snapshot, settings, executor)
    return assemble_track_record(snapshot, settings, records)


def recommend(
    snapshot: MarketSnapshot, calibration: Calibration, settings: Settings, executor: Executor | None = None
) -> Recommendation:
    """Targets, derivations and next legal steps."""
    return _recommend(snapshot, calibration, settings, _hashes(snapshot, calibration), executor)


def stress(
    snapshot: MarketSnapshot, calibration: Calibration, settings: Settings, sets: Mapping[str, ParameterSet]
) -> StressResult:
    """Stress the named sets on the same paths."""
    return BookLossModel(snapshot, calibration, settings, inputs=_hashes(snapshot, calibration)).loss(sets)


def encode(snapshot: MarketSnapshot, recommendation: Recommendation, settings: Settings) -> EncodedProposal:
    """Calldata of the next legal step, decoded back and compared."""
    changes = snapshot.in_force.diff(recommendation.next_step)
    return encode_proposal(changes, snapshot.in_force, settings)
