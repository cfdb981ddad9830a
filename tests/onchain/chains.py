"""Chains that tests start themselves: an in-process EVM, and a local node; one interface over both.

Both have the test's Multicall3 where the real one is, blocks `STEP` seconds apart and unlocked accounts.
"""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import time
import urllib.request
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from web3 import HTTPProvider, Web3

from oracle_adapters.contract_call import MULTICALL3
from oracle_adapters.rpc import Node

HERE = Path(__file__).resolve().parent
EVM = HERE.parents[1] / "build" / "evm"
GENESIS_TIME = 1_700_000_000
STEP = 12
GAS = 16_000_000
ZERO = "0x" + 40 * "0"


class Contract(NamedTuple):
    """What can be deployed: interface, creation code, and where libraries are linked in."""

    abi: Any
    code: str
    links: Any = None

    def linked(self, libraries: dict[str, str]) -> str:
        """Creation code with the addresses of libraries in it."""
        code = self.code
        for names in (self.links or {}).values():
            for name, places in names.items():
                for place in places:
                    start = 2 + 2 * place["start"]
                    code = code[:start] + libraries[name][2:].lower() + code[start + 2 * place["length"] :]
        return code


@lru_cache
def own(name: str) -> Contract:
    """One of our own contracts, compiled."""
    compiled = _compile(name)
    return Contract(compiled["abi"], compiled["bytecode"])


@lru_cache
def _compile(name: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own use of `ast`
        import vyper

        found: dict[str, Any] = vyper.compile_code(
            (HERE / "contracts" / f"{name}.vy").read_text(), output_formats=["abi", "bytecode", "bytecode_runtime"]
        )
    return found


@lru_cache
def artifact(package: str, path: str) -> Contract:
    """A prebuilt contract of a fetched package."""
    document = json.loads((package_folder(package) / path).read_text())
    if "compilerOutput" in document:
        document = document["compilerOutput"]
    code = document["bytecode"] if "bytecode" in document else document["evm"]["bytecode"]["object"]
    return Contract(document["abi"], code if code.startswith("0x") else "0x" + code, document.get("linkReferences"))


def package_folder(package: str) -> Path:
    """Folder of a fetched package, by its name without the version."""
    (folder,) = EVM.glob(package.replace("/", "__") + "@*")
    return folder


class Chain:
    """A chain with unlocked accounts.

    Attributes
    ----------
    real
        Whether it is a node that can run any contract; the in-process chain runs only our own.
    """

    real: bool
    web3: Web3

    @property
    def accounts(self) -> list[str]:
        """Addresses with funds; the first sends by default."""
        return list(self.web3.eth.accounts)

    def node(self, **settings: Any) -> Node:
        """The chain as adapters see it."""
        return Node(self.web3.provider, **settings)

    def deploy(self, contract: Contract, *arguments: Any, libraries: dict[str, str] | None = None) -> Any:
        """Deploy a contract, and return its web3 object."""
        self._set_time(STEP)
        factory = self.web3.eth.contract(abi=contract.abi, bytecode=contract.linked(libraries or {}))
        receipt = self._wait(factory.constructor(*arguments).transact(self._paid()))
        return self.web3.eth.contract(address=receipt["contractAddress"], abi=contract.abi)

    def at(self, contract: Contract, address: str) -> Any:
        """A contract that is deployed already."""
        return self.web3.eth.contract(address=Web3.to_checksum_address(address), abi=contract.abi)

    def send(self, function: Any, *, sender: str | None = None, value: int = 0) -> Any:
        """Send a transaction and return its receipt; a revert fails the test."""
        self._set_time(STEP)
        return self._wait(function.transact({**self._paid(sender), "value": value}))

    def _paid(self, sender: str | None = None) -> dict[str, Any]:
        return {"from": sender or self.accounts[0], "gas": GAS, "gasPrice": 10**10}

    def _wait(self, sent: Any) -> Any:
        receipt = self.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.002)
        if receipt["status"] != 1:
            pytest.fail("a transaction of the test reverted")
        return receipt

    @property
    def number(self) -> int:
        """Number of the last block."""
        return int(self.web3.eth.block_number)

    def now(self) -> int:
        """Unix seconds of the last block."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def _set_time(self, seconds: int) -> None:
        """Have the next block that many seconds after the last; a chain of its own does so by itself."""

    def warp(self, seconds: int) -> None:
        """Mine one block that many seconds after the last."""
        raise NotImplementedError

    def mine(self, count: int = 1) -> None:
        """Mine empty blocks."""
        for _ in range(count):
            self.warp(STEP)

    def snapshot(self) -> Any:
        """Remember the state."""
        raise NotImplementedError

    def revert(self, snapshot: Any) -> None:
        """Go back to a state, as a reorganisation does."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what was started."""


class InProcessChain(Chain):
    """py-evm behind eth-tester."""

    real = False

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the in-process EVM and what it imports
            from eth_tester import EthereumTester, PyEVMBackend
        keys = PyEVMBackend(genesis_parameters=None).account_keys
        state = {key.public_key.to_canonical_address(): _account(10**24) for key in keys}
        runtime = bytes.fromhex(_compile("multicall3")["bytecode_runtime"][2:])
        state[bytes.fromhex(MULTICALL3[2:])] = {**_account(0), "code": runtime}
        parameters = PyEVMBackend.generate_genesis_params(overrides={"timestamp": GENESIS_TIME})
        backend = PyEVMBackend(genesis_parameters=parameters, genesis_state=state)
        self._tester = EthereumTester(backend)
        self.web3 = Web3(_provider(self._tester))

    def _set_time(self, seconds: int) -> None:
        chain = self._tester.backend.chain  # would stamp a block with the clock of this computer
        chain.header = chain.header.copy(timestamp=self.now() + seconds)

    def warp(self, seconds: int) -> None:
        self._set_time(seconds)
        self._tester.mine_block()

    def snapshot(self) -> Any:
        return self._tester.take_snapshot()

    def revert(self, snapshot: Any) -> None:
        self._tester.revert_to_snapshot(snapshot)


def _account(balance: int) -> dict[str, Any]:
    return {"balance": balance, "nonce": 0, "code": b"", "storage": {}}


def _provider(tester: Any) -> Any:
    """A web3 provider that answers a revert as a node does: with the error's message and data."""
    from eth_abi.abi import encode
    from eth_tester.exceptions import TransactionFailed
    from web3 import EthereumTesterProvider

    class Provider(EthereumTesterProvider):
        def make_request(self, method: Any, params: Any) -> Any:
            try:
                return super().make_request(method, params)
            except TransactionFailed as error:
                said = str(error.args[0]).removeprefix("execution reverted: ")
                data = ast.literal_eval(said) if said.startswith(("b'", 'b"')) else _as_error(encode, said)
                failure = {"code": 3, "message": f"execution reverted: {said}", "data": "0x" + data.hex()}
                return {"jsonrpc": "2.0", "id": 1, "error": failure}

    return Provider(tester)


def _as_error(encode: Any, reason: str) -> bytes:
    return bytes.fromhex("08c379a0") + encode(["string"], [reason]) if reason else b""


class AnvilChain(Chain):
    """A node of its own on loopback, with blocks a fixed time apart."""

    real = True

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        binary = package_folder("@foundry-rs/anvil-linux-amd64") / "bin" / "anvil"
        command = [
            str(binary),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--chain-id",
            "31337",
            "--balance",
            "1000000",
        ]
        command += ["--timestamp", str(GENESIS_TIME), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        self._await()
        self.web3 = Web3(HTTPProvider(self.url, exception_retry_configuration=None))
        self.rpc("anvil_setBlockTimestampInterval", STEP)
        self.rpc("anvil_setCode", MULTICALL3, _compile("multicall3")["bytecode_runtime"])

    def _await(self) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        for _ in range(2000):
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
        self.close()
        pytest.fail("the local node did not start")

    def rpc(self, method: str, *parameters: Any) -> Any:
        """One raw request."""
        answer = self.web3.provider.make_request(method, list(parameters))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def node(self, **settings: Any) -> Node:
        return Node(self.url, **settings)

    def warp(self, seconds: int) -> None:
        self.rpc("evm_setNextBlockTimestamp", self.now() + seconds)
        self.rpc("evm_mine")

    def snapshot(self) -> Any:
        return self.rpc("evm_snapshot")

    def revert(self, snapshot: Any) -> None:
        assert self.rpc("evm_revert", snapshot) is True

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def staked_vault(chain: Chain) -> tuple[Any, Any]:
    """A vault that holds a thousand of an own stETH and may take more from the first account; and the token."""
    token = chain.deploy(own("token"), "stETH", "stETH", 18)
    vault = chain.deploy(own("vault"), token.address)
    for function in (
        token.functions.mint(chain.accounts[0], 10**30),
        token.functions.approve(vault.address, 10**30),
        vault.functions.deposit(10**21, chain.accounts[0]),
    ):
        chain.send(function)
    return vault, token
