"""Value that moved, in the shapes that tokens really use."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from monitor.evm import tokens
from monitor.evm.tokens import DEPOSIT_TOPIC, TRANSFER_TOPIC, WITHDRAWAL_TOPIC, ether_of, transfer_of, transfers_of
from monitor.model.chain import CallFrame, Log, Transfer
from monitor.model.units import NATIVE, NOBODY, Wei
from tests.evm.evm_builders import ALICE, BOB, DAI, VAULT, log_of, tx, word

WETH = DAI
SENT = Transfer(DAI, ALICE, BOB, Wei(9))


@pytest.mark.parametrize(
    ("constant", "text"),
    [
        ("TRANSFER_TOPIC", "Transfer(address,address,uint256)"),
        ("APPROVAL_TOPIC", "Approval(address,address,uint256)"),
        ("DEPOSIT_TOPIC", "Deposit(address,uint256)"),
        ("WITHDRAWAL_TOPIC", "Withdrawal(address,uint256)"),
        ("TRANSFER", "transfer(address,uint256)"),
        ("TRANSFER_FROM", "transferFrom(address,address,uint256)"),
        ("APPROVE", "approve(address,uint256)"),
        ("BALANCE_OF", "balanceOf(address)"),
        ("TOTAL_SUPPLY", "totalSupply()"),
        ("TOTAL_ASSETS", "totalAssets()"),
    ],
)
def test_each_selector_and_topic_is_the_hash_of_its_text(constant: str, text: str) -> None:
    known = getattr(tokens, constant)
    assert known == keccak(text=text)[: len(known)]


@pytest.mark.parametrize("indexed", [0, 1, 2])
def test_a_transfer_is_read_whichever_fields_are_indexed(indexed: int) -> None:
    words = [word(ALICE), word(BOB), word(9)]
    log = log_of(TRANSFER_TOPIC, *words[:indexed], data=b"".join(words[indexed:]))
    assert transfer_of(log) == SENT


def test_bits_above_an_address_are_dropped_and_data_behind_the_amount_too() -> None:
    dirty = b"\xff" * 12 + ALICE
    assert transfer_of(log_of(TRANSFER_TOPIC, dirty, word(BOB), data=word(9) + word(1))) == SENT


@pytest.mark.parametrize(
    "log",
    [
        log_of(),
        log_of(DEPOSIT_TOPIC, word(ALICE), data=word(9)),
        log_of(TRANSFER_TOPIC, word(ALICE), word(BOB), word(9)),  # an NFT
        log_of(TRANSFER_TOPIC, word(ALICE), word(BOB)),
        log_of(TRANSFER_TOPIC, word(ALICE), word(BOB), data=word(9)[:31]),
        log_of(TRANSFER_TOPIC, data=word(ALICE) + word(BOB)),
    ],
)
def test_what_is_no_erc20_transfer_moves_nothing(log: Log) -> None:
    assert transfer_of(log) is None
    moved = transfers_of((log,))
    assert not [each for each in moved if NOBODY not in (each.sender, each.to)]


def test_wrapped_ether_is_minted_and_burned_without_a_transfer() -> None:
    deposit = log_of(DEPOSIT_TOPIC, word(ALICE), data=word(5), address=WETH)
    withdrawal = log_of(WITHDRAWAL_TOPIC, data=word(ALICE) + word(3), address=WETH)
    assert transfers_of((deposit, withdrawal)) == (
        Transfer(WETH, NOBODY, ALICE, Wei(5)),
        Transfer(WETH, ALICE, NOBODY, Wei(3)),
    )


def test_a_token_that_logs_its_mints_is_not_counted_twice() -> None:
    minted = log_of(TRANSFER_TOPIC, word(NOBODY), word(ALICE), data=word(4))
    deposit = log_of(DEPOSIT_TOPIC, word(ALICE), data=word(5))
    assert transfers_of((minted, deposit)) == (Transfer(DAI, NOBODY, ALICE, Wei(4)),)


@pytest.mark.parametrize(
    "odd",
    [
        log_of(DEPOSIT_TOPIC, word(ALICE), word(5), data=b""),
        log_of(DEPOSIT_TOPIC, word(ALICE), data=b"\x05"),
        log_of(DEPOSIT_TOPIC, word(ALICE), data=word(5) + word(6)),
    ],
)
def test_a_deposit_of_another_shape_is_somebody_elses_event(odd: Log) -> None:
    assert transfers_of((odd,)) == ()


def frame(depth: int = 0, **changed: Any) -> CallFrame:
    fields: dict[str, Any] = {"kind": "CALL", "sender": ALICE, "to": BOB, "value": Wei(1), "data": b"", "error": ""}
    return CallFrame(depth=depth, **(fields | changed))


def test_ether_moves_in_calls_creations_and_self_destructions_only() -> None:
    kinds = ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT", "DELEGATECALL", "CALLCODE", "STATICCALL")
    assert len(ether_of([frame(1, kind=kind) for kind in kinds])) == 4
    assert ether_of([frame(value=Wei(0)), frame(to=None)]) == ()


def test_a_failed_frame_takes_back_all_below_it_and_nothing_beside_it() -> None:
    frames = [
        frame(0, value=Wei(1)),
        frame(1, value=Wei(2), error="reverted"),
        frame(2, value=Wei(3)),
        frame(3, value=Wei(4), error="reverted"),
        frame(1, value=Wei(5)),
        frame(2, value=Wei(6)),
    ]
    assert [each.amount for each in ether_of(frames)] == [1, 5, 6]
    assert ether_of([frame(0, error="reverted"), frame(1)]) == ()


def test_ether_is_counted_once_by_the_best_that_is_known() -> None:
    simulated = log_of(TRANSFER_TOPIC, word(ALICE), word(VAULT), data=word(7), address=NATIVE)
    sent, frames = tx(value=Wei(5)), (frame(value=Wei(6)),)
    assert transfers_of((simulated,), sent, frames) == (Transfer(NATIVE, ALICE, VAULT, Wei(7)),)
    assert transfers_of((), sent, frames) == (Transfer(NATIVE, ALICE, BOB, Wei(6)),)
    assert transfers_of((), sent) == (Transfer(NATIVE, ALICE, BOB, Wei(5)),)
    assert transfers_of((), tx(value=Wei(0))) == transfers_of((), tx(to=None)) == transfers_of(()) == ()
