"""The inventory lists what the run tests, under the same names, and counts what was rejected."""

from __future__ import annotations

import numpy as np
import pytest

from risk.artifact import Table
from risk.tails.evidence import ASSUMPTION_SCHEMA
from risk.validation.assumptions import residual_tests
from risk.validation.inventory import CARDS, RESIDUAL_ASSUMPTIONS, UNTESTED, register
from risk.volatility.forecasters import FORECASTERS
from risk.volatility.innovations import Innovations


def test_every_model_that_races_has_a_card() -> None:
    assert set(FORECASTERS) <= set(CARDS)
    for card in CARDS.values():
        assert card.limits, card.model
        assert card.source, card.model


def test_assumptions_carry_the_names_of_their_tests() -> None:
    """A renamed test would leave the register with an assumption that is never tested."""
    made = residual_tests(np.random.default_rng(0).standard_t(6, 500), Innovations(6.0))
    assert [(t.assumption, t.test) for t in made] == [(a.text, a.test) for a in RESIDUAL_ASSUMPTIONS]


def test_the_register_counts() -> None:
    rows = [
        ("ETH", "a", "ARCH-LM, 5 lags", 1.0, 0.5, "holds", "garch_t"),
        ("BTC", "a", "ARCH-LM, 5 lags", 30.0, 0.001, "rejected", "garch_t"),
        ("BTC", "a", "ARCH-LM, 5 lags", 30.0, 0.001, "rejected", "ewma_t"),
    ]
    found = register(Table.from_rows(ASSUMPTION_SCHEMA, rows), ["garch_t", "t_copula"])
    (row,) = found.where(test="ARCH-LM, 5 lags").rows()
    assert (row["n_tested"], row["n_rejected"], row["rejected"]) == (2, 1, "BTC")
    assert set(found.where(model="t_copula")["test"].tolist()) == {UNTESTED}
    assert set(found.where(model="t_copula")["n_tested"].tolist()) == {0}
    assert len(register(Table.from_rows(ASSUMPTION_SCHEMA, []))) == sum(len(c.assumptions) for c in CARDS.values())
    with pytest.raises(KeyError):
        register(Table.from_rows(ASSUMPTION_SCHEMA, []), ["unknown"])


def test_a_drifting_level_is_seen() -> None:
    z = np.random.default_rng(1).standard_t(6, 1000) * np.sqrt(4 / 6)
    drift = z * np.linspace(0.7, 1.4, 1000)
    tests = {t.test: t for t in residual_tests(drift, Innovations(6.0))}
    assert tests["Nyblom, scale score"].verdict() == "rejected"
    assert {t.test: t for t in residual_tests(z, Innovations(6.0))}["Nyblom, scale score"].verdict() == "holds"
