"""Every block of the reference values is held by a test, or is of something that is not built, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HELD = {
    "garch11_fcp": ("volatility/test_engine.py", "0.01076"),
    "garch11_lcg": ("volatility/conftest.py", "4242"),
    "lcg": ("volatility/conftest.py", "16807"),
    "egarch_dmbp": ("volatility/test_further.py", "0.126339"),
    "gpd_danish": ("tails/test_extreme_value.py", "0.4969858"),
    "gpd_other": ("tails/test_extreme_value.py", "0.1428153"),
    "var_tests_lcg": ("validation/test_independence.py", "57.5927"),
    "matlab_var": ("validation/test_coverage.py", "0.46147"),
    "as_z2_critical": ("validation/test_expected_shortfall.py", "0.34639"),
    "kupiec_regions_5pct": ("validation/test_coverage.py", "kupiec_acceptance"),
    "basel": ("validation/test_coverage.py", "8.11"),
    "scores": ("validation/test_scores.py", "0.233694"),
    "dependence": ("dependence/test_dynamic.py", "0.0102712"),
    "har_spy": ("volatility/test_realized.py", "0.05387"),
    "ewma_fhs_lcg": ("tails/test_filtered_history.py", "ewma_fhs_lcg"),
}
"""Block to the file of its test, under tests, and something of the block that stands in it."""
ALSO_HELD = {
    "var_tests_lcg": [
        ("validation/test_expected_shortfall.py", "0.30241"), ("validation/test_reliability.py", "310.18"),
    ],
    "dependence": [("dependence/test_shrinkage.py", "0.2532"), ("dependence/test_copula.py", "0.1842"),
                   ("dependence/test_shrinkage.py", "0.245743")],
}  # fmt: skip
"""Parts of a block that other files hold."""
NOT_BUILT = {
    "aparch_nikkei": "no power model: APARCH is no contestant of the race",
    "realgarch_spy": "no measurement equation: realised variance enters through HAR",
    "heston": "no option prices: volatility is estimated from returns and realised variance",
    "kou": "no option prices",
    "merton": "no option prices",
    "bates": "no option prices",
    "svi_vogt": "no implied volatility surface",
    "sabr": "no implied volatility surface",
}
# Parts of held blocks that are of something not built: the generalised error distribution and Fernandez and Steel's
# skew of garch11_lcg (the skew here is Hansen's), the oracle approximating shrinkage of dependence.


@pytest.mark.data
def test_every_block_is_held_or_named_as_not_built(shared: Path) -> None:
    blocks = json.loads((shared / "reference_data" / "reference_values.json").read_text())
    assert not HELD.keys() & NOT_BUILT.keys()
    assert HELD.keys() | NOT_BUILT.keys() == blocks.keys()
    assert all(NOT_BUILT.values())


def test_what_holds_a_block_is_there() -> None:
    tests = Path(__file__).resolve().parents[1]
    places = [*HELD.values(), *(place for places in ALSO_HELD.values() for place in places)]
    missing = [place for place in places if place[1] not in (tests / place[0]).read_text()]
    assert not missing


def test_what_is_not_built_is_in_no_source() -> None:
    """Whoever builds one must bring its golden values along."""
    root = Path(__file__).resolve().parents[2] / "risk"
    words = ("aparch", "heston", "merton_price", "bates", "svi", "sabr", "kou_", "realised_garch", "realized_garch")
    source = {path: path.read_text().lower() for path in root.rglob("*.py")}
    found = [(path.name, word) for path, text in source.items() for word in words if f"def {word}" in text]
    assert not found
