"""A Comet's state from a node to the proposal: nothing of the market is declared but addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from web3 import Web3

from risk.parameters import ParameterSet
from tests.cli.market import riskcal
from tests.cli.test_comet import comet_market
from tests.onchain.chains import AnvilChain, own

RATES = (8 * 10**17, 15 * 10**15, 35 * 10**15, 25 * 10**16, 85 * 10**16, 0, 325 * 10**14, 4 * 10**17)
FACTOR = 10**14
WETH, WBTC, LINK, USDC = (Web3.to_checksum_address("0x" + pair * 20) for pair in ("e1", "b1", "a1", "c1"))
FEED = "0x" + "88" * 20


@pytest.mark.chain
def test_from_the_chain_to_calldata(real_chain: AnvilChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comet = real_chain.deploy(own("comet"), USDC, 6)
    configs = [
        (WETH, FEED, 18, 8250 * FACTOR, 8950 * FACTOR, 9500 * FACTOR, 6000 * 10**18),
        (WBTC, FEED, 8, 7000 * FACTOR, 7700 * FACTOR, 9500 * FACTOR, 200 * 10**8),
        (LINK, FEED, 18, 7300 * FACTOR, 7900 * FACTOR, 9300 * FACTOR, 0),
    ]
    real_chain.send(comet.functions.upgrade(configs, RATES, 6 * 10**17))
    for sender, token, amount, debt in (
        (real_chain.accounts[1], WETH, 1000 * 10**18, 1_900_000 * 10**6),
        (real_chain.accounts[2], WBTC, 50 * 10**8, 2_500_000 * 10**6),
    ):
        real_chain.send(comet.functions.supplyTo(sender, token, amount), sender=sender)
        real_chain.send(comet.functions.borrow(debt), sender=sender)

    path = comet_market(tmp_path / "market")
    text = path.read_text()
    for line in ('parameters = "parameters.toml"\n', 'positions = "positions.csv"\n'):
        assert line in text
        text = text.replace(line, "")
    state = f'state = {{ url_env = "TEST_NODE_URL", contract = "{comet.address}", confirmations = 0 }}\n'
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("comet = ")]
    text = "".join(lines).replace("chain_id = 1\n", f"chain_id = 31337\n{state}")
    path.write_text(text)
    monkeypatch.setenv("TEST_NODE_URL", real_chain.url)
    done = riskcal("propose", path, "--out", tmp_path / "run")
    assert done.returncode in (0, 1), done.stderr

    snapshot = json.loads((tmp_path / "run" / "snapshot" / "artifact.json").read_text())["document"]
    assert snapshot["in_force"]["comet/base/USDC/store_front_price_factor"] == "60.00%"
    assert snapshot["in_force"]["comet/reserve/WETH/liquidation_factor"] == "95.00%"
    assert len(snapshot["book"]["accounts"]) == 2
    text = (tmp_path / "run" / "recommendation" / "target.toml").read_text()
    assert "supply_cap" not in text.partition("[comet.reserve.LINK]")[2].partition("[")[0], "closed stays closed"
    target = ParameterSet.from_toml(text)
    changed = {str(k) for k, v in target.values.items() if str(v) != snapshot["in_force"].get(str(k))}
    document = json.loads((tmp_path / "run" / "proposal" / "calldata.json").read_text())
    keys = {key for call in document["calls"] for key in call["keys"]}
    assert keys == changed
    assert document["unencoded"] == []
    assert document["calls"][-1]["arguments"]["cometProxy"] == comet.address
