"""Settings to a core: labels, detectors and policy, for the loop and for replay."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from detectors import CATALOGUE as DETECTORS
from monitor.core.step import Core
from monitor.evm.watch import PackedLabels, Protected
from monitor.model.ports import Clock, Detector
from monitor.settings import Settings
from monitor.sources.label_files import read_labels


def labels_of(settings: Settings, clock: Clock) -> PackedLabels:
    """All label files, read once. Raises ConfigurationError."""
    labels = PackedLabels()
    for shape in settings.labels:
        if shape.path is not None:
            read_labels(labels, shape.path, form=shape.format, kind=shape.kind, days=shape.days, now=clock.now())
    return labels


def detectors_of(settings: Settings) -> tuple[Detector, ...]:
    """The shipped ones with the owner's parameters, then the owner's own by dotted path. Raises ConfigurationError."""
    chosen = settings.detectors if settings.detectors is not None else {name: {} for name in DETECTORS}
    made = []
    for name, parameters in chosen.items():
        build: Callable[..., Detector] = DETECTORS[name] if name in DETECTORS else _dotted(settings, name)
        try:
            made.append(build(**parameters))
        except (TypeError, ValueError) as error:
            raise settings.fault(("detectors", name), str(error)) from None
    return tuple(made)


def core_of(settings: Settings, *, clock: Clock, labels: PackedLabels | None = None) -> Core:
    """A fresh core as the settings want it: for the loop, and for replay."""
    return Core(
        detectors=detectors_of(settings),
        assets=Protected(settings.assets),
        labels=labels if labels is not None else labels_of(settings, clock),
        policy=settings.policy,
        chains=settings.rules,
    )


def _dotted(settings: Settings, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    if not attribute:
        raise settings.fault(
            ("detectors", name), f"no such detector; shipped: {', '.join(DETECTORS)}, or package:Class"
        )
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise settings.fault(("detectors", name), f"cannot be loaded: {error}") from None
    return found
