"""A Compound III market from its files to the proposal: in Comet's own parameters, on its own grid."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from risk.parameters import Key, ParameterSet
from risk.units import GRIDS
from tests.cli.market import riskcal, write_market

_PARAMETERS = """\
[comet.base.USDC]
store_front_price_factor = "60.00%"

[comet.reserve.LINK]
collateral_factor = "73.00%"
liquidation_threshold = "79.00%"
liquidation_factor = "93.00%"
supply_cap = "800000 LINK"

[comet.reserve.WBTC]
collateral_factor = "70.00%"
liquidation_threshold = "77.00%"
liquidation_factor = "95.00%"
supply_cap = "200 WBTC"

[comet.reserve.WETH]
collateral_factor = "82.50%"
liquidation_threshold = "89.50%"
liquidation_factor = "95.00%"
supply_cap = "6000 WETH"
"""
"""Factors of cUSDCv3 as deployed (data: comet_configuration_versions.csv), caps of the test market's size."""
_OLD = """\
[markets.lending]
protocol = "aave_v3"
chain_id = 1
configurator = "0x1111111111111111111111111111111111111111"
"""
COMET, CONFIGURATOR, ADMIN = ("0x" + digit * 40 for digit in "234")
_NEW = f"""\
[markets.comet]
protocol = "compound_v3"
chain_id = 1
comet = "{COMET}"
configurator = "{CONFIGURATOR}"
proxy_admin = "{ADMIN}"
"""


def comet_market(folder: Path, *, front: bool = True) -> Path:
    """The small market as a Comet that lends USDC; its settings file."""
    path = write_market(folder)
    text = (
        path.read_text().replace(_OLD, _NEW).replace('reserve = "lending"\n', 'reserve = "comet"\ndebts = ["USDC"]\n')
    )
    text = text.replace('debts = ["USD", "BTC"]\n', "")
    head, usdc, tail = text.partition("[assets.USDC]\n")
    tail = tail.replace('reserve = "comet"\ndebts = ["USDC"]\n', "", 1)
    text = (head + usdc + tail).replace("[models]", '[policy]\nroute = "governance"\n\n[models]')
    path.write_text(text.replace('changed_at = "changed_at.csv"\n', ""))
    declared = _PARAMETERS if front else _PARAMETERS.partition("\n\n")[2]
    (folder / "parameters.toml").write_text(declared)
    (folder / "positions.csv").write_text(
        "account,asset,collateral,debt\n"
        "a,ETH,1000,0\na,USDC,0,1900000\nb,BTC,50,0\nb,USDC,0,2500000\nc,LINK,100000,0\nc,ETH,10,0\nc,USDC,0,700000\n"
    )
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comet")
    done = riskcal("propose", comet_market(folder / "market"), "--out", folder / "run")
    assert done.returncode in (0, 1), done.stderr
    return folder / "run"


def test_the_target_is_in_the_parameters_of_comet_and_on_its_grid(run: Path) -> None:
    target = ParameterSet.from_toml((run / "recommendation" / "target.toml").read_text())
    names = {key.parameter for key in target.values if key.kind == "reserve"}
    assert names == {"collateral_factor", "liquidation_threshold", "liquidation_factor", "supply_cap"}
    for key in target.values:
        value = target.get(key)
        assert value is not None
        assert GRIDS["compound_v3"].holds(value)
    front = target.values[Key("comet", "base", "USDC", (), "store_front_price_factor")]
    assert str(front) == "60.00%", "nobody derives it: it stays"
    for name in ("WETH", "WBTC", "LINK"):
        triple = [
            target.get(Key("comet", "reserve", name, (), parameter))
            for parameter in ("collateral_factor", "liquidation_threshold", "liquidation_factor")
        ]
        factor, threshold, penalty = (Decimal(value.value) for value in triple if value is not None)
        assert factor < threshold < penalty < 1


def test_the_buyers_discount_is_a_bonus_on_the_grid(run: Path) -> None:
    """Store front times penalty, as a bonus, is one of the grid within what a step of the factor is worth."""
    target = ParameterSet.from_toml((run / "recommendation" / "target.toml").read_text())
    grid = (0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.10, 0.15)
    for name in ("WETH", "WBTC", "LINK"):
        factor = target.ratio(Key("comet", "reserve", name, (), "liquidation_factor"))
        assert factor is not None
        discount = 0.6 * (1 - factor)
        bonus = discount / (1 - discount)
        above = [bonus - one for one in grid if -1e-9 <= bonus - one < 0.6 * 1e-4 / (1 - discount) ** 2 + 1e-9]
        assert len(above) == 1, f"{name}: {bonus}"


def test_the_stress_absorbs_and_judges(run: Path) -> None:
    facts: dict[str, Any] = json.loads((run / "stress" / "artifact.json").read_text())["document"]["facts"]
    assert any("absorbs takes whole accounts" in line for line in facts["assumptions"])
    assert set(facts["books"]) >= {"in_force", "target"}
    assert facts["books"]["in_force"]["accounts"] == 3
    assert set(facts["depth"]) == {"BTC", "ETH", "LINK"}


def test_the_calldata_ends_with_the_upgrade(run: Path) -> None:
    document = json.loads((run / "proposal" / "calldata.json").read_text())
    assert document["unencoded"] == []
    functions = [call["function"] for call in document["calls"]]
    assert functions.count("deployAndUpgradeTo") == 1
    assert functions[-1] == "deployAndUpgradeTo"
    assert {call["to"] for call in document["calls"][:-1]} == {CONFIGURATOR}
    content = json.loads((run / "proposal" / "proposal.json").read_text())
    shown = {p["key"]: p["next_step"]["stored"] for subject in content["subjects"] for p in subject["parameters"]}
    for call in document["calls"][:-1]:
        [key] = call["keys"]
        assert shown[key] == str(list(call["arguments"].values())[-1]), "the page shows what the calldata holds"


def test_a_store_front_that_is_not_known_ends_in_words(tmp_path: Path) -> None:
    done = riskcal("propose", comet_market(tmp_path / "market", front=False), "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "store_front_price_factor" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gate_knows_comets_coupling(run: Path, tmp_path: Path) -> None:
    """A threshold at its liquidation factor is an error; nobody asks a Comet for a liquidation bonus."""
    market = run.parent / "market"
    text = (market / "parameters.toml").read_text()
    for threshold, code, found in (("95.00%", 1, ["I006"]), ("88.00%", 0, [])):
        (tmp_path / "head.toml").write_text(text.replace('"89.50%"', f'"{threshold}"'))
        done = riskcal(
            "gate", market / "parameters.toml", tmp_path / "head.toml", "--config", market / "riskcal.toml",
            "--run", run, "--json",
        )  # fmt: skip
        errors = [row["code"] for row in json.loads(done.stdout)["findings"] if row["severity"] == "error"]
        assert (done.returncode, errors) == (code, found), done.stdout
