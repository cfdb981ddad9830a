# pragma version 0.4.3
# An aggregator with the read surface of Chainlink's: rounds that are complete, open, back-filled or clipped.

struct Round:
    answer: int256
    startedAt: uint256
    updatedAt: uint256
    answeredInRound: uint256

event AnswerUpdated:
    current: indexed(int256)
    roundId: indexed(uint256)
    updatedAt: uint256

decimals: public(uint8)
description: public(String[64])
minAnswer: public(int256)
maxAnswer: public(int256)
latestRound: public(uint256)
rounds: HashMap[uint256, Round]
closed: bool
readers: HashMap[address, bool]

@deploy
def __init__(decimals: uint8, description: String[64], minAnswer: int256, maxAnswer: int256):
    self.decimals = decimals
    self.description = description
    self.minAnswer = minAnswer
    self.maxAnswer = maxAnswer

@external
@view
def version() -> uint256:
    return 4

@internal
@view
def _read(roundId: uint256) -> (uint80, int256, uint256, uint256, uint80):
    assert not self.closed or msg.sender == tx.origin or self.readers[msg.sender], "No access"
    found: Round = self.rounds[roundId]
    assert found.answeredInRound > 0, "No data present"
    return (
        convert(roundId, uint80), found.answer, found.startedAt, found.updatedAt,
        convert(found.answeredInRound, uint80),
    )

@external
@view
def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80):
    return self._read(convert(roundId, uint256))

@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return self._read(self.latestRound)

@internal
def _store(roundId: uint256, answer: int256, startedAt: uint256, updatedAt: uint256, answeredInRound: uint256):
    self.rounds[roundId] = Round(
        answer=answer, startedAt=startedAt, updatedAt=updatedAt, answeredInRound=answeredInRound
    )
    if roundId > self.latestRound:
        self.latestRound = roundId
    log AnswerUpdated(current=answer, roundId=roundId, updatedAt=updatedAt)

@external
def push(answer: int256):
    assert answer >= self.minAnswer, "value below minSubmissionValue"
    assert answer <= self.maxAnswer, "value above maxSubmissionValue"
    roundId: uint256 = self.latestRound + 1
    self._store(roundId, answer, block.timestamp - 1, block.timestamp, roundId)

@external
def store(roundId: uint256, answer: int256, startedAt: uint256, updatedAt: uint256, answeredInRound: uint256):
    self._store(roundId, answer, startedAt, updatedAt, answeredInRound)

@external
def store_many(first: uint256, answers: DynArray[int256, 512], times: DynArray[uint256, 512]):
    for i: uint256 in range(len(answers), bound=512):
        self._store(first + i, answers[i], times[i], times[i], first + i)

@external
def skip(rounds: uint256):
    self.latestRound += rounds

@external
def set_decimals(decimals: uint8):
    self.decimals = decimals

@external
def close():
    self.closed = True

@external
def admit(reader: address):
    self.readers[reader] = True
