"""A node cannot make up a transaction: hash and sender follow from the fields and the signature."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from monitor.evm.authentic import authentic, raw_of
from monitor.evm.transactions import decode_raw
from monitor.evm.wire import WireTransaction, decode, transaction
from monitor.model.errors import Undecodable
from tests.evm.evm_builders import ALICE, BOB, CHAIN, body, encoded, shown

OWNER = Account.from_key(b"\x07" * 32)
ACCESS = [{"address": shown(BOB), "storageKeys": ["0x" + "01" * 32]}]


def sent(**changed: Any) -> dict[str, Any]:
    """The JSON body of a transaction that OWNER really signed."""
    wanted = {"nonce": 7, "gas": 100_000, "to": BOB, "value": 5, "data": b"\x01", "chainId": 1} | changed
    signed = OWNER.sign_transaction(wanted)
    fields = {
        "hash": shown(signed.hash),
        "from": OWNER.address.lower(),
        "to": shown(BOB) if wanted["to"] else None,
        "nonce": "0x7",
        "value": "0x5",
        "gas": "0x186a0",
        "input": "0x01",
        "chainId": "0x1",
        "r": hex(signed.r),
        "s": hex(signed.s),
        "v": hex(signed.v),
    }
    return fields


LEGACY = sent(gasPrice=9) | {"gasPrice": "0x9", "type": "0x0"}
EVERYWHERE = {key: value for key, value in LEGACY.items() if key != "chainId"}
LISTED = sent(gasPrice=9, accessList=ACCESS) | {"gasPrice": "0x9", "type": "0x1", "accessList": ACCESS}
DYNAMIC = sent(maxFeePerGas=9, maxPriorityFeePerGas=1) | {
    "maxFeePerGas": "0x9",
    "maxPriorityFeePerGas": "0x1",
    "type": "0x2",
}


def wired(fields: dict[str, Any]) -> WireTransaction:
    return decode(encoded(fields), WireTransaction)


@pytest.mark.parametrize("fields", [LEGACY, EVERYWHERE, LISTED, DYNAMIC])
def test_what_was_signed_is_authentic_and_equals_what_the_node_said(fields: dict[str, Any]) -> None:
    wire = wired(fields)
    assert authentic(wire, chain_id=CHAIN) == transaction(wire) == decode_raw(raw_of(wire))


def test_a_deployment_is_authentic_too() -> None:
    fields = sent(maxFeePerGas=9, maxPriorityFeePerGas=1, to=b"", data=b"\x01")
    deploys = fields | {"to": None, "type": "0x2", "maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x1"}
    assert authentic(wired(deploys), chain_id=CHAIN).to is None


@pytest.mark.parametrize(
    "lie",
    [
        {"value": "0x6"},
        {"to": shown(ALICE)},
        {"input": "0x02"},
        {"nonce": "0x8"},
        {"hash": "0x" + "11" * 32},
        {"maxFeePerGas": "0xa"},
        {"accessList": ACCESS},
    ],
)
def test_a_changed_field_is_found_by_the_hash(lie: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        authentic(wired(DYNAMIC | lie), chain_id=CHAIN)


def test_a_sender_that_did_not_sign_is_found() -> None:
    with pytest.raises(Undecodable, match="was not signed by"):
        authentic(wired(DYNAMIC | {"from": shown(ALICE)}), chain_id=CHAIN)


def test_a_transaction_of_another_chain_is_found() -> None:
    for fields in (LEGACY, DYNAMIC):
        with pytest.raises(Undecodable, match="signed for chain 1"):
            authentic(wired(fields), chain_id=10)


def test_types_without_a_signature_that_we_know_are_undecodable() -> None:
    with pytest.raises(Undecodable, match="type 0x7e"):
        raw_of(wired(DYNAMIC | {"type": "0x7e"}))
    with pytest.raises(Undecodable, match="without a signature"):
        raw_of(wired(body()))
