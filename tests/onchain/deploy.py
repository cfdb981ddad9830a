"""Real contracts on the local node, from the fetched packages: Chainlink, Uniswap v3 and Aave v3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.onchain.chains import ZERO, AnvilChain, Contract, artifact

FAR = 2**40
"""A deadline that no test reaches."""
LARGEST = 2**256 - 1
FULL_RANGE = 887_220
"""Largest tick that is a multiple of 60."""
RAY = 10**27
LIBRARIES = (
    "SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic", "ConfiguratorLogic",
)  # fmt: skip


def aave(path: str) -> Contract:
    """A contract of Aave v3.0.2, by its folder and name."""
    return artifact("@aave/core-v3", f"artifacts/contracts/{path}.sol/{path.rpartition('/')[2]}.json")


def token(chain: AnvilChain, symbol: str, decimals: int) -> Any:
    """An ERC-20 token that anybody may mint."""
    return chain.deploy(aave("mocks/tokens/MintableERC20"), symbol, symbol, decimals)


class Chainlink:
    """FluxAggregators behind an EACAggregatorProxy.

    Parameters
    ----------
    description, decimals
        Of the feed.
    lowest, highest
        Answers outside are refused.
    oracles
        Number of accounts that submit; the answer is their median.
    """

    def __init__(
        self,
        chain: AnvilChain,
        description: str = "ETH / USD",
        *,
        decimals: int = 8,
        lowest: int = 1,
        highest: int = 10**20,
        oracles: int = 1,
    ) -> None:
        self._chain, self._settings = chain, (lowest, highest, decimals, description)
        self.oracles = chain.accounts[1 : 1 + oracles]
        self._link = token(chain, "LINK", 18)
        self.aggregator = self.new_aggregator()
        path = "abi/v0.6/EACAggregatorProxy.json"
        self.proxy = chain.deploy(artifact("@chainlink/contracts", path), self.aggregator.address, ZERO)

    def new_aggregator(self) -> Any:
        """Another aggregator with the same settings."""
        contract = artifact("@chainlink/contracts", "abi/v0.6/FluxAggregator.json")
        found = self._chain.deploy(contract, self._link.address, 0, 1800, ZERO, *self._settings)
        count = len(self.oracles)
        self._chain.send(found.functions.changeOracles([], self.oracles, self.oracles, count, count, 0))
        return found

    def submit(self, number: int, answers: Sequence[int], aggregator: Any = None) -> None:
        """Submit a round, one answer an oracle; fewer answers than oracles leave it open."""
        functions = (aggregator or self.aggregator).functions
        for oracle, answer in zip(self.oracles, answers, strict=False):
            self._chain.send(functions.submit(number, answer), sender=oracle)

    def change_phase(self, aggregator: Any) -> None:
        """Serve another aggregator from now on."""
        self._chain.send(self.proxy.functions.proposeAggregator(aggregator.address))
        self._chain.send(self.proxy.functions.confirmAggregator(aggregator.address))
        self.aggregator = aggregator


class Uniswap:
    """The factory, position manager and router of Uniswap v3, and one pool of two tokens.

    Parameters
    ----------
    base, quote
        Symbol and decimals of the token that is priced, and of the one it is priced in; the pool sorts them by
        address.
    price
        Quote tokens a base token at the start.
    """

    def __init__(
        self, chain: AnvilChain, base: tuple[str, int], quote: tuple[str, int], price: float, fee: int = 3000
    ) -> None:
        self._chain, self.fee = chain, fee
        core, periphery = "@uniswap/v3-core", "@uniswap/v3-periphery"
        weth = chain.deploy(aave("dependencies/weth/WETH9"))
        self.factory = chain.deploy(artifact(core, "artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"))
        place = "artifacts/contracts/{0}.sol/{0}.json"
        self.manager = chain.deploy(
            artifact(periphery, place.format("NonfungiblePositionManager")),
            self.factory.address, weth.address, chain.accounts[0],
        )  # fmt: skip
        self.router = chain.deploy(artifact(periphery, place.format("SwapRouter")), self.factory.address, weth.address)
        quoter = artifact(periphery, "artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json")
        self.quoter = chain.deploy(quoter, self.factory.address, weth.address)
        self.base, self.quote = token(chain, *base), token(chain, *quote)
        self.tokens = sorted((self.base, self.quote), key=lambda one: int(one.address, 16))
        raw = price * 10.0 ** (quote[1] - base[1])
        ratio = raw if self.tokens[0] is self.base else 1 / raw
        create = self.manager.functions.createAndInitializePoolIfNecessary
        addresses = [one.address for one in self.tokens]
        chain.send(create(*addresses, fee, int(math.sqrt(ratio) * 2**96)))
        pool = artifact(core, "artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json")
        self.pool = chain.at(pool, self.factory.functions.getPool(*addresses, fee).call())
        for one in self.tokens:
            chain.send(one.functions.mint(chain.accounts[0], 10**33))
            chain.send(one.functions.approve(self.manager.address, LARGEST))
            chain.send(one.functions.approve(self.router.address, LARGEST))
        chain.send(self.pool.functions.increaseObservationCardinalityNext(300))

    def provide(self, base: int, quote: int, lower: int = -FULL_RANGE, upper: int = FULL_RANGE) -> None:
        """Add liquidity between two ticks, at most these amounts in raw units."""
        amounts = (base, quote) if self.tokens[0] is self.base else (quote, base)
        addresses = [one.address for one in self.tokens]
        position = (*addresses, self.fee, lower, upper, *amounts, 0, 0, self._chain.accounts[0], FAR)
        self._chain.send(self.manager.functions.mint(position))

    def swap(self, sold: Any, bought: Any, amount: int) -> int:
        """Sell an exact amount, in raw units, and return what came out."""
        before = bought.functions.balanceOf(self._chain.accounts[0]).call()
        order = (sold.address, bought.address, self.fee, self._chain.accounts[0], FAR, amount, 0, 0)
        self._chain.send(self.router.functions.exactInputSingle(order))
        return int(bought.functions.balanceOf(self._chain.accounts[0]).call() - before)


@dataclass(frozen=True, slots=True)
class Reserve:
    """A reserve of an Aave market: price in US dollars with 8 decimals, factors in basis points."""

    symbol: str
    decimals: int
    price: int
    ltv: int
    threshold: int
    bonus: int
    factor: int = 1000
    borrowable: bool = True


class Aave:
    """An Aave v3.0.2 market whose prices come from Chainlink proxies.

    Attributes
    ----------
    provider, acl, pool, configurator, oracle, data
        Its contracts.
    tokens, feeds
        By symbol.
    """

    def __init__(self, chain: AnvilChain, reserves: Sequence[Reserve]) -> None:
        self.chain = chain
        admin, send = chain.accounts[0], chain.send
        self.libraries: dict[str, str] = {}
        for name in (*LIBRARIES, "FlashLoanLogic"):  # the last one links the second
            contract = aave(f"protocol/libraries/logic/{name}")
            self.libraries[name] = chain.deploy(contract, libraries=self.libraries).address
        self.provider = chain.deploy(aave("protocol/configuration/PoolAddressesProvider"), "Local", admin)
        change, address = self.provider.functions, self.provider.address
        send(change.setACLAdmin(admin))
        self.acl = chain.deploy(aave("protocol/configuration/ACLManager"), address)
        send(change.setACLManager(self.acl.address))
        for grant in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin"):
            send(getattr(self.acl.functions, grant)(admin))
        pool, configurator = aave("protocol/pool/Pool"), aave("protocol/pool/PoolConfigurator")
        pool_code = chain.deploy(pool, address, libraries=self.libraries)
        send(pool_code.functions.initialize(address))
        configurator_code = chain.deploy(configurator, libraries=self.libraries)
        send(configurator_code.functions.initialize(address))
        send(change.setPoolImpl(pool_code.address))
        send(change.setPoolConfiguratorImpl(configurator_code.address))
        self.pool = chain.at(pool, change.getPool().call())
        self.configurator = chain.at(configurator, change.getPoolConfigurator().call())
        self.tokens = {one.symbol: token(chain, one.symbol, one.decimals) for one in reserves}
        self.feeds = {one.symbol: Chainlink(chain, f"{one.symbol} / USD") for one in reserves}
        for one in reserves:
            self.feeds[one.symbol].submit(1, [one.price])
        sources = [self.feeds[one.symbol].proxy.address for one in reserves]
        addresses = [self.tokens[one.symbol].address for one in reserves]
        self.oracle = chain.deploy(aave("misc/AaveOracle"), address, addresses, sources, ZERO, ZERO, 10**8)
        send(change.setPriceOracle(self.oracle.address))
        self.data = chain.deploy(aave("misc/AaveProtocolDataProvider"), address)
        send(change.setPoolDataProvider(self.data.address))
        self._list(reserves)

    def _list(self, reserves: Sequence[Reserve]) -> None:
        names = ("AToken", "StableDebtToken", "VariableDebtToken")
        codes = [self.chain.deploy(aave(f"protocol/tokenization/{name}"), self.pool.address).address for name in names]
        curve = self.rate_strategy()
        admin, do = self.chain.accounts[0], self.configurator.functions
        listed = []
        for one in reserves:
            s = one.symbol
            labels = (f"a{s}", f"a{s}", f"v{s}", f"v{s}", f"s{s}", f"s{s}")
            asset = self.tokens[s].address
            listed.append((*codes, one.decimals, curve.address, asset, admin, ZERO, *labels, b""))
        self.chain.send(do.initReserves(listed))
        for one in reserves:
            asset = self.tokens[one.symbol].address
            if one.threshold:
                self.chain.send(do.configureReserveAsCollateral(asset, one.ltv, one.threshold, one.bonus))
            if one.borrowable:
                self.chain.send(do.setReserveBorrowing(asset, True))
            self.chain.send(do.setReserveFactor(asset, one.factor))

    def rate_strategy(self, optimal: int = 80, base: int = 0, first: int = 4, second: int = 75) -> Any:
        """An interest rate strategy, in per cent; of stable rates only what the constructor asks."""
        rates = [one * RAY // 100 for one in (optimal, base, first, second)]
        contract = aave("protocol/pool/DefaultReserveInterestRateStrategy")
        return self.chain.deploy(
            contract, self.provider.address, *rates, RAY // 200, 75 * RAY // 100, RAY // 100, 8 * RAY // 100, RAY // 5
        )
