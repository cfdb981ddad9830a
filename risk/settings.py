"""Settings: one TOML file, read into frozen models. Unknown keys are errors; appetite has no defaults.

Ratios, money and durations are strings with their unit (``"1%"``, ``"50000 USD"``, ``"28d"``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from risk.artifact import json_hash
from risk.errors import SettingsError
from risk.feed_settings import PRICED, Feed
from risk.market import NUMERAIRE
from risk.market_settings import Market
from risk.parameters import SPECS
from risk.price_graph import Edge, Pair, price_paths
from risk.price_settings import Aggregation, Composite
from risk.setting_errors import settings_error
from risk.setting_types import Address, Dollars, Duration, Fraction, Model, Name, unit_reader
from risk.units import Dimension


class Appetite(Model):
    """Risk appetite: declared by the protocol, never assumed. Every field is required.

    Attributes
    ----------
    expected_bad_debt_usd_per_year
        Mean bad debt that the protocol accepts.
    es99_usd, es_horizon
        Expected shortfall at 99 % over the horizon that it accepts.
    backstop_usd
        What stands behind the pool, in a stable unit.
    parameter_life
        How long a slow parameter is meant to stand.
    shortfall_tolerance_usd, breach_probability
        P(pool shortfall > tolerance within the life) must not exceed the probability.
    mean_loss_given_crossing
        Accepted mean loss per unit of debt that crosses its threshold, where no book is known.
    """

    expected_bad_debt_usd_per_year: Dollars
    es99_usd: Dollars
    es_horizon: Duration
    backstop_usd: Dollars
    parameter_life: Duration
    shortfall_tolerance_usd: Dollars
    breach_probability: Fraction
    mean_loss_given_crossing: Fraction


class Execution(Model):
    """How borrowers, keepers and the market behave while a position is closed. Every field is required.

    Attributes
    ----------
    reaction_time, reaction_confidence
        Time a borrower has to react, and the confidence with which the collateral factor gives it.
    keeper_delay
        From the crossing to the first liquidation; the oracle's latency is added.
    recovery_half_life
        Half-life with which depth that was used comes back.
    stressed_depth
        Share of today's depth that is left in a crash.
    volume_share_as_depth
        Share of the daily volume that stands in for depth within 5 % (average) where none is known.
    liquidatable_share
        Largest share of a collateral's debt that is liquidated in one event.
    gas_share, execution_move, protocol_share
        Gas and flash-loan fee per unit of debt; move while a keeper executes; protocol's share of the bonus.
    borrow_rate
        Yearly borrowing rate that runs while a borrower reacts.
    user_margin_horizon
        Time a trader has to add margin.
    """

    reaction_time: Duration
    reaction_confidence: Fraction
    keeper_delay: Duration
    recovery_half_life: Duration
    stressed_depth: Fraction
    volume_share_as_depth: Fraction
    liquidatable_share: Fraction
    gas_share: Fraction
    execution_move: Fraction
    protocol_share: Fraction
    borrow_rate: Fraction
    user_margin_horizon: Duration


AssetClass = Literal["large_cap", "mid_cap", "exchange_token", "algorithmic", "stable", "wrapped"]
Backing = Literal["fiat", "crypto", "algorithmic"]


class Asset(Model):
    """An asset, where it is used, and what it may be borrowed against.

    Attributes
    ----------
    asset_class
        Chooses the asset's path in historical scenarios.
    reserve, perpetual, pool
        Names of the markets where it is a reserve, has a perpetual, or a pool with a swap fee.
    symbol
        Name of the reserve where it differs from the asset (``WETH`` for ``ETH``).
    token, decimals
        The token's contract, for calldata.
    debts
        Assets that are borrowed against it in material size; ``USD`` is the unit of account.
    peg, backing
        The asset whose price it should keep, and what backs it.
    supply_usd
        Reference exposure where no supply cap is in force.
    threshold_ceiling
        Structural ceiling of the threshold; none for most.
    """

    asset_class: AssetClass
    reserve: Name | None = None
    perpetual: Name | None = None
    pool: Name | None = None
    symbol: Name | None = None
    token: Address | None = None
    decimals: int = Field(default=18, ge=0, le=36)
    debts: tuple[Name, ...] = (NUMERAIRE,)
    peg: Name | None = None
    backing: Backing | None = None
    supply_usd: Dollars | None = None
    threshold_ceiling: Fraction | None = None


Entrant = Literal[
    "ewma_t", "constant_t", "garch_t", "gjr_t", "garch_skewt", "gjr_skewt", "score_t", "egarch_t", "component_t"
]  # fmt: skip


class Models(Model):
    """How models are fitted and simulated.

    Attributes
    ----------
    window
        Longest history used, in bars; None for all.
    minimum_observations
        Fewer returns than this is a refusal.
    volatility
        Models that race; ``ewma_t`` always runs. Of those that drive no paths (``egarch_t``, ``component_t``)
        a winner is shown, and the best that can stands in for it on paths.
    confidence
        Confidences of the risk figures: at least one, above 0, each once.
    posterior_draws, paths_per_draw
        Parameter draws behind a band, and common random paths under each.
    refit_interval
        Bars between refits of the walk-forward test; `walk_forward_window` its window.
    monte_carlo_paths, monte_carlo_horizon
        Joint paths of the stress simulation and their length.
    """

    window: int | None = Field(default=None, ge=250)
    minimum_observations: int = Field(default=120, ge=60)
    volatility: tuple[Entrant, ...] = ("ewma_t", "garch_t", "gjr_t")
    confidence: tuple[Annotated[Fraction, Field(gt=0)], ...] = Field(default=(0.95, 0.99, 0.995), min_length=1)
    posterior_draws: int = Field(default=50, ge=20, le=1000)
    paths_per_draw: int = Field(default=200, ge=50, le=100_000)
    walk_forward_window: int = Field(default=500, ge=250)
    refit_interval: int = Field(default=30, ge=1)
    monte_carlo_paths: int = Field(default=2000, ge=200, le=1_000_000)
    monte_carlo_horizon: Duration = 14 * 86400

    @field_validator("confidence")
    @classmethod
    def _each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) != len(values):
            raise ValueError("name each confidence once")
        return values


class Policy(Model):
    """Choices of the policy layer that are not appetite.

    Attributes
    ----------
    bonus_grid
        Liquidation bonuses to choose from, ascending.
    cap_to_depth
        Supply cap as a multiple of the depth within the bonus.
    margin_confidence
        Confidence of margins.
    stress_weight, stress_window
        Weight of the stressed window in the margin blend, and its length in bars.
    threshold_error, threshold_paths
        Paths behind a threshold are doubled until its Monte-Carlo standard error is within the first, or there are as
        many as the second.
    tiers
        Notional limits of the margin tiers, ascending; the last has no further tier.
    liquidation_fee
        Charged on a liquidated perpetual.
    calm_fee, volatile_fee, fee_volatility_threshold
        The swap fee has one threshold: the second fee above that daily volatility, else the first.
    route
        Steps bind stewards; governance is not bound.
    break_lookback
        Window in which a realised move beyond what the target was built for refuses the asset.
    """

    bonus_grid: tuple[Fraction, ...] = (0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.10, 0.15)
    cap_to_depth: float = Field(default=2.0, gt=0, le=10)
    margin_confidence: Fraction = 0.99
    stress_weight: Fraction = 0.25
    stress_window: int = Field(default=250, ge=100)
    threshold_error: Fraction = 0.01
    threshold_paths: int = Field(default=400_000, ge=1000, le=10_000_000)
    tiers: tuple[Dollars, ...] = (1_000_000.0, 5_000_000.0)
    liquidation_fee: Fraction = 0.01
    calm_fee: Fraction = 0.0005
    volatile_fee: Fraction = 0.003
    fee_volatility_threshold: Fraction = 0.06
    route: Literal["steward", "governance"] = "steward"
    break_lookback: Duration = 7 * 86400


class Stress(Model):
    """Which scenarios run; all of the library when none is named."""

    scenarios: tuple[Name, ...] = ()


class Bound(Model):
    """Step bound of one parameter: absolute points, or relative to the current value."""

    step: Annotated[float, unit_reader(Dimension.RATIO), Field(gt=0, le=10)]
    relative: bool = False
    minimum_delay: Duration


class OracleSettings(Model):
    """How an asset's on-chain feed updates."""

    deviation: Fraction
    heartbeat: Duration
    latency: Duration


class Fetch(Model):
    """What asking a source may cost.

    Attributes
    ----------
    attempts
        Tries a request, the first included.
    timeout
        Time that one try may take.
    budget
        Time that a request may take with all its repeats and waits.
    requests_per_second
        Pace of all requests to one source; None for no limit.
    """

    attempts: int = Field(default=5, ge=1, le=20)
    timeout: Duration = 20
    budget: Duration = 120
    requests_per_second: float | None = Field(default=None, gt=0, le=1000)


class Settings(Model):
    """Everything a run is told. Paths are relative to the settings file.

    Attributes
    ----------
    as_of
        ISO date or time up to which data are read; None for the last known datum.
    parameters, changed_at
        Parameters in force (TOML), and when each last changed (CSV ``key,changed_at``).
    positions, depth
        CSV ``account,asset,collateral,debt`` in whole tokens, and ``pair,kind,origin,size_usd,impact``. With a
        column ``known_at`` the last vintage known at the as-of date is used; curves of a column ``venue`` are combined.
    depth_lookback
        Time before the as-of date of which the least depth counts; None for the depth known then.
    store
        Folder that fetched rows are kept in; a run then reads them there and asks no source.
    composites
        Prices that are products of others, by ``base/quote``.
    """

    seed: int = Field(ge=0, lt=2**63)
    as_of: str | None = None
    markets: Mapping[Name, Market] = Field(min_length=1)
    assets: Mapping[Name, Asset] = Field(min_length=1)
    feeds: tuple[Feed, ...] = Field(min_length=1)
    composites: Mapping[str, Composite] = Field(default_factory=dict)
    aggregation: Aggregation = Aggregation()
    appetite: Appetite
    execution: Execution
    models: Models = Models()
    policy: Policy = Policy()
    stress: Stress = Stress()
    bounds: Mapping[str, Bound] = Field(default_factory=dict)
    oracles: Mapping[Name, OracleSettings] = Field(default_factory=dict)
    parameters: str | None = None
    changed_at: str | None = None
    positions: str | None = None
    depth: str | None = None
    store: str | None = None
    fetch: Fetch = Fetch()
    depth_lookback: Duration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        for name, asset in self.assets.items():
            for place in ("reserve", "perpetual", "pool"):
                if (market := getattr(asset, place)) is not None and market not in self.markets:
                    raise ValueError(f"assets.{name}.{place}: no market is called {market!r}")
            for other in (*asset.debts, *([asset.peg] if asset.peg else [])):
                if other != NUMERAIRE and other not in self.assets:
                    raise ValueError(f"assets.{name}: {other!r} is neither an asset nor {NUMERAIRE}")
            if name in asset.debts:
                raise ValueError(f"assets.{name}.debts: an asset is not borrowed against itself")
        unknown = sorted(set(self.bounds) - set(SPECS))
        if unknown:
            raise ValueError(f"bounds.{unknown[0]}: no such parameter; known are {', '.join(SPECS)}")
        if stray := sorted(set(self.oracles) - set(self.assets)):
            raise ValueError(f"oracles.{stray[0]}: no such asset")
        sources = {name: market.state for name, market in self.markets.items() if market.state is not None}
        if len([name for name, source in sources.items() if source.steward is not None]) > 1:
            raise ValueError("markets: bounds hold for all markets, so one market at most names a steward")
        if self.positions is not None and (own := [name for name, source in sources.items() if source.positions]):
            raise ValueError(f"positions: they are read on chain, too; set markets.{own[0]}.state.positions to false")
        for market, one in self.markets.items():
            one.check_debts(market, [asset.debts for asset in self.assets.values() if asset.reserve == market])
        if list(self.policy.bonus_grid) != sorted(set(self.policy.bonus_grid)):
            raise ValueError("policy.bonus_grid: must ascend")
        price_paths([e for n in range(len(self.feeds)) for e in self.edges(n)], self.composites, self.assets)
        return self

    def edges(self, number: int) -> list[Edge]:
        """What a feed adds to the graph of prices; of a kind that is many assets at once, any may be one of them."""
        feed, name = self.feeds[number], f"feeds.{number}"
        if getattr(feed, "data", "price") not in PRICED:
            return []
        if (asset := getattr(feed, "asset", None)) is None:
            return [Edge(Pair(asset, NUMERAIRE), name) for asset in self.assets]
        return [Edge(Pair(asset, getattr(feed, "quote", NUMERAIRE)), name, getattr(feed, "decimals", None))]

    def part(self, *names: str) -> dict[str, Any]:
        """The named top-level parts as canonical content, for the hash of what a stage reads."""
        return self.model_dump(mode="json", include=set(names))

    def hash_of(self, *names: str) -> str:
        """Hash of the named parts; of everything when none is named."""
        return json_hash(self.part(*(names or tuple(type(self).model_fields))))

    def reserves(self) -> list[tuple[str, str, Asset]]:
        """Assets that are reserves, as (asset, reserve symbol, settings), in name order."""
        return [(n, a.symbol or n, a) for n, a in sorted(self.assets.items()) if a.reserve is not None]


def read_settings(text: str, *, file: str = "settings") -> Settings:
    """Read and validate settings.

    Raises
    ------
    SettingsError
        Names the first wrong field, its value and what to do, and says how many more there are.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"not TOML: {error}", file=file, remedy="Mend the syntax") from error
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise settings_error(error, file) from None
