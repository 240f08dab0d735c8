"""One moment of an incident's story, in words: a line for what happened, and lines for what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from monitor.cli_show import shown, usd
from monitor.model.actions import AnyAction, Check, Clearance, ExtendPause, Notify, Pause, Refusal, Rehearsal, Tighten
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    ActionRejected,
    Armed,
    ConfigurationLoaded,
    Disarmed,
    Fault,
    NotificationSent,
    ResponseBroadcast,
    ResponseDropped,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
)
from monitor.model.incidents import Assessment
from monitor.model.signals import Signal
from monitor.shell.story import Moment

Outcome = (
    ResponseSigned
    | ResponseBroadcast
    | ResponseIncluded
    | ResponseDropped
    | ResponseVerified
    | ActionFailed
    | NotificationSent
)
GWEI = 10**9


def words(moment: Moment) -> Iterator[str]:
    """The lines of one moment."""
    value = moment.value
    match value:
        case Signal():
            yield from _signal(value, moment)
        case Assessment():
            yield f"p {value.p:.4f} for {value.threat} on {value.subject.id}{', proven' if value.proof else ''}"
        case Pause() | ExtendPause() | Tighten() | Notify():
            because = "" if isinstance(value, Notify) else f", because {value.because}"
            yield f"{value.id}: {meant(value)}{because}"
        case Rehearsal():
            yield from _rehearsal(value)
        case Clearance():
            yield f"{value.action_id} may go out until block {value.expires_block}: {_bid(value)}"
        case Refusal():
            waits = "; waits for a person" if value.recoverable else ""
            yield f"{value.action_id} stopped at the gate {value.gate}: {value.reason}{waits}"
        case Check():
            yield f"{value.action_id}: verify {value.after_blocks} blocks after inclusion"
        case Disarmed() | Armed() | ConfigurationLoaded() | ActionApproved() | ActionRejected():
            yield _person(value)
        case Fault():
            yield f"{value.where}: {value.what}"
        case _:
            yield from _outcome(value)


def _signal(signal: Signal, moment: Moment) -> Iterator[str]:
    yield f"{signal.evidence} by {signal.detector}, λ {signal.weight:+.2f}: {signal.because}"
    fact, rests_on = signal.fact, []
    if fact is not None and fact.text not in signal.because:
        rests_on.append(f"{fact.rule}: {fact.text}")
    if fact is not None and fact.attack is not None:
        rests_on.append(f"{'mined' if fact.mined else 'pending'} {shown(fact.attack.hash)}")
    elif moment.shows is not None:
        rests_on.append(f"{moment.by} {shown(moment.shows)}")
    if signal.attacker is not None:
        rests_on.append(f"by {shown(signal.attacker)}")
    if signal.loss_usd:
        rests_on.append(f"loss seen {usd(signal.loss_usd)}")
    if rests_on:
        yield "  " + "; ".join(rests_on)


def meant(action: AnyAction) -> str:
    """What an action does, in words."""
    where = ", ".join(action.assets)
    match action:
        case Pause():
            done = f"pause {where} for {action.duration_s:,} s"
        case ExtendPause():
            done = f"hold the pause of {where} {action.duration_s:,} s longer"
        case Tighten():
            done = f"tighten {where} for {action.until_s:,} s"
        case Notify():
            return f"tell people, {action.severity}: {action.title}"
        case _:
            assert_never(action)
    return f"{done} (class {int(action.action_class)})"


def _rehearsal(found: Rehearsal) -> Iterator[str]:
    said = "valid" if found.valid == "holds" else f"{found.valid}: {found.why}"
    broken = f", broken: {', '.join(found.golden_broken)}" if found.golden_broken else ""
    golden = f"golden {found.golden_passed} pass{broken}"
    yield f"{found.action_id} on a fork of block {found.block_number}: {said}; {golden}"
    loss = f"{usd(found.loss_without_usd)} without it, {usd(found.loss_with_usd)} with it"
    yield f"  loss {loss} ({found.loss_verdict}); {found.gas_used:,} gas; {found.took_ms:.1f} ms on {found.engine}"
    for variant in found.variants:
        kept = f"{usd(variant.loss_without_usd)} without, {usd(variant.loss_with_usd)} with"
        yield f"  variant {variant.name} on {variant.asset}: {kept} ({variant.verdict})"


def _bid(clearance: Clearance) -> str:
    bid = clearance.bid
    return f"tip {bid.tip / GWEI:g} gwei, at most {bid.max_tip / GWEI:g} gwei and {bid.max_cost / 10**18:g} ether"


def _person(event: Disarmed | Armed | ConfigurationLoaded | ActionApproved | ActionRejected) -> str:
    match event:
        case Disarmed():
            return f"disarmed by {event.by}: {event.reason}"
        case Armed():
            return f"armed by {event.by}: {event.reason}"
        case ConfigurationLoaded():
            return f"configuration {event.settings.hex()[:16]} loaded in {event.mode} mode by code {event.code_version}"
        case ActionApproved():
            return f"{event.action_id} approved by {event.by}"
        case ActionRejected():
            return f"{event.action_id} rejected by {event.by}: {event.reason}"
        case _:
            assert_never(event)


def _outcome(event: Outcome) -> Iterator[str]:
    match event:
        case ResponseSigned():
            again = f", replacing {shown(event.replaces)}" if event.replaces is not None else ""
            yield f"{event.action_id} signed by {event.signer} {shown(event.sender)}, nonce {event.nonce}{again}"
            yield f"  {shown(event.hash)}"
        case ResponseBroadcast():
            yield f"{event.action_id} {_sent(event)}"
        case ResponseIncluded():
            ended = "succeeded" if event.ok else "REVERTED"
            cost = f"{event.gas_used:,} gas, {event.cost / 10**18:.6f} ether"
            yield f"{event.action_id} {ended} in block {event.block_number} ({cost}): {shown(event.hash)}"
        case ResponseDropped():
            yield f"{event.action_id} lost: {event.why}; the same bytes go out again"
        case ResponseVerified():
            yield from _verified(event)
        case ActionFailed():
            yield f"{event.action_id} failed at {event.stage}: {event.why}"
        case NotificationSent():
            done = "told" if event.ok else "NOT told"
            yield f"{event.action_id} {done} over {event.channel}" + (f": {event.why}" if event.why else "")
        case _:
            assert_never(event)


def withheld(event: ResponseBroadcast) -> str:
    """The mode that kept a response from being signed; empty where it went out."""
    refused = event.refused_by[:1]
    return refused[0] if refused and not event.accepted_by and refused[0] in ("shadow", "propose") else ""


def _sent(event: ResponseBroadcast) -> str:
    if withheld(event):
        return f"withheld: {withheld(event)} mode, nothing was signed or sent"
    kept = f"; refused by {', '.join(event.refused_by)}" if event.refused_by else ""
    return f"sent; accepted by {', '.join(event.accepted_by) or 'nobody'}{kept}"


def _verified(event: ResponseVerified) -> Iterator[str]:
    found = f"post-conditions {event.holds}, the attack is stopped: {event.blocked}"
    yield f"{event.action_id} after {event.after_blocks} blocks, at {event.block_number}: {found}"
    if event.why:
        yield f"  {event.why}"
    if event.attack_pays_usd:
        yield f"  if the response lapsed now, the attack would take {usd(event.attack_pays_usd)}"
    for change in event.differs:
        yield f"  not predicted: {shown(change.address)} slot {shown(change.slot)} is {shown(change.after)}"
