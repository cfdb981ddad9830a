"""The model inventory: each model's version, what it assumes, how that is tested, and where it must not be used.

Machine-readable, so that a document can list it beside the results of the run's own tests. A model that races has a
card here; so has every other model that a figure rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from risk.artifact import Table

UNTESTED = "declared, not tested"
"""Test of an assumption that a run does not test."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing that a model takes for granted.

    Attributes
    ----------
    text
        In words; that of the run's test where there is one.
    test
        Name of the test on each run, or `UNTESTED`.
    """

    text: str
    test: str = UNTESTED


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model of the inventory.

    Attributes
    ----------
    model, version
        Name in every table, and a number that changes with what it computes.
    purpose
        What it is for.
    source
        Where it comes from.
    assumptions
        What it takes for granted.
    limits
        Where it must not be used, or is known to be weak.
    """

    model: str
    version: str
    purpose: str
    source: str
    assumptions: tuple[Assumption, ...]
    limits: tuple[str, ...]


RESIDUAL_ASSUMPTIONS = (
    Assumption("residuals are not autocorrelated", "Ljung-Box, 10 lags"),
    Assumption("no volatility clustering is left", "Ljung-Box of squares, 10 lags"),
    Assumption("no ARCH effect is left", "ARCH-LM, 5 lags"),
    Assumption("residuals are Student-t", "Kolmogorov-Smirnov of the PIT"),
    Assumption("the level of variance does not drift", "Nyblom, scale score"),
)
STABILITY_ASSUMPTIONS = (
    Assumption("parameters do not wander", "Nyblom, all parameters"),
    Assumption("parameters have no lasting break", "score CUSUM, all parameters"),
)
"""Of the models of the kernel, whose scores are analytic."""
_SKEWED = tuple(
    replace(a, text="residuals are skewed Student-t") if a.text == "residuals are Student-t" else a
    for a in RESIDUAL_ASSUMPTIONS
)
_NO_PATHS = "Drives no paths: where it wins, paths are those of the best model in the set that can."
_SHORT = "Fewer than 60 returns (30 with a pooled prior): refused."

_CARDS = (
    ModelCard(
        "ewma_t",
        "1",
        "Benchmark of every race, and fall-back after an alarm.",
        "RiskMetrics (1996), table 5.1, with Student-t innovations",
        (*RESIDUAL_ASSUMPTIONS, Assumption("variance has no level of its own: forecasts do not revert")),
        (
            "Too many exceptions at 99 % on most assets of the track record: not for margins on its own.",
            "Horizons beyond a day: its variance never returns to a level.",
        ),
    ),
    ModelCard(
        "constant_t",
        "1",
        "Simplest entrant: wins where returns are independent.",
        "Student-t by maximum likelihood; posterior by sampling-importance resampling (Rubin 1988)",
        (*RESIDUAL_ASSUMPTIONS, Assumption("variance never changes")),
        ("Wherever volatility clusters: exceptions come in runs.", _SHORT),
    ),
    ModelCard(
        "garch_t",
        "1",
        "Default volatility of one bar, and of paths.",
        "Bollerslev (1987)",
        (*RESIDUAL_ASSUMPTIONS, *STABILITY_ASSUMPTIONS, Assumption("falls and rises move variance alike")),
        (
            "Stablecoins: their prices are rounded and revert, and exceptions are too many.",
            "Hourly bars without hour-of-day factors: exceptions are too many.",
            "Beyond a day on its own: persistence near one makes the horizon's answer rest on one number.",
            _SHORT,
        ),
    ),
    ModelCard(
        "gjr_t",
        "1",
        "Challenger with leverage.",
        "Glosten, Jagannathan and Runkle (1993)",
        (*RESIDUAL_ASSUMPTIONS, *STABILITY_ASSUMPTIONS, Assumption("the extra weight of a fall is constant")),
        ("Leverage did not pay out of sample on crypto: used where it wins the race only.", _SHORT),
    ),
    *(
        ModelCard(
            f"{base}_skewt",
            "1",
            "Challenger with skewed innovations.",
            "Hansen (1994)",
            (*_SKEWED, *STABILITY_ASSUMPTIONS, Assumption("skew is constant")),
            ("Skew did not pay out of sample on crypto: used where it wins the race only.", _SHORT),
        )
        for base in ("garch", "gjr")
    ),
    ModelCard(
        "score_t",
        "1",
        "Challenger that single outliers move less.",
        "Creal, Koopman and Lucas (2013)",
        (
            *RESIDUAL_ASSUMPTIONS,
            *STABILITY_ASSUMPTIONS,
            Assumption("the same nu shapes the tail and the weight of an outlier"),
        ),
        (_SHORT,),
    ),
    ModelCard(
        "egarch_t",
        "1",
        "Challenger in the logarithm of the variance.",
        "Nelson (1991)",
        (*RESIDUAL_ASSUMPTIONS, Assumption("shocks move the logarithm of the variance in proportion")),
        (_NO_PATHS, _SHORT),
    ),
    ModelCard(
        "component_t",
        "1",
        "Challenger with a long-run and a short-run variance.",
        "Engle and Lee (1999)",
        (*RESIDUAL_ASSUMPTIONS, Assumption("the long-run part forgets at one constant rate")),
        (_NO_PATHS, "Seven parameters: weakly identified on less than a few years of days.", _SHORT),
    ),
    ModelCard(
        "har",
        "1",
        "Challenger on realised variance.",
        "Corsi (2009)",
        (Assumption("realised variance is measured without error"), Assumption("weights of the lags are constant")),
        ("Needs ranges or shorter bars beside the closes: in races that are given them only.", _NO_PATHS),
    ),
    ModelCard(
        "hour_factors",
        "1",
        "Volatility by hour of the day, for bars shorter than a day.",
        "Andersen and Bollerslev (1997), shrunk as James and Stein (1961)",
        (Assumption("the profile of a day stands still over a window"), Assumption("all days of a week are alike")),
        (
            "Fewer than 30 bars in an hour: no factor is applied.",
            "Moves at known times, such as announcements, that no daily profile holds.",
        ),
    ),
    ModelCard(
        "shocks",
        "1",
        "Standardised shocks with generalised Pareto tails, from which paths are drawn.",
        "McNeil and Frey (2000)",
        (
            Assumption("residuals have unit variance", "z of the mean square"),
            Assumption("residuals beyond the threshold are generalised Pareto"),
            Assumption("shocks are independent of the state of variance"),
        ),
        (
            "Moves up of more than tenfold are cut: the mean of a simple rise is infinite.",
            "Quantiles beyond the outermost of 5,000 probabilities.",
        ),
    ),
    ModelCard(
        "depeg",
        "1",
        "Jumps of pegged assets: pooled intensity and sizes.",
        "Events of a panel of stablecoins, as of each vintage",
        (
            Assumption("depegs come at a constant rate, alike for all stablecoins"),
            Assumption("sizes are those of pegs with the same backing"),
        ),
        ("Few events: the rate's interval is wide, and dependence between pegs is not modelled.",),
    ),
    ModelCard(
        "t_copula",
        "1",
        "How assets move together.",
        "Demarta and McNeil (2005)",
        (Assumption("dependence is constant"), Assumption("one degree of freedom for all pairs")),
        ("Correlation in a crash is higher than over the whole sample.",),
    ),
)
CARDS: Mapping[str, ModelCard] = MappingProxyType({card.model: card for card in _CARDS})
"""Every card by the model's name."""

REGISTER_SCHEMA = {
    "model": "str", "version": "str", "assumption": "str", "test": "str", "n_tested": "i8", "n_rejected": "i8",
    "rejected": "str", "limits": "str",
}  # fmt: skip
"""A row a model and assumption: on how many subjects the run tested it, how often it was rejected, and where."""


def register(tests: Table, models: Iterable[str] | None = None) -> Table:
    """Join the inventory with the results of a run.

    Parameters
    ----------
    tests
        Table with ``subject``, ``model``, ``test`` and ``verdict``, as in a calibration; empty before a run.
    models
        Names of the cards wanted; all of them by default.
    """
    wanted = CARDS if models is None else {name: CARDS[name] for name in models}
    rows = []
    for card in wanted.values():
        for assumption in card.assumptions:
            own = tests.where(model=card.model, test=assumption.test) if len(tests) else tests
            rejected = own.where(verdict="rejected")["subject"].tolist() if len(own) else []
            rows.append(
                (
                    card.model, card.version, assumption.text, assumption.test, len(own), len(rejected),
                    ", ".join(rejected), " ".join(card.limits),
                )
            )  # fmt: skip
    return Table.from_rows(REGISTER_SCHEMA, rows)
