"""The swap fee of a pool: one threshold on the volatility forecast, and it says so."""

from __future__ import annotations

from risk.calibration import Calibration, Unavailable
from risk.parameters import Key
from risk.policy.ledger import Ledger
from risk.policy.steward import on_grid
from risk.recommendation import Operation, Trail
from risk.units import DAY, Ratio


def swap_fee(ledger: Ledger, calibration: Calibration, asset: str, market: str) -> None:
    """Derive the swap fee of an asset's pool, or refuse it."""
    policy = ledger.settings.policy
    key = Key(market, "pool", f"{asset}-USDC", (), "swap_fee")
    model = calibration.model(asset)
    if isinstance(model, Unavailable):
        ledger.refuse(key, model.reason)
        return
    sigma = float((model.draws[:, 6].mean() * DAY / model.interval) ** 0.5)
    trail = Trail()
    trail.apply("Fee in calm markets", Operation.START, policy.calm_fee, "policy.calm_fee")
    volatile = sigma > policy.fee_volatility_threshold
    if volatile:
        trail.apply("Fee above the volatility threshold", Operation.MAXIMUM, policy.volatile_fee, "policy.volatile_fee")
    limit = policy.fee_volatility_threshold
    note = f"daily volatility forecast {sigma:.2%} against {limit:.2%}; one threshold, not fitted to pool data"
    like = Ratio(on_grid(trail.value, key.spec, ledger.grid(key.market)))
    ledger.decide(key, trail, "volatile market" if volatile else "calm market", like=like, notes=(note,))
