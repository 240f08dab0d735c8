"""An attack rewritten for a sister asset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.evm.transplant import between, replaced_words, transplant
from monitor.model.assets import Asset, Token
from monitor.model.chain import CallFrame, Transaction
from monitor.model.units import NATIVE, NO_HASH, Address, ChainId, Hash, Wei


def a(byte: int) -> Address:
    return Address(bytes([byte]) * 20)


EOA, ATTACKER, LENDER, ORACLE, HELPER = a(1), a(2), a(3), a(4), a(5)
MARKET, SISTER, DAI, USDC, WETH = a(0x10), a(0x11), a(0x20), a(0x21), a(0x22)


def asset(name: str, address: Address, *tokens: Address) -> Asset:
    listed = tuple(Token(token) for token in tokens)
    return Asset(name=name, kind="contract", chain_id=ChainId(1), address=address, tokens=listed)


def transaction(to: Address | None, data: bytes = b"", *, sender: Address = EOA) -> Transaction:
    return Transaction(Hash(b"\x99" * 32), sender, to, 0, Wei(0), 10**6, 1, 1, data)


def frame(depth: int, to: Address | None, kind: str = "CALL") -> CallFrame:
    return CallFrame(depth, kind, EOA, to, Wei(0), b"")


def word(address: Address) -> bytes:
    return b"\0" * 12 + address


OURS, THEIRS = asset("dai", MARKET, DAI), asset("usdc", SISTER, USDC)


def test_the_address_in_the_calldata_is_the_sisters() -> None:
    moved, overrides = transplant([transaction(ATTACKER, b"atck" + word(MARKET))], (), OURS, THEIRS, {})
    assert moved[0].data == b"atck" + word(SISTER)
    assert moved[0].hash == NO_HASH
    assert overrides == {}


def test_a_direct_call_goes_to_the_sister_with_its_token() -> None:
    moved, _ = transplant([transaction(MARKET, b"draw" + word(DAI))], (), OURS, THEIRS, {})
    assert (moved[0].to, moved[0].data) == (SISTER, b"draw" + word(USDC))


def test_packed_addresses_are_found_at_any_offset() -> None:
    moved, _ = transplant([transaction(ATTACKER, b"\x01" + MARKET + b"\x02" + DAI)], (), OURS, THEIRS, {})
    assert moved[0].data == b"\x01" + SISTER + b"\x02" + USDC


def test_tokens_that_change_places_do() -> None:
    ours, theirs = asset("a", MARKET, DAI, USDC), asset("b", SISTER, USDC, DAI)
    moved, _ = transplant([transaction(MARKET, DAI + USDC)], (), ours, theirs, {})
    assert moved[0].data == USDC + DAI


def test_ether_stands_for_no_token() -> None:
    ours, theirs = asset("a", MARKET, NATIVE, DAI), asset("b", SISTER, USDC, NATIVE)
    moved, _ = transplant([transaction(MARKET, NATIVE + DAI)], (), ours, theirs, {})
    assert moved[0].data == NATIVE + DAI


def test_an_attacker_with_its_victim_in_its_code_is_rewritten() -> None:
    frames = (frame(0, ATTACKER), frame(1, LENDER), frame(2, ATTACKER), frame(3, MARKET))
    code = {ATTACKER: b"\x73" + MARKET + b"\x73" + DAI, LENDER: b"\x00"}
    moved, overrides = transplant([transaction(ATTACKER, b"atck")], frames, OURS, THEIRS, code)
    assert overrides == {ATTACKER: b"\x73" + SISTER + b"\x73" + USDC}
    assert moved[0].data == b"atck"


def test_what_the_asset_itself_calls_is_never_rewritten() -> None:
    frames = (
        frame(0, ATTACKER),
        frame(1, MARKET),
        frame(2, ORACLE),
        frame(3, DAI),
        frame(1, None, "CREATE"),
        frame(2, DAI),
    )
    code = {ORACLE: MARKET, DAI: MARKET, MARKET: DAI, SISTER: DAI, ATTACKER: MARKET}
    _, overrides = transplant([transaction(ATTACKER)], frames, OURS, THEIRS, code)
    assert overrides == {ATTACKER: SISTER}


def test_a_bystander_that_names_the_asset_is_left_alone() -> None:
    frames = (frame(0, ATTACKER), frame(1, HELPER), frame(1, MARKET))
    _, overrides = transplant([transaction(ATTACKER, word(MARKET))], frames, OURS, THEIRS, {HELPER: MARKET})
    assert overrides == {}


def test_without_frames_only_the_direct_target_is_rewritten() -> None:
    code = {ATTACKER: MARKET, LENDER: MARKET}
    _, overrides = transplant([transaction(ATTACKER)], (), OURS, THEIRS, code)
    assert overrides == {ATTACKER: SISTER}


def test_initcode_that_names_the_asset_is_rewritten() -> None:
    moved, _ = transplant([transaction(None, b"\x60" + MARKET)], (), OURS, THEIRS, {})
    assert (moved[0].to, moved[0].data) == (None, b"\x60" + SISTER)


def test_an_attack_that_names_the_asset_nowhere_has_no_transplant() -> None:
    assert transplant([transaction(ATTACKER, b"atck")], (), OURS, THEIRS, {ATTACKER: b"\x00"}) == ((), {})


def test_a_stolen_key_opens_no_sister() -> None:
    stolen = transaction(ATTACKER, word(MARKET), sender=MARKET)
    assert transplant([stolen], (), OURS, THEIRS, {}) == ((), {})


def test_an_address_full_of_pattern_characters_is_taken_literally() -> None:
    odd = Address(b".*+?()[]{}|^$\\\n\r\t #")
    ours, theirs = asset("a", Address(odd[:20].ljust(20, b"-"))), asset("b", SISTER)
    moved, _ = transplant([transaction(ours.address, b"x" * 40)], (), ours, theirs, {})
    assert (moved[0].to, moved[0].data) == (SISTER, b"x" * 40)


def test_the_way_to_the_asset_is_listed_once_and_in_order() -> None:
    frames = (frame(0, ATTACKER), frame(1, LENDER), frame(2, ATTACKER), frame(3, MARKET), frame(0, HELPER))
    transactions = [transaction(ATTACKER), transaction(HELPER)]
    assert between(transactions, frames, frozenset({MARKET})) == (ATTACKER, HELPER, LENDER)


def test_a_very_deep_tree_costs_no_square() -> None:
    deep = [frame(depth, ATTACKER) for depth in range(1_024)]
    frames = deep + [frame(1_024, MARKET), frame(1_025, DAI)] * 1_500
    assert between((), frames, frozenset({MARKET, DAI})) == (ATTACKER,)


def test_frames_that_lie_about_their_depth_are_harmless() -> None:
    frames = (frame(7, ATTACKER), frame(900, MARKET), frame(0, MARKET))
    assert ATTACKER in between([transaction(ATTACKER)], frames, frozenset({MARKET}))


def test_whole_words_are_exchanged_and_nothing_else() -> None:
    data = b"proc" + (7).to_bytes(32, "big") + (8).to_bytes(32, "big") + b"\x07"
    assert replaced_words(data, {7: 9}) == b"proc" + (9).to_bytes(32, "big") + (8).to_bytes(32, "big") + b"\x07"


@given(st.binary(max_size=200))
def test_a_transplant_there_and_back_is_the_same(data: bytes) -> None:
    original = transaction(MARKET, data.replace(SISTER, b"").replace(USDC, b""))
    there, _ = transplant([original], (), OURS, THEIRS, {})
    back, _ = transplant(there, (), THEIRS, OURS, {})
    assert (back[0].to, back[0].data) == (original.to, original.data)
