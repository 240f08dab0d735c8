"""The relay that times the node's side, and the rows beside another's program."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from monitor.bench import peers
from monitor.bench.peer_chain import PeerChain, peer_chain
from monitor.bench.peers import Run, Seen, rows
from monitor.bench.reaction import KINDS, measure
from monitor.bench.relay import Frames
from monitor.cli_run import spare_from_collection
from monitor.model.errors import Unreachable
from monitor.model.units import Address

HASH = "0x" + "ab" * 32
RAW = '{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x02f8"]}'
NOTICE = json.dumps({"method": "eth_subscription", "params": {"result": {"hash": HASH}}}, separators=(",", ":"))
WHERE = PeerChain("http://node", "ws://node", 3, 52, Address(b"\x01" * 20), Address(b"\x02" * 20), out=100)


def said(_text: str) -> None:
    return None


def masked(*texts: str) -> bytes:
    return b"".join(Frame(Opcode.TEXT, text.encode()).serialize(mask=True) for text in texts)


def taken(stream: bytes, size: int) -> Iterator[bytes]:
    frames = Frames()
    for at in range(0, len(stream), size):
        yield from frames.take(stream[at : at + size])


@pytest.mark.parametrize("size", [1, 7, 4_096, 1 << 20])
def test_the_relay_reads_what_a_client_says_however_it_is_cut(size: int) -> None:
    long = "x" * 70_000
    stream = b"GET / HTTP/1.1\r\nHost: node\r\n\r\n" + masked("short", "y" * 300, long, "")
    assert list(taken(stream, size)) == [b"short", b"y" * 300, long.encode(), b""]


def test_the_relay_looks_into_nothing_but_websockets() -> None:
    assert list(taken(b"POST / HTTP/1.1\r\n\r\n" + masked("short"), 16)) == []


async def test_the_relay_passes_both_ways_and_notes_notices_and_raw_transactions() -> None:
    async def node(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)
            await connection.send(NOTICE)

    async with serve(node, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = next(iter(server.sockets)).getsockname()[1]
        command = (sys.executable, "-m", "monitor.bench.relay", str(port), "1")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            (relayed,) = json.loads(await process.stdout.readline())["ports"]
            async with connect(f"ws://127.0.0.1:{relayed}", compression=None) as client:
                await client.send(RAW)
                assert [await client.recv(), await client.recv()] == [RAW, NOTICE]
                await client.send(RAW)
            notes = [json.loads(await process.stdout.readline()) for _ in range(3)]
            process.stdin.close()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
    assert [(note["kind"], note["what"]) for note in notes] == [("raw", "0x02f8"), ("notice", HASH), ("raw", "0x02f8")]
    assert sorted(note["ns"] for note in notes) == [note["ns"] for note in notes]


def test_a_peer_is_compared_beside_the_nodes_time_and_with_it() -> None:
    own, whole = rows(WHERE, [Run(2.0, Seen(2.5, 100), Seen(6.0, 100))], "")
    assert (own.ours, own.theirs, own.ratio) == (0.5, 4.0, 8.0)
    assert (whole.ours, whole.theirs, whole.ratio) == (2.5, 6.0, 2.4)
    assert "the node's own time for bodies and logs 2.000 s" in own.note
    assert "found: ours 100, theirs 100" in whole.note
    assert own.work.startswith("50 blocks of 200 token transfers on anvil, 100 of them out of the wallet")


def test_a_peer_that_is_not_installed_is_a_row_that_says_so() -> None:
    own, whole = rows(WHERE, [Run(2.0, Seen(2.5, 100), None)], "npm is not installed")
    assert own.ours == 0.5
    assert (own.theirs, own.ratio, whole.ratio) == (None, None, None)
    assert "npm is not installed" in own.note


def test_no_ratio_is_told_where_the_nodes_time_varied_more_than_ours() -> None:
    own, _ = rows(WHERE, [Run(2.0, Seen(1.9, 100), Seen(6.0, 100))], "")
    assert own.ratio is None


async def test_a_program_that_is_missing_or_fails_or_takes_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no-such-program is not installed"):
        await peers._command(("no-such-program",), tmp_path, 5)
    with pytest.raises(Unreachable, match="failed"):
        await peers._command(("false",), tmp_path, 5)
    with pytest.raises(Unreachable, match="more than 0 s"):
        await peers._command(("sleep", "30"), tmp_path, 0.05)


def test_what_stays_is_left_out_of_garbage_collection_however_often_it_is_asked() -> None:
    for _ in range(2):
        spare_from_collection()
        assert gc.get_freeze_count() > 10_000
    gc.unfreeze()


@pytest.mark.chain
async def test_our_side_finds_every_transfer_out_of_the_wallet() -> None:
    async with peer_chain(blocks=2) as where:
        found = await peers._ours(where)
    assert found.out == where.out == 4
    assert found.seconds > 0


@pytest.mark.chain
@pytest.mark.slow
def test_each_kind_of_reaction_is_answered_with_what_the_row_claims() -> None:
    figures = measure(None, quick=True, progress=said).figures
    assert figures.keys() == {*(kind.name for kind in KINDS), "rehearsal_ms"}
    for each in figures.values():
        assert each.value is not None
        assert 0 < each.value < 5_000
    assert "3 valid, 3 with loss with and without, 3 with golden passed" in figures["event_to_broadcast_ms"].note
