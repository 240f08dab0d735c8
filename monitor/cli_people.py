"""What people order of a running monitor: approve, reject, disarm, arm. The token proves who; the loop judges it again.

Disarming writes the kill file first: that alone stops every signature, and needs neither database nor monitor.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.cli_show import say, warn
from monitor.clock import SystemClock
from monitor.model.codec import digest
from monitor.model.errors import ConfigurationError, JournalLost, Refused, Unreachable
from monitor.model.operators import Operator, recognised
from monitor.settings import Settings, load_journal
from monitor.settings_environment import TOKEN, operator_token
from monitor.shell.orders import MAX_REASON, Order, OrderKind, permit, signed

ANSWER_WITHIN_S: Final = 5.0
POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Person:
    """Who gives an order: the configuration, and a name where the token alone does not tell."""

    config: str
    name: str | None


def decide(kind: OrderKind, person: Person, *, action_id: str, reason: str = "") -> int:
    """Approve or reject; 0 once it is journalled, 1 and why otherwise."""
    settings, operator = _who(person, kind)
    return asyncio.run(_told(settings, _order(operator, kind, action_id=action_id, reason=reason), operator))


def disarm(person: Person, *, reason: str) -> int:
    """The kill file, then the running monitor. 0 if at least the file is there."""
    try:
        settings, operator = _who(person, "disarm")
    except ConfigurationError:
        warn(f"the kill file works without a valid configuration: touch its `kill_file`, else {person.config}.disarmed")
        raise
    order = _order(operator, "disarm", reason=reason or "no reason given")
    written = _write_kill_file(Path(settings.kill_file), order) if settings.kill_file else False
    if written:
        say(f"disarmed: {settings.kill_file} is there; nothing is signed while it is")
    try:
        code = asyncio.run(_told(settings, order, operator))
    except (Unreachable, JournalLost) as error:
        warn(f"not told to a running monitor: {error}")
        code = 1
    return 0 if written else code


def arm(person: Person, *, reason: str) -> int:
    """The running monitor, then the kill file: until it took the order everything stays disarmed."""
    settings, operator = _who(person, "arm")
    code = asyncio.run(_told(settings, _order(operator, "arm", reason=reason), operator))
    if code == 0 and settings.kill_file:
        Path(settings.kill_file).unlink(missing_ok=True)
    return code


def _who(person: Person, kind: OrderKind) -> tuple[Settings, Operator]:
    """The operator whose token is in the environment; the loop judges it again. Raises Refused."""
    settings, token = load_journal(person.config), operator_token()
    if not token:
        raise Refused(kind, f"{TOKEN} is not set; export the token of an operator of {person.config}")
    operator = recognised(settings.operators, token) or _named(settings, person, token)
    if operator is None:
        unknown = [o.name for o in settings.operators if not o.token_sha256]
        hint = f"give --as with one of {', '.join(unknown)}" if unknown else "see `operators` there"
        raise Refused(kind, f"{TOKEN} is no operator's of {person.config}; {hint}")
    permit(operator, kind)
    return settings, operator


def _named(settings: Settings, person: Person, token: str) -> Operator | None:
    """An operator by name, whose token only the running monitor can read."""
    found = next((o for o in settings.operators if o.name == person.name and not o.token_sha256), None)
    return Operator(found.name, found.role, digest(token.encode()).hex(), found.address) if found else None


def _order(operator: Operator, kind: OrderKind, *, action_id: str = "", reason: str) -> Order:
    now = SystemClock().now()
    return Order(kind, operator.name, now, secrets.token_hex(16), action_id=action_id, reason=reason[:MAX_REASON])


async def _told(settings: Settings, order: Order, operator: Operator) -> int:
    """File the order and wait for the monitor's answer. Raises JournalLost without a store, Unreachable unanswered."""
    from monitor.store.commands import Commands, submit_command

    clock = SystemClock()
    number = await submit_command(settings.store, order.kind, signed(order, operator.token_sha256), clock=clock)
    table = Commands(settings.store, clock=clock)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while (answer := await table.result(number)) is None:
                await clock.sleep(POLL_S)
    except TimeoutError:
        why = f"{order.kind}: no running monitor took it within {ANSWER_WITHIN_S:g} s; is `drawbridge run` up?"
        raise Unreachable(why) from None
    finally:
        await table.close()
    (say if answer.ok else warn)(answer.text)
    return 0 if answer.ok else 1


def _write_kill_file(path: Path, order: Order) -> bool:
    """Durable when it returns True. What it says is for people; that it is there is what counts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, json.dumps({"by": order.by, "reason": order.reason, "at": order.at}).encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        warn(f"kill file {path}: {error.strerror}; create it by hand, or make its directory writable")
        return False
    return True
