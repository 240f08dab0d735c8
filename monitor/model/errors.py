"""Every error that Drawbridge raises on purpose.

DrawbridgeError
├── ConfigurationError      the owner's file says something that cannot be meant (exit 2)
├── Undecodable             bytes from outside do not have the shape that they claim; counted, never fatal
├── Unreachable             a node, signer, database or service does not answer within its deadline
├── Disagreement            sources that should agree do not (quorum, chain id)
├── Refused                 an action was stopped by a gate; carries the gate's name
├── SignerRefused           a key was asked for something outside its binding
└── JournalLost             the journal cannot be written, or its hash chain is broken (exit 3)

Each message is one line: what failed, on what, what to do.
"""

from __future__ import annotations


class DrawbridgeError(Exception):
    """Root of the tree."""


class ConfigurationError(DrawbridgeError):
    """All faults of one configuration at once; each is 'file:line: field: what is wrong; what is allowed'."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Undecodable(DrawbridgeError):
    """Hostile or malformed bytes."""


class Unreachable(DrawbridgeError):
    """Somebody outside did not answer in time."""


class Disagreement(DrawbridgeError):
    """Two sources of one fact differ."""


class Refused(DrawbridgeError):
    """A gate said no."""

    def __init__(self, gate: str, reason: str) -> None:
        super().__init__(f"{gate}: {reason}")
        self.gate = gate
        self.reason = reason


class SignerRefused(DrawbridgeError):
    """The transaction is outside what this key may sign."""


class JournalLost(DrawbridgeError):
    """Nothing may act without a journal."""
