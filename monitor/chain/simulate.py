"""The first engine: the chain's own nodes run what nobody sends, through eth_simulateV1 and debug_traceCall.

Everything that one caller wants at once goes out in one frame: twelve simulations cost about half a millisecond on
loopback that way. Nothing is retried past the deadline, and nothing that a simulated contract does can make an answer
larger than the node's reply cap, a call dearer than its gas cap, or a probe dearer than its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Raw

from monitor.chain.rpc import Nodes
from monitor.chain.rpc_wire import BatchCall
from monitor.chain.simulate_read import lacks_the_block
from monitor.chain.simulate_steps import Steps, steps
from monitor.chain.simulate_wire import Outcome, Run
from monitor.model.chain import BlockContext, Call, Effects, Probe
from monitor.model.errors import DrawbridgeError, Undecodable, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import Address, Hash, Wei

LARGE: Final = 512 * 1024  # bytes of answers above which they are read in a thread


class Engine(Protocol):
    """A Simulator that also runs many simulations at once, and tells what each changed."""

    engine: str

    async def run_many(self, runs: Sequence[Run], *, deadline_ms: int) -> tuple[Outcome | DrawbridgeError, ...]:
        """Outcomes by run, or why there is none. Raises Unreachable where nobody answers in time."""


class SingleRuns:
    """model.ports.Simulator's `run` for whatever has `run_many`."""

    async def run(
        self,
        calls: Sequence[Call],
        *,
        context: BlockContext,
        probes: Sequence[Probe] = (),
        code: Mapping[Address, bytes] | None = None,
        storage: Mapping[Address, Mapping[Hash, Hash]] | None = None,
        balances: Mapping[Address, Wei] | None = None,
        fees: Sequence[tuple[int, int]] = (),
        trace: bool = False,
        at: Hash | None = None,
        gas_cap: int = 16_000_000,
        deadline_ms: int = 500,
    ) -> tuple[Effects, ...]:
        """As model.ports.Simulator says. The sender of a call without a fee is given the ether to pay for it."""
        run = Run(
            calls=tuple(calls),
            context=context,
            probes=tuple(probes),
            code=code or {},
            storage=storage or {},
            balances=balances or {},
            fees=tuple(fees),
            trace=trace,
            at=at,
            gas_cap=gas_cap,
        )
        return only(await self.run_many((run,), deadline_ms=deadline_ms)).effects

    async def run_many(self, runs: Sequence[Run], *, deadline_ms: int) -> tuple[Outcome | DrawbridgeError, ...]:
        raise NotImplementedError


class NodeSimulator(SingleRuns):
    """Simulates on the healthiest node of a chain. Implements model.ports.Simulator, and Engine."""

    def __init__(self, nodes: Nodes, *, clock: Clock, engine: str = "eth_simulateV1") -> None:
        self.engine = engine
        self._nodes = nodes
        self._clock = clock

    async def run_many(self, runs: Sequence[Run], *, deadline_ms: int) -> tuple[Outcome | DrawbridgeError, ...]:
        """All runs, each frame shared by all that still ask. Raises Unreachable past the deadline, Undecodable."""
        ends_ns = self._clock.monotonic_ns() + deadline_ms * 1_000_000
        done: dict[int, Outcome | DrawbridgeError] = {}
        asking = _advance({index: (steps(run), None) for index, run in enumerate(runs)}, done)
        while asking:
            left_ms = (ends_ns - self._clock.monotonic_ns()) // 1_000_000
            if left_ms <= 0:
                raise Unreachable(f"{self.engine}: {len(asking)} simulations not done within {deadline_ms} ms")
            frame = [request for _, requests in asking.values() for request in requests]
            answers = await self._nodes.first_batch(frame, deadline_ms=left_ms, into=Raw, unfit=lacks_the_block)
            given = _dealt(asking, answers)
            if sum(len(answer) for answer in answers if isinstance(answer, Raw)) > LARGE:
                asking = await asyncio.to_thread(_advance, given, done)
            else:
                asking = _advance(given, done)
        return tuple(done[index] for index in range(len(runs)))


class FirstOf(SingleRuns):
    """Engines in order of preference: where one does not answer in its half of the time, the next is asked."""

    def __init__(self, engines: Sequence[Engine], *, clock: Clock) -> None:
        self.engine = ", else ".join(engine.engine for engine in engines)
        self._engines = tuple(engines)
        self._clock = clock

    async def run_many(self, runs: Sequence[Run], *, deadline_ms: int) -> tuple[Outcome | DrawbridgeError, ...]:
        """As the first engine that can run any of it. Raises Unreachable where none can."""
        ends_ns = self._clock.monotonic_ns() + deadline_ms * 1_000_000
        why: list[str] = []
        for at, engine in enumerate(self._engines):
            left_ms = (ends_ns - self._clock.monotonic_ns()) // 1_000_000
            share_ms = max(left_ms if at == len(self._engines) - 1 else left_ms // 2, 1)
            try:
                outcomes = await engine.run_many(runs, deadline_ms=share_ms)
            except (Unreachable, Undecodable) as error:
                why.append(str(error))
                continue
            if not outcomes or any(not isinstance(outcome, DrawbridgeError) for outcome in outcomes):
                return outcomes
            why.extend(str(outcome) for outcome in outcomes[:1])
        raise Unreachable("; ".join(why) or "no engine is configured")


def only(outcomes: tuple[Outcome | DrawbridgeError, ...]) -> Outcome:
    """The one outcome. Raises what it is if it is an error."""
    (outcome,) = outcomes
    if isinstance(outcome, DrawbridgeError):
        raise outcome
    return outcome


def _dealt(asking: Mapping[int, tuple[Steps, list[BatchCall]]], answers: list[Any]) -> dict[int, tuple[Steps, Any]]:
    given, at = {}, 0
    for index, (dialogue, requests) in asking.items():
        given[index] = (dialogue, answers[at : at + len(requests)])
        at += len(requests)
    return given


def _advance(
    given: Mapping[int, tuple[Steps, Any]], done: dict[int, Outcome | DrawbridgeError]
) -> dict[int, tuple[Steps, list[BatchCall]]]:
    """Hand every dialogue its answers; those that ask on. One that fails harms no other."""
    asking = {}
    for index, (dialogue, answers) in given.items():
        try:
            asking[index] = (dialogue, dialogue.send(answers))
        except StopIteration as stop:
            done[index] = stop.value
        except DrawbridgeError as error:
            done[index] = error
    return asking
