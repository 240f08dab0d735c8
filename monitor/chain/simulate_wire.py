"""What is asked of a node to run calls that nobody sends. Pure.

eth_simulateV1 runs all calls of a run in one block, with a reader (simulate_reader) before, between and after them;
debug_traceCall adds call frames and state changes, one call at a time, on the changes of the calls before it. The block
is always set in full, the fees too, and `validation` is on, or some nodes show a base fee of zero to the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from monitor.chain import simulate_reader as reader
from monitor.chain.rpc_wire import BatchCall
from monitor.evm.traces import WireAccount, WireDiff
from monitor.model.chain import BlockContext, Call, Effects, Probe
from monitor.model.units import Address, Hash, Wei, shown

State = dict[str, dict[str, Any]]  # state overrides, as JSON-RPC writes them

COMMON_BLOCK_GAS: Final = 30_000_000  # every chain's block holds this; more is only set where a run could need it
ENOUGH: Final = hex(10**24)
ZERO: Final = "0x" + "00" * 32
PRECOMPILES: Final = "0x" + "00" * 18
NEVER_THERE: Final = WireAccount(balance="0x0", nonce="0x0", code="0x")
FRAMES: Final = {"tracer": "callTracer"}
LOGGED_FRAMES: Final = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
DIFF: Final = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}


class Run(Struct, frozen=True, kw_only=True):
    """One simulation: what `Simulator.run` takes, as a value, so that many go out in one frame."""

    calls: tuple[Call, ...]
    context: BlockContext
    probes: tuple[Probe, ...] = ()
    code: Mapping[Address, bytes] = {}
    storage: Mapping[Address, Mapping[Hash, Hash]] = {}
    balances: Mapping[Address, Wei] = {}
    base: State = {}  # overrides that the others are laid upon: what calls that went before changed, or undid
    fees: tuple[tuple[int, int], ...] = ()
    trace: bool = False
    at: Hash | None = None
    gas_cap: int = 16_000_000
    heard: frozenset[Address] | None = None  # only logs of these are wanted: an attack may write thousands

    def gas(self, index: int) -> int:
        asked = self.calls[index].gas
        return min(asked, self.gas_cap) if asked else self.gas_cap

    def fee(self, index: int) -> tuple[int, int] | None:
        """(max_fee, max_priority_fee) where given; None where the simulator chooses, and then pays for it too."""
        given = self.fees[index] if index < len(self.fees) else (0, 0)
        return given if given[0] else None


class Outcome(NamedTuple):
    """Effects by call; `diffs` by call too where traced."""

    effects: tuple[Effects, ...]
    diffs: tuple[WireDiff, ...] = ()


def state_of(run: Run) -> State:
    """The overrides that a run asks for, with the reader, and ether for whoever's fees it does not give."""
    state: State = {holder: dict(account) for holder, account in run.base.items()}
    for holder, code in run.code.items():
        _account(state, shown(holder))["code"] = shown(code)
    for holder, slots in run.storage.items():
        _apply(
            _account(state, shown(holder)), WireAccount(), {shown(slot): shown(word) for slot, word in slots.items()}
        )
    for index, call in enumerate(run.calls):
        if run.fee(index) is None and call.sender is not None and call.sender not in run.balances:
            _account(state, shown(call.sender))["balance"] = ENOUGH
    for holder, balance in run.balances.items():
        _account(state, shown(holder))["balance"] = hex(balance)
    if run.probes:
        state[shown(reader.READER)] = {"code": shown(reader.CODE)}
        state[shown(reader.ASKER)] = {"balance": ENOUGH}
    return state


def merged(state: State, diff: WireDiff) -> State:
    """State overrides with what one call changed on top. Diff mode leaves zeroed slots out of `post`."""
    result = {holder: dict(account) for holder, account in state.items()}
    for holder in _changed(diff):
        before, after = diff.pre.get(holder, WireAccount()), diff.post.get(holder, WireAccount())
        slots = dict.fromkeys(before.storage, ZERO) | after.storage
        _apply(_account(result, holder), after, slots)
    return result


def undone(diff: WireDiff) -> State:
    """State overrides that take back exactly what one call changed: balances, nonces, slots, contracts that it made.

    The tracer shows an account whole before, and after only what changed: the rest may have moved on since.
    """
    result: State = {}
    for holder in _changed(diff):
        before, after = diff.pre.get(holder, NEVER_THERE), diff.post.get(holder, WireAccount())
        changed = WireAccount(
            balance=before.balance if after.balance is not None else None,
            nonce=before.nonce or "0x0" if after.nonce is not None else None,
            code=before.code or "0x" if after.code is not None else None,
        )
        _apply(_account(result, holder), changed, dict.fromkeys(after.storage, ZERO) | before.storage)
    return {holder: account for holder, account in result.items() if account}


def laid(state: State, over: State) -> State:
    """One set of overrides upon another."""
    result = {holder: dict(account) for holder, account in state.items()}
    for holder, account in over.items():
        below = _account(result, holder)
        slots = {**below.get("stateDiff", {}), **account.get("stateDiff", {})}
        below.update(account)
        if slots:
            below["stateDiff"] = slots
    return result


def slots_of(diff: WireDiff) -> State:
    """Overrides that put back the storage that one call changed, and nothing else."""
    return {
        holder: {"stateDiff": account["stateDiff"]}
        for holder, account in undone(diff).items()
        if "stateDiff" in account
    }


def simulate(run: Run, indices: Sequence[int]) -> BatchCall:
    """eth_simulateV1 of these calls of a run, the reader around each."""
    reading = reading_calls(run)
    calls = [each for index in indices for each in (*reading, call_of(run, index))] + reading
    needed = sum(int(call["gas"], 16) for call in calls)
    block: dict[str, Any] = {"blockOverrides": block_of(run.context), "stateOverrides": state_of(run), "calls": calls}
    if needed > COMMON_BLOCK_GAS:
        block["blockOverrides"]["gasLimit"] = hex(needed)
    return "eth_simulateV1", (
        {"blockStateCalls": [block], "traceTransfers": True, "validation": True},
        place_of(run),
    )


def trace(run: Run, call: Mapping[str, Any], state: State, tracer: Mapping[str, Any]) -> BatchCall:
    """debug_traceCall of one call on these overrides."""
    options = {**tracer, "stateOverrides": state, "blockOverrides": block_of(run.context)}
    return "debug_traceCall", (call, place_of(run), options)


def call_of(run: Run, index: int) -> dict[str, Any]:
    """One call as JSON-RPC writes it. An empty target deploys."""
    call, fee = run.calls[index], run.fee(index) or (run.context.base_fee, 0)
    written = {
        "from": shown(call.sender or reader.ASKER),
        "value": hex(call.value),
        "input": shown(call.data),
        "gas": hex(run.gas(index)),
        "maxFeePerGas": hex(fee[0]),
        "maxPriorityFeePerGas": hex(min(fee[1], fee[0])),
    }
    return written | {"to": shown(call.to)} if call.to else written


def reading_calls(run: Run) -> list[dict[str, Any]]:
    """The reader's calls for all probes of a run."""
    return [
        {
            "from": shown(reader.ASKER),
            "to": shown(reader.READER),
            "input": shown(reader.question(probes)),
            "gas": hex(reader.gas_for(probes)),
            "maxFeePerGas": hex(run.context.base_fee),
            "maxPriorityFeePerGas": "0x0",
        }
        for probes in reader.chunks(run.probes)
    ]


def block_of(context: BlockContext) -> dict[str, str]:
    return {
        "number": hex(context.number),
        "time": hex(context.timestamp),
        "feeRecipient": shown(context.coinbase),
        "baseFeePerGas": hex(context.base_fee),
        "prevRandao": shown(context.prev_randao),
    }


def place_of(run: Run) -> Any:
    """On which state: a block by its hash, or the node's head."""
    return "latest" if run.at is None else {"blockHash": shown(run.at)}


def _changed(diff: WireDiff) -> Iterator[str]:
    """Accounts of a diff. Precompiles may be sent ether, but an override of one would take its place."""
    return (holder for holder in diff.pre.keys() | diff.post.keys() if not holder.startswith(PRECOMPILES))


def _account(state: State, holder: str) -> dict[str, Any]:
    return state.setdefault(holder, {})


def _apply(account: dict[str, Any], seen: WireAccount, slots: Mapping[str, str]) -> None:
    if seen.balance is not None:
        account["balance"] = seen.balance
    if seen.nonce is not None:
        account["nonce"] = hex(seen.nonce) if isinstance(seen.nonce, int) else seen.nonce
    if seen.code is not None:
        account["code"] = seen.code
    if slots:
        account["stateDiff"] = {**account.get("stateDiff", {}), **slots}
