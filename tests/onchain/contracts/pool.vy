# pragma version 0.4.3
# A pool with the read surface of Uniswap v3's, whose state is set rather than traded.

struct Tick:
    liquidityGross: uint128
    liquidityNet: int128

struct Observation:
    time: uint256
    tick: int256
    cumulative: int256

token0: public(address)
token1: public(address)
fee: public(uint24)
tickSpacing: public(int24)
liquidity: public(uint128)
tickBitmap: public(HashMap[int16, uint256])
price: uint160
tick: int24
net: HashMap[int24, Tick]
observations: DynArray[Observation, 512]

@deploy
def __init__(token0: address, token1: address, fee: uint24, tickSpacing: int24, price: uint160, tick: int24):
    self.token0 = token0
    self.token1 = token1
    self.fee = fee
    self.tickSpacing = tickSpacing
    self.price = price
    self.tick = tick
    self.observations.append(Observation(time=block.timestamp, tick=convert(tick, int256), cumulative=0))

@external
@view
def slot0() -> (uint160, int24, uint16, uint16, uint16, uint8, bool):
    count: uint16 = convert(len(self.observations), uint16)
    return self.price, self.tick, count - 1, count, count, 0, True

@external
@view
def ticks(tick: int24) -> (uint128, int128, uint256, uint256, int56, uint160, uint32, bool):
    found: Tick = self.net[tick]
    return found.liquidityGross, found.liquidityNet, 0, 0, 0, 0, 0, found.liquidityGross > 0

@internal
@view
def _cumulative(at: uint256) -> int56:
    assert at >= self.observations[0].time, "OLD"
    found: Observation = self.observations[0]
    for observation: Observation in self.observations:
        if observation.time <= at:
            found = observation
    return convert(found.cumulative + found.tick * convert(at - found.time, int256), int56)

@external
@view
def observe(secondsAgos: DynArray[uint32, 16]) -> (DynArray[int56, 16], DynArray[uint160, 16]):
    cumulatives: DynArray[int56, 16] = []
    unused: DynArray[uint160, 16] = []
    for ago: uint32 in secondsAgos:
        cumulatives.append(self._cumulative(block.timestamp - convert(ago, uint256)))
        unused.append(0)
    return cumulatives, unused

@internal
def _flip(tick: int24):
    compressed: int24 = tick // self.tickSpacing
    if tick < 0 and tick % self.tickSpacing != 0:
        compressed -= 1
    word: int24 = compressed // 256
    if compressed < 0 and compressed % 256 != 0:
        word -= 1
    bit: uint256 = convert(compressed - word * 256, uint256)
    self.tickBitmap[convert(word, int16)] = self.tickBitmap[convert(word, int16)] ^ (1 << bit)

@external
def add(lower: int24, upper: int24, amount: uint128):
    for tick: int24 in [lower, upper]:
        if self.net[tick].liquidityGross == 0:
            self._flip(tick)
        self.net[tick].liquidityGross += amount
    self.net[lower].liquidityNet += convert(amount, int128)
    self.net[upper].liquidityNet -= convert(amount, int128)
    if lower <= self.tick and self.tick < upper:
        self.liquidity += amount

@external
def move(price: uint160, tick: int24):
    last: Observation = self.observations[len(self.observations) - 1]
    cumulative: int256 = last.cumulative + last.tick * convert(block.timestamp - last.time, int256)
    self.observations.append(
        Observation(time=block.timestamp, tick=convert(tick, int256), cumulative=cumulative)
    )
    self.price = price
    self.tick = tick
