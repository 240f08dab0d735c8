"""Tiers two and three: the attack run without and with each response, as it was seen and in other words.

A pending attack is run on the head. A mined one has spent what it used (a nonce, a message, the victim's money), so it
is run in two ways: on the head as it is, and on the head with exactly what the attack itself changed put back, read
from its own trace. What does not pay without the response shows nothing, and is said so.

What could be taken is what a run showed: of the attack as seen, scaled to all that the asset holds, or from a fresh
caller. Only where a second run, or one with a fresh message, takes again is it all that the asset holds, since then
nothing but the holdings ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from monitor.chain.lab_cases import Case, Scene, Side, attack_run, from_fresh_caller, senders, sister_cases, variants
from monitor.chain.lab_findings import Findings
from monitor.chain.lab_loss import Loss, holdings_usd, loss_of, together
from monitor.chain.lab_past import Past, Pasts
from monitor.chain.rpc import Nodes
from monitor.chain.simulate import Engine
from monitor.chain.simulate_wire import Outcome
from monitor.evm import hexes
from monitor.evm.transplant import between, exchanged
from monitor.model.actions import Attack
from monitor.model.assets import Asset
from monitor.model.chain import BlockContext, CallFrame, Effects, token_probe
from monitor.model.errors import DrawbridgeError
from monitor.model.ports import Assets, Clock, Prices
from monitor.model.units import Address, shown

MOST_REWRITTEN: Final = 16
MOST_CODE: Final = 2 * 49_152  # EIP-7907's bound and as much again

PUT_BACK: Final = "with what it changed put back"
VARIANTS_S: Final = 0.15  # the response waits for them
CHUNK: Final = 3  # variants a frame

Outcomes = tuple[Outcome | DrawbridgeError, ...]


class Deadline:
    """One point in time for all of a rehearsal."""

    def __init__(self, clock: Clock, ms: int) -> None:
        self._clock = clock
        self._ends_ns = clock.monotonic_ns() + ms * 1_000_000

    def left_ms(self) -> int:
        return max((self._ends_ns - self._clock.monotonic_ns()) // 1_000_000, 1)


@dataclass(frozen=True, slots=True)
class Bench:
    """What replays on one chain work with."""

    engine: Engine
    nodes: Nodes
    assets: Assets
    prices: Prices
    pasts: Pasts
    slot_s: int


@dataclass(slots=True)
class Replay:
    """One attack on one head, on several sides: without a response first, then with each."""

    bench: Bench
    scene: Scene
    attack: Attack
    asset: Asset
    sides: tuple[Side, ...]
    deadline: Deadline
    maybe_mined: bool = False  # a pending attack may have been mined since
    variants: bool = True
    findings: Findings = field(default_factory=Findings)
    effects: tuple[Effects, ...] = ()  # of the first way of running it that pays
    frames: tuple[CallFrame, ...] = ()

    async def measure(self) -> Findings:
        """As far as time allows; never raises for a node's sake, but says in `why` what is missing."""
        self.findings.asset = self.asset.name
        try:
            async with asyncio.timeout(self.deadline.left_ms() / 1_000):
                ways = await self._ways()
                async with asyncio.TaskGroup() as group:
                    beside = group.create_task(self._beside(ways[0]))
                    seen = await self._as_seen(ways)
                if seen is not None and self.variants:
                    async with asyncio.timeout(VARIANTS_S):
                        await self._in_other_words(seen, beside.result())
        except TimeoutError:
            self.findings.why = self.findings.why or "time was up"
        except DrawbridgeError as error:
            self.findings.why = self.findings.why or str(error)
        return self.findings

    async def _ways(self) -> tuple[Case, ...]:
        """The attack on the head as it is; a mined one also with what it changed put back."""
        code = dict(self.attack.code_overrides)
        plain = Case(name="as seen", asset=self.asset, transactions=self.attack.transactions, code=code)
        past = await self._past()
        if past is None:
            return (plain,)
        self.frames = past.frames
        ours = frozenset(asset.address for asset in self.bench.assets.all())
        funded = msgspec.structs.replace(plain, funded=senders(self.attack.transactions, ours))
        return funded, msgspec.structs.replace(plain, name=PUT_BACK, base=past.undone)

    async def _past(self) -> Past | None:
        """What a mined attack did; None for one that no block holds."""
        if not self.attack.mined and not self.maybe_mined:
            return None
        try:
            return await self.bench.pasts.of(self.attack, deadline_ms=self.deadline.left_ms())
        except DrawbridgeError:
            if self.attack.mined:
                raise
            return None

    async def _as_seen(self, ways: Sequence[Case]) -> Case | None:
        """Run every way in both blocks at once; the first that pays is the attack from here on."""
        async with asyncio.TaskGroup() as group:
            blocks = [
                group.create_task(self._run(ways, context=context)) for context in (self.scene.first, self.scene.second)
            ]
        self._note_holdings(blocks[0].result()[0][0])
        for at, way in enumerate(ways):
            by_block = [block.result()[at] for block in blocks]
            losses = [self._losses(way, outcomes) for outcomes in by_block]
            paying = [each[0] for each, loss in zip(by_block, losses, strict=True) if loss[0] and loss[0].pays]
            if paying:
                self.findings.way = way.name
                self.findings.note_seen(self.sides, losses)
                self._note_effects(paying[0])
                return way
        self.findings.why = _why_not(block.result()[0][0] for block in blocks)
        return None

    async def _beside(self, seen: Case) -> dict[str, Outcomes]:
        """The variant that needs nothing of what the attack shows, run at the same time where that is pending."""
        if not self.variants or self.attack.mined or self.maybe_mined:
            return {}
        cases = tuple(from_fresh_caller(seen))
        outcomes = await self._run(cases, context=self.scene.first, traced=False)
        return {case.name: by_side for case, by_side in zip(cases, outcomes, strict=True)}

    async def _in_other_words(self, seen: Case, done: Mapping[str, Outcomes]) -> None:
        """Variants, in chunks that do not wait for each other. `done` are those that ran before."""
        held = self._held()
        moved = [transfer for each in self.effects for transfer in each.transfers]
        again = self.findings.leaves_much()
        cases = list(variants(seen, moved, held, mined=self.attack.mined, again=again))
        for case in (each for each in cases if each.name in done):
            self.findings.note_variant(case, self.sides, self._losses(case, done[case.name]))
        cases = [each for each in cases if each.name not in done]
        cases += sister_cases(seen, self.frames, self._sisters(), await self._code(seen))
        async with asyncio.TaskGroup() as group:
            for at in range(0, len(cases), CHUNK):
                group.create_task(self._note_variants(cases[at : at + CHUNK]))

    async def _note_variants(self, cases: Sequence[Case]) -> None:
        outcomes = await self._run(cases, context=self.scene.first)
        for case, by_side in zip(cases, outcomes, strict=True):
            self.findings.note_variant(case, self.sides, self._losses(case, by_side))

    async def _run(self, cases: Sequence[Case], *, context: BlockContext, traced: bool = True) -> list[Outcomes]:
        """By case and side, `traced` where sisters need frames. Where nobody answers every outcome says so."""
        unknown = not (self.frames or self.attack.mined) and bool(self._sisters())
        traced = traced and unknown and context is self.scene.first
        runs = [
            attack_run(self.scene, case, side, context=context, trace=traced and side is self.sides[0])
            for case in cases
            for side in self.sides
        ]
        try:
            outcomes = await self.bench.engine.run_many(runs, deadline_ms=self.deadline.left_ms())
        except DrawbridgeError as error:
            outcomes = (error,) * len(runs)
        step = len(self.sides)
        return [outcomes[at : at + step] for at in range(0, len(outcomes), step)]

    def _losses(self, case: Case, outcomes: Outcomes) -> tuple[Loss | None, ...]:
        return tuple(self._loss(case, side, outcome) for side, outcome in zip(self.sides, outcomes, strict=True))

    def _loss(self, case: Case, side: Side, outcome: Outcome | DrawbridgeError) -> Loss | None:
        """None where it was not run, or where the response itself did not work in that block."""
        if isinstance(outcome, DrawbridgeError) or not all(each.ok for each in outcome.effects[: len(side.calls)]):
            return None
        return loss_of(outcome.effects[len(side.calls) + case.lead :], case.asset, self.bench.prices)

    def _note_effects(self, outcome: Outcome | DrawbridgeError) -> None:
        self.effects = () if isinstance(outcome, DrawbridgeError) else outcome.effects
        self.frames = self.frames or tuple(frame for each in self.effects for frame in each.calls)

    def _note_holdings(self, outcome: Outcome | DrawbridgeError) -> None:
        """What the asset holds on the head as it is, read in the first way of running it."""
        if not isinstance(outcome, DrawbridgeError):
            self.findings.holdings = holdings_usd(together(outcome.effects), self.asset, self.bench.prices)

    def _held(self) -> dict[Address, int]:
        """By listed token, what the asset holds before the attack."""
        before = {reading.probe: reading.before for reading in self.effects[0].readings}
        raw = {each.address: before.get(token_probe(each.address, self.asset.address)) for each in self.asset.tokens}
        return {token: int.from_bytes(word[:32], "big") for token, word in raw.items() if word and len(word) >= 32}

    def _sisters(self) -> tuple[Asset, ...]:
        return tuple(each for each in self.bench.assets.sisters(self.asset) if each.chain_id == self.scene.chain_id)

    async def _code(self, seen: Case) -> dict[Address, bytes]:
        """Code of the contracts between the attacker and the asset, which have to be rewritten for a sister."""
        sisters = self._sisters()
        if not sisters:
            return {}
        ours = {address for sister in sisters for pair in exchanged(self.asset, sister).items() for address in pair}
        wanted = between(seen.transactions, self.frames, frozenset(ours))[:MOST_REWRITTEN]
        place = {"blockHash": shown(self.scene.head.hash)}
        answers = await self.bench.nodes.first_batch(
            [("eth_getCode", (shown(address), place)) for address in wanted],
            deadline_ms=self.deadline.left_ms(),
            into=str,
        )
        return {address: hexes.octets(code) for address, code in zip(wanted, answers, strict=True) if _is_code(code)}


def _is_code(answer: Any) -> bool:
    return isinstance(answer, str) and 2 < len(answer) <= 2 + 2 * MOST_CODE


def _why_not(outcomes: Iterable[Outcome | DrawbridgeError]) -> str:
    """Why the attack as seen shows nothing."""
    for outcome in outcomes:
        if isinstance(outcome, DrawbridgeError):
            return f"the attack was not run: {outcome}"
        failed = next((each.error for each in outcome.effects if not each.ok), "")
        return f"the attack does not pay on this head{': ' + failed if failed else ''}"
    return "the attack has no transactions"
