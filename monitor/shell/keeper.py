"""Can we still act? Every configured response is tried on the fork now and then, and what fails is told at once.

Authority is lost quietly: a rotated role, a spent use, a lapsed heartbeat. Balancer's older pools (November 2025) had a
pause that nobody could use any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from monitor.model.actions import ActionClass, AnyAction, Pause, Plan, Tighten
from monitor.model.assets import Asset
from monitor.model.errors import DrawbridgeError
from monitor.model.events import AnyEvent, AuthorityProbed, Fault
from monitor.model.ports import Clock, Lab, Responder

PROBE_EVERY_S = 60.0
AGAIN_AFTER_S = 1.0  # where nothing was learned, as before the first head; doubled each time
PROBE_MINUTES_S = 3_600


class Keeper:
    """A source of AuthorityProbed: one for each asset and way to respond."""

    name = "authority"

    def __init__(
        self,
        *,
        assets: Sequence[Asset],
        responders: Sequence[Responder],
        lab: Lab,
        clock: Clock,
        refresh: Callable[[], AsyncIterator[AnyEvent]] | None = None,
        every_s: float = PROBE_EVERY_S,
    ) -> None:
        """`refresh` reads what plans need of the chain first, such as a gate's limits."""
        self._assets, self._responders = assets, responders
        self._lab, self._clock, self._every_s = lab, clock, every_s
        self._refresh = refresh

    async def events(self) -> AsyncIterator[AnyEvent]:
        wait_s = AGAIN_AFTER_S
        while True:
            if self._refresh is not None:
                async for event in self._refresh():
                    yield event
            learned = True
            for asset in self._assets:
                for action in trial_actions(asset):
                    for event in await self._probe(asset, action):
                        learned = learned and not _unknown(event)
                        yield event
            wait_s = self._every_s if learned else min(wait_s, self._every_s)
            await self._clock.sleep(wait_s)
            wait_s = AGAIN_AFTER_S if learned else 2 * wait_s

    async def _probe(self, asset: Asset, action: AnyAction) -> list[AnyEvent]:
        found: list[AnyEvent] = []
        try:
            for plan in self._plans(action):
                found.append(await self._lab.probe(plan))
        except DrawbridgeError as error:
            found.append(Fault(where="authority", what=str(error)[:300], on=asset.name))
        return found

    def _plans(self, action: AnyAction) -> Iterator[Plan]:
        for responder in self._responders:
            if type(action) in responder.handles:
                yield from responder.plan(action)


def _unknown(event: AnyEvent) -> bool:
    """Whether no node could say; a response that is refused on chain is known."""
    return isinstance(event, AuthorityProbed) and not event.ok and event.block_number == 0


def trial_actions(asset: Asset) -> Iterator[AnyAction]:
    """The responses that an asset's owner configured, as actions that are only ever tried."""
    if asset.pause is not None:
        yield Pause(
            id=f"probe/{asset.name}/pause",
            incident="probe",
            assets=(asset.name,),
            action_class=ActionClass.SCOPED,
            cause=0,
            because="probe",
            duration_s=asset.pause.duration_s,
        )
    if asset.tighten is not None:
        yield Tighten(
            id=f"probe/{asset.name}/tighten",
            incident="probe",
            assets=(asset.name,),
            action_class=ActionClass.NARROW,
            cause=0,
            because="probe",
            until_s=PROBE_MINUTES_S,
        )
