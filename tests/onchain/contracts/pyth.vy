# pragma version 0.4.3
# A price oracle with the read surface of Pyth's: price, confidence and exponent, published at a time.

struct Price:
    price: int64
    conf: uint64
    expo: int32
    publishTime: uint256

prices: HashMap[bytes32, Price]

@external
def set_price(id: bytes32, price: int64, conf: uint64, expo: int32, publishTime: uint256):
    self.prices[id] = Price(price=price, conf=conf, expo=expo, publishTime=publishTime)

@internal
@view
def _read(id: bytes32) -> Price:
    if self.prices[id].publishTime == 0:
        raw_revert(method_id("PriceFeedNotFound()"))
    return self.prices[id]

@external
@view
def getPriceUnsafe(id: bytes32) -> Price:
    return self._read(id)

@external
@view
def getEmaPriceUnsafe(id: bytes32) -> Price:
    return self._read(id)

@external
@view
def getPriceNoOlderThan(id: bytes32, age: uint256) -> Price:
    found: Price = self._read(id)
    if max(block.timestamp, found.publishTime) - min(block.timestamp, found.publishTime) > age:
        raw_revert(method_id("StalePrice()"))
    return found
