"""The library of crashes: each a file of coarse, public price waypoints with what is verified and what is assumed.

A path is a list of ``[hours since the start, price relative]``, log-linear between its points. Every scenario has a
path for each asset class, so that no asset goes without one; named assets override their class. Paths of ``stable``
and ``wrapped`` assets are the ratio to what the asset is pegged to, all others are in US dollars.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, get_args

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from risk.errors import DataError, EvidenceError, SettingsError
from risk.market import NUMERAIRE, FloatArray, frozen
from risk.setting_types import Duration, Model, Name
from risk.settings import AssetClass, Settings

REPLAY_STEP = 600
"""Seconds between two looks at the book in a replay."""
PEGGED_CLASSES = frozenset({"stable", "wrapped"})

Waypoint = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0, le=1000)]]
Waypoints = tuple[Waypoint, ...]


class Scenario(Model):
    """One event.

    Attributes
    ----------
    name
        Its file's name.
    title, start, severity
        For the reader; `start` is an ISO time.
    hours
        Length.
    source, second_source, verified
        Where the path comes from, what it was checked against, and whether the two agree.
    assumed
        What is not a fact.
    oracle_delay
        Seconds that feeds lag behind the market, beyond their usual latency.
    depth_multiplier
        Share of the declared stressed depth that is left; `depth` has assets that fare differently.
    gas_multiplier
        Factor on the declared share of gas.
    classes, assets
        Waypoints by asset class (all six) and by asset.
    """

    name: Name
    title: str
    start: str
    hours: float = Field(gt=0, le=24 * 365)
    severity: str
    source: str
    second_source: str
    verified: bool
    assumed: tuple[str, ...]
    oracle_delay: Duration
    depth_multiplier: float = Field(gt=0, le=1)
    gas_multiplier: float = Field(ge=1)
    classes: Mapping[AssetClass, Waypoints]
    assets: Mapping[Name, Waypoints] = Field(default_factory=dict)
    depth: Mapping[Name, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)

    @field_validator("classes", "assets")
    @classmethod
    def _ordered(cls, paths: Mapping[str, Waypoints]) -> Mapping[str, Waypoints]:
        for name, path in paths.items():
            hours = [hour for hour, _ in path]
            if not path or path[0] != (0.0, 1.0):
                raise ValueError(f"{name}: a path starts at [0, 1.0]")
            if sorted(set(hours)) != hours:
                raise ValueError(f"{name}: hours must ascend")
        return paths

    @model_validator(mode="after")
    def _complete(self) -> Scenario:
        if missing := sorted(set(get_args(AssetClass)) - set(self.classes)):
            raise ValueError(f"classes: no path for {', '.join(missing)}")
        for paths in (self.classes, self.assets):
            for name, path in paths.items():
                if path[-1][0] > self.hours:
                    raise ValueError(f"{name}: a path ends after the scenario")
        return self

    def facts(self) -> dict[str, object]:
        """What the reader of a report must know of it."""
        listed = ("title", "start", "hours", "severity", "source", "second_source", "verified", "assumed")
        factors = ("oracle_delay", "depth_multiplier", "gas_multiplier")
        return {name: getattr(self, name) for name in (*listed, *factors)} | {"depth": dict(self.depth)}


def load_scenarios(names: tuple[str, ...] = ()) -> tuple[Scenario, ...]:
    """Scenarios of the library by name, or all of them in name order.

    Raises
    ------
    SettingsError
        For a name that the library does not have.
    """
    folder = resources.files("risk.stress") / "library"
    known = {
        entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")
    }  # fmt: skip
    for name in names:
        if name not in known:
            raise SettingsError(
                "no such scenario", field="stress.scenarios", value=name, remedy=f"Known: {', '.join(sorted(known))}"
            )
    wanted = names or tuple(sorted(known))
    return tuple(read_scenario(known[name].read_text(encoding="utf-8"), name) for name in wanted)


def read_scenario(text: str, name: str) -> Scenario:
    """Read one scenario from TOML.

    Raises
    ------
    DataError
        Names the file, the field and what is wrong with it.
    """
    try:
        return Scenario.model_validate({**tomllib.loads(text), "name": name})
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not TOML: {error}", file=f"{name}.toml", remedy="Mend the syntax") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(message, file=f"{name}.toml", field=".".join(map(str, first["loc"])) or None) from None


def replay(scenario: Scenario, settings: Settings, assets: tuple[str, ...]) -> FloatArray:
    """Price relatives of the assets through a scenario, (n_steps + 1, n_assets), a step every ten minutes.

    Raises
    ------
    EvidenceError
        For an asset that the settings do not know, or a wrapped one without a peg.
    """
    hours: FloatArray = np.arange(round(scenario.hours * 3600 / REPLAY_STEP) + 1, dtype=np.float64)
    hours *= REPLAY_STEP / 3600
    relative = np.ones((len(hours), len(assets)))
    for i, name in enumerate(assets):
        relative[:, i] = np.exp(_log_price(scenario, settings, name, hours, ()))
    return frozen(relative)


def _log_price(
    scenario: Scenario, settings: Settings, name: str, hours: FloatArray, seen: tuple[str, ...]
) -> FloatArray:
    if name == NUMERAIRE:
        return np.zeros_like(hours)
    asset = settings.assets.get(name)
    if asset is None:
        raise EvidenceError("the book holds an asset without an asset class", field=name, remedy="Add it to [assets]")
    if name in seen:
        raise SettingsError("pegs form a circle", field=f"assets.{name}.peg", value=" > ".join((*seen, name)))
    path = np.array(scenario.assets.get(name, scenario.classes[asset.asset_class]))
    log_price: FloatArray = np.interp(hours, path[:, 0], np.log(path[:, 1]))
    if asset.asset_class not in PEGGED_CLASSES:
        return log_price
    peg = asset.peg or (NUMERAIRE if asset.asset_class == "stable" else None)
    if peg is None:
        raise EvidenceError("a wrapped asset has no peg", field=f"assets.{name}.peg", remedy="Name what it wraps")
    return log_price + _log_price(scenario, settings, peg, hours, (*seen, name))
