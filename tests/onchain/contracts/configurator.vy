# pragma version 0.4.3
# Constructed: the setters of Compound III's Configurator and the upgrade of its CometProxyAdmin, in one contract. As
# there, setters check nothing but their caller and the asset, and nothing is in force before the upgrade, which hands
# all that is stored to the Comet; there it is a new implementation whose constructor reverts.

struct AssetConfig:
    asset: address
    priceFeed: address
    decimals: uint8
    borrowCollateralFactor: uint64
    liquidateCollateralFactor: uint64
    liquidationFactor: uint64
    supplyCap: uint128

interface Comet:
    def upgrade(configs: DynArray[AssetConfig, 24], rates: uint256[8], front: uint256): nonpayable

interface Deployable:
    def deploy(comet: address): nonpayable

governor: address
configs: HashMap[address, DynArray[AssetConfig, 24]]
rates: HashMap[address, uint256[8]]
front: HashMap[address, uint256]

@deploy
def __init__():
    self.governor = msg.sender

@external
def setConfiguration(comet: address, configs: DynArray[AssetConfig, 24], rates: uint256[8], front: uint256):
    self.configs[comet] = configs
    self.rates[comet] = rates
    self.front[comet] = front

@internal
@view
def _index(comet: address, asset: address) -> uint256:
    assert msg.sender == self.governor # Unauthorized
    for i: uint256 in range(24):
        if self.configs[comet][i].asset == asset: # past the end: the real one reverts with AssetDoesNotExist
            return i
    raise "AssetDoesNotExist"

@external
def updateAssetBorrowCollateralFactor(comet: address, asset: address, new: uint64):
    self.configs[comet][self._index(comet, asset)].borrowCollateralFactor = new

@external
def updateAssetLiquidateCollateralFactor(comet: address, asset: address, new: uint64):
    self.configs[comet][self._index(comet, asset)].liquidateCollateralFactor = new

@external
def updateAssetLiquidationFactor(comet: address, asset: address, new: uint64):
    self.configs[comet][self._index(comet, asset)].liquidationFactor = new

@external
def updateAssetSupplyCap(comet: address, asset: address, new: uint128):
    self.configs[comet][self._index(comet, asset)].supplyCap = new

@external
def setStoreFrontPriceFactor(comet: address, new: uint64):
    assert msg.sender == self.governor # Unauthorized
    self.front[comet] = convert(new, uint256)

@external
def deploy(comet: address):
    extcall Comet(comet).upgrade(self.configs[comet], self.rates[comet], self.front[comet])

@external
def deployAndUpgradeTo(configurator: address, comet: address):
    extcall Deployable(configurator).deploy(comet)
