"""Liquidation: hand-made cases, the plain engine against the compiled one, conservation, and what is monotone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.depth import stressed_depth
from risk.errors import EvidenceError
from risk.market import Origin, frozen
from risk.stress.kernel import LATENT, LIQUIDATED, REALISED, UNLIQUIDATED
from risk.stress.liquidation import depths_of, liquidate, terms_of
from risk.stress.reference import accounts_of, outcome, play
from tests.factories import make_settings, make_snapshot
from tests.stress.books import Array, book, random_case, terms

SEEDS = st.integers(0, 2**32 - 1)


def fall(*levels: float, assets: int = 2) -> Array:
    """One path on which the first asset stands at `levels` and the others stay."""
    path = np.ones((1, len(levels), assets))
    path[0, :, 0] = levels
    return path


def test_full_seizure_leaves_what_the_bonus_took() -> None:
    # 100 of collateral, 96 of debt, bonus 5 %: 100 / 1.05 = 95.238 is repaid and .762 is left.
    of = book([[100.0, 0.0]], [[0.0, 96.0]])
    found = liquidate(of, fall(1.0), terms(of), (0,))[0, 0]
    assert found[LIQUIDATED] == pytest.approx(95.238, abs=5e-4)
    assert found[REALISED] == pytest.approx(0.762, abs=5e-4)
    assert found[LATENT] == found[UNLIQUIDATED] == 0
    untouched = liquidate(of, fall(1.0), terms(of, depth=0.0), (0,))[0, 0]
    assert untouched.tolist() == [0, 0, 96, 0, 0, 0]


def test_half_of_the_debt_above_the_full_close_health() -> None:
    of = book([[100.0, 0.0]], [[0.0, 80.0]], threshold=0.83)
    at_096 = 0.96 * 80 / 83
    found = liquidate(of, fall(1.0, at_096), terms(of), (1,))[0, 0]
    # One repayment of 40 seizes 42, so collateral / debt rises: .83 (92.53 - 42) / 40 = 1.05 and it stops.
    assert found[LIQUIDATED] == pytest.approx(40)
    deeper = liquidate(of, fall(1.0, 0.94 * 80 / 83), terms(of), (1,))[0, 0]
    assert deeper[LIQUIDATED] == pytest.approx(80)


def test_keepers_need_the_bonus_to_pay_for_slippage_execution_and_gas() -> None:
    # Average slippage 3 %, execution 1 %, gas .1 %, protocol's share 10 %: the bonus must be 4.745 %.
    needed = (1.001 / 0.96 - 1) / 0.9
    assert needed == pytest.approx(0.04745, abs=5e-6)
    costs = {"gas": 0.001, "execution_move": 0.01, "protocol_share": 0.1}
    of = book([[100.0, 0.0]], [[0.0, 90.0]], bonus=needed)
    sold = 90 * (1 + 0.9 * needed)
    # The depth within the bonus is such that selling everything slips by exactly 3 %, or a little more.
    for depth, all_of_it in ((sold * needed / 0.03, True), (0.99 * sold * needed / 0.03, False)):
        found = liquidate(of, fall(1.0), terms(of, depth=depth, **costs), (0,))[0, 0]
        assert (found[LIQUIDATED] == pytest.approx(90)) == all_of_it
    low = book([[100.0, 0.0]], [[0.0, 90.0]], bonus=(1.001 / 0.99 - 1) / 0.9 - 1e-6)
    assert liquidate(low, fall(1.0), terms(low, **costs), (0,))[0, 0, LIQUIDATED] == 0


def test_depth_is_shared_largest_debt_first_and_comes_back() -> None:
    of = book([[100.0, 0.0], [200.0, 0.0]], [[0.0, 90.0], [0.0, 180.0]])
    few = terms(of, depth=105.0, recovery=0.5)
    found = liquidate(of, fall(*[1.0] * 4), few, (0, 1, 2))[0]
    # The bonus pays for 1 - 1/1.05 of slippage, so 100 of the 105 are sold and 100/1.05 repaid, all of it of the
    # larger account; then what one half-life gives back.
    assert found[:, LIQUIDATED] == pytest.approx([100 / 1.05, 150 / 1.05, 200 / 1.05])
    assert found[0, UNLIQUIDATED] == pytest.approx(90 + 180 - 100 / 1.05)


def test_oracle_lag_and_keeper_delay_count_rounds() -> None:
    of = book([[100.0, 0.0]], [[0.0, 80.0]])
    path = fall(1.0, *[0.9] * 6)
    for lag, wait in ((0, 0), (2, 0), (0, 2), (1, 2)):
        found = liquidate(of, path, terms(of, oracle_lag=lag, keeper_wait=wait), tuple(range(7)))[0, :, LIQUIDATED]
        assert int(np.argmax(found > 0)) == 1 + lag + wait
    # Three rounds a step: a wait of four rounds ends in the second step after the crossing's.
    found = liquidate(of, path, terms(of, keeper_wait=4, rounds=3), tuple(range(7)))[0, :, LIQUIDATED]
    assert int(np.argmax(found > 0)) == 2


def test_an_oracle_inside_its_deviation_sees_nothing() -> None:
    of = book([[100.0, 0.0]], [[0.0, 82.0]])
    path = fall(1.0, 0.98)  # health .83 * 98 / 82 = .992
    assert liquidate(of, path, terms(of), (1,))[0, 0, LIQUIDATED] > 0
    assert liquidate(of, path, terms(of, deviation=0.03), (1,))[0, 0, LIQUIDATED] == 0


def test_a_rising_debt_is_a_crash_too() -> None:
    of = book([[100.0, 0.0]], [[0.0, 70.0]])
    path = np.ones((1, 2, 2))
    path[0, 1, 1] = 1.3
    found = liquidate(of, path, terms(of, depth=0.0), (1,))[0, 0]
    assert found[UNLIQUIDATED] == pytest.approx(91)
    assert found[LATENT] == 0


def test_failed_paths_are_nan_and_do_not_touch_others() -> None:
    of = book([[100.0, 0.0]], [[0.0, 80.0]])
    path = np.repeat(fall(1.0, 0.9), 4, axis=0)
    path[1, 1, 1], path[2, 1, 0], path[3, 1, 0] = np.nan, 0.0, np.inf
    found = liquidate(of, path, terms(of), (0, 1))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_the_compiled_engine_agrees_with_the_plain_one(seed: int) -> None:
    of, of_terms, paths = random_case(seed)
    fast = liquidate(of, paths, of_terms, (paths.shape[1] - 1,))[:, 0]
    for found, path in zip(fast, paths, strict=True):
        accounts = accounts_of(of)
        ledger, last = play(accounts, path, of_terms)
        assert found == pytest.approx(outcome(accounts, ledger, last), rel=1e-9, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_value_is_conserved(seed: int) -> None:
    # With an oracle that is never late, tokens are worth the same to all: borrower, keeper, protocol and pool.
    of, of_terms, paths = random_case(seed)
    of_terms = of_terms._replace(oracle_lag=0, deviation=frozen(np.zeros(len(of.assets))))
    path = np.repeat(paths[0, 1:2], 8, axis=0)  # one price for all time, so that a dollar stays a dollar
    accounts, before = accounts_of(of), accounts_of(of)
    ledger, last = play(accounts, path, of_terms)
    held = sum(a.held(last) for a in before) - sum(a.held(last) for a in accounts)
    owed = sum(a.owed(last) for a in before) - sum(a.owed(last) for a in accounts)
    assert held == pytest.approx(ledger.seized, rel=1e-9, abs=1e-3)
    assert owed == pytest.approx(ledger.liquidated + ledger.realised, rel=1e-9, abs=1e-3)
    keeper = ledger.seized - ledger.liquidated - ledger.fees
    assert keeper >= -1e-6
    assert 0 <= ledger.fees <= of_terms.protocol_share * (ledger.seized - ledger.liquidated) + 1e-6


@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_zero_shock_is_zero_loss(seed: int) -> None:
    of, of_terms, paths = random_case(seed)
    power, owed = of.collateral @ (of.price * of.threshold), of.debt @ of.price
    scale = np.where(power < 1.001 * owed, power / np.maximum(1.001 * owed, 1e-300), 1.0)
    healthy = replace(of, debt=frozen(of.debt * scale[:, None]))
    assert (liquidate(healthy, np.ones_like(paths), of_terms, (5,)) == 0).all()


@given(SEEDS)
@settings(deadline=None, max_examples=30)
def test_permuting_accounts_and_assets_changes_rounding_only(seed: int) -> None:
    of, of_terms, paths = random_case(seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(of.accounts)), rng.permutation(len(of.assets))
    other = replace(
        of,
        accounts=tuple(of.accounts[i] for i in rows),
        assets=tuple(of.assets[j] for j in columns),
        collateral=frozen(of.collateral[np.ix_(rows, columns)]),
        debt=frozen(of.debt[np.ix_(rows, columns)]),
        **{name: frozen(getattr(of, name)[columns]) for name in ("price", "threshold", "bonus")},
    )
    names = ("price", "bonus", "depth", "deviation")
    other_terms = of_terms._replace(**{name: frozen(getattr(of_terms, name)[columns]) for name in names})
    mark = (paths.shape[1] - 1,)
    first, second = liquidate(of, paths, of_terms, mark), liquidate(other, paths[:, :, columns], other_terms, mark)
    assert second == pytest.approx(first, rel=1e-9, abs=1e-3)


@given(SEEDS)
@settings(deadline=None, max_examples=100)
def test_each_dollar_repaid_while_prices_fall_lowers_the_shortfall_by_the_fall_that_follows(seed: int) -> None:
    """One collateral, one debt, an oracle that is never late; the shortfall is debt - collateral / (1 + bonus)."""
    rng = np.random.default_rng(seed)
    owed = float(rng.uniform(60, 83))
    of = book([[100.0, 0.0]], [[0.0, owed]])
    levels = np.exp(np.concatenate(([0.0], np.cumsum(-np.abs(rng.normal(0, 0.06, 10))))))
    of_terms = terms(of, depth=rng.uniform(0, 60), recovery=rng.uniform(0.5, 1), keeper_wait=int(rng.integers(0, 4)))
    accounts = accounts_of(of)
    ledger, last = play(accounts, fall(*levels)[0], of_terms)
    left = ledger.realised + accounts[0].owed(last) - accounts[0].held(last) / 1.05
    by_step = np.diff(liquidate(of, fall(*levels), of_terms, tuple(range(11)))[0, :, LIQUIDATED], prepend=0.0)
    never = owed - 100 * levels[-1] / 1.05
    assert left == pytest.approx(never - (by_step * (1 - levels[-1] / levels)).sum(), abs=1e-9)
    assert left <= never + 1e-9


@pytest.mark.parametrize(
    ("owed", "levels", "worse", "better", "losses"),
    [
        # The fast keeper repays half at .85 and leaves the rest open for the fall to .59; the slow one finds a health
        # factor below .95 and closes all.
        (73.0, (1.0, 0.85, 0.82, 0.59, 0.55), {"keeper_wait": 0}, {"keeper_wait": 1}, (5.645, 0.0)),
        # Deep: half at .93, then healthy until .64. Shallow: a little at every step, more in all.
        (78.0, (1.0, 0.93, 0.87, 0.84, 0.64), {"depth": 1e6}, {"depth": 38.0}, (4.886, 1.049)),
    ],
)
def test_the_close_factor_can_make_faster_keepers_and_more_depth_worse(
    owed: float,
    levels: tuple[float, ...],
    worse: dict[str, float],
    better: dict[str, float],
    losses: tuple[float, float],
) -> None:
    of = book([[100.0, 0.0]], [[0.0, owed]])
    bad = [
        float(liquidate(of, fall(*levels), terms(of, **change), (4,))[0, 0, : REALISED + 1].sum())
        for change in (worse, better)
    ]
    assert bad == pytest.approx(losses, abs=5e-4)


def test_more_liquidation_can_cost_the_pool_its_bonus() -> None:
    of = book([[100.0, 0.0]], [[0.0, 99.0]])
    bad = [float(liquidate(of, fall(1.0), terms(of, depth=depth), (0,))[0, 0, :2].sum()) for depth in (0.0, 1e6)]
    assert bad == pytest.approx([0.0, 99 - 100 / 1.05])


def test_terms_come_from_settings_and_snapshot() -> None:
    settings_, snapshot = make_settings(), make_snapshot()
    of = replace(book(np.ones((1, 2)), np.ones((1, 2))), assets=("ETH", "USDC"))
    depths = depths_of(snapshot, settings_, of)
    assert depths["ETH"].usd == pytest.approx(0.5 * 3e7)
    assert depths["ETH"].origin is Origin.DECLARED
    found = terms_of(
        snapshot, settings_, of, depths, round_seconds=600, oracle_delay=1800, depth_multiplier={"ETH": 0.1},
        gas_multiplier=3.0,
    )  # fmt: skip
    assert (found.oracle_lag, found.keeper_wait) == (3, 6)
    assert found.recovery == pytest.approx(0.5 ** (1 / 36))
    assert found.gas == pytest.approx(0.003)
    assert found.depth[0] == pytest.approx(1.5e6)
    assert found.deviation.tolist() == [0.005, 0.0]


def test_depth_falls_back_to_a_labelled_share_of_the_volume_and_then_refuses() -> None:
    settings_, snapshot = make_settings(), make_snapshot(depth=False)
    found = stressed_depth(snapshot, settings_, "ETH", "USDC", 0.05)
    volume, close = snapshot.field_of("ETH", "volume"), snapshot.close("ETH")
    assert volume is not None
    daily = float((volume.value[-30:] * close.value[-30:]).mean())
    assert found.usd == pytest.approx(0.5 * 0.01 * daily)
    assert found.origin is Origin.ASSUMED
    assert "assumed" in found.note
    assert stressed_depth(snapshot, settings_, "ETH", "USDC", 0.02).usd == pytest.approx(0.4 * found.usd)
    assert stressed_depth(snapshot, settings_, "ETH", "USDC", 0.20).usd == found.usd
    bare = replace(snapshot, series=tuple(s for s in snapshot.series if s.field == "close"))
    with pytest.raises(EvidenceError, match="neither depth nor a traded volume"):
        stressed_depth(bare, settings_, "ETH", "USDC", 0.05)
