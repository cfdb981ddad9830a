# pragma version 0.4.3
# Constructed: the read interface and events of Compound III's Comet, which no package ships. As there, what
# governance sets is fixed until an upgrade, factors are stored with four decimals and caps in whole tokens (both
# floored), rates are a second and floored, and an account's collateral moves with events.

struct AssetConfig:
    asset: address
    priceFeed: address
    decimals: uint8
    borrowCollateralFactor: uint64
    liquidateCollateralFactor: uint64
    liquidationFactor: uint64
    supplyCap: uint128

struct AssetInfo:
    offset: uint8
    asset: address
    priceFeed: address
    scale: uint64
    borrowCollateralFactor: uint64
    liquidateCollateralFactor: uint64
    liquidationFactor: uint64
    supplyCap: uint128

struct UserCollateral:
    balance: uint128
    _reserved: uint128

event Upgraded:
    implementation: indexed(address)

event PauseAction:
    supplyPaused: bool
    transferPaused: bool
    withdrawPaused: bool
    absorbPaused: bool
    buyPaused: bool

event SupplyCollateral:
    origin: indexed(address)
    dst: indexed(address)
    asset: indexed(address)
    amount: uint256

event TransferCollateral:
    origin: indexed(address)
    to: indexed(address)
    asset: indexed(address)
    amount: uint256

event WithdrawCollateral:
    src: indexed(address)
    to: indexed(address)
    asset: indexed(address)
    amount: uint256

SECONDS_PER_YEAR: constant(uint256) = 31_536_000

baseToken: public(address)
decimals: public(uint8)
assets: DynArray[AssetInfo, 24]
userCollateral: public(HashMap[address, HashMap[address, UserCollateral]])
borrowBalanceOf: public(HashMap[address, uint256])
rates: uint256[8]
storeFrontPriceFactor: public(uint256)
baseBorrowMin: public(uint256)
targetReserves: public(uint256)
paused: bool[5]

@deploy
def __init__(base: address, decimals: uint8):
    self.baseToken = base
    self.decimals = decimals

@external
def upgrade(configs: DynArray[AssetConfig, 24], rates: uint256[8], front: uint256, told: bool = True):
    assert front <= 10 ** 18 # BadDiscount
    self.assets = []
    offset: uint8 = 0
    for one: AssetConfig in configs:
        grid: uint64 = 10 ** 14
        assert one.borrowCollateralFactor < one.liquidateCollateralFactor # BorrowCFTooLarge
        assert one.borrowCollateralFactor // grid < one.liquidateCollateralFactor // grid
        assert one.liquidateCollateralFactor <= 10 ** 18 # LiquidateCFTooLarge
        scale: uint64 = convert(10 ** convert(one.decimals, uint256), uint64)
        self.assets.append(AssetInfo(
            offset=offset,
            asset=one.asset,
            priceFeed=one.priceFeed,
            scale=scale,
            borrowCollateralFactor=one.borrowCollateralFactor // grid * grid,
            liquidateCollateralFactor=one.liquidateCollateralFactor // grid * grid,
            liquidationFactor=one.liquidationFactor // grid * grid,
            supplyCap=one.supplyCap // convert(scale, uint128) * convert(scale, uint128),
        ))
        offset += 1
    for i: uint256 in range(8):
        kink: bool = i == 0 or i == 4
        self.rates[i] = rates[i] if kink else rates[i] // SECONDS_PER_YEAR
    self.storeFrontPriceFactor = front
    self.baseBorrowMin = 100 * 10 ** convert(self.decimals, uint256)
    self.targetReserves = 5_000_000 * 10 ** convert(self.decimals, uint256)
    if told: # a proxy that does not follow EIP-1967 logs nothing
        log Upgraded(implementation=self)

@external
def pause(flags: bool[5]):
    self.paused = flags
    log PauseAction(
        supplyPaused=flags[0],
        transferPaused=flags[1],
        withdrawPaused=flags[2],
        absorbPaused=flags[3],
        buyPaused=flags[4],
    )

@external
def supplyTo(dst: address, asset: address, amount: uint128):
    self.userCollateral[dst][asset].balance += amount
    log SupplyCollateral(origin=msg.sender, dst=dst, asset=asset, amount=convert(amount, uint256))

@external
def transferAsset(dst: address, asset: address, amount: uint128):
    self.userCollateral[msg.sender][asset].balance -= amount
    self.userCollateral[dst][asset].balance += amount
    log TransferCollateral(origin=msg.sender, to=dst, asset=asset, amount=convert(amount, uint256))

@external
def withdrawCollateral(asset: address, amount: uint128):
    self.userCollateral[msg.sender][asset].balance -= amount
    log WithdrawCollateral(src=msg.sender, to=msg.sender, asset=asset, amount=convert(amount, uint256))

@external
def borrow(amount: uint256):
    self.borrowBalanceOf[msg.sender] += amount

@external
def repay(amount: uint256):
    self.borrowBalanceOf[msg.sender] -= amount

@external
@view
def numAssets() -> uint8:
    return convert(len(self.assets), uint8)

@external
@view
def getAssetInfo(i: uint8) -> AssetInfo:
    return self.assets[i]

@external
@view
def borrowKink() -> uint256:
    return self.rates[0]

@external
@view
def borrowPerSecondInterestRateBase() -> uint256:
    return self.rates[1]

@external
@view
def borrowPerSecondInterestRateSlopeLow() -> uint256:
    return self.rates[2]

@external
@view
def borrowPerSecondInterestRateSlopeHigh() -> uint256:
    return self.rates[3]

@external
@view
def supplyKink() -> uint256:
    return self.rates[4]

@external
@view
def supplyPerSecondInterestRateBase() -> uint256:
    return self.rates[5]

@external
@view
def supplyPerSecondInterestRateSlopeLow() -> uint256:
    return self.rates[6]

@external
@view
def supplyPerSecondInterestRateSlopeHigh() -> uint256:
    return self.rates[7]

@external
@view
def isSupplyPaused() -> bool:
    return self.paused[0]

@external
@view
def isTransferPaused() -> bool:
    return self.paused[1]

@external
@view
def isWithdrawPaused() -> bool:
    return self.paused[2]

@external
@view
def isAbsorbPaused() -> bool:
    return self.paused[3]

@external
@view
def isBuyPaused() -> bool:
    return self.paused[4]
