"""Paths of composite prices: what fits, and every way in which one does not, told in words."""

from __future__ import annotations

import tomllib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters import sample
from risk.errors import SettingsError
from risk.price_graph import Edge, Factor, Pair, price_paths
from risk.price_settings import Composite
from risk.settings import read_settings


def edges(*pairs: str) -> list[Edge]:
    return [Edge(Pair.parse(pair, "test"), pair) for pair in pairs]


def paths(feeds: list[Edge], declared: dict[str, list[str]], *assets: str) -> dict[str, str]:
    composites = {name: Composite(path=tuple(path)) for name, path in declared.items()}
    return {str(pair): path.product for pair, path in price_paths(feeds, composites, assets).items()}


def test_a_declared_path() -> None:
    found = paths(edges("cbETH/ETH", "ETH/USD"), {"cbETH/USD": ["cbETH/ETH", "ETH/USD"]}, "cbETH", "ETH")
    assert found == {"cbETH/USD": "cbETH/ETH × ETH/USD"}


def test_an_inverse_is_written_out() -> None:
    found = paths(edges("USDC/USDT", "USDC/USD"), {"USDT/USD": ["1/(USDC/USDT)", "USDC/USD"]})
    assert found == {"USDT/USD": "1/(USDC/USDT) × USDC/USD"}


def test_a_factor_may_be_a_composite_and_is_turned_with_it() -> None:
    declared = {"A/C": ["A/B", "B/C"], "C/USD": ["1/(A/C)", "A/USD"]}
    assert paths(edges("A/B", "B/C", "A/USD"), declared)["C/USD"] == "1/(B/C) × 1/(A/B) × A/USD"


def test_the_only_shortest_path_is_derived() -> None:
    feeds = edges("A/B", "B/USD", "B/C", "C/USD")
    assert paths(feeds, {}, "A", "B") == {"A/USD": "A/B × B/USD"}


def test_a_feed_in_dollars_needs_no_path() -> None:
    assert paths(edges("A/USD", "A/B", "B/USD"), {}, "A", "B") == {}


@pytest.mark.parametrize(
    ("feeds", "declared", "said"),
    [
        (["cbETH/ETH"], {"cbETH/USD": ["cbETH/ETH", "ETH/USD"]},
         "cbETH/USD = cbETH/ETH × ETH/USD; ETH/USD has no feed"),
        # Moonwell, February 2026: the factor that was not there.
        (["cbETH/ETH", "ETH/USD"], {"cbETH/USD": ["cbETH/ETH"]},
         "cbETH/USD = cbETH/ETH; it ends in ETH, not in USD: the factor ETH/USD is missing"),
        (["A/B", "C/USD"], {"A/USD": ["A/B", "C/USD"]}, "A/USD = A/B × C/USD; the factor B/C is missing"),
        (["USDC/USDT", "USDC/USD"], {"USDT/USD": ["USDC/USDT", "USDC/USD"]},
         "USDC/USDT is the wrong way round here. Write 1/(USDC/USDT)"),
        (["USDC/USDT", "USDC/USD"], {"USDT/USD": ["USDT/USDC", "USDC/USD"]},
         "USDT/USDC has no feed but USDC/USDT has. Write 1/(USDC/USDT)"),
        (["B/USD"], {"A/USD": ["A/B", "B/USD"], "A/B": ["A/USD", "1/(B/USD)"]}, "A/USD → A/B → A/USD"),
        (["A/B", "B/A", "A/USD"], {"A/USD": ["A/B", "B/A", "A/USD"]}, "goes in a circle through A"),
        (["A/USD", "A/B", "B/USD"], {"A/USD": ["A/B", "B/USD"], "USD/A": ["1/(A/USD)"]},
         "two declarations disagree about one price"),
        (["A/USD"], {"A-USD": ["A/USD"]}, "a pair is written base/quote"),
        (["A/USD"], {"A/A": ["A/USD"]}, "one and the same"),
        (["A/USD"], {"B/USD": ["1/A/USD"]}, "a pair is written base/quote"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_drawn_in_words(feeds: list[str], declared: dict[str, list[str]], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        paths(edges(*feeds), declared)
    assert said in str(caught.value)
    assert str(caught.value).startswith("composites.")


def test_two_equally_short_paths_are_ambiguous() -> None:
    with pytest.raises(SettingsError, match="A/USD = A/B × B/USD; A/USD = A/C × C/USD"):
        paths(edges("A/B", "A/C", "B/USD", "C/USD"), {}, "A")


def test_an_asset_that_no_path_prices() -> None:
    with pytest.raises(SettingsError, match="no feed and no path gives A/USD; the feeds are A/B"):
        paths(edges("A/B"), {}, "A")


@pytest.mark.parametrize("found", [None, 18])
def test_decimals_that_differ(found: int | None) -> None:
    feeds = [Edge(Pair("A", "USD"), "feeds.0", found), Edge(Pair("B", "A"), "feeds.1")]
    composite = Composite(path=("B/A", "A/USD"), decimals={"A/USD": 8})
    with pytest.raises(SettingsError, match=r"A/USD is declared with 8 decimals and its feed feeds\.0 has (none|18)"):
        price_paths(feeds, {"B/USD": composite}, ())
    agreed = [Edge(Pair("A", "USD"), "feeds.0", 8), Edge(Pair("B", "A"), "feeds.1")]
    assert Pair("B", "USD") in price_paths(agreed, {"B/USD": composite}, ())


NAMES = st.lists(st.sampled_from("ABCDEFGH"), min_size=2, max_size=7, unique=True)


@given(NAMES, st.data())
def test_a_chain_holds_and_no_factor_of_it_can_be_spared_or_turned(names: list[str], data: st.DataObject) -> None:
    units = [*names, "USD"]
    chain = [f"{a}/{b}" for a, b in pairwise(units)]
    declared = {f"{units[0]}/USD": chain}
    assert paths(edges(*chain), declared) == {f"{units[0]}/USD": " × ".join(chain)}
    spared = data.draw(st.integers(0, len(chain) - 1))
    broken = [
        [one for i, one in enumerate(chain) if i != spared],
        [str(Factor(Pair.parse(one, "t"), inverted=True)) if i == spared else one for i, one in enumerate(chain)],
    ]
    for path in broken:
        with pytest.raises(SettingsError):
            paths(edges(*chain), {f"{units[0]}/USD": path})


def test_settings_fail_when_they_are_loaded() -> None:
    """A file that lacks a factor's feed is refused before anything is read."""
    document = sample.settings_text()
    listed = tomllib.loads(document)["assets"]
    name = sorted(listed)[0]
    feed = f'[[feeds]]\nkind = "files"\nasset = "{name}"\nquote = "EUR"\npath = "x.csv"\n'
    composite = f'[composites."{name}/USD"]\npath = ["{name}/EUR", "EUR/USD"]\n'
    text = document.replace('[[feeds]]\nkind = "sample"\n', feed + composite)
    assert text != document
    with pytest.raises(SettingsError, match=f"{name}/USD = {name}/EUR × EUR/USD; EUR/USD has no feed"):
        read_settings(text)
