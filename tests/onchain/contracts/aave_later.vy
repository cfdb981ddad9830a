# pragma version 0.4.3
# Constructed: what an Aave v3.2 or later market answers and logs where it differs from version 3.0: one strategy for
# all reserves in basis points, and efficiency modes that name their reserves and are read in parts.
# It is pool, addresses provider, configurator and rate strategy in one.

struct Rates:
    optimalUsageRatio: uint16
    baseVariableBorrowRate: uint32
    variableRateSlope1: uint32
    variableRateSlope2: uint32

struct Mode:
    ltv: uint16
    liquidationThreshold: uint16
    liquidationBonus: uint16

event ReserveInitialized:
    asset: indexed(address)
    aToken: indexed(address)
    stableDebtToken: address
    variableDebtToken: address
    interestRateStrategyAddress: address

event CollateralConfigurationChanged:
    asset: indexed(address)
    ltv: uint256
    liquidationThreshold: uint256
    liquidationBonus: uint256

event ReserveInterestRateDataChanged:
    asset: indexed(address)
    strategy: indexed(address)
    data: Bytes[128]

event EModeCategoryAdded:
    categoryId: indexed(uint8)
    ltv: uint256
    liquidationThreshold: uint256
    liquidationBonus: uint256
    oracle: address
    label: String[32]

struct ReserveData:
    configuration: uint256
    liquidityIndex: uint128
    currentLiquidityRate: uint128
    variableBorrowIndex: uint128
    currentVariableBorrowRate: uint128
    currentStableBorrowRate: uint128
    lastUpdateTimestamp: uint40
    id: uint16
    aTokenAddress: address
    stableDebtTokenAddress: address
    variableDebtTokenAddress: address
    interestRateStrategyAddress: address
    accruedToTreasury: uint128
    unbacked: uint128
    isolationModeTotalDebt: uint128

getReserveData: public(HashMap[address, ReserveData])
getInterestRateDataBps: public(HashMap[address, Rates])
getEModeCategoryCollateralConfig: public(HashMap[uint8, Mode])
getEModeCategoryLabel: public(HashMap[uint8, String[32]])
getEModeCategoryCollateralBitmap: public(HashMap[uint8, uint128])
getEModeCategoryBorrowableBitmap: public(HashMap[uint8, uint128])
getUserConfiguration: public(HashMap[address, uint256])
getUserEMode: public(HashMap[address, uint256])

POOL_REVISION: public(uint256)

@deploy
def __init__(revision: uint256):
    self.POOL_REVISION = revision

@external
@view
def ADDRESSES_PROVIDER() -> address:
    return self

@external
@view
def getPoolConfigurator() -> address:
    return self

@external
@view
def getReservesList() -> DynArray[address, 8]:
    return self.listed

listed: DynArray[address, 8]

@external
def initReserve(asset: address, aToken: address, debt: address, decimals: uint256):
    self.getReserveData[asset].configuration = (decimals << 48) | (1 << 56)
    self.getReserveData[asset].id = convert(len(self.listed), uint16)
    self.getReserveData[asset].aTokenAddress = aToken
    self.getReserveData[asset].variableDebtTokenAddress = debt
    self.getReserveData[asset].interestRateStrategyAddress = self
    self.listed.append(asset)
    log ReserveInitialized(
        asset=asset,
        aToken=aToken,
        stableDebtToken=empty(address),
        variableDebtToken=debt,
        interestRateStrategyAddress=self,
    )

@external
def configure(asset: address, ltv: uint256, threshold: uint256, bonus: uint256):
    word: uint256 = self.getReserveData[asset].configuration
    word = (word >> 48 << 48) | ltv | (threshold << 16) | (bonus << 32)
    self.getReserveData[asset].configuration = word
    log CollateralConfigurationChanged(
        asset=asset, ltv=ltv, liquidationThreshold=threshold, liquidationBonus=bonus
    )

@external
def setRates(asset: address, rates: Rates):
    self.getInterestRateDataBps[asset] = rates
    log ReserveInterestRateDataChanged(asset=asset, strategy=self, data=abi_encode(rates))

@external
def setMode(category: uint8, mode: Mode, label: String[32], collateral: uint128, borrowable: uint128):
    self.getEModeCategoryCollateralConfig[category] = mode
    self.getEModeCategoryLabel[category] = label
    self.getEModeCategoryCollateralBitmap[category] = collateral
    self.getEModeCategoryBorrowableBitmap[category] = borrowable
    log EModeCategoryAdded(
        categoryId=category,
        ltv=convert(mode.ltv, uint256),
        liquidationThreshold=convert(mode.liquidationThreshold, uint256),
        liquidationBonus=convert(mode.liquidationBonus, uint256),
        oracle=empty(address),
        label=label,
    )

@external
def setUser(user: address, configuration: uint256, mode: uint256):
    self.getUserConfiguration[user] = configuration
    self.getUserEMode[user] = mode
