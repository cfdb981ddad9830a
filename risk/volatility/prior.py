"""Pooled priors as dated vintages: what a panel of assets had taught by a given day.

A vintage holds derived statistics only, made from bars that ended before its date by `tools/build_priors.py`,
and carries its own content hash. Reading as of a day gives the last vintage on or before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np

from risk.artifact import json_hash
from risk.errors import ArtifactError, RefusalError
from risk.volatility.models import Array, ParameterPrior, VolatilityModel, read_only

SCHEMA = "pooled-prior/1"


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Mean and standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class DepegEvent:
    """One loss of a peg.

    Attributes
    ----------
    asset, date : str
        Name, and the day (UTC) of the worst close.
    depth : float
        1 minus the worst close, as a fraction of par.
    days_below : int
        Days with a close under 0.98 during the event; 0 where the event is declared and not read from prices.
    declared : bool
        A public fact stated by hand, because no series of it is in the panel.
    """

    asset: str
    date: str
    depth: float
    days_below: int
    declared: bool


@dataclass(frozen=True, slots=True)
class DepegPrior:
    """Pooled depeg jump: how often a stablecoin loses its peg, and how deep.

    Attributes
    ----------
    threshold : float
        Smallest depth, on closes, that counts as an event.
    stablecoin_years : float
        Exposure, summed over stablecoins.
    events : tuple of DepegEvent
        By date; their depths are the empirical size distribution.
    intensity_shape, intensity_rate : float
        Gamma posterior of the events per stablecoin and year: Jeffreys' prior of a Poisson rate gives
        shape = events + 1/2, rate = years.
    """

    threshold: float
    stablecoin_years: float
    events: tuple[DepegEvent, ...]
    intensity_shape: float
    intensity_rate: float

    @property
    def intensity(self) -> float:
        """Posterior mean of the events per stablecoin and year."""
        return self.intensity_shape / self.intensity_rate

    @property
    def depths(self) -> Array:
        """Depths of the events, ascending, of shape (n_events,)."""
        return np.sort([event.depth for event in self.events])


@dataclass(frozen=True, slots=True)
class PooledPrior:
    """One vintage.

    Attributes
    ----------
    as_of : str
        Date of the vintage; every bar used ended before it.
    content_hash, source : str
        Hash of the logical content, and where the bars came from.
    bar_seconds : int
        Length of the bars; the priors hold for returns over such bars.
    assets : mapping of str to int
        Assets pooled, with their counts of returns.
    half_life_bound_bars, persistence_bound : float
        Longest half-life of a variance shock that is admitted, and the persistence that has it.
    means, covariances : mapping of VolatilityModel to ndarray
        Gaussian prior on the unconstrained parameters, shapes (k,) and (k, k); see `ParameterPrior`.
    log_relative_variances : ndarray of shape (101,)
        Quantiles at (i + 1/2) / 101 of log(h / mean h) over the filtered variances of all assets: equally
        likely states through the cycle.
    residual_probabilities, residual_quantiles : ndarray of shape (401,)
        Standardised residuals of all assets, from 0.05 to 99.95 %.
    lower_tail_index, upper_tail_index : Gaussian
        Tail index xi of the residuals on the side of falls and of rises.
    depeg : DepegPrior
    """

    as_of: str
    content_hash: str
    source: str
    bar_seconds: int
    assets: Mapping[str, int]
    half_life_bound_bars: float
    persistence_bound: float
    names: Mapping[VolatilityModel, tuple[str, ...]]
    means: Mapping[VolatilityModel, Array]
    covariances: Mapping[VolatilityModel, Array]
    log_relative_variances: Array
    residual_probabilities: Array
    residual_quantiles: Array
    lower_tail_index: Gaussian
    upper_tail_index: Gaussian
    depeg: DepegPrior

    def parameters(self, model: VolatilityModel | str) -> ParameterPrior:
        """Return the prior of garch_t or gjr_t for a fit.

        Raises
        ------
        RefusalError
            A model without a pooled prior (ewma_t has no free variance parameters).
        """
        kind = VolatilityModel(model)
        if kind not in self.means:
            raise RefusalError(f"there is no pooled prior for {kind}", field="model", value=str(kind))
        precision = np.linalg.inv(self.covariances[kind])
        return ParameterPrior(self.names[kind], self.means[kind], read_only(precision), self.persistence_bound)


def vintages() -> tuple[str, ...]:
    """Dates of the vintages, ascending."""
    folder = resources.files("risk.volatility").joinpath("priors")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def load_prior(as_of: int) -> PooledPrior:
    """Return the last vintage on or before a moment.

    Parameters
    ----------
    as_of : int
        UTC, in unix seconds.

    Raises
    ------
    RefusalError
        A moment before the first vintage: what was known then is not known here.
    ArtifactError
        A vintage whose content does not have its hash.
    """
    date = datetime.fromtimestamp(as_of, tz=UTC).date().isoformat()
    dates = vintages()
    known = [vintage for vintage in dates if vintage <= date]
    if not known:
        raise RefusalError(
            f"the first pooled prior is of {dates[0]}" if dates else "there is no pooled prior",
            field="as_of",
            value=date,
            remedy="calibrate as of a later day, or fit without a prior on a long history",
        )
    return _vintage(known[-1])


@cache
def _vintage(date: str) -> PooledPrior:
    path = resources.files("risk.volatility").joinpath("priors", f"{date}.json")
    return parse_prior(json.loads(path.read_text(encoding="utf-8")), file=f"{date}.json")


def parse_prior(document: Mapping[str, Any], *, file: str) -> PooledPrior:
    """Turn the JSON of a vintage into a PooledPrior, checking its schema and hash; `file` names it in errors."""
    content = {key: value for key, value in document.items() if key != "content_hash"}
    if document.get("schema") != SCHEMA:
        raise ArtifactError(f"not a {SCHEMA}", file=file, field="schema", value=document.get("schema"))
    if json_hash(content) != document.get("content_hash"):
        raise ArtifactError(
            "the content does not have the hash it states",
            file=file,
            field="content_hash",
            value=document.get("content_hash"),
            remedy="restore the file, or build the vintages again",
        )
    models = {VolatilityModel(name): entry for name, entry in document["models"].items()}
    depeg = document["depeg"]
    return PooledPrior(
        as_of=document["as_of"],
        content_hash=document["content_hash"],
        source=document["source"],
        bar_seconds=document["bar_seconds"],
        assets=MappingProxyType(dict(document["assets"])),
        half_life_bound_bars=document["half_life_bound_bars"],
        persistence_bound=document["persistence_bound"],
        names=MappingProxyType({model: tuple(entry["names"]) for model, entry in models.items()}),
        means=MappingProxyType({model: _array(entry["mean"]) for model, entry in models.items()}),
        covariances=MappingProxyType({model: _array(entry["covariance"]) for model, entry in models.items()}),
        log_relative_variances=_array(document["log_relative_variances"]),
        residual_probabilities=_array(document["residual_probabilities"]),
        residual_quantiles=_array(document["residual_quantiles"]),
        lower_tail_index=Gaussian(**document["lower_tail_index"]),
        upper_tail_index=Gaussian(**document["upper_tail_index"]),
        depeg=DepegPrior(
            threshold=depeg["threshold"],
            stablecoin_years=depeg["stablecoin_years"],
            events=tuple(DepegEvent(**event) for event in depeg["events"]),
            intensity_shape=depeg["intensity_shape"],
            intensity_rate=depeg["intensity_rate"],
        ),
    )


def _array(values: object) -> Array:
    return read_only(np.array(values, dtype=np.float64))
