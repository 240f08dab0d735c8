"""Data sheets as a page: docs/detectors.md is what this makes of the catalogue, and a test compares the two."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable

from detectors import CATALOGUE
from monitor.model.ports import Detector
from monitor.model.signals import About

HEAD = """# Detectors

Generated from the data sheets in `detectors/`; `python -m detectors.sheet > docs/detectors.md` writes it anew.
A weight is the log-likelihood ratio λ = ln(TPR / FPR) before caps, decay and group discount (docs/decide.md).
"""


def page(makers: Iterable[Callable[..., Detector]]) -> str:
    """The whole page, a section for each detector in the order given."""
    return HEAD + "".join(f"\n{section(maker)}" for maker in makers)


def section(maker: Callable[..., Detector]) -> str:
    about = maker().about
    says = (sys.modules[maker.__module__].__doc__ or "").split("\n\n")
    lines = [
        f"## {about.id}",
        "",
        f"**{about.title}.** " + "\n\n".join(paragraph.strip() for paragraph in says),
        "",
        *(f"- **{name}** {value}" for name, value in _rows(about, maker)),
    ]
    return "\n".join(lines) + "\n"


def _rows(about: About, maker: Callable[..., Detector]) -> Iterable[tuple[str, str]]:
    yield "watches:", ", ".join(about.watches)
    yield "threats:", ", ".join(about.threats)
    yield "evidence:", f"{about.evidence}, λ = {about.weight:g}, {_half_life(about)}"
    yield "memory:", f"{_span(about.window_s)}; clock: {about.clock}"
    yield "cost to fake:", f"{about.cost_to_fake_usd:,} USD"
    yield "options:", ", ".join(_options(maker)) or "none"
    yield "blind spots:", about.blind_spots
    yield "runbook:", about.runbook


def _options(maker: Callable[..., Detector]) -> Iterable[str]:
    for name, parameter in inspect.signature(maker).parameters.items():
        yield f"`{name}` = {parameter.default!r}"


def _half_life(about: About) -> str:
    return f"half-life {_span(about.half_life_s)}" if about.half_life_s else "no decay"


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s" if seconds else "none"


if __name__ == "__main__":
    sys.stdout.write(page(CATALOGUE.values()))
