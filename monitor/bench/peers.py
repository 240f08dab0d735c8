"""The same work beside forta-agent (npm), on the same chain in the same run: transfers out of a watched wallet.

Ours is the block source to decided steps with every detector; theirs is its own command over a block range with a bot
that filters the same logs. Neither start counts: theirs is timed inside the bot, ours from the source's first request.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

from msgspec.structs import replace

from detectors import CATALOGUE as DETECTORS
from monitor.bench.figure import Peer, Progress, Results
from monitor.bench.peer_chain import BLOCKS, PeerChain, node_seconds, peer_chain
from monitor.chain.rpc import Nodes, Rpc
from monitor.clock import SystemClock
from monitor.core.step import Core
from monitor.evm.watch import PackedLabels, Protected
from monitor.model.assets import Asset, Token
from monitor.model.errors import Unreachable
from monitor.model.events import AnyEvent, Stamped, StateRead, TransactionMined
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import ChainId, Instant, shown
from monitor.rehearsal.anvil import CHECKOUT
from monitor.sources.blocks import BlockSource
from monitor.sources.feed import Endpoint
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.watch import Watch

NAME: Final = "forta-agent"
VERSION: Final = "0.1.48"
RUNS: Final = 3
CHAIN: Final = ChainId(31_337)
AGENT: Final = Path(__file__).with_name("forta_agent.js")
TARGET: Final = "ratio >= 5"
_INSTALL_S: Final = 240.0
_RUN_S: Final = 300.0


@dataclass(frozen=True)
class Seen:
    """How long it took, and how many transfers out of the wallet it found."""

    seconds: float
    out: int


@dataclass(frozen=True)
class Run:
    """One after the other: the node alone, ours, theirs."""

    node: float
    ours: Seen
    theirs: Seen | None


def measure(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """Two rows; without the other's program they say why, and still what ours took."""
    return Results(peers=asyncio.run(_measured(5 if quick else BLOCKS, 1 if quick else RUNS, progress)))


async def _measured(blocks: int, runs: int, progress: Progress) -> tuple[Peer, Peer]:
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as folder:
        try:
            package = await _package(Path(folder), progress)
            why = ""
        except Unreachable as error:
            package, why = None, str(error)
        progress(f"peers: mining {blocks} blocks")
        async with peer_chain(blocks=blocks) as where:
            found = []
            for number in range(runs):
                progress(f"peers: run {number + 1} of {runs}")
                node, ours = await node_seconds(where), await _ours(where)
                theirs = await _forta(package, where, Path(folder) / f"run-{number}") if package else None
                found.append(Run(node, ours, theirs))
        return rows(where, found, why)


def rows(where: PeerChain, runs: Sequence[Run], why: str) -> tuple[Peer, Peer]:
    """Beside what the node itself took, which both waited for, and with it: both ask it for every body."""
    first = runs[0]
    found = f"transfers found: ours {first.ours.out}, {f'theirs {first.theirs.out}' if first.theirs else why}"
    how = (
        f"{found}; the node's own time for bodies and logs {median(run.node for run in runs):.3f} s; ours: block "
        f"source, state reads and {len(DETECTORS)} detectors; theirs: run --range, one log filter, no traces; median "
        f"of {len(runs)} runs"
    )
    own = _peer(where, "beside the node's own time", runs, less=True)
    whole = _peer(where, "the node's own time included", runs, less=False)
    return replace(own, note=f"{how}; {TARGET}"), replace(whole, note=how)


def _peer(where: PeerChain, which: str, runs: Sequence[Run], *, less: bool) -> Peer:
    ours = median(run.ours.seconds - less * run.node for run in runs)
    theirs = [run.theirs.seconds - less * run.node for run in runs if run.theirs is not None]
    return Peer(
        name=NAME,
        version=VERSION,
        work=f"{where.shown}, to decided steps, s, {which}",
        ours=round(ours, 4),
        theirs=round(median(theirs), 4) if theirs else None,
        ratio=round(median(theirs) / ours, 2) if theirs and ours > 0 else None,  # not where the node's time varied more
    )


async def _ours(where: PeerChain) -> Seen:
    """Every block through the source and the core, as `drawbridge run` would have after a pause."""
    asset = Asset("wallet", "hot_wallet", CHAIN, where.wallet, tokens=(Token(where.token, 18, "USDX"),))
    assets, clock = Protected((asset,)), SystemClock()
    core = Core(
        detectors=[build() for build in DETECTORS.values()],
        assets=assets,
        labels=PackedLabels(),
        policy=Policy(),
        chains=(ChainRule(int(CHAIN), "bench", quorum=1),),
    )
    nodes = Nodes(CHAIN, [Rpc(where.ws_url, clock=clock, name="anvil")], clock=clock)
    plan = ChainPlan(name="bench", chain_id=CHAIN, endpoints=(Endpoint("anvil", where.ws_url),))
    watch = Watch(CHAIN, assets)
    source = BlockSource(plan, nodes, watch, clock=clock, jitter=Random(1).random, latest=Latest(), first=where.first)
    try:
        return await _decided(source, core, where)
    finally:
        await nodes.close()


async def _decided(source: BlockSource, core: Core, where: PeerChain) -> Seen:
    out, seq, clock = 0, 0, SystemClock()
    began = perf_counter()
    async with asyncio.timeout(_RUN_S), aclosing(source.events()) as events:
        async for event in events:
            seq += 1
            core.step(Stamped(seq, Instant(clock.now()), event))
            out += _out(event, where)
            if isinstance(event, StateRead) and event.block_number == where.last:
                break
        return Seen(perf_counter() - began, out)


def _out(event: AnyEvent, where: PeerChain) -> int:
    if not isinstance(event, TransactionMined):
        return 0
    moved = event.effects.transfers
    return sum(each.token == where.token and each.sender == where.wallet for each in moved)


async def _forta(package: Path, where: PeerChain, folder: Path) -> Seen:
    """Its command over the range, in a project of its own. Raises Unreachable."""
    out = folder / "out.json"
    (folder / "src").mkdir(parents=True)
    shutil.copy(AGENT, folder / "src" / "agent.js")
    bench = {"sdk": str(package), "wallet": shown(where.wallet), "token": shown(where.token), "out": str(out)}
    for name, value in (
        ("package.json", {"name": "bench", "version": "0.0.1", "chainIds": [int(CHAIN)]}),
        ("forta.config.json", {"jsonRpcUrl": where.http_url}),
        ("bench.json", bench),
    ):
        (folder / name).write_text(json.dumps(value))
    span = f"{where.first}..{where.last}"
    await _command(("node", str(package / "dist" / "cli" / "index.js"), "run", "--range", span), folder, _RUN_S)
    if not out.exists():
        raise Unreachable(f"{NAME} ended without a result")
    said = json.loads(out.read_text())
    return Seen(said["seconds"], said["findings"])


async def _package(folder: Path, progress: Progress) -> Path:
    """Where it is installed: in this checkout, else freshly in a scratch folder. Raises Unreachable."""
    here = CHECKOUT / "node_modules" / NAME
    if here.is_dir():
        return here
    progress(f"peers: installing {NAME} {VERSION} into a scratch folder")
    options = ("--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", "--fetch-retries=1")
    (folder / "package.json").write_text("{}")
    await _command(("npm", "install", f"{NAME}@{VERSION}", *options), folder, _INSTALL_S)
    return folder / "node_modules" / NAME


async def _command(words: Sequence[str], folder: Path, deadline_s: float) -> None:
    """Run it in the folder, which is its home too. Raises Unreachable."""
    program = shutil.which(words[0])
    if program is None:
        raise Unreachable(f"{words[0]} is not installed")
    environment = {"HOME": str(folder), "PATH": str(Path(program).parent)}
    process = await asyncio.create_subprocess_exec(
        program,
        *words[1:],
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(deadline_s):
            _, told = await process.communicate()
    except TimeoutError:
        raise Unreachable(f"{' '.join(words[:3])} took more than {deadline_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Unreachable(f"{' '.join(words[:3])} failed: {told.decode(errors='replace').strip()[-200:]}")
