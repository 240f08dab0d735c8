"""One simulation as a dialogue: which requests to send, given the answers so far. Pure: whoever sends them drives it.

Written as generators that yield requests and are sent their answers, so that the dialogues of many simulations share
each frame. Most need one frame; traces of a second call need what the first one changed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from monitor.chain.rpc_wire import BatchCall, RpcError, decode_as
from monitor.chain.simulate_read import (
    is_a_missing_block,
    moves_inner_ether,
    output,
    readings,
    rejected,
    simulated,
    traced,
    voids_the_call,
    with_ether,
)
from monitor.chain.simulate_reader import answers as split_answers
from monitor.chain.simulate_reader import chunks as split_probes
from monitor.chain.simulate_wire import (
    DIFF,
    FRAMES,
    LOGGED_FRAMES,
    Outcome,
    Run,
    State,
    call_of,
    merged,
    reading_calls,
    simulate,
    state_of,
    trace,
)
from monitor.evm import traces
from monitor.evm.traces import WireDiff
from monitor.model.chain import Effects
from monitor.model.errors import Unreachable

Steps = Generator[list[BatchCall], list[Any], Outcome]

UNSUPPORTED = frozenset({-32601, -32602})  # no such method; or parameters that this node's version does not take


def steps(run: Run) -> Steps:
    """Run all calls in one block, with frames and changes where asked."""
    everything = tuple(range(len(run.calls)))
    first = _traces(run, 0, state_of(run)) if run.trace and run.calls else []
    answers = yield [simulate(run, everything), *first]
    if isinstance(answers[0], RpcError):
        return (yield from _refused(run, answers[0]))
    effects = simulated(run, everything, answers[0])
    if run.trace or any(moves_inner_ether(each) for each in effects):
        return (yield from _with_frames(run, effects, answers[1:]))
    return Outcome(effects)


def _with_frames(run: Run, effects: tuple[Effects, ...], answers: list[Any]) -> Steps:
    """Frames and changes of each call, on those of the calls before it.

    Where they were not asked for, and a node cannot trace, its logs of ether must do.
    """
    state, found, diffs = state_of(run), list[Effects](), list[WireDiff]()
    for index, each in enumerate(effects):
        if index or not answers:
            answers = yield _traces(run, index, state)
        if not run.trace and any(isinstance(answer, RpcError) for answer in answers):
            return Outcome(effects)
        frames, diff = _traced_pair(answers)
        found.append(_joined(run, with_ether(each, frames), frames, diff))
        diffs.append(diff)
        state = merged(state, diff)
    return Outcome(tuple(found), tuple(diffs) if run.trace else ())


def _refused(run: Run, error: RpcError) -> Steps:
    """The node would not run it: it lacks the method, the block or deployments; or a call is void."""
    if is_a_missing_block(error):
        raise Unreachable(f"simulation: the node does not have this block's state: {error.message}")
    if error.code in UNSUPPORTED:
        return (yield from _traced_only(run))
    if not voids_the_call(error):
        raise Unreachable(f"simulation: the node refused it: {error.message}")
    if len(run.calls) == 1 and not run.trace:
        return Outcome((rejected(error),))
    return (yield from _without_rejected(run))


def _without_rejected(run: Run) -> Steps:
    """Leave out the calls that no block could hold, as a builder would, and run the others."""
    kept: list[int] = []
    refusals: dict[int, Effects] = {}
    for index in range(len(run.calls)):
        (answer,) = yield [simulate(run, (*kept, index))]
        if not isinstance(answer, RpcError):
            kept.append(index)
        elif voids_the_call(answer):
            refusals[index] = rejected(answer)
        else:
            raise Unreachable(f"simulation: the node refused it: {answer.message}")
    rest = msgspec.structs.replace(
        run,
        calls=tuple(run.calls[index] for index in kept),
        fees=tuple(run.fee(index) or (0, 0) for index in kept),
    )
    outcome = (yield from steps(rest)) if kept else Outcome(())
    effects = dict(zip(kept, outcome.effects, strict=True)) | refusals
    diffs = dict(zip(kept, outcome.diffs, strict=False)) | dict.fromkeys(refusals, WireDiff())
    order = range(len(run.calls))
    return Outcome(tuple(effects[index] for index in order), tuple(diffs[index] for index in order if run.trace))


def _traced_only(run: Run) -> Steps:
    """The same from debug_traceCall alone, a frame for each call: for nodes without eth_simulateV1, and deployments."""
    state, found, diffs = state_of(run), list[Effects](), list[WireDiff]()
    chunks = split_probes(run.probes)
    before: tuple[bytes | None, ...] = ()
    for index in range(len(run.calls) + 1):
        asked = [trace(run, call, state, FRAMES) for call in reading_calls(run)]
        traced_too = _traces(run, index, state) if index < len(run.calls) else []
        answers = (yield [*asked, *traced_too]) if asked or traced_too else []
        read = [
            split_answers(output(_answered(answer)), probes) for answer, probes in zip(answers, chunks, strict=False)
        ]
        after = tuple(word for each in read for word in each)
        if index:
            found[-1] = msgspec.structs.replace(found[-1], readings=readings(run.probes, before, after))
        if traced_too:
            effects, diff = _traced_call(run, answers[len(asked) :])
            found.append(effects)
            diffs.append(diff)
            state = merged(state, diff)
        before = after
    return Outcome(tuple(found), tuple(diffs) if run.trace else ())


def _traced_call(run: Run, answers: list[Any]) -> tuple[Effects, WireDiff]:
    refused = next((each for each in answers if isinstance(each, RpcError)), None)
    if refused is not None and voids_the_call(refused):
        return rejected(refused), WireDiff()
    frames, diff = _traced_pair(answers)
    return _joined(run, traced(answers[0]), frames, diff), diff


def _traces(run: Run, index: int, state: State) -> list[BatchCall]:
    call = call_of(run, index)
    return [trace(run, call, state, LOGGED_FRAMES), trace(run, call, state, DIFF)]


def _traced_pair(answers: list[Any]) -> tuple[tuple[Any, ...], WireDiff]:
    frames, diff = (_answered(answer) for answer in answers)
    return traces.call_frames(frames), decode_as(diff, WireDiff)


def _joined(run: Run, effects: Effects, frames: tuple[Any, ...], diff: WireDiff) -> Effects:
    if not run.trace:
        return msgspec.structs.replace(effects, calls=())
    return msgspec.structs.replace(effects, calls=frames, storage=traces.slot_changes(diff))


def _answered(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise Unreachable(f"trace: the node refused it: {answer.message}")
    return answer
