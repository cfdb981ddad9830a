"""Joint paths: the recursion by hand, marginals, dependence, pegs, jumps, blocks, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from risk.artifact import Table
from risk.calibration import Calibration
from risk.dependence.copula import kendall_tau
from risk.errors import DataError, EvidenceError, SettingsError
from risk.market import frozen
from risk.stress.paths import BLOCK_PATHS, JointModel, joint_model, simulate, simulate_block, unavailable
from risk.tails.horizon import simulate as simulate_one
from risk.tails.shocks import SHOCK_COUNT, draw_nodes
from tests.factories import ALPHA, BETA, GAMMA, OMEGA, make_calibration, make_settings, make_snapshot


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return make_calibration()


@pytest.fixture(scope="module")
def joint(calibration: Calibration) -> JointModel:
    return joint_model(calibration, make_settings(), ("BTC", "ETH", "LINK", "USDC", "WSTETH"))


def test_shape_start_and_the_same_paths_for_any_number_of_them(joint: JointModel) -> None:
    many = np.concatenate(list(simulate(joint, seed=3, n_paths=2 * BLOCK_PATHS + 50, n_steps=5)))
    few = np.concatenate(list(simulate(joint, seed=3, n_paths=BLOCK_PATHS + 1, n_steps=5)))
    assert many.shape == (2 * BLOCK_PATHS + 50, 6, 5)
    assert (many[:, 0] == 1).all()
    assert (many[: len(few)] == few).all()
    assert (simulate_block(joint, seed=3, block=1, n_steps=5) == many[BLOCK_PATHS : 2 * BLOCK_PATHS]).all()
    assert not np.array_equal(simulate_block(joint, seed=4, block=0, n_steps=5)[:, 1], many[:BLOCK_PATHS, 1])


def test_one_asset_follows_the_recursion(calibration: Calibration) -> None:
    # Shocks of one value make paths a known sequence: e = sqrt(h) z, h' = omega + (alpha + gamma 1[z < 0]) e² + beta h.
    model = replace(
        calibration.assets["ETH"],
        draws=frozen(np.array([[0.0, OMEGA, ALPHA, GAMMA, BETA, 5.0, 1e-3], [9.0, OMEGA, 0.0, 0.0, BETA, 5.0, 1e-3]])),
        shocks=frozen([-1.5]),
        starting_variance=frozen([4e-4]),
    )
    changed = replace(calibration, assets={**calibration.assets, "ETH": model})
    found = simulate_block(joint_model(changed, make_settings(), ("ETH",)), seed=1, block=0, n_steps=3)[:, :, 0]
    for path, (alpha, gamma) in ((0, (ALPHA, GAMMA)), (1, (0.0, 0.0))):
        h, log_price = 4e-4, 0.0
        for step in range(1, 4):
            e = -1.5 * np.sqrt(h)
            log_price += e  # the drift, also a draw's of 9, is not projected
            h = OMEGA + (alpha + gamma) * e * e + BETA * h
            assert np.log(found[path::2, step]) == pytest.approx(log_price, rel=1e-12)


def test_marginals_are_those_of_the_single_subject_simulation(calibration: Calibration) -> None:
    n = 20 * BLOCK_PATHS
    lone = joint_model(calibration, make_settings(), ("ETH",))
    ours = np.log(np.concatenate(list(simulate(lone, seed=5, n_paths=n, n_steps=7))))[:, -1, 0]
    theirs = simulate_one(
        calibration.assets["ETH"], n_bars=7, n_paths_per_draw=n // 20, seed=6, start="through_the_cycle", common=False
    ).log_price[:, -1]
    # Kolmogorov-Smirnov: 1.95 sqrt(2/n) is exceeded with probability .001 by independent samples; starting
    # variances and shocks are stratified, which only lowers it.
    grid = np.sort(np.concatenate((ours, theirs)))
    distance = np.abs(np.searchsorted(np.sort(ours), grid) - np.searchsorted(np.sort(theirs), grid)).max() / n
    assert distance < 1.95 * np.sqrt(2 / n)


def test_dependence_is_the_copulas(joint: JointModel) -> None:
    paths = np.log(np.concatenate(list(simulate(joint, seed=8, n_paths=4000, n_steps=1))))[:, 1]
    # tau of shocks is (2/π) asin .6 = .4097; volatilities that differ by path leave ranks of one bar nearly alone.
    expected, error = 2 / np.pi * np.arcsin(0.6), 2 / 3 / np.sqrt(4000)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert kendall_tau(paths[:, i], paths[:, j]) == pytest.approx(expected, abs=4 * error)


def test_crises_are_common(joint: JointModel) -> None:
    n = 40_000
    paths = np.log(np.concatenate(list(simulate(joint, seed=8, n_paths=n, n_steps=1))))[:, 1, :2]
    # With correlation .6, 19 % of the worst 1 % coincide for a Gaussian copula, 33 % for a t of 5 (two million draws):
    # 76 and 131 of 400 paths, each with a standard deviation of 8 to 10.
    assert (paths <= np.quantile(paths, 0.01, axis=0)).all(axis=1).sum() > 100
    # Kendall's tau of squared moves is .167 and .226; a common rank of starting variances adds to it. Its standard
    # error is below 2/3 / sqrt(n) = .0034.
    assert kendall_tau(paths[:, 0] ** 2, paths[:, 1] ** 2) > 0.226 + 3 * 0.0034


def test_a_wrapped_asset_follows_its_peg(joint: JointModel, calibration: Calibration) -> None:
    assert joint.pegged_to == (-1, -1, -1, -1, 1)
    paths = np.log(np.concatenate(list(simulate(joint, seed=2, n_paths=2000, n_steps=28))))
    ratio = paths[:, -1, 4] - paths[:, -1, 1]
    quiet = np.quantile(np.abs(ratio), 0.9)
    assert quiet < 4 * np.sqrt(28 * calibration.pairs["WSTETH:ETH"].returns.var())
    assert np.quantile(np.abs(paths[:, -1, 4]), 0.9) > 20 * quiet
    only = joint_model(calibration, make_settings(), ("WSTETH",))
    assert only.assets == ("ETH", "WSTETH")


def test_jumps_come_as_often_as_their_intensity(calibration: Calibration) -> None:
    model = replace(
        calibration.assets["USDC"], jump_intensity=frozen([20.0]), jump_sizes=frozen(np.log([0.8, 0.5])),
        shocks=frozen([0.0]),
    )  # fmt: skip
    changed = replace(calibration, assets={**calibration.assets, "USDC": model})
    lone = joint_model(changed, make_settings(), ("USDC",))
    paths = np.concatenate(list(simulate(lone, seed=1, n_paths=4000, n_steps=1)))[:, 1, 0]
    chance = -np.expm1(-20 / 365.25)
    for level in (0.8, 0.5):
        share, p = (np.abs(paths - level) < 1e-9).mean(), chance / 2
        assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))
    assert set(np.round(paths, 9)) == {1.0, 0.8, 0.5}


def test_what_cannot_be_simulated_is_named(calibration: Calibration) -> None:
    settings = make_settings()
    gone = replace(
        calibration,
        assets={name: model for name, model in calibration.assets.items() if name != "LINK"},
        unavailable=Table.from_rows({"subject": "str", "reason": "str"}, [("LINK", "only 20 bars")]),
    )
    with pytest.raises(EvidenceError, match="LINK: no path model: only 20 bars"):
        joint_model(gone, settings, ("ETH", "LINK"))
    assert list(unavailable(gone, settings, ("BTC", "ETH", "LINK", "USDC", "WSTETH"))) == ["LINK"]
    lost = replace(calibration, dependence=replace(calibration.dependence, assets=("A", "B", "C", "D", "E")))
    with pytest.raises(EvidenceError, match="ETH: not in the fitted dependence"):
        joint_model(lost, settings, ("ETH",))
    hourly = {**calibration.assets, "BTC": replace(calibration.assets["BTC"], interval=3600)}
    with pytest.raises(DataError, match="bars of the assets differ"):
        joint_model(replace(calibration, assets=hourly), settings, ("BTC", "ETH"))
    assets = settings.model_dump(mode="json")["assets"]
    circular = make_settings(assets={"ETH": {**assets["ETH"], "peg": "WSTETH"}})
    pairs = {**calibration.pairs, "ETH:WSTETH": calibration.pairs["WSTETH:ETH"]}
    with pytest.raises(SettingsError, match="circle"):
        joint_model(replace(calibration, pairs=pairs), circular, ("ETH",))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, risk.stress.run\n"
        "heavy = {'arch', 'pandas', 'scipy.stats', 'scipy.optimize', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_exploding_variance_is_left_to_the_engine_to_count(calibration: Calibration) -> None:
    wild = np.array(calibration.assets["ETH"].draws)
    wild[:, 4] = 1e6
    changed = replace(
        calibration, assets={**calibration.assets, "ETH": replace(calibration.assets["ETH"], draws=frozen(wild))}
    )
    found = simulate_block(joint_model(changed, make_settings(), ("ETH",)), seed=1, block=0, n_steps=60)
    assert not np.isfinite(found).all()


def test_snapshot_without_pair_model_falls_back_to_the_assets_own(calibration: Calibration) -> None:
    bare = replace(calibration, pairs={})
    assert joint_model(bare, make_settings(), make_snapshot().assets).pegged_to == (-1,) * 5


def test_paths_hold_the_uncertainty_of_shocks_and_of_the_level(calibration: Calibration) -> None:
    """Path i has the shocks and the level of draw i: as many draws, as many widths of the first move."""
    model = calibration.assets["ETH"]
    n_draws = len(model.draws)
    factors = np.geomspace(0.25, 4.0, n_draws)
    nodes = np.interp(draw_nodes() / (SHOCK_COUNT - 1), np.linspace(0.0, 1.0, len(model.shocks)), model.shocks)
    for name, power, value in (
        ("shock_draws", 1.0, np.outer(factors, nodes)),
        ("level_draws", 0.5, factors),
    ):
        changed = replace(model, **{name: frozen(value)}, jump_sizes=frozen(np.empty(0)))
        lone = joint_model(
            replace(calibration, assets={**calibration.assets, "ETH": changed}), make_settings(), ("ETH",)
        )
        moves = np.log(np.concatenate(list(simulate(lone, seed=1, n_paths=200 * n_draws, n_steps=1))))[:, 1, 0]
        width = np.median(np.abs(moves.reshape(-1, n_draws)), axis=0)
        slope = np.polyfit(np.log(factors), np.log(width), 1)[0]
        assert slope == pytest.approx(power, abs=0.15)
