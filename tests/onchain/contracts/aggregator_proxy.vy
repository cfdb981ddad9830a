# pragma version 0.4.3
# A proxy over aggregators, one a phase; round ids carry the phase in the bits from 64 on.

interface Aggregator:
    def decimals() -> uint8: view
    def description() -> String[64]: view
    def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80): view
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view

phaseId: public(uint16)
phaseAggregators: public(HashMap[uint16, address])

@deploy
def __init__(aggregator: address):
    self.phaseId = 1
    self.phaseAggregators[1] = aggregator

@external
@view
def aggregator() -> address:
    return self.phaseAggregators[self.phaseId]

@external
def confirmAggregator(aggregator: address):
    self.phaseId += 1
    self.phaseAggregators[self.phaseId] = aggregator

@external
@view
def decimals() -> uint8:
    return staticcall Aggregator(self.phaseAggregators[self.phaseId]).decimals()

@external
@view
def description() -> String[64]:
    return staticcall Aggregator(self.phaseAggregators[self.phaseId]).description()

@internal
@pure
def _add(phase: uint16, roundId: uint80) -> uint80:
    return convert((convert(phase, uint256) << 64) | convert(roundId, uint256), uint80)

@external
@view
def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80):
    phase: uint16 = convert((convert(roundId, uint256) >> 64), uint16)
    inner: uint80 = convert((convert(roundId, uint256) & (2**64 - 1)), uint80)
    r: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    r, answer, started, updated, answered = staticcall Aggregator(self.phaseAggregators[phase]).getRoundData(inner)
    return self._add(phase, r), answer, started, updated, self._add(phase, answered)

@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    phase: uint16 = self.phaseId
    r: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    r, answer, started, updated, answered = staticcall Aggregator(self.phaseAggregators[phase]).latestRoundData()
    return self._add(phase, r), answer, started, updated, self._add(phase, answered)
