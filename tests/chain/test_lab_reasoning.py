"""What is concluded from replays, without a chain."""

from __future__ import annotations

import pytest

from monitor.chain.lab_cases import Case, Side, scene_of, variants
from monitor.chain.lab_findings import Findings
from monitor.chain.lab_loss import Loss, Pair, holdings_usd, loss_of, together, verdict
from monitor.chain.lab_trial import conflict
from monitor.chain.lab_verify import not_predicted
from monitor.chain.simulate_wire import State, laid, merged, undone
from monitor.evm.traces import WireAccount, WireDiff
from monitor.model.assets import Asset, Token
from monitor.model.chain import Effects, Header, Reading, SlotChange, Transaction, Transfer, token_probe
from monitor.model.units import DOLLAR, NO_HASH, Address, ChainId, Hash, Usd, Wei, shown

CHAIN = ChainId(1)
VAULT, TOKEN, OTHER = (Address(bytes([byte]) * 20) for byte in (0xA0, 0xB0, 0xB1))
THIEF = Address(b"\x66" * 20)
ASSET = Asset("vault", "contract", CHAIN, VAULT, tokens=(Token(TOKEN),))
SIDES = (Side(), Side("pause"))


class Prices:
    """A dollar a unit, but OTHER has no price."""

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        return None if token == OTHER else Usd(amount * DOLLAR)


def usd(dollars: int) -> Loss:
    return Loss(Usd(dollars * DOLLAR), leaves=dollars > 0)


def unpriced(*, leaves: bool) -> Loss:
    return Loss(None, leaves=leaves)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def effects(before: int, after: int, *, ok: bool = True) -> Effects:
    probe = token_probe(TOKEN, VAULT)
    return Effects(ok=ok, gas_used=1, readings=(Reading(probe, word(before), word(after)),))


def case(name: str = "as seen", *, asset: Asset = ASSET, data: bytes = b"") -> Case:
    tx = Transaction(Hash(b"\x01" * 32), THIEF, VAULT, 0, Wei(0), 10**6, 1, 1, data)
    return Case(name, asset, (tx,))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "UNPROVEN"),
        ([Pair(None, usd(0))], "UNPROVEN"),
        ([Pair(usd(0), usd(0))], "UNPROVEN"),
        ([Pair(usd(100), None)], "UNPROVEN"),
        ([Pair(usd(100), usd(0))], "holds"),
        ([Pair(usd(100), usd(98))], "holds"),
        ([Pair(usd(1_000), usd(999))], "fails"),
        ([Pair(usd(100), usd(100))], "fails"),
        ([Pair(usd(100), usd(0)), Pair(usd(100), usd(100))], "fails"),
        ([Pair(usd(100), usd(0)), Pair(usd(0), usd(0))], "holds"),
        ([Pair(unpriced(leaves=True), unpriced(leaves=False))], "holds"),
        ([Pair(unpriced(leaves=True), unpriced(leaves=True))], "fails"),
        ([Pair(unpriced(leaves=False), unpriced(leaves=False))], "UNPROVEN"),
    ],
)
def test_a_response_counts_only_against_a_replay_that_pays_without_it(pairs: list[Pair], said: str) -> None:
    assert verdict(pairs) == said


def test_several_calls_lose_what_they_lose_together() -> None:
    assert loss_of((effects(100, 60), effects(60, 90)), ASSET, Prices()) == Loss(Usd(10 * DOLLAR), leaves=True)
    assert together(()).ok is False


def test_a_token_without_a_price_is_unknown_and_not_zero() -> None:
    asset = Asset("vault", "contract", CHAIN, VAULT, tokens=(Token(OTHER),))
    probe = token_probe(OTHER, VAULT)
    seen = Effects(ok=True, gas_used=1, readings=(Reading(probe, word(5), word(1)),))
    assert loss_of((seen,), asset, Prices()) == unpriced(leaves=True)
    assert holdings_usd(seen, asset, Prices()) is None


def test_what_can_be_done_again_can_take_all_that_is_held() -> None:
    findings = Findings("vault", holdings=Usd(1_000 * DOLLAR))
    findings.note_seen(SIDES, [(usd(10), usd(0))])
    assert findings.without_usd() == 10 * DOLLAR
    findings.note_variant(case("repeated"), SIDES, (usd(10), usd(0)))
    assert (findings.without_usd(), findings.with_usd("pause")) == (1_000 * DOLLAR, 0)


def test_what_can_be_done_again_in_spite_of_the_response_can_still_take_all() -> None:
    findings = Findings("vault", holdings=Usd(1_000 * DOLLAR))
    findings.note_seen(SIDES, [(usd(10), usd(0))])
    findings.note_variant(case("fresh message"), SIDES, (usd(10), usd(10)))
    assert findings.with_usd("pause") == 1_000 * DOLLAR


def test_a_fresh_caller_that_still_pays_is_what_the_response_leaves() -> None:
    findings = Findings("vault")
    findings.note_seen(SIDES, [(usd(10), usd(0))])
    findings.note_variant(case("fresh caller"), SIDES, (usd(40), usd(40)))
    assert (findings.without_usd(), findings.with_usd("pause")) == (40 * DOLLAR, 40 * DOLLAR)
    assert findings.variants["pause"][0].verdict == "fails"


def test_no_more_is_at_stake_than_is_held() -> None:
    findings = Findings("vault", holdings=Usd(7 * DOLLAR))
    findings.note_seen(SIDES, [(usd(10), usd(10))])
    assert (findings.without_usd(), findings.with_usd("pause")) == (7 * DOLLAR, 7 * DOLLAR)


def test_a_sisters_loss_is_told_and_not_added_to_the_assets_own() -> None:
    findings = Findings("vault")
    findings.note_seen(SIDES, [(usd(10), usd(0))])
    sister = case("sister b", asset=Asset("b", "contract", CHAIN, OTHER))
    findings.note_variant(sister, SIDES, (usd(500), usd(500)))
    assert (findings.without_usd(), findings.with_usd("pause")) == (10 * DOLLAR, 0)
    assert findings.variants["pause"][0].loss_with_usd == 500 * DOLLAR


def test_a_variant_that_was_not_run_or_does_not_pay_is_not_told() -> None:
    findings = Findings("vault")
    findings.note_variant(case("fresh caller"), SIDES, (None, usd(0)))
    findings.note_variant(case("fresh caller"), SIDES, (usd(0), usd(0)))
    assert findings.variants == {}


def test_the_second_block_differs_in_everything_an_attack_may_look_at() -> None:
    head = Header(9, Hash(b"\x09" * 32), NO_HASH, 1_000, 10**9, 30_000_000, 15_000_000, THIEF)
    scene = scene_of(CHAIN, head, 12)
    assert (scene.first.number, scene.first.timestamp, scene.first.coinbase) == (10, 1_012, THIEF)
    one, other = scene.first, scene.second
    assert all(getattr(one, name) != getattr(other, name) for name in one.__struct_fields__[1:])
    assert one.number == other.number
    assert other.base_fee < one.base_fee < scene.fee[0]


def test_amounts_and_addresses_are_no_message_numbers() -> None:
    transfer = Transfer(TOKEN, VAULT, THIEF, Wei(50))
    words = (32, 7, int.from_bytes(THIEF, "big"), 50)
    attack = case(data=b"proc" + b"".join(word(each) for each in words))
    fresh = [each for each in variants(attack, [transfer], {TOKEN: 90}, mined=True) if each.name == "fresh message"]
    assert [each.transactions[0].data[36:68] for each in fresh] == [word(8)]
    (scaled,) = (each for each in variants(attack, [transfer], {TOKEN: 90}, mined=True) if each.name == "scaled")
    assert scaled.transactions[0].data[-32:] == word(90)


def test_what_takes_nearly_all_at_once_is_not_tried_again() -> None:
    findings = Findings("vault", holdings=Usd(100 * DOLLAR))
    findings.note_seen(SIDES, [(usd(79), usd(0))])
    assert findings.leaves_much()
    findings.note_seen(SIDES, [(usd(80), usd(0))])
    assert not findings.leaves_much()
    assert [each.name for each in variants(case(), [], {}, mined=False, again=False)] == ["fresh caller"]


def test_an_attack_by_the_asset_itself_has_no_fresh_caller() -> None:
    attack = case()
    own = attack.transactions[0]
    stolen = Case(
        "as seen", ASSET, (Transaction(own.hash, VAULT, *(getattr(own, f) for f in own.__struct_fields__[2:])),)
    )
    assert "fresh caller" not in {each.name for each in variants(stolen, [], {}, mined=False)}


def test_a_response_conflicts_where_it_writes_what_the_attack_wrote() -> None:
    slot, another = Hash(word(1)), Hash(word(2))
    put_back = {shown(VAULT): {"stateDiff": {shown(slot): shown(NO_HASH)}}}
    assert conflict([SlotChange(VAULT, slot, NO_HASH, slot)], put_back)
    assert not conflict([SlotChange(VAULT, another, NO_HASH, slot)], put_back)
    assert not conflict([SlotChange(OTHER, slot, NO_HASH, slot)], put_back)


def test_only_slots_that_nobody_predicted_differ() -> None:
    known = SlotChange(VAULT, Hash(word(1)), NO_HASH, Hash(word(5)))
    moved = SlotChange(VAULT, Hash(word(1)), NO_HASH, Hash(word(6)))
    surprise = SlotChange(VAULT, Hash(word(2)), NO_HASH, Hash(word(1)))
    assert not_predicted([moved, surprise], [known]) == (surprise,)


DIFF = WireDiff(
    pre={
        "0xaa": WireAccount(balance="0x5", nonce="0x1", code="0x60", storage={"0x01": "0x0a", "0x02": "0x0b"}),
        "0xcc": WireAccount(balance="0x9", nonce="0x4"),
    },
    post={
        "0xaa": WireAccount(balance="0x3", storage={"0x01": "0x0c", "0x03": "0x0d"}),
        "0xbb": WireAccount(balance="0x2", nonce="0x1", code="0x00", storage={"0x01": "0x01"}),
        "0xcc": WireAccount(nonce="0x5"),
    },
)


def test_what_a_call_changed_is_laid_on_and_cleared_slots_are_zero() -> None:
    state = merged({"0xaa": {"code": "0x00", "stateDiff": {"0x01": "0xff", "0x09": "0xff"}}}, DIFF)
    zero = "0x" + "00" * 32
    slots = {"0x01": "0x0c", "0x02": zero, "0x03": "0x0d", "0x09": "0xff"}
    assert state["0xaa"] == {"code": "0x00", "balance": "0x3", "stateDiff": slots}
    assert state["0xbb"]["code"] == "0x00"


def test_what_a_call_changed_is_taken_back_and_nothing_else() -> None:
    zero = "0x" + "00" * 32
    assert undone(DIFF) == {
        "0xaa": {"balance": "0x5", "stateDiff": {"0x01": "0x0a", "0x02": "0x0b", "0x03": zero}},
        "0xbb": {"balance": "0x0", "nonce": "0x0", "code": "0x", "stateDiff": {"0x01": zero}},
        "0xcc": {"nonce": "0x4"},
    }


def test_a_precompile_that_was_sent_ether_is_not_overridden() -> None:
    precompile = "0x" + "00" * 19 + "01"
    diff = WireDiff(pre={precompile: WireAccount(balance="0x0")}, post={precompile: WireAccount(balance="0x5")})
    assert (merged({}, diff), undone(diff)) == ({}, {})


def test_overrides_are_laid_slot_by_slot() -> None:
    below: State = {"0xaa": {"balance": "0x1", "stateDiff": {"0x01": "0x01", "0x02": "0x02"}}}
    over: State = {"0xaa": {"stateDiff": {"0x02": "0x03"}}, "0xbb": {"nonce": "0x1"}}
    assert laid(below, over) == {
        "0xaa": {"balance": "0x1", "stateDiff": {"0x01": "0x01", "0x02": "0x03"}},
        "0xbb": {"nonce": "0x1"},
    }
    assert below["0xaa"]["stateDiff"] == {"0x01": "0x01", "0x02": "0x02"}
