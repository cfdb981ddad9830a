# pragma version 0.4.3
# What of Multicall3 the adapters use: many calls in one, each of which may revert by itself.

struct Call3:
    target: address
    allowFailure: bool
    callData: Bytes[1024]

struct Result:
    success: bool
    returnData: Bytes[4096]

@external
@payable
def aggregate3(calls: DynArray[Call3, 256]) -> DynArray[Result, 256]:
    results: DynArray[Result, 256] = []
    for call: Call3 in calls:
        success: bool = False
        response: Bytes[4096] = b""
        success, response = raw_call(call.target, call.callData, max_outsize=4096, revert_on_failure=False)
        assert len(response) < 4096 # never an answer that is cut off
        assert success or call.allowFailure, "Multicall3: call failed"
        results.append(Result(success=success, returnData=response))
    return results
