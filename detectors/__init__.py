"""The catalogue: every shipped detector by its id. One detector a file, named so; docs/detectors.md has the sheets.

An owner's own detector is named in configuration by dotted path and needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from detectors.invariant_broken import InvariantBroken
from detectors.labelled_destination import LabelledDestination
from detectors.outflow_velocity import OutflowVelocity
from detectors.reentrancy_shape import ReentrancyShape
from detectors.repeated_attack import RepeatedAttack
from detectors.sweep import Sweep
from detectors.telemetry_silent import TelemetrySilent
from detectors.test_then_drain import TestThenDrain
from detectors.unledgered_outflow import UnledgeredOutflow
from detectors.value_leaves import ValueLeaves
from monitor.model.ports import Detector

CATALOGUE: Final[Mapping[str, Callable[..., Detector]]] = {
    "unledgered_outflow": UnledgeredOutflow,
    "outflow_velocity": OutflowVelocity,
    "test_then_drain": TestThenDrain,
    "sweep": Sweep,
    "labelled_destination": LabelledDestination,
    "value_leaves": ValueLeaves,
    "invariant_broken": InvariantBroken,
    "reentrancy_shape": ReentrancyShape,
    "repeated_attack": RepeatedAttack,
    "telemetry_silent": TelemetrySilent,
}
