"""Rates of wrapper tokens, in units of what they wrap; and the cap on their growth that an oracle applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from oracle_adapters.contract_call import Call
from oracle_adapters.feed import FeedSpec
from oracle_adapters.rpc import Block, Node
from oracle_adapters.sampled import SampledPrices
from risk.errors import DataError
from risk.units import DAY

YEAR = 365 * DAY
"""Seconds of a year, as contracts count them."""


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How a wrapper tells its rate.

    Attributes
    ----------
    address
        Of the contract that is asked.
    signature
        A function that returns one integer first, e.g. ``stEthPerToken()(uint256)``.
    arguments
        Of the function.
    scale
        The integer that stands for a rate of one.
    """

    address: str
    signature: str
    arguments: tuple[int, ...]
    scale: int


def erc4626(node: Node, vault: str, block: int) -> Wrapper:
    """An ERC-4626 vault: assets for one whole share. Shares and assets may have different decimals.

    Raises
    ------
    DataError
        When the contract is no such vault.
    """
    asked = [Call(vault, "decimals()(uint8)"), Call(vault, "asset()(address)")]
    decimals, asset = (result.value for result in node.calls(asked, block))
    scale = 10 ** node.call(Call(asset, "decimals()(uint8)"), block).value
    return Wrapper(vault, "convertToAssets(uint256)(uint256)", (10**decimals,), scale)


def wsteth(address: str) -> Wrapper:
    """Lido's wstETH: stETH for one token."""
    return Wrapper(address, "stEthPerToken()(uint256)", (), 10**18)


def steth_shares(address: str) -> Wrapper:
    """Lido's stETH itself: ether for one share, which is what wstETH holds."""
    return Wrapper(address, "getPooledEthByShares(uint256)(uint256)", (10**18,), 10**18)


def rate_function(address: str, name: str, decimals: int = 18) -> Wrapper:
    """Any contract with a function without arguments, such as ``getRate`` or ``exchangeRate``."""
    return Wrapper(address, f"{name}()(uint256)", (), 10**decimals)


def read_rate(node: Node, wrapper: Wrapper, block: int) -> Fraction:
    """The exact rate at a block.

    Raises
    ------
    DataError
        When the contract does not answer, or with a rate that is not positive.
    """
    value = node.call(Call(wrapper.address, wrapper.signature, wrapper.arguments), block).values[0]
    if value <= 0:
        raise DataError("a wrapper has no rate", file=f"contract {wrapper.address}", value=value)
    return Fraction(value, wrapper.scale)


@dataclass(frozen=True, slots=True)
class GrowthCap:
    """Largest rate that an oracle believes: linear growth from a rate that was taken at an instant.

    Aave's correlated-asset price oracle computes ``cap = ratio + ratio * growth * (time - taken_at) / year`` and
    uses the smaller of rate and cap. Ratio and instant belong together: a later instant with an older ratio caps
    below the true rate, which prices the wrapper too low and liquidates the sound.

    Attributes
    ----------
    ratio
        Rate at `taken_at`.
    taken_at
        Unix seconds.
    growth
        Largest growth a year, as a fraction.
    """

    ratio: Fraction
    taken_at: int
    growth: Fraction

    def at(self, time: int) -> Fraction:
        """The cap at a time, exact.

        Raises
        ------
        DataError
            Before the ratio was taken.
        """
        if time < self.taken_at:
            raise DataError("a growth cap begins after the time it is asked for", field="taken_at", value=self.taken_at)
        return self.ratio + self.ratio * self.growth * (time - self.taken_at) / YEAR

    def used(self, rate: Fraction, time: int) -> Fraction:
        """The rate that the oracle uses."""
        return min(rate, self.at(time))

    def headroom(self, rate: Fraction, time: int) -> float:
        """How far the cap lies above the rate, as a fraction of it; negative when it binds, by what is lost."""
        return float(self.at(time) / rate - 1)


Tell = Callable[[int], Wrapper]
"""How a wrapper tells its rate, found out at a block."""


def wrapper_rates(
    spec: FeedSpec, node: Node, tell: Tell, *, cap: GrowthCap | None = None, since: int = 0
) -> SampledPrices:
    """Samples of a wrapper's rate, with a cap as the oracle uses it.

    How the wrapper tells its rate is found out once, at the first block at which it does.
    """
    known: list[Wrapper] = []

    def read(block: Block) -> float | str:
        if not known:
            known.append(tell(block.number))
        rate = read_rate(node, known[0], block.number)
        return float(rate if cap is None or block.time < cap.taken_at else cap.used(rate, block.time))

    return SampledPrices(spec, node, read, since=since)


def headroom(node: Node, tell: Tell, cap: GrowthCap, block: Block) -> Mapping[str, float]:
    """How far a cap lies above the rate at a block, as rows of `Kind.SAFETY` name it; nothing before it began."""
    rate = read_rate(node, tell(block.number), block.number)
    return {"headroom": cap.headroom(rate, block.time)} if block.time >= cap.taken_at else {}
