"""What nodes said, and whether enough of them said the same. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from monitor.chain.rpc_wire import RpcError, canonical
from monitor.model.errors import Disagreement, Unreachable


class Health(Struct):
    """What one node did so far. `dropped` says why it is left out; empty while it is used."""

    answered: int = 0
    failed: int = 0
    failing: int = 0  # in a row
    differed: int = 0  # outvoted in a quorum
    last_ms: float = 0.0
    dropped: str = ""
    wrong_chain: bool = False


class Answer(Struct, frozen=True):
    """What one node said: a value, or the error it answered; `why` where it said nothing."""

    node: str
    result: Any = None
    error: RpcError | None = None
    why: str = ""

    @property
    def key(self) -> bytes:
        """Equal where two nodes mean the same. Wording of errors is each client's own: only code and data count."""
        if self.error is not None:
            return b"error" + canonical([self.error.code, self.error.data])
        return canonical(self.result)


class Sent(Struct, frozen=True):
    """What one node did with a raw transaction."""

    node: str
    accepted: bool
    why: str = ""


class Count:
    """Counts the answers of one quorum read as they come in."""

    def __init__(self, what: str, need: int) -> None:
        self._what = what
        self._need = need
        self._votes: dict[bytes, list[Answer]] = {}
        self._silent: list[str] = []
        self.heard = 0
        self.winner: bytes | None = None

    def add(self, answer: Answer) -> None:
        self.heard += 1
        if answer.why:
            self._silent.append(answer.why)
            return
        agreeing = self._votes.setdefault(answer.key, [])
        agreeing.append(answer)
        if self.winner is None and len(agreeing) >= self._need:
            self.winner = answer.key

    def settled(self) -> Any:
        """What the quorum said. Raises RpcError where it said that, else Disagreement or Unreachable."""
        if self.winner is not None:
            answer = self._votes[self.winner][0]
            if answer.error is not None:
                raise answer.error
            return answer.result
        spoke = sum(map(len, self._votes.values()))
        if len(self._votes) > 1:
            raise Disagreement(f"{self._what}: no {self._need} nodes agree: {self._sides()}")
        raise Unreachable(
            f"{self._what}: {spoke} of {self._need} nodes answered: " + ("; ".join(self._silent) or "none in use")
        )

    def outvoted(self) -> tuple[str, ...]:
        """Nodes that said something else than the quorum."""
        return tuple(answer.node for key, answers in self._votes.items() if key != self.winner for answer in answers)

    def _sides(self) -> str:
        sides = sorted(self._votes.values(), key=len, reverse=True)
        return "; ".join(f"{', '.join(answer.node for answer in side)} say {_brief(side[0])}" for side in sides)


def _brief(answer: Answer) -> str:
    return str(answer.error if answer.error is not None else answer.result)[:120]
