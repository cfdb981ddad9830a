"""Ratios of a parameter set that a seizure hangs on."""

from __future__ import annotations

from risk.errors import EvidenceError
from risk.parameters import Key, Malformed, ParameterSet


def ratio_of(parameters: ParameterSet, key: Key) -> float | None:
    """A ratio, None where the set has no such key.

    Raises
    ------
    EvidenceError
        When the value cannot be read.
    """
    if isinstance(parameters.values.get(key), Malformed):
        raise EvidenceError("the value cannot be read", field=str(key), value=str(parameters.values[key]))
    return parameters.ratio(key)
