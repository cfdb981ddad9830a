"""Why a series has hardly any returns: most often its feed names another length of bars than the file has."""

from __future__ import annotations

import numpy as np

from risk.market import PriceSeries
from risk.units import DAY

_UNITS = ((DAY, "d"), (3600, "h"), (60, "m"), (1, "s"))


def known_returns(n: int, least: int, series: PriceSeries) -> str:
    """What there is instead of the returns asked for by ``models.minimum_observations``, and what to do about it."""
    count = f"only {n} {'return' if n == 1 else 'returns'} between neighbouring bars {'is' if n == 1 else 'are'} known"
    return f"{count}, and models.minimum_observations asks for {least}{spacing_remedy(series)}"


def spacing_remedy(series: PriceSeries) -> str:
    """The end of a message about missing returns: empty where the bars are as far apart as the feed says."""
    if len(series) < 2:
        return ""
    apart = int(np.median(np.diff(series.observed_at)))
    if abs(apart - series.interval) * 24 <= series.interval:
        return ""
    said = (
        f". The bars of {series.source} are {duration_text(apart)} apart, "
        f'and its feed says interval = "{duration_text(series.interval)}"'
    )
    return f'{said}: write interval = "{duration_text(apart)}" in it'


def duration_text(seconds: int) -> str:
    """A duration as settings write it, in the largest unit that fits: ``1h``, ``90m``."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
