"""Margins of a perpetual, tier by tier."""

from __future__ import annotations

from risk.calibration import Calibration, Unavailable
from risk.errors import EvidenceError, RefusalError
from risk.parameters import Key
from risk.policy.ledger import Ledger
from risk.policy.liquidation import slippage_of
from risk.policy.margin import initial_margin, move
from risk.policy.steward import on_grid
from risk.recommendation import Operation, Trail
from risk.units import Ratio, Usd


def perpetual(ledger: Ledger, calibration: Calibration, asset: str, market: str) -> None:
    """Derive maintenance and initial margin and the limit of each tier of an asset's perpetual, or refuse them."""
    snapshot, settings = ledger.snapshot, ledger.settings
    model = calibration.model(asset)
    floor = {"initial_margin": 0.0, "maintenance_margin": 0.0}
    for number, limit in enumerate(settings.policy.tiers, start=1):
        keys = {
            name: Key(market, "market", f"{asset}-USD", ("tiers", str(number)), name)
            for name in ("maintenance_margin", "initial_margin", "notional_limit")
        }
        try:
            if isinstance(model, Unavailable):
                raise RefusalError(model.reason, field=asset)
            slippage = slippage_of(limit, snapshot, settings, asset, "USD")
            if slippage >= 1.0:
                raise RefusalError(f"stressed depth does not take {limit:,.0f} USD", field=asset)
        except (RefusalError, EvidenceError) as error:
            ledger.numbers.facts["refused"][str(keys["maintenance_margin"])] = str(error)
            for key in keys.values():
                ledger.refuse(key, str(error))
            continue
        horizon = settings.execution.keeper_delay
        sides, bands = {}, {}
        for sign in (-1.0, 1.0):
            trail = Trail()
            bands[sign] = move(model, settings, horizon, sign, trail)
            trail.apply("Slippage at the tier's limit", Operation.ADD, slippage, "stressed depth")
            trail.apply("Liquidation fee", Operation.ADD, settings.policy.liquidation_fee, "policy")
            trail.apply("Not below the tier before", Operation.MAXIMUM, floor["maintenance_margin"], "tier order")
            trail.apply("Margin of one", Operation.MINIMUM, 1.0, "bound")
            sides[sign] = trail
        trail = max(sides.values(), key=lambda t: t.value)
        like = Ratio(on_grid(trail.value, keys["maintenance_margin"].spec, ledger.grid(market)))
        side = "long" if trail is sides[-1.0] else "short"
        band = bands[-1.0 if side == "long" else 1.0]
        added = trail.value - band.value
        maintenance = float(
            ledger.decide(
                keys["maintenance_margin"], trail, f"{side} side", like=like,
                interval=(band.lower + added, band.upper + added), notes=band.notes,
            ).value
        )  # fmt: skip
        chosen, best, label = Trail(), -1.0, ""
        for sign in (-1.0, 1.0):
            trail = Trail()
            user = move(model, settings, settings.execution.user_margin_horizon, sign, trail)
            kept = initial_margin(user.value, maintenance, sign) - user.value
            trail.apply("Maintenance on what is left", Operation.ADD, kept, "MM")
            trail.apply("Not below the tier before", Operation.MAXIMUM, floor["initial_margin"], "tier order")
            trail.apply("Margin of one", Operation.MINIMUM, 1.0, "bound")
            if trail.value > best:
                chosen, best, label, band = trail, trail.value, "long side" if sign < 0 else "short side", user
        like = Ratio(on_grid(chosen.value, keys["initial_margin"].spec, ledger.grid(market)))
        added = chosen.value - band.value
        initial = float(
            ledger.decide(
                keys["initial_margin"], chosen, label, like=like,
                interval=(band.lower + added, band.upper + added), notes=band.notes,
            ).value
        )  # fmt: skip
        floor = {"initial_margin": initial, "maintenance_margin": maintenance}
        trail = Trail()
        trail.apply("Declared tier", Operation.START, limit, "policy.tiers")
        ledger.decide(
            keys["notional_limit"],
            trail,
            "declared",
            like=Usd(on_grid(limit, keys["notional_limit"].spec, ledger.grid(market))),
        )
