"""Notify: tell people. It plans nothing on chain; the shell's notices carry it to the channels, off the response path.

Worst case if this is wrong: somebody is woken for nothing.
"""

from __future__ import annotations

from typing import ClassVar

from monitor.model.actions import Action, AnyAction, Notify, Plan
from monitor.model.errors import Refused


class NotifyResponder:
    """Takes Notify, so that every action has a responder; there is nothing to rehearse."""

    handles: ClassVar[tuple[type[Action], ...]] = (Notify,)

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        """No plan: nothing is called on any chain. Raises Refused for anything but Notify."""
        if not isinstance(action, Notify):
            raise Refused("plan", f"{action.id}: a notify responder does not plan {type(action).__name__}")
        return ()
