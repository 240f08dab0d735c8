"""Raw transactions by their own bytes, and whether one can be mined."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import coincurve
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import rlp, transactions
from monitor.evm.transactions import (
    CURVE_ORDER,
    Signature,
    decode_raw,
    encode_signed,
    encode_unsigned,
    keccak,
    not_includable,
    recover,
    recover_authority,
)
from monitor.model.chain import Authorization, TransactionRequest
from monitor.model.errors import Undecodable
from monitor.model.units import Address, Hash, Wei
from tests.evm.evm_builders import ALICE, BOB, CHAIN, shown, tx

OWNER = Account.from_key(b"\x07" * 32)
OWNER_ADDRESS = Address(bytes.fromhex(OWNER.address[2:]))
SHARED = {"nonce": 7, "gas": 100_000, "to": BOB, "value": 5, "data": b"\x01\x00", "chainId": 1}
DYNAMIC = {"maxFeePerGas": 30, "maxPriorityFeePerGas": 2}
ACCESS = [{"address": shown(BOB), "storageKeys": ["0x" + "00" * 32, "0x" + "01" * 32]}]
KINDS: dict[int, dict[str, Any]] = {
    0: {"gasPrice": 30},
    1: {"gasPrice": 30, "accessList": ACCESS},
    2: {**DYNAMIC, "accessList": ACCESS},
    4: {
        **DYNAMIC,
        "authorizationList": [OWNER.sign_authorization({"chainId": 1, "address": ALICE, "nonce": 9})],
    },
}


def signed(**changed: Any) -> Any:
    return OWNER.sign_transaction(SHARED | changed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_transaction_of_each_type_decodes_to_what_was_signed(kind: int) -> None:
    raw = signed(**KINDS[kind])
    found = decode_raw(raw.raw_transaction, chain_id=CHAIN)
    assert (found.hash, found.sender, found.kind) == (bytes(raw.hash), OWNER_ADDRESS, kind)
    assert (found.nonce, found.gas, found.to, found.value, found.data) == (7, 100_000, BOB, 5, b"\x01\x00")
    assert (found.max_fee, found.max_priority_fee) == (30, 2 if kind in (2, 4) else 30)
    assert found.access_gas == (2400 + 2 * 1900 if kind in (1, 2) else 0)
    assert found.authorizations == ((Authorization(1, ALICE, 9, OWNER_ADDRESS),) if kind == 4 else ())


def blob_body(**changed: Any) -> list[Any]:
    """An unsigned type-3 body, by name."""
    fields: dict[str, Any] = {
        "chain_id": 1,
        "nonce": 7,
        "tip": 2,
        "fee": 30,
        "gas": 100_000,
        "to": BOB,
        "value": 5,
        "data": b"",
        "access": [],
        "blob_fee": 9,
        "blobs": [b"\x01" * 32, b"\x02" * 32],
    }
    return list((fields | changed).values())


def sign(kind: int, body: list[Any]) -> list[Any]:
    digest = keccak(bytes((kind,)) + rlp.encode(body))
    compact = coincurve.PrivateKey(b"\x07" * 32).sign_recoverable(digest, hasher=None)
    return [*body, compact[64], int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big")]


def test_a_blob_transaction_is_the_same_mined_and_in_the_pool() -> None:
    body = sign(3, blob_body())
    mined = decode_raw(b"\x03" + rlp.encode(body))
    pooled = decode_raw(b"\x03" + rlp.encode([body, [b"\x00" * 131_072], [b"\x01" * 48], [b"\x02" * 48]]))
    assert mined == pooled
    assert (mined.sender, mined.blobs, mined.max_blob_fee) == (OWNER_ADDRESS, 2, 9)


def test_a_transaction_for_another_chain_is_undecodable() -> None:
    for kind in (0, 2):
        raw = signed(**KINDS[kind]).raw_transaction
        assert decode_raw(raw).sender == OWNER_ADDRESS
        with pytest.raises(Undecodable, match="signed for chain 1, not 5"):
            decode_raw(raw, chain_id=5)


def test_a_legacy_transaction_for_every_chain_decodes_only_where_that_is_allowed() -> None:
    body: list[Any] = [7, 30, 100_000, b"", 5, b""]
    compact = coincurve.PrivateKey(b"\x07" * 32).sign_recoverable(keccak(rlp.encode(body)), hasher=None)
    tail = [27 + compact[64], int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big")]
    raw = rlp.encode([*body, *tail])
    assert (decode_raw(raw).sender, decode_raw(raw).to) == (OWNER_ADDRESS, None)
    with pytest.raises(Undecodable, match="chain 0"):
        decode_raw(raw, chain_id=CHAIN)
    with pytest.raises(Undecodable, match="v = 30"):
        decode_raw(rlp.encode([*body, 30, *tail[1:]]))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no bytes"),
        (b"\x05\xc0", "type 0x05"),
        (b"\x7e\xc0", "type 0x7e"),
        (b"\x80", "type 0x80"),
        (b"\x02\xc0", "list of 12"),
        (b"\x03\xc0", "list of 14"),
        (b"\x02\x80", "list of any"),
        (b"\x02" + rlp.encode([*sign(2, blob_body()[:9])[:9], 2, 1, 1]), "parity 2"),
        (b"\x02" + rlp.encode([*sign(2, blob_body()[:9])[:9], 0, 0, 1]), "recovers to nobody"),
        (b"\x02" + rlp.encode(sign(2, blob_body(to=b"\x01" * 19)[:9])), "address of 19"),
        (b"\x02" + rlp.encode(sign(2, blob_body(to=[])[:9])), "not a list"),
        (b"\x02" + rlp.encode(sign(2, blob_body(nonce=2**64)[:9])), "64 bits"),
        (b"\x02" + rlp.encode(sign(2, blob_body(access=[[BOB]])[:9])), "list of 2"),
        (b"\x04" + rlp.encode(sign(4, [*blob_body()[:9], [[1, BOB, 0, 2, 1, 1]]])), "parity 2"),
    ],
)
def test_a_broken_transaction_is_undecodable(raw: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode_raw(raw)


@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_bytes_are_undecodable(noise: bytes, kind: int) -> None:
    with pytest.raises(Undecodable):
        decode_raw(bytes((kind,)) + noise)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_changes_the_sender_or_the_whole(at: int, flip: int) -> None:
    raw = bytearray(signed(**KINDS[2]).raw_transaction)
    raw[at % len(raw)] ^= flip
    with suppress(Undecodable):
        assert decode_raw(bytes(raw)).sender != OWNER_ADDRESS


def test_a_signature_recovers_only_where_it_can() -> None:
    digest = Hash(b"\x01" * 32)
    compact = coincurve.PrivateKey(b"\x07" * 32).sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big"), compact[64]
    assert recover(digest, Signature(r, s, parity)) == OWNER_ADDRESS
    assert recover(digest, Signature(r, s, parity + 27)) == OWNER_ADDRESS
    for broken in (
        (0, s, parity),
        (CURVE_ORDER, s, parity),
        (r, 0, parity),
        (r, CURVE_ORDER - s, 1 - parity),
        (r, s, 2),
    ):
        assert recover(digest, Signature(*broken)) is None
    assert recover(digest, Signature(5, 1, 0)) is None  # no point of the curve has x = 5


def test_an_authority_is_whoever_signed_the_tuple() -> None:
    entry = OWNER.sign_authorization({"chainId": 0, "address": BOB, "nonce": 1})
    signature = Signature(entry.r, entry.s, entry.y_parity)
    assert recover_authority(0, BOB, 1, signature=signature) == OWNER_ADDRESS
    assert recover_authority(0, BOB, 2, signature=signature) != OWNER_ADDRESS


def test_a_response_is_encoded_as_every_signer_expects() -> None:
    request = TransactionRequest(CHAIN, OWNER_ADDRESS, BOB, 7, 100_000, 30, 2, b"\x01\x00", Wei(5))
    digest = keccak(encode_unsigned(request))
    compact = coincurve.PrivateKey(b"\x07" * 32).sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big"), compact[64]
    expected = bytes(signed(**DYNAMIC).raw_transaction)
    assert encode_signed(request, Signature(r, s, parity)) == expected
    assert encode_signed(request, Signature(r, s, parity + 27)) == expected


def why(*, next_nonce: int = 7, balance: int = 10**9, base_fee: int = 10, **changed: Any) -> str:
    return not_includable(
        tx(**changed), next_nonce=next_nonce, balance=balance, base_fee=base_fee, gas_limit=200_000, blob_base_fee=4
    )


DELEGATION = (Authorization(1, BOB, 0),)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"next_nonce": 8}, "nonce 7, but the sender's next is 8"),
        ({"next_nonce": 6}, "nonce 7, but the sender's next is 6"),
        ({"nonce": 2**64 - 1, "next_nonce": 2**64 - 1}, "EIP-2681"),
        ({"base_fee": 30}, ""),
        ({"base_fee": 31}, "below the next base fee"),
        ({"max_priority_fee": 31}, "above the max fee"),
        ({"gas": 200_000}, ""),
        ({"gas": 200_001}, "over the block's"),
        ({"gas": 21_000}, ""),
        ({"gas": 20_999}, "below the intrinsic 21000"),
        ({"balance": 100_000 * 30 + 5}, ""),
        ({"balance": 100_000 * 30 + 4}, "costs up to 3000005 wei"),
        ({"kind": 0x7E}, "never comes from a pool"),
        ({"kind": 3, "blobs": 1, "max_blob_fee": 4}, ""),
        ({"kind": 3, "blobs": 1, "max_blob_fee": 3}, "below the next 4"),
        ({"kind": 3, "blobs": 1, "max_blob_fee": 10_000}, "costs up to"),
        ({"kind": 3}, "0 blobs"),
        ({"kind": 2, "blobs": 1, "max_blob_fee": 4}, "1 blobs"),
        ({"kind": 3, "blobs": 1, "max_blob_fee": 4, "to": None}, "cannot deploy"),
        ({"kind": 4, "authorizations": DELEGATION}, ""),
        ({"kind": 4}, "0 authorizations"),
        ({"kind": 4, "authorizations": DELEGATION, "to": None}, "cannot deploy"),
        ({"to": None}, ""),
        ({"to": None, "data": bytes(49_153), "gas": 200_000 - 1}, "below the intrinsic"),
    ],
)
def test_what_can_be_mined_is_our_own_check(changed: dict[str, Any], reason: str) -> None:
    found = why(**changed)
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_contract_cannot_send() -> None:
    reason = not_includable(tx(), next_nonce=7, balance=10**9, base_fee=1, gas_limit=10**6, sender_has_code=True)
    assert "EIP-3607" in reason


def test_initcode_has_a_limit() -> None:
    big = tx(to=None, data=bytes(49_153), gas=10**6)
    assert "initcode" in not_includable(big, next_nonce=7, balance=10**9, base_fee=1, gas_limit=10**6)


@pytest.mark.parametrize(
    ("changed", "gas"),
    [
        ({}, 21_000),
        ({"data": b"\x00\x01"}, 21_000 + 10 * 5),  # the floor of EIP-7623 binds
        ({"data": b"\x01" * 10, "access_gas": 4_300}, 21_000 + 160 + 4_300),
        ({"to": None, "data": b"\x01" * 33}, 21_000 + 16 * 33 + 32_000 + 4),
        ({"kind": 4, "authorizations": DELEGATION * 2}, 21_000 + 50_000),
    ],
)
def test_intrinsic_gas_follows_the_rules_of_prague(changed: dict[str, Any], gas: int) -> None:
    assert transactions.intrinsic_gas(tx(**changed)) == gas
