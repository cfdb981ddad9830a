"""Positions of accounts: found from events, read at one block, as a book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_adapters.protocol_state.state import Token, counted
from oracle_adapters.quality import Check
from oracle_adapters.rpc import Log
from risk.market import Book, Origin, Verdict

NOBODY = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Holding:
    """A raw balance of an account.

    Attributes
    ----------
    account, token
        Addresses in lower case; the token is the one that is lent or borrowed, not its receipt.
    amount
        Base units.
    decimals
        Of the token.
    owed
        Whether it is debt, else collateral.
    """

    account: str
    token: str
    amount: int
    decimals: int
    owed: bool


def address_of(topic: bytes) -> str:
    """The address in an indexed topic, in lower case."""
    return "0x" + topic[-20:].hex()


def received(logs: Iterable[Log], receiver: int) -> set[tuple[str, str]]:
    """(contract, account) of all logs, the account from the topic at `receiver`; burns are left out.

    Only who once received something can hold it: these are all balances that may not be zero.
    """
    pairs = {(log.address, address_of(log.topics[receiver])) for log in logs}
    return {(contract, account) for contract, account in pairs if account != NOBODY}


def book_of(
    market: str, holdings: Sequence[Holding], tokens: Mapping[str, Token], assets: Sequence[str], found: int
) -> tuple[Book | None, list[Check]]:
    """Holdings as a book of accounts named ``market/address``, in whole tokens.

    Parameters
    ----------
    market
        Name of the market.
    holdings
        Of all accounts; those of one account and token are added up.
    tokens
        Declared tokens by address.
    assets
        Assets that have a price; accounts that hold or owe something else are left out whole, and counted. So are
        those with collateral that the settings make a reserve of another market: its thresholds are not this one's.
    found
        Number of accounts that the events name.

    Returns
    -------
    Book or None
        None when nobody holds anything.
    checks
        How many accounts there are, and how many were left out for which token.
    """
    held = [holding for holding in holdings if holding.amount]
    unpriced: dict[str, set[str]] = {}
    for holding in held:
        token = tokens.get(holding.token)
        if token is None or token.asset not in assets:
            unpriced.setdefault(token.asset if token else holding.token, set()).add(holding.account)
    foreign: dict[str, set[str]] = {}
    for holding in held:
        token = tokens.get(holding.token)
        if token is not None and token.elsewhere and not holding.owed:
            foreign.setdefault(token.asset, set()).add(holding.account)
    refused = set().union(*unpriced.values(), *foreign.values())
    everyone = {holding.account for holding in held}
    accounts = sorted(everyone - refused)
    detail = f"{found} accounts found from events, {len(everyone)} of them with collateral or debt"
    checks = [Check("positions", Verdict.GOOD, len(accounts), detail)]
    for name, group in sorted(unpriced.items()):
        checks += counted("unpriced", sorted(group), f"accounts with {name}, which has no price, are left out")
    for name, group in sorted(foreign.items()):
        message = f"accounts with collateral in {name}, which the settings make another market's reserve, are left out"
        checks += counted("foreign", sorted(group), message)
    if not accounts:
        return None, checks
    row = {account: i for i, account in enumerate(accounts)}
    column = {asset: j for j, asset in enumerate(sorted(assets))}
    sides = np.zeros((2, len(row), len(column)))
    for holding in held:
        if holding.account in row:
            place = int(holding.owed), row[holding.account], column[tokens[holding.token].asset]
            sides[place] += holding.amount / 10**holding.decimals
    names = tuple(f"{market}/{account}" for account in accounts)
    return Book(names, tuple(column), sides[0], sides[1], Origin.MEASURED), checks
