# pragma version 0.4.3
# An ERC-4626 vault without an owner, which also answers as wrapped staked ether and as a rate provider do.

interface Token:
    def decimals() -> uint8: view
    def balanceOf(owner: address) -> uint256: view
    def transferFrom(source: address, to: address, amount: uint256) -> bool: nonpayable

asset: public(address)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
offset: public(uint8)  # digits that shares have beyond those of the asset

@deploy
def __init__(asset: address):
    self.asset = asset

@external
@view
def decimals() -> uint8:
    return staticcall Token(self.asset).decimals() + self.offset

@external
def setOffset(offset: uint8):
    self.offset = offset

@internal
@view
def _assets(shares: uint256) -> uint256:
    if self.totalSupply == 0:
        return shares // 10**convert(self.offset, uint256)
    return shares * staticcall Token(self.asset).balanceOf(self) // self.totalSupply

@external
@view
def convertToAssets(shares: uint256) -> uint256:
    return self._assets(shares)

@external
@view
def getPooledEthByShares(shares: uint256) -> uint256:
    return self._assets(shares)

@external
@view
def stEthPerToken() -> uint256:
    return self._assets(10**18)

@external
@view
def getRate() -> uint256:
    return self._assets(10**18)

@external
def deposit(assets: uint256, receiver: address) -> uint256:
    held: uint256 = staticcall Token(self.asset).balanceOf(self)
    shares: uint256 = assets * 10**convert(self.offset, uint256) if self.totalSupply == 0 else assets * self.totalSupply // held
    extcall Token(self.asset).transferFrom(msg.sender, self, assets)
    self.totalSupply += shares
    self.balanceOf[receiver] += shares
    return shares
