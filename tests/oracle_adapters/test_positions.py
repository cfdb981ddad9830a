"""Holdings as a book: by hand, and 291 real accounts whose health factor comes back."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle_adapters.protocol_state.positions import NOBODY, Holding, book_of, received
from oracle_adapters.protocol_state.read import joined
from oracle_adapters.protocol_state.state import MarketState, Token
from oracle_adapters.rpc import Block, Log
from risk.market import Origin

WETH, USDC, ODD = ("0x" + digit * 40 for digit in "123")
TOKENS = {WETH: Token("ETH", "WETH"), USDC: Token("USDC", None)}
ANN, BOB = "0x" + "a" * 40, "0x" + "b" * 40


def test_balances_of_one_account_are_added_up() -> None:
    """Stable and variable debt are two tokens of one asset."""
    holdings = [
        Holding(ANN, WETH, 3 * 10**18, 18, owed=False),
        Holding(ANN, USDC, 1_000_001, 6, owed=True),
        Holding(ANN, USDC, 2_000_000, 6, owed=True),
        Holding(BOB, WETH, 0, 18, owed=False),
    ]
    book, checks = book_of("m", holdings, TOKENS, ("USDC", "ETH", "BTC"), found=2)
    assert book is not None
    assert (book.accounts, book.assets, book.origin) == ((f"m/{ANN}",), ("BTC", "ETH", "USDC"), Origin.MEASURED)
    assert book.collateral.tolist() == [[0.0, 3.0, 0.0]]
    assert book.debt.tolist() == [[0.0, 0.0, 3.000001]]
    assert [check.count for check in checks] == [1]


def test_an_account_with_something_unpriced_is_left_out_whole() -> None:
    holdings = [
        Holding(ANN, WETH, 10**18, 18, owed=False),
        Holding(ANN, ODD, 1, 18, owed=True),
        Holding(BOB, ODD, 0, 18, owed=True),
        Holding(BOB, USDC, 5, 6, owed=False),
    ]
    book, checks = book_of("m", holdings, TOKENS, ("USDC", "ETH"), found=2)
    assert book is not None
    assert book.accounts == (f"m/{BOB}",)
    assert [(check.check, check.count) for check in checks] == [("positions", 1), ("unpriced", 1)]
    assert ODD in checks[1].detail
    book, checks = book_of("m", holdings, TOKENS, ("ETH",), found=2)
    assert book is None
    assert {check.detail.split()[2].strip(",") for check in checks[1:]} == {ODD, "USDC"}


def test_collateral_of_another_market_has_no_threshold_here() -> None:
    """Owed it is as good as any; held it would be taken at the other market's threshold."""
    tokens = {**TOKENS, ODD: Token("COMP", None, elsewhere=True)}
    holdings = [
        Holding(ANN, WETH, 10**18, 18, owed=False),
        Holding(ANN, ODD, 10**18, 18, owed=True),
        Holding(BOB, WETH, 10**18, 18, owed=False),
        Holding(BOB, ODD, 1, 18, owed=False),
    ]
    book, checks = book_of("m", holdings, tokens, ("ETH", "COMP"), found=2)
    assert book is not None
    assert book.accounts == (f"m/{ANN}",)
    assert [(check.check, check.count) for check in checks] == [("positions", 1), ("foreign", 1)]
    assert "COMP" in checks[1].detail


def test_books_of_two_markets_keep_the_modes_of_their_accounts() -> None:
    def state(market: str, who: str, *modes: str) -> MarketState:
        holdings = [Holding(who, WETH, 10**18, 18, owed=False)]
        book, _ = book_of(market, holdings, TOKENS, ("ETH", "USDC"), found=1)
        assert book is not None
        return MarketState(market, Block(1, "0x", 0), {}, {}, {}, (), replace(book, modes=modes), ())

    both = joined([state("one", ANN), state("two", BOB, "two/1")])
    assert both is not None
    assert dict(zip(both.accounts, both.modes, strict=True)) == {f"one/{ANN}": "", f"two/{BOB}": "two/1"}
    neither = joined([state("one", ANN), state("two", BOB)])
    assert neither is not None
    assert neither.modes == ()


def test_nobody_receives_a_burn() -> None:
    def log(receiver: str) -> Log:
        topics = (b"", b"", bytes.fromhex(receiver[2:]).rjust(32, b"\0"))
        return Log(1, 0, WETH, topics, b"")

    assert received([log(ANN), log(NOBODY), log(ANN)], receiver=2) == {(WETH, ANN)}


@pytest.mark.data
def test_real_accounts_become_a_book(shared: Path) -> None:
    """Aave v3 accounts with wrapped staked ether against ether or dollars (June 2023), raw as the chain holds them.

    Value and health factor follow from the book's amounts. The file mixes two blocks, so its own columns agree to
    about 2e-4 for collateral and 5e-4 for debt where it says that one of its bins explains an account.
    """
    folder = shared / "data" / "aave_positions_lido_2023"
    rows = []
    for name in ("b1_v3", "b21_debt_stables_v3"):
        with gzip.open(folder / f"{name}.csv.gz", "rt") as file:
            rows += [row for row in csv.DictReader(file) if float(row["diff_collateral"]) < 1e-3]
    dollars = {"usdc": 6, "usdt": 6, "dai": 18, "lusd": 18}
    tokens = {name: Token(name, None) for name in ("wsteth", "weth", *dollars)}
    holdings, explained = [], []
    for row in rows:
        user = row["user"]
        owed = {"weth": (float(row["ethdebt"]), 0)}
        owed |= {name: (float(row[name]), places) for name, places in dollars.items() if row.get(name)}
        price = {"weth": float(row["eth_price"]), **{n: float(row[f"{n}_price"]) / 1e8 for n in owed if n != "weth"}}
        debt = sum(amount / 10**places * price[name] for name, (amount, places) in owed.items())
        if abs(debt / float(row["debt"]) - 1) > 1e-3 or any(
            float(row.get(f"{name}_collateral") or 0) for name in ("cbeth", "reth", "usdc", "dai")
        ):
            continue
        explained.append(row)
        holdings.append(Holding(user, "wsteth", round(float(row["amount"]) * 10**18), 18, owed=False))
        holdings.append(Holding(user, "weth", round(owed.pop("weth")[0] * 10**18), 18, owed=True))
        holdings += [Holding(user, n, round(amount), places, owed=True) for n, (amount, places) in owed.items()]
    assert len(explained) == 291
    book, checks = book_of("aave", holdings, tokens, tuple(tokens), found=502)
    assert book is not None
    assert len(book.accounts) == checks[0].count == len(explained)
    first = explained[0]
    prices = {"wsteth": float(first["steth_price"]), "weth": float(first["eth_price"]), "dai": 0.9999}
    prices |= {"usdc": 1.00021167, "usdt": 0.99974555, "lusd": 1.0069521}
    price = np.array([prices[name] for name in book.assets])
    told = {row["user"]: row for row in explained}
    ordered = [told[account.removeprefix("aave/")] for account in book.accounts]
    collateral, debt = book.collateral @ price, book.debt @ price
    threshold = np.array([float(row["threshold"]) / 1e4 for row in ordered])
    assert np.allclose(collateral, [float(row["collateral"]) for row in ordered], rtol=1e-3)
    assert np.allclose(debt, [float(row["debt"]) for row in ordered], rtol=1e-3)
    assert np.allclose(collateral * threshold / debt, [float(row["healthf"]) for row in ordered], rtol=2e-3)
    in_mode = sum(row["emode"] == "1" for row in ordered)
    assert 0 < in_mode < len(ordered), "accounts in an efficiency mode stand at another threshold"
