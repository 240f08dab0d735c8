"""The view's figures in Prometheus' text format. Made anew at each scrape; nothing is kept here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Figure(Protocol):
    """One metric with its samples: labels as name and value pairs, and the number."""

    @property
    def name(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def counter(self) -> bool: ...
    @property
    def samples(self) -> Sequence[tuple[Sequence[tuple[str, str]], float]]: ...


def exposition(figures: Callable[[], Iterable[Figure]]) -> bytes:
    """All figures as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, figures: Callable[[], Iterable[Figure]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for figure in self._figures():
            labels = [name for name, _ in figure.samples[0][0]] if figure.samples else []
            family = (CounterMetricFamily if figure.counter else GaugeMetricFamily)(
                figure.name, figure.help, labels=labels
            )
            for pairs, value in figure.samples:
                family.add_metric([text for _, text in pairs], value)
            yield family
