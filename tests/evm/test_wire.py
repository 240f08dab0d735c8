"""Bodies off the socket: decoded fast, converted strictly, and never worse than Undecodable."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from monitor.evm import wire
from monitor.evm.wire import (
    WireBlock,
    WireBlockHashes,
    WireHeader,
    WireLog,
    WireMessage,
    WireReceipt,
    WireSimulatedBlock,
    WireTransaction,
    decode,
)
from monitor.model.chain import Header, Log, Transaction
from monitor.model.errors import Undecodable
from monitor.model.units import NO_HASH, Address, Hash, Wei
from tests.evm.evm_builders import ALICE, BOB, HASH, block, body, encoded, shown, word

OPTIONAL = ("to", "nonce", "value", "gas", "type", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "input")


def converted(**changed: Any) -> Transaction:
    return wire.transaction(decode(encoded(body(**changed)), WireTransaction))


def test_a_transaction_becomes_the_models() -> None:
    assert converted(input="0x0102") == Transaction(
        hash=Hash(b"\xab" * 32),
        sender=ALICE,
        to=BOB,
        nonce=7,
        value=Wei(5),
        gas=100_000,
        max_fee=30,
        max_priority_fee=2,
        data=b"\x01\x02",
        kind=2,
    )


def test_a_legacy_transaction_pays_its_price_twice() -> None:
    legacy = {key: value for key, value in body(type="0x0").items() if not key.startswith("max")}
    tx = wire.transaction(decode(encoded(legacy), WireTransaction))
    assert (tx.kind, tx.max_fee, tx.max_priority_fee) == (0, 20, 20)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_field_that_is_missing_does_not_stop_the_rest(name: str) -> None:
    fields = body()
    del fields[name]
    assert wire.transaction(decode(encoded(fields), WireTransaction)).sender == ALICE


@pytest.mark.parametrize("name", [*OPTIONAL[:-1], "accessList", "authorizationList", "blobVersionedHashes"])
def test_null_is_as_good_as_missing(name: str) -> None:
    assert converted(**{name: None}).sender == ALICE


@pytest.mark.parametrize("kind", ["0x7e", "0x6a", "0xff"])
def test_a_type_that_we_do_not_know_keeps_what_it_shares_with_the_others(kind: str) -> None:
    tx = converted(type=kind, sourceHash=HASH, mint="0x1", isSystemTx=True)
    assert (tx.kind, tx.to, tx.value) == (int(kind, 16), BOB, 5)


def test_an_access_list_costs_its_intrinsic_gas() -> None:
    access = [{"address": shown(BOB), "storageKeys": [HASH, HASH]}, {"address": shown(ALICE), "storageKeys": None}]
    assert converted(accessList=access).access_gas == 2 * 2400 + 2 * 1900


def test_blobs_are_counted() -> None:
    tx = converted(type="0x3", blobVersionedHashes=[HASH, HASH], maxFeePerBlobGas="0x9")
    assert (tx.blobs, tx.max_blob_fee) == (2, 9)


def test_the_authority_of_a_delegation_is_recovered() -> None:
    owner = Account.from_key(b"\x07" * 32)
    signed = owner.sign_authorization({"chainId": 1, "address": BOB, "nonce": 3})
    entry = {
        "chainId": "0x1",
        "address": shown(BOB),
        "nonce": "0x3",
        "r": hex(signed.r),
        "s": hex(signed.s),
    }
    for sign in ({"yParity": hex(signed.y_parity)}, {"v": hex(signed.y_parity + 27)}):
        (found,) = converted(type="0x4", authorizationList=[entry | sign]).authorizations
        assert found.authority == bytes.fromhex(owner.address[2:])
        assert (found.chain_id, found.address, found.nonce) == (1, BOB, 3)
    (forged,) = converted(type="0x4", authorizationList=[entry | {"yParity": "0x0", "s": "0x0"}]).authorizations
    assert forged.authority is None


def test_more_authorizations_than_a_block_can_hold_are_undecodable() -> None:
    entry = {"chainId": "0x1", "address": shown(BOB), "nonce": "0x0", "r": "0x0", "s": "0x0", "yParity": "0x0"}
    with pytest.raises(Undecodable, match="authorizations"):
        converted(type="0x4", authorizationList=[entry] * (wire.MAX_AUTHORIZATIONS + 1))


def test_a_block_is_decoded_with_its_transactions_still_text() -> None:
    decoded = decode(encoded(block(body(), body(to=None))), WireBlock)
    assert [tx.to for tx in decoded.transactions] == [shown(BOB), None]
    assert wire.header(decoded) == Header(
        number=16,
        hash=Hash(b"\xab" * 32),
        parent=Hash(b"\xcd" * 32),
        timestamp=100,
        base_fee=7,
        gas_limit=30_000_000,
        gas_used=21_000,
        coinbase=BOB,
        prev_randao=Hash(b"\xef" * 32),
    )


def test_a_block_of_hashes_is_decoded_too() -> None:
    assert decode(encoded(block() | {"transactions": [HASH]}), WireBlockHashes).transactions == [HASH]


def test_a_header_from_before_london_has_no_base_fee_and_no_randomness() -> None:
    fields = block()
    del fields["baseFeePerGas"], fields["mixHash"], fields["miner"]
    found = wire.header(decode(encoded(fields), WireHeader))
    assert (found.base_fee, found.prev_randao, found.coinbase) == (0, NO_HASH, Address(bytes(20)))


@pytest.mark.parametrize("missing", ["hash", "number"])
def test_a_pending_header_is_undecodable(missing: str) -> None:
    with pytest.raises(Undecodable, match="pending"):
        wire.header(decode(encoded(block(**{missing: None})), WireHeader))


def test_a_log_becomes_the_models() -> None:
    fields = {"address": shown(BOB), "topics": [HASH], "data": "0x01", "logIndex": "0x4", "removed": False}
    assert wire.log(decode(encoded(fields), WireLog)) == Log(BOB, (b"\xab" * 32,), b"\x01", 4)


def test_a_log_of_five_topics_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        decode(encoded({"address": shown(BOB), "topics": [HASH] * 5, "data": "0x"}), WireLog)


def test_a_receipt_says_whether_it_went_well() -> None:
    fields = {
        "transactionHash": HASH,
        "gasUsed": "0x5208",
        "status": "0x0",
        "effectiveGasPrice": "0x9",
        "blockNumber": "0x10",
        "blockHash": HASH,
        "transactionIndex": "0x2",
        "contractAddress": shown(BOB),
        "logs": [{"address": shown(BOB), "topics": [], "data": "0x"}],
    }
    found = wire.receipt(decode(encoded(fields), WireReceipt))
    assert (found.ok, found.gas_used, found.effective_gas_price, found.index) == (False, 21_000, 9, 2)
    assert (found.contract, found.logs, found.block_number) == (BOB, (Log(BOB, (), b""),), 16)


def test_a_receipt_from_before_byzantium_counts_as_gone_well() -> None:
    found = wire.receipt(decode(encoded({"transactionHash": HASH, "gasUsed": "0x1", "root": HASH}), WireReceipt))
    assert found.ok
    assert (found.block_hash, found.contract) == (NO_HASH, None)


def test_an_answer_and_a_notice_share_an_envelope() -> None:
    answer = decode(b'{"jsonrpc":"2.0","id":7,"result":{"a":1}}', WireMessage)
    assert (answer.id, bytes(answer.result), answer.error) == (7, b'{"a":1}', None)
    refused = decode(b'{"id":7,"error":{"code":-32000,"message":"no","data":"0x"}}', WireMessage)
    assert refused.error is not None
    assert (refused.error.code, refused.error.message) == (-32000, "no")
    notice = decode(b'{"method":"eth_subscription","params":{"subscription":"0x1","result":"0x2"}}', WireMessage)
    assert notice.params is not None
    assert decode(notice.params.result, str) == "0x2"


def test_an_answer_of_eth_simulate_is_decoded() -> None:
    call: dict[str, Any] = {"status": "0x1", "returnData": "0x", "gasUsed": "0x1", "logs": [], "error": None}
    (simulated,) = decode(encoded([block(calls=[call])]), list[WireSimulatedBlock])
    assert simulated.calls[0].status == "0x1"


def test_a_message_over_its_cap_is_refused_unread() -> None:
    assert decode(b'"0x1"', str, max_bytes=5) == "0x1"
    for data in (b'"0x12"', Raw(b'"0x12"')):
        with pytest.raises(Undecodable, match="at most 5"):
            decode(data, str, max_bytes=5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"hash":1}',
        b'{"hash":"' + b"0" * 67 + b'","from":"0x"}',
        b'{"hash":"\xff","from":"0x"}',
        b'{"hash":"0x","from":"0x","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"hash":"0x","from":"0x","accessList":' + b'{"a":' * 100_000,
    ],
)
def test_hostile_bytes_are_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(data, WireTransaction)


@pytest.mark.parametrize(
    "changed",
    [
        {"from": "0x12"},
        {"to": "0x" + "zz" * 20},
        {"nonce": "0x1" + "0" * 16},
        {"value": "0x1" + "0" * 64},
        {"gas": "0x1" + "0" * 17},
        {"type": "0x100"},
        {"input": "0xabc"},
        {"hash": "0xab"},
        {"accessList": {"address": 1}},
        {"accessList": [{"address": "0x" + "0" * 66}]},
        {"blobVersionedHashes": [1]},
        {"authorizationList": [{"chainId": "0x1"}]},
    ],
)
def test_a_field_out_of_its_bounds_is_undecodable(changed: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        converted(**changed)


def test_deep_nesting_ends_no_process_whatever_recursion_limit_somebody_set() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(Undecodable):
            decode(b"[" * 200_000, Raw)
    finally:
        sys.setrecursionlimit(limit)


def test_a_thousand_broken_messages_are_undecodable_or_whole() -> None:
    rng = random.Random(7)
    whole = encoded(block(body(accessList=[{"address": shown(BOB), "storageKeys": [HASH]}]), body(type="0x3")))
    outcomes = [_outcome(_broken(whole, rng)) for _ in range(1000)]
    assert set(outcomes) == {"whole", "undecodable"}
    assert outcomes.count("undecodable") > 300


def _broken(whole: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(whole)), rng.randrange(1, 9)
    return rng.choice(
        (whole[:at], whole[:at] + rng.randbytes(size) + whole[at + size :], whole[:at] + whole[at + size :])
    )


def _outcome(data: bytes) -> str:
    try:
        decoded = decode(data, WireBlock)
        wire.header(decoded)
        for each in decoded.transactions:
            wire.transaction(each)
    except Undecodable:
        return "undecodable"
    return "whole"


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), lambda inner: st.lists(inner), max_leaves=8))
def test_any_json_in_any_field_is_undecodable_or_whole(value: Any) -> None:
    for name in (*body(), "accessList", "authorizationList", "blobVersionedHashes"):
        assert _outcome(json.dumps(block(body(**{name: value}))).encode()) in ("whole", "undecodable")


def test_words_of_the_builders_are_32_bytes() -> None:
    assert word(1) == bytes(31) + b"\x01"
    assert len(word(b"\x01")) == 32
