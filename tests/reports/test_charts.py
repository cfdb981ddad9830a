"""Charts show the artifacts' values, in the colours of the reader's theme, with words for who cannot see them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from reports.charts import build_charts, date_ticks, fitted_survival, loss_chart, survival, tail_chart, volatility_chart
from reports.svg import INK, LIGHT, Chart
from risk.artifact import Table
from risk.tails.shocks import shock_probabilities
from tests.factories import make_calibration
from tests.reports.artifacts import make_recommendation, make_stress

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def charts() -> dict[str, Chart]:
    found = build_charts(make_calibration(), make_recommendation(), make_stress())
    assert len({chart.name for chart in found}) == len(found)
    return {chart.name: chart for chart in found}


def test_every_part_has_its_chart(charts: dict[str, Chart]) -> None:
    assert {chart.group for chart in charts.values()} == {"parameters", "stress", "model", "tail"}
    assert {"bad-debt-shock", "losses", "volatility-ETH", "tail-ETH", "parameters-liquidation_threshold"} <= set(charts)


def test_a_parameter_that_stays_everywhere_has_no_chart(charts: dict[str, Chart]) -> None:
    assert "parameters-liquidation_bonus" not in charts


def test_charts_are_files_of_their_own_with_words(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        root = ET.fromstring(chart.file)
        assert root.get("role") == "img"
        children = {child.tag: child for child in root}
        title, description = children[f"{NAMESPACE}title"], children[f"{NAMESPACE}desc"]
        assert title.text == chart.title
        assert description.text == chart.description
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        assert all(ident is not None and ident.startswith(chart.name) for ident in ids)
        assert [element.text for element in root.iter(f"{NAMESPACE}text")], "text stays text"


def test_no_colour_or_font_is_fixed(charts: dict[str, Chart]) -> None:
    for chart in charts.values():
        assert not re.search(r"#[0-9a-f]{6}", chart.inline), chart.name
        assert not re.search(r"font(-family)?:", chart.inline), chart.name
        assert "var(--ink)" in chart.inline
        assert LIGHT["ink"].encode() in chart.file
        assert INK.encode() not in chart.file


def test_each_exception_is_a_mark(charts: dict[str, Chart]) -> None:
    rows = make_calibration().exceptions.where(subject="ETH")
    groups = ET.fromstring(charts["volatility-ETH"].file).iter(f"{NAMESPACE}g")
    alarms = [group for group in groups if "var(--fail)" in group.get("style", "")]
    marks = [mark for group in alarms for mark in group.iter(f"{NAMESPACE}use")]
    assert len(marks) == int(rows["exception"].sum()) > 0
    assert charts["volatility-ETH"].description.startswith(f"{len(marks)} exceptions in 250 bars")


def test_observed_survival_is_the_empirical_one() -> None:
    size, chance = survival(np.array([3.0, -1.0, 1.5, 0.2, 2.0]))
    np.testing.assert_array_equal(size, [3.0, 2.0, 1.5])
    np.testing.assert_allclose(chance, [0.1, 0.3, 0.5], rtol=1e-15)


def test_fitted_survival_inverts_the_quantile_function() -> None:
    model = make_calibration().assets["ETH"]
    probability = shock_probabilities(len(model.shocks))
    for sign in (-1.0, 1.0):
        size, chance = fitted_survival(model, sign)
        assert (size >= 1.0).all()
        back = np.interp(chance if sign < 0 else 1 - chance, probability, model.shocks)
        np.testing.assert_allclose(sign * back, size, rtol=1e-12)


def test_hostile_names_are_text_and_file_names_stay_apart() -> None:
    calibration = make_calibration()
    model, rows = calibration.assets["ETH"], calibration.exceptions.where(subject="ETH")
    name = "$x^2$ </svg><script>"
    drawn = volatility_chart(name, rows)
    title = ET.fromstring(drawn.file).find(f"{NAMESPACE}title")
    assert title is not None
    assert title.text == f"{name}: volatility and exceptions"
    assert tail_chart("A.B", model).name != tail_chart("A-B", model).name
    assert re.fullmatch(r"[A-Za-z0-9_\-]+", drawn.name)


def test_no_loss_at_all_is_said() -> None:
    losses = make_stress().losses
    none = Table({**losses.columns, "loss": np.zeros(len(losses))})
    chart = loss_chart(none)
    assert "No simulated path loses anything" in chart.inline
    assert "0.00 % of 800 paths lose" in chart.description


def test_a_short_history_is_drawn() -> None:
    model = make_calibration().assets["ETH"]
    empty = replace(model, observed_at=np.empty(0), returns=np.empty(0), variances=np.empty(0), residuals=np.empty(0))
    assert tail_chart("ETH", empty).description.startswith("0 residuals")


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2020-05-01", "2024-06-01", ["2021", "2022", "2023", "2024"]),
        ("2020-01-15", "2020-12-20", ["2020-04", "2020-07", "2020-10"]),
        ("2021-03-10", "2021-03-20", ["2021-03-10", "2021-03-20"]),
        ("1990-01-01", "2026-01-01", ["1990", "2000", "2010", "2020"]),
        ("2021-03-10", "2021-03-10", ["2021-03-10", "2021-03-10"]),
    ],
)
def test_date_ticks_are_few_and_round(first: str, last: str, labels: list[str]) -> None:
    ends = [int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) for day in (first, last)]
    ticks = date_ticks(*ends)
    assert [label for _, label in ticks] == labels
    assert all(ends[0] <= at <= ends[1] for at, _ in ticks)
