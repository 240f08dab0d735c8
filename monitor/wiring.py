"""Settings to objects: the composition root. The only importer of detectors and responders; nothing here decides.

Which Submit is wired is the mode, and it is decided here, once.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.chain.bindings import binding
from monitor.chain.gas_health import gas_health
from monitor.chain.gate_view import GateView
from monitor.chain.lab import ForkLab, LabChain
from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.signers import KeystoreSigner, RemoteSigner
from monitor.chain.simulate import NodeSimulator
from monitor.chain.submit import EnforceSubmit
from monitor.chain.withheld import ProposeSubmit, ShadowSubmit
from monitor.clock import SystemClock
from monitor.core.step import Core
from monitor.evm.watch import Protected
from monitor.model.errors import ConfigurationError
from monitor.model.events import AnyEvent, ConfigurationLoaded, Fault, ResponseSigned
from monitor.model.ports import Clock, Responder, Signer, Source, Submit
from monitor.model.units import Address, ChainId, Wei, address
from monitor.notify.channels import AppriseNotifier
from monitor.notify.templates import Details
from monitor.settings import Settings
from monitor.settings_schema import ChainShape
from monitor.shell.commands import CommandSource
from monitor.shell.inbox import Inbox
from monitor.shell.keeper import Keeper
from monitor.shell.notices import Notices, known
from monitor.shell.respond import Respond
from monitor.shell.restore import Restored, restore
from monitor.shell.run import Loop
from monitor.sources.blocks import BlockSource, HalfTold
from monitor.sources.feed import Endpoint
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.ledger import LedgerSource
from monitor.sources.mempool import MempoolSource
from monitor.sources.prices import FeedChain, FixedPrice, PriceFeed, PriceSource
from monitor.sources.reads import ChainReads, RequestAnswerer
from monitor.sources.ticks import TickSource
from monitor.sources.watch import Watch
from monitor.store.anchor import Anchor
from monitor.store.anchor_key import AnchorKey
from monitor.store.audit import key_path
from monitor.store.commands import Commands
from monitor.store.journal import SqlJournal
from monitor.store.ledger import SqlLedger
from monitor.store.migrate import migrate
from monitor.version import CODE_VERSION
from monitor.wiring_core import core_of
from monitor.wiring_parts import Anchoring, CorePrices, WiredChain, killed_by
from responders import CATALOGUE as RESPONDERS


@dataclass(slots=True)
class Drawbridge:
    """Everything that `open_drawbridge` made, for the loop and for the verbs that look into it."""

    settings: Settings
    core: Core
    loop: Loop
    journal: SqlJournal
    chains: dict[str, WiredChain]
    lab: ForkLab
    responders: tuple[Responder, ...]
    signers: dict[str, Signer]
    anchor: Anchor | None


@asynccontextmanager
async def open_drawbridge(
    settings: Settings, *, clock: Clock | None = None, tell: Callable[[str], None] | None = None
) -> AsyncIterator[Drawbridge]:
    """Connect and wire; nothing turns until `loop.run()`. Notices go to `tell` too.

    Raises ConfigurationError, JournalLost, Unreachable.
    """
    async with AsyncExitStack() as stack:
        yield await _Wiring(settings, clock or SystemClock(), stack, tell).drawbridge()


class _Wiring:
    """One pass; what must be closed goes onto the stack."""

    def __init__(
        self, settings: Settings, clock: Clock, stack: AsyncExitStack, tell: Callable[[str], None] | None
    ) -> None:
        self.settings, self.clock, self.stack, self.tell = settings, clock, stack, tell
        self.assets = Protected(settings.assets)
        self.jitter = random.Random().random  # noqa: S311 - spreads reconnects

    async def drawbridge(self) -> Drawbridge:
        settings, clock = self.settings, self.clock
        await migrate(settings.store)
        journal = await SqlJournal.open(settings.store)
        self.stack.push_async_callback(journal.close)
        anchor = await self._anchor(journal)
        core = core_of(settings, clock=clock)
        restored = await restore(core, journal)
        chains = {shape.name: self._chain(shape) for shape in settings.chains}
        for chain in chains.values():
            await chain.nodes.check()
        heads = {chain.rule.chain_id: chain.latest for chain in chains.values()}
        nodes = {ChainId(chain.rule.chain_id): chain.nodes for chain in chains.values()}
        gates = GateView(nodes, lambda chain_id: heads[chain_id].head)
        signers = {name: await self._signer(name) for name in settings.signers}
        lab = self._lab(core, chains, signers)
        responders = tuple(build(self.assets, gates) for build in RESPONDERS.values())
        inbox = Inbox(clock)
        submit = self._submit(core, chains, signers)
        respond = Respond(
            core=core,
            inbox=inbox,
            responders=responders,
            lab=lab,
            submit=submit,
            killed=self.killed,
            assets=settings.assets,
        )
        loop = Loop(
            core=core,
            journal=journal,
            inbox=inbox,
            sources=(
                *self._chain_sources(restored, chains),
                *self._ledgers(),
                self._keeper(responders, lab, gates, chains, signers),
                self._commands(core, inbox),
                *([Anchoring(anchor, journal)] if anchor is not None else []),
                TickSource(clock),
            ),
            asker=self._asker(chains),
            respond=respond,
            notices=Notices(self._notifier(core), inbox),
            clock=clock,
            restored=restored,
            first_events=(await self._configuration(journal),),
        )
        return Drawbridge(settings, core, loop, journal, chains, lab, responders, signers, anchor)

    def killed(self) -> str:
        """Why nothing may be signed now: the kill file is there."""
        return killed_by(Path(self.settings.kill_file)) if self.settings.kill_file else ""

    async def _anchor(self, journal: SqlJournal) -> Anchor | None:
        if not self.settings.anchor:
            return None
        path = Path(self.settings.anchor)
        anchor = Anchor(path, AnchorKey.load(key_path(path)), clock=self.clock)
        await anchor.start(journal)
        self.stack.push_async_callback(anchor.stop, journal)
        return anchor

    async def _configuration(self, journal: SqlJournal) -> AnyEvent:
        settings = self.settings
        await journal.put_blob(settings.content)
        return ConfigurationLoaded(
            settings=settings.digest, policy=settings.digest, code_version=CODE_VERSION, mode=settings.mode
        )

    def _chain(self, shape: ChainShape) -> WiredChain:
        rule = next(r for r in self.settings.rules if r.chain_id == shape.chain_id)
        rpcs = [Rpc(url, clock=self.clock, name=f"{shape.name}-{i}") for i, url in enumerate(shape.rpc)]
        nodes = Nodes(ChainId(shape.chain_id), rpcs, clock=self.clock)
        self.stack.push_async_callback(nodes.close)
        simulator = NodeSimulator(nodes, clock=self.clock)
        watch = Watch(ChainId(shape.chain_id), self.assets)
        return WiredChain(shape, rule, nodes, simulator, Latest(), watch)

    def _chain_sources(self, restored: Restored, chains: dict[str, WiredChain]) -> list[Source]:
        found: list[Source] = []
        for chain in chains.values():
            half = restored.half_told(chain.rule.chain_id)
            found.append(
                BlockSource(
                    self._plan(chain),
                    chain.nodes,
                    chain.watch,
                    clock=self.clock,
                    jitter=self.jitter,
                    latest=chain.latest,
                    known=restored.whole(chain.rule.chain_id),
                    half_told=HalfTold(*half) if half is not None else None,
                )
            )
            if chain.shape.mempool:
                found.append(self._mempool(chain))
        return [*found, self._prices(chains)]

    def _plan(self, chain: WiredChain) -> ChainPlan:
        endpoints = tuple(Endpoint(f"{chain.shape.name}-{i}", url) for i, url in enumerate(chain.shape.rpc))
        return ChainPlan(
            name=chain.shape.name,
            chain_id=ChainId(chain.rule.chain_id),
            endpoints=endpoints,
            quorum=chain.rule.quorum,
            block_time_ms=chain.shape.block_time_ms,
        )

    def _mempool(self, chain: WiredChain) -> Source:
        return MempoolSource(
            self._plan(chain),
            chain.nodes,
            chain.watch,
            chain.simulator,
            latest=chain.latest,
            clock=self.clock,
            jitter=self.jitter,
            per_second=chain.shape.simulations_per_s,
        )

    def _prices(self, chains: dict[str, WiredChain]) -> Source:
        settings = self.settings
        fixed = [FixedPrice(ChainId(p.chain_id), p.token, p.usd, p.decimals) for p in settings.static_prices]
        feeds = [
            PriceFeed(ChainId(chain_id), token, aggregator, self._decimals(chain_id, token))
            for chain_id, token, aggregator in settings.price_feeds
        ]
        readers = {ChainId(c.rule.chain_id): FeedChain(c.nodes, c.latest, c.rule.quorum) for c in chains.values()}
        return PriceSource(fixed, feeds, readers, clock=self.clock, max_age_s=settings.price_max_age_s)

    def _decimals(self, chain_id: int, token: Address) -> int:
        listed = self.assets.token(ChainId(chain_id), token)
        return listed.decimals if listed is not None else 18

    def _asker(self, chains: dict[str, WiredChain]) -> RequestAnswerer:
        return RequestAnswerer(
            {
                ChainId(c.rule.chain_id): ChainReads(c.simulator, c.nodes, c.latest, c.shape.block_time_ms)
                for c in chains.values()
            },
            clock=self.clock,
        )

    def _ledgers(self) -> list[Source]:
        found: list[Source] = []
        for name, shape in self.settings.ledgers.items():
            key = self.settings.secret(shape.key_env)
            if not key:
                raise self.settings.fault(("ledgers", name, "key_env"), f"{shape.key_env} is not set")
            reader = SqlLedger(shape.url, name, key.encode())
            self.stack.push_async_callback(reader.close)
            found.append(LedgerSource(reader, poll_s=shape.poll_ms / 1000, clock=self.clock))
        return found

    def _keeper(
        self,
        responders: Sequence[Responder],
        lab: ForkLab,
        gates: GateView,
        chains: dict[str, WiredChain],
        signers: dict[str, Signer],
    ) -> Keeper:
        async def refresh() -> AsyncIterator[AnyEvent]:
            for why in await gates.refresh(self.settings.assets):
                yield Fault(where="authority", what=why)
            for chain in chains.values():
                for event in await gas_health(chain.nodes, signers.values()):
                    yield event

        return Keeper(assets=self.settings.assets, responders=responders, lab=lab, clock=self.clock, refresh=refresh)

    def _commands(self, core: Core, inbox: Inbox) -> CommandSource:
        table = Commands(self.settings.store, clock=self.clock)
        self.stack.push_async_callback(table.close)
        return CommandSource(
            table,
            operators=self.settings.operators,
            state=lambda: core.state,
            post=inbox.post,
            killed=self.killed,
            clock=self.clock,
        )

    async def _signer(self, name: str) -> Signer:
        shape, settings = self.settings.signers[name], self.settings
        bound = binding(settings.assets, name, max_cost=Wei(settings.policy.bid_max_wei))
        expected = address(shape.address) if shape.address else None
        if shape.keystore is not None:
            password = settings.secret(shape.password_env or "")
            if password is None:
                raise settings.fault(("signers", name), f"{shape.password_env} is not set; export the password")
            opened = await KeystoreSigner.open(
                name, Path(shape.keystore), password=lambda: password, binding=bound, address=expected
            )
            self.stack.callback(opened.close)
            return opened
        if shape.rpc is None or expected is None:
            raise ConfigurationError((f"signer {name}: needs rpc and address",))
        rpc = Rpc(shape.rpc, clock=self.clock, name=name)
        self.stack.push_async_callback(rpc.close)
        return RemoteSigner(name, expected, rpc=rpc, binding=bound)

    def _lab(self, core: Core, chains: dict[str, WiredChain], signers: dict[str, Signer]) -> ForkLab:
        by_id = {ChainId(c.rule.chain_id): c for c in chains.values()}
        return ForkLab(
            {i: LabChain(c.simulator, c.nodes, c.rule.slot_s) for i, c in by_id.items()},
            heads=lambda chain_id: by_id[chain_id].latest.head,
            signers={name: signer.address for name, signer in signers.items()},
            assets=self.assets,
            prices=CorePrices(core),
            clock=self.clock,
            deadline_ms=self.settings.policy.rehearse_deadline_ms,
        )

    def _submit(self, core: Core, chains: dict[str, WiredChain], signers: dict[str, Signer]) -> Submit:
        """The mode."""
        if self.settings.mode == "shadow":
            return ShadowSubmit()
        if self.settings.mode == "propose":
            return ProposeSubmit()

        def journalled() -> list[ResponseSigned]:
            return [sent for record in core.state.actions.values() for sent in record.sent]

        by_id = {ChainId(c.rule.chain_id): c for c in chains.values()}
        return EnforceSubmit(
            {i: c.nodes for i, c in by_id.items()},
            signers,
            quorum={i: c.rule.quorum for i, c in by_id.items()},
            journalled=journalled,
        )

    def _notifier(self, core: Core) -> AppriseNotifier:
        return AppriseNotifier(
            self.settings.notify,
            clock=self.clock,
            console=self.tell,
            details=lambda notice: Details(*known(core.state, notice)),
        )
