"""What is protected, what touches it, and what lists say about addresses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm.tokens import TRANSFER_TOPIC
from monitor.evm.watch import PackedLabels, Protected, WatchIndex
from monitor.evm.wire import WireLog, WireTransaction, decode
from monitor.model.assets import PauseRoute, TightenRoute, Token
from monitor.model.chain import Authorization, CallFrame, SlotChange, Transfer
from monitor.model.errors import ConfigurationError, Undecodable
from monitor.model.ports import Assets, Labels
from monitor.model.units import NOBODY, Address, ChainId, Hash, Instant, Wei
from tests.evm.evm_builders import (
    ALICE,
    BOB,
    CHAIN,
    DAI,
    HASH,
    VAULT,
    body,
    effects,
    encoded,
    log_of,
    shown,
    tx,
    vault,
    word,
)

GUARDIAN, GATE = Address(b"\x61" * 20), Address(b"\x62" * 20)
INDEX = WatchIndex((VAULT,))


def test_an_asset_is_found_by_chain_and_address_and_by_name() -> None:
    asset = vault()
    assets: Assets = Protected((asset,))
    assert assets.at(CHAIN, VAULT) == assets.named("vault") == asset
    assert assets.at(ChainId(2), VAULT) is None
    assert assets.at(CHAIN, BOB) is None
    assert assets.named("other") is None
    assert assets.all() == (asset,)


def test_sisters_share_a_family_and_stand_in_configured_order() -> None:
    markets = [vault(name=name, address=Address(bytes((at,)) * 20), family="m") for at, name in enumerate("cab")]
    alone = vault(name="alone")
    assets = Protected((*markets, alone))
    assert [each.name for each in assets.sisters(markets[1])] == ["c", "b"]
    assert assets.sisters(alone) == ()


def test_only_listed_tokens_are_known() -> None:
    assets = Protected((vault(tokens=(Token(DAI, 6, "DAI"),)),))
    known = assets.token(CHAIN, DAI)
    assert known is not None
    assert known.decimals == 6
    assert assets.token(ChainId(2), DAI) is None
    assert assets.token(CHAIN, BOB) is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (vault(address=BOB), "twice"),
        (vault(name="second"), "twice"),
        (vault(name="second", address=BOB, tokens=(Token(DAI, 6),)), "18 elsewhere"),
    ],
)
def test_assets_that_contradict_each_other_are_refused(other: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Protected((vault(), other))


def test_what_pauses_and_tightens_an_asset_is_watched_with_it() -> None:
    guarded = vault(pause=PauseRoute("guardian", VAULT, GUARDIAN), tighten=TightenRoute(GATE))
    direct = vault(name="direct", address=BOB, pause=PauseRoute("direct", BOB))
    elsewhere = vault(name="elsewhere", chain_id=ChainId(2))
    assets = Protected((guarded, direct, elsewhere, vault(name="plain", address=ALICE)))
    assert set(assets.watched(CHAIN)) == {VAULT, GUARDIAN, GATE, BOB, ALICE}


def test_accounts_off_chain_share_no_address_and_watch_none() -> None:
    accounts = [vault(name=name, kind="venue_account", address=NOBODY) for name in "ab"]
    assets = Protected(accounts)
    assert assets.at(CHAIN, NOBODY) is None
    assert not list(assets.watched(CHAIN))


def both(**changed: Any) -> bool:
    """What the index says of the wire's transaction; it must say the same of the model's."""
    wire_fields = {{"sender": "from", "data": "input"}.get(name, name): value for name, value in changed.items()}
    shown_fields = {name: shown(value) if isinstance(value, bytes) else value for name, value in wire_fields.items()}
    found = INDEX.touches_wire(decode(encoded(body(**shown_fields)), WireTransaction))
    assert found == INDEX.touches(tx(**changed))
    return found


def test_a_transaction_touches_what_sends_or_receives_it() -> None:
    assert both(sender=VAULT)
    assert both(to=VAULT)
    assert not both()
    assert not both(to=None)


def test_a_transaction_touches_what_its_calldata_names() -> None:
    assert both(data=b"\x01\x02\x03\x04" + word(VAULT))
    assert not both(data=b"\x01\x02\x03\x04" + word(BOB))
    assert not both(data=VAULT)


def test_a_delegation_touches_who_delegates_and_to_what() -> None:
    owner = Account.from_key(b"\x07" * 32)
    signed = owner.sign_authorization({"chainId": 1, "address": BOB, "nonce": 3})
    entry = {"chainId": "0x1", "address": shown(BOB), "nonce": "0x3", "yParity": hex(signed.y_parity)}
    entry |= {"r": hex(signed.r), "s": hex(signed.s)}
    delegation = decode(encoded(body(type="0x4", authorizationList=[entry])), WireTransaction)
    assert WatchIndex((Address(bytes.fromhex(owner.address[2:])),)).touches_wire(delegation)
    assert not INDEX.touches_wire(delegation)
    odd = decode(encoded(body(type="0x04", authorizationList=[entry])), WireTransaction)
    assert WatchIndex((Address(bytes.fromhex(owner.address[2:])),)).touches_wire(odd)
    assert WatchIndex((VAULT,)).touches(tx(authorizations=(Authorization(1, VAULT, 0),)))
    assert WatchIndex((VAULT,)).touches(tx(authorizations=(Authorization(1, BOB, 0, VAULT),)))


@pytest.mark.parametrize(
    "arguments",
    [
        (("address",), (VAULT,)),
        (("uint256", "address", "uint256"), (10**18, VAULT, 0)),
        (("address[]",), ([ALICE, VAULT, BOB],)),
        (("bytes",), (b"\x01\x02\x03\x04" + encode(["uint256", "address"], [0, VAULT]),)),
        (("bytes[]",), ([b"\x09\x09\x09\x09" + encode(["bytes"], [b"\x01\x02\x03\x04" + word(VAULT)])],)),
        (("uint256", "address", "address"), (2**255, VAULT, VAULT)),
        (("uint256", "address"), (0x1234 << 200, VAULT)),
        (("string", "address"), ("", VAULT)),
    ],
)
def test_an_address_in_calldata_is_seen_at_any_depth(arguments: tuple[Any, Any]) -> None:
    assert INDEX.named_in(b"\xaa\xbb\xcc\xdd" + encode(*arguments))


VANITY = st.builds(
    lambda front, middle, back: Address((bytes(front) + b"\x42" + middle)[: 20 - back].ljust(20, b"\0")),
    st.integers(0, 19),
    st.binary(min_size=19, max_size=19),
    st.integers(0, 18),
).filter(lambda address: address != NOBODY)


@given(
    VANITY | st.binary(min_size=20, max_size=20).filter(any).map(Address),
    st.lists(st.integers(0, 2**256 - 1)),
    st.data(),
)
def test_any_address_in_any_word_is_seen(address: Address, words: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words)))
    words = [value if value % 3 else value >> 200 << (value % 7 * 16) for value in words]
    calldata = b"\x11\x22\x33\x44" + b"".join(word(value) for value in words[:at])
    calldata += word(address) + b"".join(word(value) for value in words[at:])
    assert WatchIndex((address,)).named_in(calldata)


@given(st.binary(max_size=400))
def test_calldata_without_the_address_is_not_said_to_name_it(data: bytes) -> None:
    if data.find(VAULT) < 0:
        assert not INDEX.named_in(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"from": "0x" + "zz" * 20},
        {"to": "nowhere"},
        {"input": "0x" + "z" * 100},
        {"type": "0x4", "authorizationList": 1},
    ],
)
def test_a_hostile_transaction_is_undecodable(changed: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        INDEX.touches_wire(decode(encoded(body(**changed)), WireTransaction))


def test_a_log_touches_who_wrote_it_and_whom_it_names() -> None:
    named = log_of(TRANSFER_TOPIC, word(ALICE), word(VAULT))
    for log, touches in ((log_of(address=VAULT), True), (named, True), (log_of(TRANSFER_TOPIC, word(BOB)), False)):
        fields = {"address": shown(log.address), "topics": [shown(topic) for topic in log.topics], "data": "0x"}
        assert INDEX.touches_log(log) == touches
        assert INDEX.touches_wire_log(decode(encoded(fields), WireLog)) == touches


def test_a_hostile_log_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="not an address or topics"):
        INDEX.touches_wire_log(WireLog(address=shown(BOB), topics=[HASH, "0x"]))


def test_effects_touch_what_they_moved_logged_called_or_wrote() -> None:
    nothing = effects(Transfer(DAI, ALICE, BOB, Wei(1)))
    assert not INDEX.touches_effects(nothing)
    slot = SlotChange(VAULT, Hash(word(1)), Hash(word(1)), Hash(word(2)))
    frame = CallFrame(0, "CALL", ALICE, VAULT, Wei(0), b"")
    deploys = CallFrame(0, "CREATE", BOB, None, Wei(0), b"")
    for found in (
        effects(Transfer(DAI, VAULT, BOB, Wei(1))),
        effects(Transfer(DAI, BOB, VAULT, Wei(1))),
        type(nothing)(True, 1, logs=(log_of(address=VAULT),)),
        type(nothing)(True, 1, calls=(deploys, frame)),
        type(nothing)(True, 1, storage=(slot,)),
    ):
        assert INDEX.touches_effects(found)


def test_the_zero_address_cannot_be_watched() -> None:
    with pytest.raises(ConfigurationError, match="zero address"):
        WatchIndex((NOBODY,))


def test_an_index_knows_its_size() -> None:
    index = WatchIndex((VAULT, BOB, VAULT))
    hollow = Address(b"\x42" + bytes(18) + b"\x06")
    index.add(hollow)
    index.add(hollow)
    assert len(index) == 3
    assert VAULT in index
    assert ALICE not in index
    assert 0 < index.nbytes < 10_000


def test_a_label_says_what_why_and_until_when() -> None:
    packed = PackedLabels(seed=b"x", capacity=4)
    labels: Labels = packed
    packed.put(BOB, "exchange", origin="list A", expires_at=Instant(5))
    packed.put(BOB, "exploiter", origin="list B", expires_at=Instant(2**63))
    packed.put(ALICE, "mixer", origin="list A", expires_at=Instant(7))
    found = labels.get(BOB)
    assert found is not None
    assert (found.kind, found.origin, found.expires_at) == ("exploiter", "list B", 2**63)
    assert labels.get(VAULT) is None
    assert len(packed) == 2
    assert packed.nbytes < 10_000


def test_labels_have_a_bounded_vocabulary() -> None:
    labels = PackedLabels()
    for number in range(65_535):
        labels.put(BOB, "kind", origin=str(number), expires_at=Instant(0))
    with pytest.raises(ConfigurationError, match="65,536"):
        labels.put(BOB, "kind", origin="one more", expires_at=Instant(0))
