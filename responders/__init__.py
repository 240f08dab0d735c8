"""The catalogue of responders: a literal table, one file each. Wiring builds them; nothing else imports them.

Each turns an action into the exact calls, purely. To add one: a file with a class that has `handles` and `plan`, its
worst case in the module's docstring, a line here, and a case table under tests/responders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from monitor.model.ports import Assets, Responder
from responders.notify import NotifyResponder
from responders.pause import PauseResponder
from responders.tighten import Gates, TightenResponder

Build = Callable[[Assets, Gates], Responder]

CATALOGUE: Final[Mapping[str, Build]] = {
    "pause": lambda assets, gates: PauseResponder(assets),
    "tighten": TightenResponder,
    "notify": lambda assets, gates: NotifyResponder(),
}

__all__ = ["CATALOGUE", "Build", "Gates", "NotifyResponder", "PauseResponder", "TightenResponder"]
