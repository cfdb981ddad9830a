"""Secrets: taken from the environment by name, and hidden in every text that leaves the program."""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, quote, urlsplit

from risk.errors import SettingsError

_URL = re.compile(r"\b([a-z][a-z0-9+.\-]*://)([^\s'\"<>\\)\]},]+)", re.IGNORECASE)
_HIDDEN: set[str] = set()
_HIDE = "***"
_SHORTEST = 8
"""Characters from which a piece of a secret URL is hidden by itself, so that ``v2`` or ``mainnet`` is not."""


def secret(name: str) -> str:
    """Value of an environment variable that settings name by an ``*_env`` key; from then on `mask` hides it.

    Raises
    ------
    SettingsError
        When the variable is not set.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingsError("the environment variable is not set", field=name, remedy=f"Set it: export {name}=...")
    hide(value)
    return value


def hide(value: str) -> None:
    """Have `mask` hide a text; of a URL also its path, query, user and password by themselves."""
    try:
        parts = urlsplit(value) if "://" in value else None
    except ValueError:  # no URL that can be read: all of it is hidden, piece by piece
        parts = SplitResult("", "", value.partition("://")[2], "", "")
    if parts is not None:
        pieces = [parts.path, parts.query, f"{parts.path}?{parts.query}", parts.username or "", parts.password or ""]
        pieces += re.split(r"[/&=]", f"{parts.path}/{parts.query}")
        found = [piece for piece in pieces if len(piece) >= _SHORTEST or (piece and piece == parts.password)]
    else:
        found = [value]
    _HIDDEN.update(found)
    _HIDDEN.update(quote(piece, safe="") for piece in found)


def mask(text: str) -> str:
    """A text without secrets: of every URL only scheme and host are left, and what `secret` returned is hidden."""
    text = _URL.sub(_host_only, text)
    for piece in sorted(_HIDDEN, key=lambda piece: (-len(piece), piece)):
        text = text.replace(piece, _HIDE)
    return text


def _host_only(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    authority, slash, _ = re.split(r"([/?#]|$)", rest, maxsplit=1)
    host = authority.rpartition("@")[2]
    return f"{scheme}{host}/{_HIDE}" if slash and len(rest) > len(authority) + 1 else f"{scheme}{host}"
