# pragma version 0.4.3
# Constructed: the read interface of Aave's RiskSteward, which no package ships. Its words are returned as they were
# given, so that any generation of its configuration can be told.

words: Bytes[1024]

@external
def configure(words: Bytes[1024]):
    self.words = words

@external
@view
@raw_return
def getRiskConfig() -> Bytes[1024]:
    return self.words
