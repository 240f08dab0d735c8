"""Ways to run an attack: as it was seen, with what it spent given back, and re-parameterised. Pure.

A Case is one way, on one asset. Variants ask what else the same hand could do: call from a fresh account, wait a block,
do it again, write another message number or a larger amount, or turn to a sister.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from monitor.chain.simulate_wire import Run, State, laid
from monitor.evm.loss import standard_probes
from monitor.evm.transplant import replaced_words, transplant
from monitor.model.assets import Asset
from monitor.model.chain import BlockContext, Call, CallFrame, Header, Transaction, Transfer, next_context
from monitor.model.codec import digest
from monitor.model.units import Address, ChainId, Hash, Wei

FRESH: Final = Address(bytes.fromhex("d1dd6e000000000000000000000000000000f4e5"))  # a caller that nobody knows
ELSEWHERE: Final = Address(bytes.fromhex("d1dd6e000000000000000000000000000000b10c"))  # another builder
FUNDS: Final = Wei(10**24)
DELEGATION: Final = bytes.fromhex("ef0100")  # EIP-7702
GWEI: Final = 10**9
MOST_WORDS: Final = 4
MOST_SISTERS: Final = 4


class Scene(Struct, frozen=True):
    """The head that everything of one rehearsal is run on, and two blocks that may come after it."""

    chain_id: ChainId
    head: Header
    first: BlockContext
    second: BlockContext

    @property
    def fee(self) -> tuple[int, int]:
        """What our own calls pay, when it is only tried whether they work."""
        return max(self.first.base_fee, self.second.base_fee) + GWEI, GWEI


class Case(Struct, frozen=True):
    """One way to run an attack. The first `lead` transactions set the scene and are not counted."""

    name: str
    asset: Asset
    transactions: tuple[Transaction, ...]
    code: Mapping[Address, bytes] = {}
    base: State = {}
    funded: frozenset[Address] = frozenset()
    lead: int = 0


class Side(Struct, frozen=True):
    """What is in force while an attack is run: calls before it, or a state. The first side of several has nothing."""

    action_id: str = ""
    calls: tuple[Call, ...] = ()
    base: State = {}


def scene_of(chain_id: ChainId, head: Header, slot_s: int) -> Scene:
    """The next block as far as it is known, and one in its place with another builder, time, base fee and randomness.

    The second has the lower base fee, or an attack whose cap just covers the next block could not be tried in it. Its
    number is the same: nodes fill a gap with blocks of their own, whose times need not leave room for ours.
    """
    first = next_context(head, slot_s, coinbase=head.coinbase)
    second = BlockContext(
        number=first.number,
        timestamp=head.timestamp + 2 * slot_s,
        coinbase=ELSEWHERE,
        base_fee=first.base_fee - first.base_fee // 8,
        prev_randao=Hash(digest(head.hash)),
    )
    return Scene(chain_id, head, first, second)


def attack_run(scene: Scene, case: Case, side: Side, *, context: BlockContext, trace: bool = False) -> Run:
    """The side's calls, if any, and then the attack, in one block."""
    fees = (*(scene.fee for _ in side.calls), *((each.max_fee, each.max_priority_fee) for each in case.transactions))
    return Run(
        calls=(*side.calls, *(call_of(each) for each in case.transactions)),
        context=context,
        probes=standard_probes(case.asset),
        code={**delegations(case.transactions, scene.chain_id), **case.code},
        base=laid(case.base, side.base),
        balances=dict.fromkeys(case.funded, FUNDS),
        fees=fees,
        trace=trace,
        at=scene.head.hash,
        heard=frozenset(token.address for token in case.asset.tokens),
    )


def call_of(transaction: Transaction) -> Call:
    """What a simulator runs; an empty target deploys."""
    to = transaction.to if transaction.to is not None else Address(b"")
    return Call(to, transaction.data, transaction.value, transaction.sender, transaction.gas)


def delegations(transactions: Sequence[Transaction], chain_id: ChainId) -> dict[Address, bytes]:
    """The code that EIP-7702 tuples give their authorities."""
    return {
        entry.authority: DELEGATION + entry.address if any(entry.address) else b""
        for transaction in transactions
        for entry in transaction.authorizations
        if entry.authority is not None and entry.chain_id in (0, chain_id)
    }


def senders(transactions: Sequence[Transaction], ours: frozenset[Address]) -> frozenset[Address]:
    """Who may be given ether: an empty purse protects nobody. Never an asset of ours, whose balance is counted."""
    return frozenset(each.sender for each in transactions) - ours


def variants(
    case: Case, transfers: Sequence[Transfer], held: Mapping[Address, int], *, mined: bool, again: bool = True
) -> Iterator[Case]:
    """The attack on its own asset in other words. `held` is what the asset holds by token, `transfers` what moved.

    `again` is whether doing it once more could matter: not where the attack as seen takes nearly all that there is.
    """
    yield from from_fresh_caller(case)
    if not again:
        return
    twice = case.transactions * 2
    yield msgspec.structs.replace(case, name="repeated", transactions=twice, lead=len(case.transactions))
    if (scaled := _scaled(case, transfers, held)) is not None:
        yield scaled
    yield from _fresh_messages(case, transfers, mined=mined)


def from_fresh_caller(case: Case) -> Iterator[Case]:
    """The attack by somebody who never was there; none where the asset itself sends it."""
    if case.asset.address not in {each.sender for each in case.transactions}:
        fresh = tuple(msgspec.structs.replace(each, sender=FRESH) for each in case.transactions)
        yield msgspec.structs.replace(case, name="fresh caller", transactions=fresh, funded=case.funded | {FRESH})


def sister_cases(
    case: Case, frames: Sequence[CallFrame], sisters: Sequence[Asset], code_of: Mapping[Address, bytes]
) -> Iterator[Case]:
    """The attack turned to each sister that it can be rewritten for."""
    known = {**code_of, **case.code}
    for sister in sisters[:MOST_SISTERS]:
        moved, code = transplant(case.transactions, frames, case.asset, sister, known)
        if moved:
            name = f"sister {sister.name}"
            yield Case(name, sister, moved, code={**case.code, **code}, base=case.base, funded=case.funded)


def _scaled(case: Case, transfers: Sequence[Transfer], held: Mapping[Address, int]) -> Case | None:
    """The same with the amounts that left the asset written as all that it holds."""
    words: dict[int, int] = {
        each.amount: held[each.token]
        for each in transfers
        if each.sender == case.asset.address and 0 < each.amount < held.get(each.token, 0)
    }
    larger = tuple(_reworded(each, words) for each in case.transactions)
    return None if larger == case.transactions else msgspec.structs.replace(case, name="scaled", transactions=larger)


def _fresh_messages(case: Case, transfers: Sequence[Transfer], *, mined: bool) -> Iterator[Case]:
    """The same with one word of the calldata raised by one: a message number, a salt, a nonce.

    Of a mined attack this is run on the head as it is; of a pending one, after the attack.
    """
    if len(case.transactions) != 1:
        return
    (attack,) = case.transactions
    amounts = {each.amount for each in transfers}
    body = attack.data[4:]
    words = dict.fromkeys(int.from_bytes(body[at : at + 32], "big") for at in range(0, len(body) - 31, 32))
    for word in [each for each in words if each not in amounts and _may_count(each, len(body))][:MOST_WORDS]:
        message = _reworded(attack, {word: word + 1})
        run = (message,) if mined else (attack, message)
        base = {} if mined else case.base
        yield msgspec.structs.replace(case, name="fresh message", transactions=run, base=base, lead=len(run) - 1)


def _may_count(word: int, size: int) -> bool:
    """Whether a word may be a number that counts something: no address, no offset or length inside the data."""
    offset = 0 < word <= size and word % 32 == 0
    return not offset and not 2**96 < word < 2**160 and word < 2**256 - 1


def _reworded(transaction: Transaction, words: Mapping[int, int]) -> Transaction:
    return msgspec.structs.replace(transaction, data=replaced_words(transaction.data, words))
