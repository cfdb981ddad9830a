"""Small books and terms for tests of the liquidation engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from risk.market import Origin, frozen
from risk.stress.book import StressBook
from risk.stress.kernel import Terms

Array = NDArray[np.float64]


def book(
    collateral: ArrayLike,
    debt: ArrayLike,
    *,
    price: ArrayLike | None = None,
    threshold: ArrayLike = 0.83,
    bonus: ArrayLike = 0.05,
) -> StressBook:
    """Accounts by row, assets by column; thresholds and bonuses may be one number for all."""
    held, owed = np.atleast_2d(np.asarray(collateral, float)), np.atleast_2d(np.asarray(debt, float))
    n, m = held.shape
    return StressBook(
        tuple(f"a{i:03d}" for i in range(n)),
        tuple(f"X{j}" for j in range(m)),
        frozen(np.ones(m) if price is None else price),
        frozen(held),
        frozen(owed),
        frozen(np.broadcast_to(np.asarray(threshold, float), m)),
        frozen(np.broadcast_to(np.asarray(bonus, float), m)),
        Origin.DECLARED,
        "",
    )


def terms(of: StressBook, **changes: Any) -> Terms:
    """Frictionless terms with unlimited depth, but for `changes`."""
    m = len(of.assets)
    for name in ("depth", "deviation"):
        if name in changes:
            changes[name] = frozen(np.broadcast_to(np.asarray(changes[name], float), m))
    plain = Terms(
        price=of.price, bonus=of.bonus, depth=frozen(np.full(m, 1e18)),
        deviation=frozen(np.zeros(m)), oracle_lag=0, keeper_wait=0, recovery=0.5, gas=0.0, execution_move=0.0,
        protocol_share=0.0, rounds=1,
    )  # fmt: skip
    return plain._replace(**changes)


def random_case(
    seed: int, n_accounts: int = 12, n_assets: int = 4, n_steps: int = 12
) -> tuple[StressBook, Terms, Array]:
    """A book, terms with every friction, and four falling paths (4, n_steps + 1, n_assets)."""
    rng = np.random.default_rng(seed)
    price = np.exp(rng.normal(2, 2, n_assets))
    threshold = rng.uniform(0.5, 0.9, n_assets) * (rng.random(n_assets) < 0.9)
    bonus = rng.uniform(0.02, 0.1, n_assets)
    usd = np.exp(rng.normal(10, 1.5, (n_accounts, n_assets))) * (rng.random((n_accounts, n_assets)) < 0.4)
    owed = rng.dirichlet(np.full(n_assets, 0.3), n_accounts)
    owed *= (rng.random((n_accounts, n_assets)) < 0.7) * ((usd @ threshold) / rng.uniform(0.9, 2.0, n_accounts))[
        :, None
    ]
    of = book(usd / price, owed / price, price=price, threshold=threshold, bonus=bonus)
    of_terms = terms(
        of,
        depth=np.exp(rng.normal(10, 2, n_assets)),
        deviation=rng.choice([0.0, 0.01], n_assets),
        oracle_lag=int(rng.integers(0, 4)),
        keeper_wait=int(rng.integers(0, 3)),
        recovery=float(rng.uniform(0.3, 1.0)),
        gas=float(rng.uniform(0, 0.01)),
        execution_move=float(rng.uniform(0, 0.02)),
        protocol_share=float(rng.uniform(0, 0.3)),
        rounds=int(rng.integers(1, 4)),
    )
    moves = rng.normal(-0.02, 0.06, (4, n_steps, n_assets))
    path = np.exp(np.concatenate((np.zeros((4, 1, n_assets)), np.cumsum(moves, axis=1)), axis=1))
    return of, of_terms, path
