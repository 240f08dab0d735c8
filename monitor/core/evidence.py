"""Signals in memory: which hypothesis they belong to, how long they live, and what they say together."""

from __future__ import annotations

from monitor.core.context import age_s
from monitor.core.scoring import Aged, assess
from monitor.core.state import CoreState, Held, Hypothesis
from monitor.model.events import AnyEvent, PendingSimulated, TransactionMined
from monitor.model.incidents import Assessment
from monitor.model.policy import Policy
from monitor.model.signals import Signal
from monitor.model.units import Hash

MOST_HELD = 64  # signals a hypothesis remembers; proofs go last
MOST_HYPOTHESES = 10_000
PENDING_PROOF_BLOCKS = 3  # a pending proof that is not shown again by then is over
FORGET_HALF_LIVES = 10


def key_of(signal: Signal) -> str:
    return f"{signal.subject.kind}:{signal.subject.id}:{signal.threat}"


def hold(state: CoreState, signal: Signal, *, seq: int, block_number: int) -> Hypothesis:
    """Remember a signal; a repeated one of the same detector and roots takes its elder's place."""
    key = key_of(signal)
    if key not in state.hypotheses and len(state.hypotheses) >= MOST_HYPOTHESES:
        _forget_one(state)
    found = state.hypotheses.setdefault(key, Hypothesis(signal.subject, signal.threat, signal.asset))
    found.held = [h for h in found.held if not _same(h.signal, signal)]
    found.held.append(Held(signal, seq, state.now, block_number))
    if len(found.held) > MOST_HELD:
        weakest = min(range(len(found.held)), key=lambda i: (found.held[i].signal.evidence == "proof", i))
        del found.held[weakest]
    return found


def judge(state: CoreState, hypothesis: Hypothesis, policy: Policy) -> Assessment:
    """What the hypothesis' living signals say now."""
    aged = [Aged(h.signal, age_s(state.now, h.at)) for h in hypothesis.held]
    hypothesis.last = assess(hypothesis.subject, hypothesis.threat, aged, policy=policy)
    return hypothesis.last


def retract_pending(state: CoreState, event: AnyEvent) -> list[str]:
    """A transaction seen again, simulated anew or mined, says itself whether it still pays: its pending claims end.

    Gives the keys of hypotheses that lost something.
    """
    match event:
        case PendingSimulated(transaction=tx) | TransactionMined(transaction=tx):
            return _drop(state, tx.hash)
        case _:
            return []


def expire(state: CoreState, *, chain_id: int, block_number: int) -> list[str]:
    """Forget what is over: pending proofs that no later head confirmed, and evidence of ten half-lives."""
    changed = []
    for key in list(state.hypotheses):
        hypothesis = state.hypotheses[key]
        kept = [h for h in hypothesis.held if _alive(state, h, chain_id=chain_id, block_number=block_number)]
        if len(kept) != len(hypothesis.held):
            hypothesis.held = kept
            changed.append(key)
        if not kept and not _in_open_incident(state, key):
            del state.hypotheses[key]
    return changed


def _forget_one(state: CoreState) -> None:
    """The oldest that is no part of an open incident, so that a flood of weak ones pushes out none that is."""
    in_use = {key for i in state.incidents.values() if i.stage != "closed" for key in i.hypotheses}
    del state.hypotheses[next((key for key in state.hypotheses if key not in in_use), next(iter(state.hypotheses)))]


def _in_open_incident(state: CoreState, key: str) -> bool:
    return any(key in i.hypotheses and i.stage != "closed" for i in state.incidents.values())


def _same(one: Signal, other: Signal) -> bool:
    return one.detector == other.detector and one.roots == other.roots and one.evidence == other.evidence


def _alive(state: CoreState, held: Held, *, chain_id: int, block_number: int) -> bool:
    signal = held.signal
    if signal.fact is not None and not signal.fact.mined and signal.fact.attack is not None:
        return signal.fact.chain_id != chain_id or block_number - held.block_number < PENDING_PROOF_BLOCKS
    if signal.evidence == "proof" or signal.half_life_s == 0:
        return True
    return age_s(state.now, held.at) < FORGET_HALF_LIVES * signal.half_life_s


def _drop(state: CoreState, tx_hash: Hash) -> list[str]:
    changed = []
    for key, hypothesis in state.hypotheses.items():
        kept = [h for h in hypothesis.held if not _rests_on_pending(h.signal, tx_hash)]
        if len(kept) != len(hypothesis.held):
            hypothesis.held = kept
            changed.append(key)
    return changed


def _rests_on_pending(signal: Signal, tx_hash: Hash) -> bool:
    fact = signal.fact
    return fact is not None and not fact.mined and fact.attack is not None and fact.attack.hash == tx_hash
