"""What became of a response: stages, verification at +1, +3 and +12 blocks, the chase after one that is not included,
and the pause that must not lapse while the attack still pays.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from monitor.core.state import ActionRecord, CoreState, IncidentRecord
from monitor.model.actions import AnyAction, Check, Clearance, ExtendPause, Pause, Tighten
from monitor.model.chain import Header
from monitor.model.events import (
    ActionFailed,
    AnyEvent,
    ResponseBroadcast,
    ResponseDropped,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
)
from monitor.model.signals import Signal

CHECK_AFTER = (1, 3, 12)
MOST_CHASES = 10  # at every head; then at every tenth
WITHHELD = ("shadow", "propose")
PERSON = "person"  # the gate of what a person decided
_UNSENT = ("rehearsing", "waiting", "refused", "cleared")
_ON_ITS_WAY = ("cleared", "signed", "sent")
_ON_CHAIN = ("included", "verified")


def note(state: CoreState, event: AnyEvent) -> ActionRecord | None:
    """Move one action along its stages; the record that changed, if any.

    Outcomes come in any order (a verification may answer after the reorg that took its block): what does not follow
    from the stage that an action is in leaves it there.
    """
    action_id = getattr(event, "action_id", "")
    record = state.actions.get(action_id)
    if record is None:
        return None
    match event:
        case ResponseSigned():
            _note_signed(record, event)
        case ResponseBroadcast(accepted_by=accepted, refused_by=refused):
            _note_broadcast(record, accepted=accepted, refused=refused)
        case ResponseIncluded():
            _note_included(state, record, event)
        case ResponseDropped():
            _note_dropped(record)
        case ResponseVerified():
            _note_verified(record, event)
        case ActionFailed():
            _note_failed(record, event)
        case _:
            return None
    return record


def due_checks(state: CoreState, chain_id: int, head: Header) -> list[Check]:
    """Verifications that this head makes due, and one for each pause that is about to lapse."""
    due = []
    for record in state.actions.values():
        if record.chain_id != chain_id or record.stage not in _ON_CHAIN:
            continue
        blocks = head.number - record.included_block
        newest = max((k for k in CHECK_AFTER if k <= blocks), default=0)
        wanted = [k for k in (newest,) if k and k not in record.checks]
        if not wanted and _lapsing(record, head) and blocks not in record.checks:
            wanted = [blocks]
        if wanted:
            record.checks.append(wanted[0])
            due.append(Check(record.action.id, wanted[0]))
    return due


def doubted(state: CoreState, signals: Sequence[Signal]) -> list[Check]:
    """An attack goes on where a response should stop it: look now whether that still holds, once at each head.

    A person may have resumed early, or whoever holds the owner's key.
    """
    attacked = {signal.asset for signal in signals if signal.evidence != "negative"}
    due = []
    for record in state.actions.values():
        if record.stage not in _ON_CHAIN or attacked.isdisjoint(record.action.assets):
            continue
        known = state.heads.get(record.chain_id)
        blocks = known.header.number - record.included_block if known else 0
        if blocks > 0 and blocks not in record.checks:
            record.checks.append(blocks)
            due.append(Check(record.action.id, blocks))
    return due


def due_chases(state: CoreState, chain_id: int, number: int) -> list[Clearance]:
    """Responses that were sent and that no block has shown yet: look, send again, raise the fee."""
    due = []
    for record in state.actions.values():
        if record.chain_id != chain_id or record.stage not in ("signed", "sent") or record.clearance is None:
            continue
        if record.chased < MOST_CHASES or number % MOST_CHASES == 0:
            record.chased += 1
            due.append(record.clearance)
    return due


def holds_open(record: ActionRecord) -> bool:
    """Whether its incident is not over: it is on its way, or all that stands before an attack that still pays."""
    held_back = record.stage == "verified" and record.attack_pays_usd > 0
    return held_back or record.stage in (*_ON_ITS_WAY, "included")


def lasts_s(action: AnyAction) -> int:
    """Seconds for which it holds on chain; 0 for what holds nothing there."""
    match action:
        case Pause(duration_s=seconds) | ExtendPause(duration_s=seconds) | Tighten(until_s=seconds):
            return seconds
        case _:
            return 0


def entrust(state: CoreState) -> None:
    """Whoever disarms is in charge of what is in force: if that is lifted, a person did it, and it is not done anew."""
    for record in state.actions.values():
        if record.stage in _ON_CHAIN:
            record.gate, record.reason = PERSON, "lifted after somebody disarmed"


def lapse(state: CoreState, chain_id: int, head: Header) -> None:
    """What ran out on chain is over: the same attack calls for a new one, at once where it paid when last replayed."""
    for record in state.actions.values():
        over = 0 < record.lapses_at_s < head.timestamp
        if over and record.chain_id == chain_id and record.stage in _ON_CHAIN:
            record.stage = "lapsed"
            incident = state.incidents.get(record.action.incident)
            pays = record.attack_pays_usd > 0 and record.gate != PERSON
            if incident is not None and incident.stage == "contained" and pays:
                incident.stage = "responding"


def wants_extension(state: CoreState, record: ActionRecord, head: Header) -> bool:
    """Whether a pause is near its end, its attack still pays, and no extension is under way."""
    if not isinstance(record.action, Pause) or record.attack_pays_usd <= 0 or not _lapsing(record, head):
        return False
    stem = f"{record.action.id}/extend/"
    under_way = ("rehearsing", "waiting", "cleared", "signed", "sent")
    return not any(a.startswith(stem) and r.stage in under_way for a, r in state.actions.items())


def carry_over(before: CoreState, after: CoreState, *, chain_id: int, number: int) -> None:
    """After a reorg: what was cleared or sent stays so, with its incident; what the lost block held goes out again."""
    after.acts, after.suspended, after.armed = before.acts, before.suspended, before.armed
    for action_id, record in before.actions.items():
        lost = record.chain_id == chain_id and record.included_block >= number
        if record.stage not in (*_ON_ITS_WAY, *_ON_CHAIN, "withheld") and not (lost and record.stage == "failed"):
            continue
        if lost:
            record.stage, record.included_block, record.lapses_at_s, record.chased = "sent", 0, 0, 0
            record.checks.clear()
        after.actions[action_id] = record
        incident = before.incidents.get(record.action.incident)
        if incident is not None and incident.id not in after.incidents:
            after.incidents[incident.id] = _of_lost_evidence(incident, action_id)
        elif incident is not None and action_id not in after.incidents[incident.id].actions:
            after.incidents[incident.id].actions.append(action_id)


def release(state: CoreState) -> None:
    """What another mode withheld never happened: it may be asked again, and has spent no rate and no budget."""
    held = {action_id for action_id, record in state.actions.items() if record.stage == "withheld"}
    state.acts.entries[:] = [act for act in state.acts.entries if act.action_id not in held]
    for record in (state.actions[action_id] for action_id in held):
        record.stage, record.tries = "refused", 0


def _of_lost_evidence(incident: IncidentRecord, action_id: str) -> IncidentRecord:
    """An incident that only lost blocks told of: it goes on for what was sent, and its attacks are pending again."""
    incident.actions, incident.loss_seen, incident.rivals = [action_id], {}, {}
    incident.attacks = {name: replace(attack, mined=False) for name, attack in incident.attacks.items()}
    if incident.stage == "contained":
        incident.stage = "responding"
    return incident


def _lapsing(record: ActionRecord, head: Header) -> bool:
    if not record.lapses_at_s or not isinstance(record.action, Pause):
        return False
    margin_s = max(record.action.duration_s // 3, 60)
    return record.lapses_at_s - margin_s <= head.timestamp <= record.lapses_at_s


def _note_signed(record: ActionRecord, event: ResponseSigned) -> None:
    """Bytes exist from now on, whatever is thought of them."""
    record.sent.append(event)
    if record.stage in _UNSENT or record.stage in _ON_ITS_WAY:
        record.stage = "signed"


def _note_broadcast(record: ActionRecord, *, accepted: tuple[str, ...], refused: tuple[str, ...]) -> None:
    if record.stage not in _ON_ITS_WAY:
        return
    if accepted:
        record.stage = "sent"
    elif refused and refused[0] in WITHHELD:
        record.stage, record.gate, record.reason = "withheld", "mode", refused[0]
    # else: nobody took it; it stays signed, and the next head chases it


def _note_included(state: CoreState, record: ActionRecord, event: ResponseIncluded) -> None:
    known = record.stage in _ON_CHAIN
    if not (known or record.stage in _ON_ITS_WAY) or (known and record.included_block == event.block_number):
        return
    head = state.heads.get(record.chain_id)
    timestamp = event.timestamp or (head.header.timestamp if head else 0)
    record.included_block, record.included_at_s, record.included = event.block_number, timestamp, event
    record.checks.clear()
    if not event.ok:
        record.stage, record.gate, record.reason = "failed", "chain", "the response reverted on chain"
        return
    record.stage = "included"
    until = timestamp + lasts_s(record.action)
    if not isinstance(record.action, ExtendPause):
        record.lapses_at_s = until
        return
    paused = state.actions.get(record.action.id.rsplit("/extend/", 1)[0])
    if paused is not None and paused.stage in (*_ON_CHAIN, "lapsed"):
        paused.lapses_at_s, paused.stage = until, "verified"


def _note_dropped(record: ActionRecord) -> None:
    if record.stage in _ON_CHAIN:
        record.stage, record.included_block, record.lapses_at_s, record.chased = "sent", 0, 0, 0
        record.checks.clear()


def _note_verified(record: ActionRecord, event: ResponseVerified) -> None:
    if record.stage not in _ON_CHAIN:
        return
    record.attack_pays_usd, record.blocked = event.attack_pays_usd, event.blocked
    if event.holds == "holds":
        record.stage = "verified"
    elif event.holds == "fails" and record.gate == PERSON:
        record.stage = "lapsed"
    elif event.holds == "fails":
        record.stage, record.gate, record.reason = "failed", "verification", event.why


def _note_failed(record: ActionRecord, event: ActionFailed) -> None:
    """Only what has not left yet can fail: signed bytes may be in a block soon, and are chased."""
    if record.stage == ("rehearsing" if event.stage == "rehearsal" else "cleared"):
        record.stage, record.gate, record.reason = "refused", event.stage, event.why
        record.tries += 1
