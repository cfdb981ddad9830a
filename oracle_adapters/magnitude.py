"""Which mistake a price of the wrong size looks like: a factor forgotten or inverted, decimals, the wrong way round."""

from __future__ import annotations

import math
from collections.abc import Mapping

LARGEST_POWER = 36
"""Decimals of a contract's integers go no further."""


def explain(observed: float, expected: float, factors: Mapping[str, float], tolerance: float) -> str:
    """What would explain a price, in words; "" where it is right, or nothing does.

    Parameters
    ----------
    observed, expected
        The price in question, and what independent sources say.
    factors
        Prices that may be missing or doubled, by name. Those within the tolerance of one explain nothing.
    tolerance
        Relative deviation up to which two prices are the same, and an explanation fits.
    """
    if not (observed > 0 and expected > 0):
        return ""
    close = math.log1p(tolerance)
    ratio = math.log(observed / expected)
    if abs(ratio) <= close:
        return ""
    found: list[tuple[float, str]] = []
    for name, value in factors.items():
        size = math.log(value)
        if abs(size) <= close:
            continue
        found += [
            (abs(ratio + size), f"as if the factor {name} ({value:,.6g}) were missing"),
            (abs(ratio - size), f"as if the factor {name} ({value:,.6g}) were applied twice"),
            (abs(ratio + 2 * size), f"as if the factor {name} ({value:,.6g}) were inverted"),
        ]
    found.append((abs(math.log(observed * expected)), "as if the price were inverted"))
    power = round(ratio / math.log(10))
    if power and abs(power) <= LARGEST_POWER:
        found.append((abs(ratio - power * math.log(10)), f"as if decimals were off by 10^{power}"))
    fitting = sorted(one for one in found if one[0] <= close)
    return ", or ".join(words for _, words in fitting)
