"""The adverse move behind margins: a short history takes the upper end of its band, and the derivation says so."""

from __future__ import annotations

import numpy as np

from risk.policy.margin import move
from risk.recommendation import Trail
from risk.units import DAY
from tests.factories import make_settings
from tests.tails.models import known_model


def test_a_short_history_pays_a_haircut() -> None:
    rng = np.random.default_rng(2)
    draws = np.tile([0.0, 0.02 * 0.0016, 0.08, 0.0, 0.90, 5.0, 0.0016], (20, 1))
    draws[:, 6] *= np.exp(0.6 * rng.standard_normal(20))
    calm = {"draws": draws, "returns": 0.001 * rng.standard_normal(400)}
    settings = make_settings()
    for sign in (-1.0, 1.0):
        plain, cut = Trail(), Trail()
        long = move(known_model(**calm), settings, DAY, sign, plain)
        short = move(known_model(**calm, status="stale, short_history"), settings, DAY, sign, cut)
        assert short.value == long.upper > long.value
        assert (short.lower, short.upper) == (long.lower, long.upper)
        assert short.value == cut.value
        assert [t.name for t in cut.terms if "haircut" in t.name]
        assert not [t.name for t in plain.terms if "haircut" in t.name]
