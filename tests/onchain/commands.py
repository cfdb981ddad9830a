"""The user's path to a node: a settings file in a folder, then `riskcal` as the command line runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reports.cli import main as command
from tests.factories import _SETTINGS
from tests.onchain.chains import AnvilChain

URL_ENV = "RISKCAL_TEST_NODE"
STORE = "kept"


class Ran(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Commands:
    """A folder with one settings file, and the commands that are given it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.config = folder / "riskcal.toml"

    def write(self, feeds: Sequence[Mapping[str, Any]], **more: Any) -> None:
        """Write the settings of some feeds; one of which `more` holds None is left out."""
        names = dict.fromkeys(feed["asset"] for feed in feeds)
        parts = {
            "assets": {name: {"asset_class": "large_cap"} for name in names},
            "markets": {"perps": {"protocol": "generic"}}, "feeds": list(feeds), "store": STORE, "oracles": {},
        }  # fmt: skip
        document = {name: value for name, value in (_SETTINGS | parts | more).items() if value is not None}
        self.config.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in document.items()))

    def run(self, verb: str, *arguments: object) -> Ran:
        """Run a verb on the settings file."""
        code = command.main([verb, str(self.config), *map(str, arguments)])
        return Ran(code, *self._capsys.readouterr())


def chainlink(chain: AnvilChain, asset: str, address: str, quote: str = "USD", **more: Any) -> dict[str, Any]:
    """Settings of a Chainlink feed on the node, sampled every hour."""
    return {
        "kind": "chainlink", "asset": asset, "quote": quote, "address": address, "url_env": URL_ENV,
        "chain_id": chain.web3.eth.chain_id, "confirmations": 0, "interval": "1h", "heartbeat": "2h", **more,
    }  # fmt: skip


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
