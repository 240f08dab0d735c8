"""How things look: tables, money, time and addresses for a person, JSON for a machine.

Text that came from a chain or an API is shown without its control characters: a token's name must not move the cursor.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from monitor.http.plain import shown_bytes, utc
from monitor.model.units import DOLLAR

PIPE_WIDTH: Final = 160  # where nobody says how wide it is
STYLES: Final = {"ok": "green", "finding": "bold red", "fault": "bold red", "warning": "yellow", "note": "dim"}


def console(*, err: bool = False) -> Console:
    """Respects NO_COLOR, COLUMNS and pipes."""
    stream = sys.stderr if err else sys.stdout
    found = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not found.is_terminal and found.width == 80:
        found = Console(file=stream, highlight=False, markup=False, emoji=False, width=PIPE_WIDTH)
    return found


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """One line on stdout, as it is."""
    sys.stdout.write(clean(text) + "\n")


def warn(text: str) -> None:
    """One line on stderr, beside what is asked for."""
    sys.stderr.write(clean(text) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; a cell that is a word of STYLES is coloured."""
    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(clean(cell), style=STYLES.get(cell, "")) for cell in row))
    return made


def clean(text: str) -> str:
    """Without control characters, bidirectional overrides and line breaks."""
    return "".join("·" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)


def usd(micro: int) -> str:
    """Micro-dollars as people write them: 1,234,567 USD; small sums with cents."""
    whole = micro / DOLLAR
    return f"{whole:,.0f} USD" if abs(whole) >= 100 or whole == 0 else f"{whole:,.2f} USD"


def when(instant: int) -> str:
    """'2026-03-01 04:00:00.123 UTC'"""
    return utc(instant).replace("T", " ").replace("Z", " UTC")


def clock(instant: int) -> str:
    """The time of day alone: '04:00:00.123'"""
    return utc(instant)[11:-1]


def shown(raw: bytes) -> str:
    return shown_bytes(raw)


class Bar:
    """Progress of something long, on stderr and only where a person watches."""

    def __init__(self, what: str, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeRemainingColumn(),
            console=console(err=True),
            transient=True,
            disable=not sys.stderr.isatty() or total < 2_000,
        )
        self._task: TaskID = self._progress.add_task(what, total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def at(self, done: int) -> None:
        if done % 256 == 0:
            self._progress.update(self._task, completed=done)
