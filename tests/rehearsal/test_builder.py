"""The block-building proxy against a real anvil: order, pools, slots, bundles, reorgs and faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from monitor.rehearsal.anvil import DEV_KEYS, Anvil, AnvilFailed, AnvilOptions
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.builder_faults import Faults
from monitor.rehearsal.builder_order import Candidate, next_base_fee, order
from monitor.rehearsal.builder_slot import BASE, L1, LOOPBACK, Lane, LatencyProfile, SlotClock
from monitor.rehearsal.builder_transaction import Transaction, decode

GWEI = 10**9
ETHER = 10**18
DEADLINE_S = 20.0

BURN_AND_PAY = "5b62007530" + "5a115f57" + "5f5f5f5f34415af150" + "5f5fa000"
"""Loops until 30,000 gas are left, sends the call's value to the fee recipient, logs once."""

PAUSABLE = "36600d575f54601357" + "5f5fa000" + "5b60015f5500" + "5b5f5ffd"
"""With calldata: pauses. Without: a withdrawal, which logs once and reverts when paused."""

REVERTING = "5f5ffd"
PAUSE = b"\x01"


class ManualClock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, ms: float) -> None:
        self.now_ns += round(ms * 1_000_000)


class Wallet:
    """One dev account that counts its own nonces."""

    def __init__(self, index: int) -> None:
        self.account: LocalAccount = Account.from_key(DEV_KEYS[index])
        self.nonce = 0

    @property
    def address(self) -> str:
        return str(self.account.address)

    @property
    def sender(self) -> bytes:
        return bytes.fromhex(self.address[2:])

    def sign(self, to: str | None = None, **fields: Any) -> bytes:
        """Sign a call with the interesting fields as keywords; the nonce counts up unless given."""
        nonce = fields.pop("nonce", None)
        if nonce is None:
            nonce, self.nonce = self.nonce, self.nonce + 1
        transaction = {"chainId": 31_337, "nonce": nonce, "gas": 100_000, "value": 0, "data": b""}
        if "gasPrice" not in fields:
            transaction |= {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI}
        transaction |= fields
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        return bytes(self.account.sign_transaction(transaction).raw_transaction)


class Client:
    """A node client over WebSocket: calls, batches, and the notifications between."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._notices: list[tuple[str, Any]] = []
        self._made = 0

    async def send(self, message: object) -> None:
        await self._connection.send(msgspec.json.encode(message), text=True)

    async def receive(self) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return msgspec.json.decode(await self._connection.recv())

    async def ask(self, method: str, *params: object) -> Any:
        """Return the whole reply, keeping notifications that come before it."""
        self._made += 1
        await self.send({"jsonrpc": "2.0", "id": self._made, "method": method, "params": params})
        while True:
            message = await self.receive()
            if "id" in message:
                return message
            self._keep(message)

    async def call(self, method: str, *params: object) -> Any:
        reply = await self.ask(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    async def refusal(self, method: str, *params: object) -> str:
        reply = await self.ask(method, *params)
        return str(reply["error"]["message"])

    async def notice(self, subscription: str) -> Any:
        """Return the next notification of a subscription."""
        while True:
            for at, (owner, result) in enumerate(self._notices):
                if owner == subscription:
                    del self._notices[at]
                    return result
            self._keep(await self.receive())

    async def nothing_more(self, subscription: str) -> bool:
        """Return whether nothing came for a subscription before a fresh call was answered."""
        await self.call("web3_clientVersion")
        return all(owner != subscription for owner, _ in self._notices)

    async def closed(self) -> None:
        """Return when the server has dropped this connection."""
        async with asyncio.timeout(DEADLINE_S):
            await self._connection.wait_closed()

    def _keep(self, message: Any) -> None:
        params = message["params"]
        self._notices.append((params["subscription"], params["result"]))


class Stage:
    """A running chain with its builder, a plain client, and ten wallets."""

    def __init__(self, anvil: Anvil, builder: Builder, client: Client) -> None:
        self.anvil = anvil
        self.builder = builder
        self.client = client
        self.wallets = [Wallet(index) for index in range(10)]

    @classmethod
    @asynccontextmanager
    async def open(cls, profile: LatencyProfile = LOOPBACK, clock: ManualClock | None = None) -> AsyncIterator[Self]:
        async with (
            asyncio.timeout(60),
            Anvil(AnvilOptions(timestamp=1_700_000_000)) as anvil,
            Builder(anvil.ws_url, profile=profile, clock=clock or ManualClock()) as builder,
            client_of(builder.ws_url) as client,
        ):
            yield cls(anvil, builder, client)

    async def deploy(self, runtime: str) -> str:
        """Put code on the chain in a block of its own."""
        size = len(runtime) // 2
        init = f"60{size:02x}8060095f395ff3{runtime}"
        raw = self.wallets[9].sign(None, data=bytes.fromhex(init), gas=1_000_000)
        tx_hash = await self.builder.send_public(raw)
        await self.builder.seal()
        receipt = await self.client.call("eth_getTransactionReceipt", shown(tx_hash))
        return str(receipt["contractAddress"])


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Client]:
    async with connect(url, max_size=None, proxy=None, compression=None) as connection:
        yield Client(connection)


def shown(value: bytes) -> str:
    return "0x" + value.hex()


def burning(gas_used: int, *, pays: bool) -> int:
    """Return the gas limit with which BURN_AND_PAY uses about ``gas_used``."""
    return gas_used + 30_000 - (7_360 if pays else 560)


@pytest.mark.chain
@pytest.mark.parametrize(("total_ether", "pause_first"), [("0.35", True), ("0.29", False)])
async def test_a_small_pause_outranks_a_bid_of_ten_ether_only_above_its_value_per_gas(
    total_ether: str, pause_first: bool
) -> None:
    async with Stage.open() as stage:
        burner = await stage.deploy(BURN_AND_PAY)
        attacker, pauser = stage.wallets[:2]
        total = int(float(total_ether) * 10**6) * 10**12
        attack = await stage.builder.send_private(
            attacker.sign(
                burner,
                gas=burning(2_000_000, pays=True),
                value=10 * ETHER,
                maxFeePerGas=100 * GWEI,
                maxPriorityFeePerGas=50 * GWEI,
            )
        )
        tip = total // 60_000
        pause = await stage.builder.send_public(
            pauser.sign(burner, gas=burning(60_000, pays=False), maxFeePerGas=tip + 10 * GWEI, maxPriorityFeePerGas=tip)
        )
        block = await stage.builder.seal()
        assert block.hashes == ((pause, attack) if pause_first else (attack, pause))
        by_hash = {placed.transaction.hash: placed for placed in block.placed}
        assert by_hash[attack].gas_used == pytest.approx(2_000_000, rel=0.001)
        assert by_hash[attack].payment == pytest.approx(10.1 * ETHER, rel=0.001)
        assert by_hash[pause].gas_used == pytest.approx(60_000, rel=0.005)
        assert by_hash[pause].payment == pytest.approx(total, rel=0.005)
        assert all(placed.succeeded for placed in block.placed)


@pytest.mark.chain
async def test_what_is_private_shows_nowhere_before_its_block() -> None:
    async with Stage.open() as stage:
        client, builder = stage.client, stage.builder
        alice, bob = stage.wallets[:2]
        pending = await client.call("eth_subscribe", "newPendingTransactions")
        secret = alice.sign(bob.address)
        private = await client.call("eth_sendPrivateTransaction", {"tx": shown(secret)})
        public = await client.call("eth_sendRawTransaction", shown(bob.sign(alice.address)))
        assert await client.notice(pending) == public
        assert await client.call("eth_getTransactionByHash", private) is None
        assert await client.call("eth_getTransactionCount", alice.address, "pending") == "0x0"
        assert await client.call("txpool_status") == {"pending": "0x1", "queued": "0x0"}
        block = await builder.seal()
        assert await client.nothing_more(pending)
        assert {shown(tx_hash) for tx_hash in block.hashes} == {private, public}
        assert [arrival.lane for arrival in builder.arrivals] == [Lane.PRIVATE, Lane.PUBLIC]


@pytest.mark.chain
async def test_full_bodies_of_pending_transactions_come_when_asked_for() -> None:
    async with Stage.open() as stage:
        alice, bob = stage.wallets[:2]
        pending = await stage.client.call("eth_subscribe", "newPendingTransactions", True)
        tx_hash = await stage.builder.send_public(alice.sign(bob.address, value=7))
        body = await stage.client.notice(pending)
        assert body == await stage.client.call("eth_getTransactionByHash", shown(tx_hash))
        assert (body["hash"], body["from"], body["value"]) == (shown(tx_hash), alice.address.lower(), "0x7")
        await stage.builder.seal()
        mined = await stage.client.call("eth_getTransactionByHash", shown(tx_hash))
        placing = ("blockHash", "blockNumber", "transactionIndex")
        assert {name: mined[name] for name in body if name not in placing} == {
            name: value for name, value in body.items() if name not in placing
        }
        assert await stage.client.call("eth_unsubscribe", pending) is True


@pytest.mark.chain
async def test_a_replacement_needs_ten_percent_on_both_caps() -> None:
    async with Stage.open() as stage:
        client, (alice, bob) = stage.client, stage.wallets[:2]

        def bid(fee: int, tip: int) -> str:
            return shown(alice.sign(bob.address, nonce=0, maxFeePerGas=fee * GWEI, maxPriorityFeePerGas=tip * GWEI))

        first = await client.call("eth_sendRawTransaction", bid(100, 10))
        assert await client.refusal("eth_sendRawTransaction", bid(100, 10)) == "already known"
        for fee, tip in ((109, 11), (110, 10), (200, 10), (100, 11), (100, 20)):
            refusal = await client.refusal("eth_sendRawTransaction", bid(fee, tip))
            assert refusal == "replacement transaction underpriced"
        second = await client.call("eth_sendRawTransaction", bid(110, 11))
        assert await client.call("eth_getTransactionByHash", first) is None
        block = await stage.builder.seal()
        assert [shown(tx_hash) for tx_hash in block.hashes] == [second]


@pytest.mark.chain
async def test_what_can_never_be_included_is_refused_as_geth_refuses_it() -> None:
    async with Stage.open() as stage:
        client, (alice, bob) = stage.client, stage.wallets[:2]
        await stage.builder.send_public(alice.sign(bob.address))
        await stage.builder.seal()
        for message, fields in (
            ("nonce too low", {"nonce": 0, "value": 1}),
            ("insufficient funds", {"nonce": 1, "value": 20_000 * ETHER}),
            ("exceeds block gas limit", {"nonce": 1, "gas": 40_000_000}),
            ("invalid chain id", {"nonce": 1, "chainId": 5}),
            ("max priority fee", {"nonce": 1, "maxPriorityFeePerGas": 200 * GWEI}),
        ):
            raw = shown(alice.sign(bob.address, **fields))
            assert message in await client.refusal("eth_sendRawTransaction", raw)
        assert "rlp" in await client.refusal("eth_sendRawTransaction", "0x02c0")
        assert "type 3" in await client.refusal("eth_sendRawTransaction", "0x03c0")
        assert "invalid params" in await client.refusal("eth_sendRawTransaction")


@pytest.mark.chain
async def test_the_pending_nonce_counts_contiguous_public_transactions() -> None:
    async with Stage.open() as stage:
        client, (alice, bob) = stage.client, stage.wallets[:2]
        for nonce in (0, 1, 3):
            await stage.builder.send_public(alice.sign(bob.address, nonce=nonce))
        assert await client.call("eth_getTransactionCount", alice.address, "pending") == "0x2"
        assert await client.call("eth_getTransactionCount", alice.address, "latest") == "0x0"
        assert await client.call("txpool_status") == {"pending": "0x2", "queued": "0x1"}
        assert len((await stage.builder.seal()).placed) == 2
        await stage.builder.send_public(alice.sign(bob.address, nonce=2))
        assert await client.call("eth_getTransactionCount", alice.address, "pending") == "0x4"
        assert len((await stage.builder.seal()).placed) == 2


@pytest.mark.chain
async def test_a_fee_cap_below_the_base_fee_waits_in_the_pool() -> None:
    async with Stage.open() as stage:
        alice, bob = stage.wallets[:2]
        low = await stage.builder.send_public(alice.sign(bob.address, maxFeePerGas=GWEI // 2, maxPriorityFeePerGas=1))
        assert (await stage.builder.seal()).hashes == ()
        assert stage.builder.pool.find_public(low) is not None
        sealed = 0
        while stage.builder.pool.find_public(low) is not None:
            sealed += 1
            assert sealed < 10, "the base fee falls by an eighth with every empty block"
            block = await stage.builder.seal()
        assert block.base_fee <= GWEI // 2


@pytest.mark.chain
async def test_what_arrives_after_the_cut_off_waits_for_the_next_slot() -> None:
    clock = ManualClock()
    async with Stage.open(LOOPBACK, clock) as stage:
        builder, (alice, bob, carol) = stage.builder, stage.wallets[:3]
        early = await builder.send_public(alice.sign(carol.address), at_ms=11_000)
        clock.advance_ms(500)
        last = await builder.send_public(bob.sign(carol.address))
        clock.advance_ms(0.001)
        late = await builder.send_public(carol.sign(alice.address))
        assert set((await builder.seal()).hashes) == {early, last}
        assert (await builder.seal()).hashes == (late,)
        assert [(a.slot, a.eligible_slot) for a in builder.arrivals] == [(0, 0), (0, 0), (0, 1)]
        assert [a.slot_time_ms for a in builder.arrivals] == pytest.approx([11_000, 11_500, 11_500.001])


@pytest.mark.chain
async def test_latency_is_counted_for_what_comes_over_rpc_and_never_slept() -> None:
    async with Stage.open(L1) as stage:
        builder, (alice, bob) = stage.builder, stage.wallets[:2]
        attack = await builder.send_public(alice.sign(bob.address), at_ms=11_300)
        answer = await stage.client.call("eth_sendRawTransaction", shown(bob.sign(alice.address)))
        assert [a.slot_time_ms for a in builder.arrivals] == [11_300, 11_600]
        assert (await builder.seal()).hashes == (attack,)
        assert [shown(h) for h in (await builder.seal()).hashes] == [answer]


def test_a_reaction_of_many_slots_misses_as_many_blocks() -> None:
    slots = SlotClock(LOOPBACK, ManualClock())
    eligible = [
        slots.stamp(b"", b"", Lane.PUBLIC, delay_ms=ms).eligible_slot for ms in (11_500, 11_501, 23_500, 23_501)
    ]
    assert eligible == [0, 1, 2, 2]


@pytest.mark.chain
async def test_without_a_public_mempool_nobody_is_told_of_pending_transactions() -> None:
    async with Stage.open(BASE) as stage:
        alice, bob = stage.wallets[:2]
        pending = await stage.client.call("eth_subscribe", "newPendingTransactions")
        sent = await stage.builder.send_public(alice.sign(bob.address))
        assert await stage.client.nothing_more(pending)
        before = await stage.builder.head()
        block = await stage.builder.seal()
        assert block.hashes == (sent,)
        assert block.timestamp == int(before["timestamp"], 16) + 2


@pytest.mark.chain
async def test_a_bundle_goes_in_whole_in_its_own_order_and_only_in_its_block() -> None:
    async with Stage.open() as stage:
        client, (alice, bob, carol) = stage.client, stage.wallets[:3]
        poor = alice.sign(carol.address, maxPriorityFeePerGas=1)
        rich = bob.sign(carol.address, maxPriorityFeePerGas=50 * GWEI)
        between = await stage.builder.send_public(carol.sign(alice.address, maxPriorityFeePerGas=10 * GWEI))
        await client.call("eth_sendBundle", {"txs": [shown(poor), shown(rich)], "blockNumber": "0x2"})
        assert (await stage.builder.seal()).hashes == (between,)
        block = await stage.builder.seal()
        assert block.hashes == (decode(poor).hash, decode(rich).hash)
        refusal = await client.refusal("eth_sendBundle", {"txs": [shown(rich)], "blockNumber": "0x2"})
        assert "target block" in refusal


@pytest.mark.chain
async def test_a_bundle_may_fund_its_own_later_transaction() -> None:
    async with Stage.open() as stage:
        alice = stage.wallets[0]
        fresh = Account.from_key("0x" + "42" * 32)
        fund = alice.sign(fresh.address, value=ETHER)
        spend = fresh.sign_transaction(
            {
                "chainId": 31_337,
                "nonce": 0,
                "gas": 21_000,
                "to": alice.address,
                "value": ETHER // 2,
                "maxFeePerGas": 100 * GWEI,
                "maxPriorityFeePerGas": GWEI,
            }
        ).raw_transaction
        stage.builder.send_bundle((fund, bytes(spend)), target_block=1)
        block = await stage.builder.seal()
        assert block.hashes == (decode(fund).hash, decode(bytes(spend)).hash)
        assert all(placed.succeeded for placed in block.placed)


@pytest.mark.chain
async def test_a_revert_voids_a_bundle_unless_it_is_listed() -> None:
    async with Stage.open() as stage:
        reverting = await stage.deploy(REVERTING)
        alice, bob = stage.wallets[:2]
        good, bad = alice.sign(bob.address, nonce=0), bob.sign(reverting, nonce=0)
        bundle = stage.builder.send_bundle((good, bad), target_block=2)
        block = await stage.builder.seal()
        assert (block.hashes, block.voided) == ((), (bundle,))
        listed = frozenset({decode(bad).hash})
        stage.builder.send_bundle((good, bad), target_block=3, may_revert=listed)
        block = await stage.builder.seal()
        assert [placed.succeeded for placed in block.placed] == [True, False]


@pytest.mark.chain
async def test_a_bundle_that_an_earlier_pause_breaks_is_voided_and_the_block_made_again() -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        alice, bob, carol = stage.wallets[:3]
        first = carol.sign(alice.address, nonce=0, maxPriorityFeePerGas=20 * GWEI)
        drain = alice.sign(vault, nonce=0, maxPriorityFeePerGas=20 * GWEI)
        bundle = stage.builder.send_bundle((first, drain), target_block=2)
        pause = await stage.builder.send_public(bob.sign(vault, data=PAUSE, maxPriorityFeePerGas=40 * GWEI))
        block = await stage.builder.seal()
        assert block.hashes == (pause,)
        assert block.voided == (bundle,)


@pytest.mark.chain
async def test_a_bundle_is_replaced_and_cancelled_by_its_id() -> None:
    async with Stage.open() as stage:
        client, (alice, bob) = stage.client, stage.wallets[:2]
        first, second = alice.sign(bob.address, nonce=0), bob.sign(alice.address, nonce=0)
        for number, raw in (("0x1", first), ("0x1", second), ("0x2", first)):
            wanted = {"txs": [shown(raw)], "blockNumber": number}
            name = {"0x1": "one", "0x2": "two"}[number]
            await client.call("eth_sendBundle", wanted | {"replacementUuid": name})
        assert await client.call("eth_cancelBundle", {"replacementUuid": "two"}) is True
        assert (await stage.builder.seal()).hashes == (decode(second).hash,)
        assert (await stage.builder.seal()).hashes == ()


@pytest.mark.chain
async def test_of_a_public_and_a_private_rival_on_one_nonce_the_better_paying_goes_in() -> None:
    async with Stage.open() as stage:
        alice, bob = stage.wallets[:2]
        public = await stage.builder.send_public(alice.sign(bob.address, nonce=0))
        private = await stage.builder.send_private(alice.sign(bob.address, nonce=0, maxPriorityFeePerGas=9 * GWEI))
        follower = await stage.builder.send_public(alice.sign(bob.address, nonce=1))
        assert (await stage.builder.seal()).hashes == (private, follower)
        assert await stage.client.call("eth_getTransactionByHash", shown(public)) is None


@pytest.mark.chain
async def test_a_public_revert_is_included_and_pays_but_a_private_one_is_not_included() -> None:
    async with Stage.open() as stage:
        reverting = await stage.deploy(REVERTING)
        alice, bob, carol = stage.wallets[:3]
        public = await stage.builder.send_public(alice.sign(reverting))
        await stage.builder.send_private(bob.sign(reverting))
        allowed = await stage.builder.send_private(carol.sign(reverting), may_revert=True)
        block = await stage.builder.seal()
        assert set(block.hashes) == {public, allowed}
        assert not any(placed.succeeded for placed in block.placed)
        assert all(placed.payment > 0 for placed in block.placed)


@pytest.mark.chain
async def test_a_private_drain_behind_a_pause_is_left_out_at_no_cost() -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        alice, bob = stage.wallets[:2]
        drain = await stage.builder.send_private(alice.sign(vault, maxPriorityFeePerGas=20 * GWEI))
        pause = await stage.builder.send_public(bob.sign(vault, data=PAUSE, maxPriorityFeePerGas=40 * GWEI))
        block = await stage.builder.seal()
        assert (block.hashes, block.voided) == ((pause,), (drain,))


@pytest.mark.chain
async def test_a_contract_creation_is_valued_with_what_its_constructor_pays() -> None:
    async with Stage.open() as stage:
        alice, bob = stage.wallets[:2]
        plain = await stage.builder.send_public(alice.sign(bob.address, maxPriorityFeePerGas=20 * GWEI))
        constructor = bytes.fromhex("5f5f5f5f34415af100")
        creation = await stage.builder.send_private(
            bob.sign(None, data=constructor, gas=200_000, value=ETHER, maxPriorityFeePerGas=GWEI)
        )
        block = await stage.builder.seal()
        assert block.hashes == (creation, plain)
        assert block.placed[0].payment > ETHER


@pytest.mark.chain
async def test_heads_and_matching_logs_are_announced_when_a_slot_is_sealed() -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        client, alice = stage.client, stage.wallets[0]
        heads = await client.call("eth_subscribe", "newHeads")
        logs = await client.call("eth_subscribe", "logs", {"address": vault})
        others = await client.call("eth_subscribe", "logs", {"address": alice.address})
        tx_hash = await stage.builder.send_public(alice.sign(vault))
        block = await stage.builder.seal()
        head, log = await client.notice(heads), await client.notice(logs)
        assert head["hash"] == log["blockHash"] == shown(block.hash)
        shown_block = await client.call("eth_getBlockByHash", head["hash"], False)
        assert head == {name: shown_block[name] for name in head}
        assert (log["transactionHash"], log["removed"]) == (shown(tx_hash), False)
        assert await client.nothing_more(others)


@pytest.mark.chain
async def test_a_reorg_removes_logs_announces_the_new_heads_and_keeps_the_rest() -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        client, builder, (alice, bob, carol) = stage.client, stage.builder, stage.wallets[:3]
        dropped = await builder.send_public(alice.sign(vault))
        kept = await builder.send_public(bob.sign(vault))
        old = [await builder.seal()]
        after_dropped = await builder.send_public(alice.sign(carol.address))
        old.append(await builder.seal())
        heads = await client.call("eth_subscribe", "newHeads")
        logs = await client.call("eth_subscribe", "logs", {})
        new = await builder.reorg(2, drop=frozenset({dropped}))
        assert [block.number for block in new] == [block.number for block in old]
        assert not {block.hash for block in new} & {block.hash for block in old}
        removed = [await client.notice(logs) for _ in range(2)]
        assert [log["removed"] for log in removed] == [True, True]
        assert {log["blockHash"] for log in removed} == {shown(old[0].hash)}
        told = [await client.notice(heads) for _ in range(2)]
        assert [head["hash"] for head in told] == [shown(block.hash) for block in new]
        assert told[1]["parentHash"] == told[0]["hash"]
        assert (await client.notice(logs))["transactionHash"] == shown(kept)
        assert [block.hashes for block in new] == [(kept,), ()]
        assert await client.call("eth_getTransactionByHash", shown(dropped)) is None
        assert builder.pool.find_public(after_dropped) is not None
        assert builder.blocks[-2:] == new
        assert builder.orphans == tuple(old)
        assert await client.call("eth_getBlockByHash", shown(old[1].hash), False) is None
        assert (await builder.seal()).number == new[1].number + 1


@pytest.mark.chain
async def test_a_reorged_transaction_is_mined_again_when_it_returns_to_the_pool() -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        alice = stage.wallets[0]
        pause = await stage.builder.send_public(alice.sign(vault, data=PAUSE))
        await stage.builder.seal()
        await stage.builder.reorg(1, drop=frozenset({pause}), return_to_pool=True)
        assert await stage.client.call("eth_getStorageAt", vault, "0x0", "latest") == "0x" + "00" * 32
        assert (await stage.builder.seal()).hashes == (pause,)
        assert await stage.client.call("eth_getStorageAt", vault, "0x0", "latest") == "0x" + "00" * 31 + "01"
        with pytest.raises(ValueError, match="depth"):
            await stage.builder.reorg(9)


@pytest.mark.chain
async def test_what_comes_in_while_blocks_are_made_is_included_once_and_never_lost() -> None:
    async with Stage.open() as stage:
        builder, wallets = stage.builder, stage.wallets
        sent: list[bytes] = []

        async def send(wallet: Wallet, reads_before: int) -> None:
            for _ in range(reads_before):  # so that the first of a new sender falls into each stage
                await builder.head()
            for _ in range(4):
                sent.append(await builder.send_public(wallet.sign(wallets[0].address)))

        for at, wallet in enumerate(wallets):
            async with asyncio.TaskGroup() as group:
                group.create_task(builder.seal())
                group.create_task(send(wallet, at % 4))
        await builder.seal()
        included = [tx_hash for block in builder.blocks for tx_hash in block.hashes]
        assert sorted(included) == sorted(sent)
        assert not builder.pool.public


@pytest.mark.chain
async def test_heads_can_come_late_and_twice() -> None:
    async with Stage.open() as stage:
        client = stage.client
        heads = await client.call("eth_subscribe", "newHeads")
        await stage.builder.seal(announce=False)
        await stage.builder.seal()
        stage.builder.announce(1, 2, 2)
        numbers = [(await client.notice(heads))["number"] for _ in range(4)]
        assert numbers == ["0x2", "0x1", "0x2", "0x2"]


@pytest.mark.chain
async def test_a_lying_node_tells_of_another_chain_from_the_newest_head_on() -> None:
    async with Stage.open() as stage:
        await stage.builder.seal()
        liar = await stage.builder.endpoint("liar")
        async with client_of(liar.ws_url) as client:
            heads = await client.call("eth_subscribe", "newHeads")
            honest = await client.call("eth_getBlockByNumber", "latest", False)
            await liar.set_faults(Faults(lying=True, forged={"eth_getBalance": lambda _, __: "0x1"}))
            lie = await client.call("eth_getBlockByNumber", "latest", False)
            assert lie["hash"] != honest["hash"]
            assert lie["parentHash"] == honest["parentHash"]
            assert await client.call("eth_getBlockByHash", lie["hash"], False) == lie
            assert await client.call("eth_getBalance", stage.wallets[0].address, "latest") == "0x1"
            block = await stage.builder.seal()
            told = await client.notice(heads)
            assert told["hash"] != shown(block.hash)
            assert told["parentHash"] == lie["hash"]
            await liar.set_faults(Faults())
            assert (await client.call("eth_getBlockByNumber", "latest", False))["hash"] == shown(block.hash)


@pytest.mark.chain
async def test_a_stalled_node_answers_with_its_old_head_and_sends_nothing() -> None:
    async with Stage.open() as stage:
        alice, bob = stage.wallets[:2]
        stalled = await stage.builder.endpoint("stalled")
        async with client_of(stalled.ws_url) as client:
            heads = await client.call("eth_subscribe", "newHeads")
            pending = await client.call("eth_subscribe", "newPendingTransactions")
            await stalled.set_faults(Faults(stalled=True))
            before = await client.call("eth_getBalance", bob.address, "latest")
            tx_hash = await stage.builder.send_public(alice.sign(bob.address, value=ETHER))
            await stage.builder.seal()
            assert await client.call("eth_blockNumber") == "0x0"
            assert (await client.call("eth_getBlockByNumber", "latest", False))["number"] == "0x0"
            assert await client.call("eth_getBlockByNumber", "0x1", False) is None
            assert await client.call("eth_getBalance", bob.address, "latest") == before
            assert await client.call("eth_getTransactionReceipt", shown(tx_hash)) is None
            assert await client.call("eth_getLogs", {"fromBlock": "0x0"}) == []
            assert await client.nothing_more(heads)
            assert await client.nothing_more(pending)
            await stalled.set_faults(Faults())
            assert await client.call("eth_blockNumber") == "0x1"


@pytest.mark.chain
async def test_a_cut_node_drops_its_clients_and_comes_back_on_the_same_port() -> None:
    async with Stage.open() as stage:
        node = await stage.builder.endpoint("cut")
        async with client_of(node.ws_url) as client:
            await client.call("eth_blockNumber")
            await node.set_faults(Faults(cut=True))
            await client.closed()
        with pytest.raises(ConnectionRefusedError):
            await connect(node.ws_url, proxy=None)
        await stage.builder.seal()
        await node.set_faults(Faults())
        async with client_of(node.ws_url) as client:
            assert await client.call("eth_blockNumber") == "0x1"
        assert await stage.client.call("eth_blockNumber") == "0x1"


@pytest.mark.chain
async def test_a_slow_node_answers_no_sooner_than_its_delay() -> None:
    async with Stage.open() as stage:
        node = await stage.builder.endpoint("slow", Faults(slow_ms=60))
        now = asyncio.get_running_loop().time
        async with client_of(node.ws_url) as client:
            began = now()
            assert await client.call("eth_blockNumber") == "0x0"
            assert now() - began >= 0.06


@pytest.mark.chain
async def test_batches_are_answered_over_both_transports_with_their_own_ids() -> None:
    async with Stage.open() as stage:
        requests = [
            {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []},
            {
                "jsonrpc": "2.0",
                "id": 7,
                "method": "eth_getTransactionCount",
                "params": [stage.wallets[0].address, "pending"],
            },
            {"jsonrpc": "2.0", "id": None, "method": "no_such_method", "params": []},
            {"jsonrpc": "2.0", "id": 8, "method": "eth_blockNumber"},
        ]
        await stage.client.send(requests)
        over_socket = await stage.client.receive()
        async with httpx.AsyncClient(trust_env=False) as http:
            over_http = (await http.post(stage.builder.http_url, json=requests)).json()
            unreadable = (await http.post(stage.builder.http_url, content=b"{")).json()
            subscribing = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
            refused = (await http.post(stage.builder.http_url, json=subscribing)).json()
        assert over_socket == over_http
        assert [reply["id"] for reply in over_http] == ["a", 7, None, 8]
        assert [reply.get("result") for reply in over_http] == ["0x7a69", "0x0", None, "0x0"]
        assert "error" in over_http[2]
        assert unreadable["error"]["code"] == -32_700
        assert refused["error"]["message"] == "notifications not supported"


@pytest.mark.chain
async def test_everything_else_passes_through_as_the_node_answers_it() -> None:
    async with Stage.open() as stage:
        async with client_of(stage.anvil.ws_url) as node:
            for method, params in (
                ("eth_getBlockByNumber", ["latest", True]),
                ("eth_feeHistory", ["0x1", "latest", []]),
                ("eth_call", [{"to": stage.wallets[0].address}, "0x99"]),
                ("eth_getBalance", ["not an address", "latest"]),
                ("debug_traceTransaction", ["0x" + "00" * 32, {}]),
            ):
                ours, theirs = await stage.client.ask(method, *params), await node.ask(method, *params)
                assert {**ours, "id": 0} == {**theirs, "id": 0}
        refusal = await stage.client.refusal("evm_mine")
        assert refusal == "evm_mine is not offered here: use Builder.seal"


@pytest.mark.chain
async def test_a_dump_says_all_that_happened(tmp_path: Path) -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        alice, bob = stage.wallets[:2]
        sent = await stage.builder.send_public(alice.sign(bob.address, value=ETHER))
        await stage.builder.seal()
        await stage.builder.dump(tmp_path, balances_of=[bob.address])
        written = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
        read = {path.name: msgspec.json.decode(path.read_bytes()) for path in written}
        assert [block["number"] for block in read["blocks.json"]] == ["0x0", "0x1", "0x2"]
        assert read["blocks.json"][2]["transactions"][0]["hash"] == shown(sent)
        assert [receipt["blockNumber"] for receipt in read["receipts.json"]] == ["0x1", "0x2"]
        assert read["state.json"]["accounts"][vault.lower()]["code"] == "0x" + PAUSABLE
        balances = [int(read["state.json"]["balances"][n][bob.address], 16) for n in ("1", "2")]
        assert balances[1] - balances[0] == ETHER
        assert read["built.json"]["blocks"][1]["placed"][0]["lane"] == "public"
        assert len(read["built.json"]["arrivals"]) == 2


@pytest.mark.chain
async def test_a_typed_transaction_of_every_kind_is_decoded_and_mined() -> None:
    async with Stage.open() as stage:
        alice, bob, carol = stage.wallets[:3]
        access = [{"address": bob.address, "storageKeys": ["0x" + "01" * 32]}]
        authority = carol.account.sign_authorization({"chainId": 31_337, "address": bob.address, "nonce": 0})
        legacy = {"gasPrice": 20 * GWEI}
        sent = []
        for fields in (
            legacy,
            legacy | {"accessList": access, "type": 1},
            {"accessList": access},
            {"authorizationList": [authority]},
        ):
            raw = alice.sign(bob.address, **fields)
            assert decode(raw).sender == alice.sender
            sent.append(await stage.builder.send_public(raw))
        block = await stage.builder.seal()
        assert block.hashes == tuple(sent)
        code = await stage.client.call("eth_getCode", carol.address, "latest")
        assert code == "0xef0100" + bob.address[2:].lower()


@pytest.mark.chain
async def test_anvil_is_gone_after_a_failure_inside() -> None:
    anvil = Anvil()

    async def fail_inside() -> None:
        async with anvil:
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        await fail_inside()
    assert anvil.pid is None
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.post(anvil.http_url, json={})


@pytest.mark.chain
async def test_an_anvil_that_does_not_start_shows_the_end_of_its_stderr() -> None:
    with pytest.raises(AnvilFailed, match="--no-such-option"):
        async with Anvil(AnvilOptions(extra=("--no-such-option",))):
            pass


@pytest.mark.chain
async def test_the_builder_fails_loudly_when_the_node_dies() -> None:
    async def outlive(anvil: Anvil) -> None:
        async with asyncio.timeout(DEADLINE_S), Builder(anvil.ws_url):
            await anvil.__aexit__(None, None, None)
            await asyncio.Event().wait()

    async with Anvil() as anvil:
        with pytest.raises(ExceptionGroup) as failure:
            await outlive(anvil)
        assert failure.group_contains(ConnectionClosed)


@pytest.mark.chain
async def test_blocks_are_built_reorged_and_dumped_on_a_fork_too(tmp_path: Path) -> None:
    async with Stage.open() as stage:
        vault = await stage.deploy(PAUSABLE)
        options = AnvilOptions(chain_id=31_337, fork_url=stage.anvil.http_url)
        async with asyncio.timeout(DEADLINE_S), Anvil(options) as fork, Builder(fork.ws_url) as builder:
            pause = await builder.send_public(stage.wallets[0].sign(vault, data=PAUSE))
            sent = await builder.send_public(stage.wallets[1].sign(vault, gas=200_000))
            assert set((await builder.seal()).hashes) == {pause, sent}
            (again,) = await builder.reorg(1, drop=frozenset({pause}))
            assert [(p.transaction.hash, p.succeeded) for p in again.placed] == [(sent, True)]
            await builder.dump(tmp_path)
        blocks = msgspec.json.decode(await asyncio.to_thread((tmp_path / "blocks.json").read_bytes))
        assert [block["number"] for block in blocks] == ["0x1", "0x2"]


def test_the_base_fee_moves_by_an_eighth_at_most() -> None:
    assert next_base_fee(GWEI, 0, 30_000_000) == GWEI * 7 // 8
    assert next_base_fee(GWEI, 15_000_000, 30_000_000) == GWEI
    assert next_base_fee(GWEI, 30_000_000, 30_000_000) == GWEI * 9 // 8
    assert next_base_fee(0, 30_000_000, 30_000_000) == 1


def candidate(sequence: int, sender: int, nonce: int, *, payment: int, gas: int = 21_000) -> Candidate:
    name = bytes([sender]) * 20
    transaction = Transaction(
        raw=b"", hash=sequence.to_bytes(32), sender=name, chain_id=1, to=name, nonce=nonce, gas=gas,
        max_fee=0, max_priority=0, value=0, body={},
    )  # fmt: skip
    return Candidate((transaction,), gas_used=gas, payment=payment, sequence=sequence, may_revert=frozenset())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 10**9)), max_size=24),
    st.integers(0, 30),
)
def test_an_order_never_skips_a_nonce_and_never_prefers_the_worse_paid(
    wanted: Sequence[tuple[int, int, int]], room: int
) -> None:
    candidates = [candidate(i, s, n, payment=p) for i, (s, n, p) in enumerate(wanted)]
    nonces = {bytes([sender]) * 20: 0 for sender in range(4)}
    chosen = order(candidates, nonces, gas_limit=room * 21_000)
    assert len(chosen) <= room
    for at, pick in enumerate(chosen):
        (transaction,) = pick.transactions
        assert transaction.nonce == nonces[transaction.sender]
        ready = [c for c in candidates if c.transactions[0].nonce == nonces[c.transactions[0].sender]]
        assert pick.value_per_gas == max(c.value_per_gas for c in ready), at
        nonces[transaction.sender] += 1
