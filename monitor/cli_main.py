"""From arguments to an exit code: runs the application and says every fault in one line on stderr.

0 fine · 1 not, or could not · 2 usage or configuration · 3 journal lost. A traceback only with --debug.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final

import typer

from monitor.model.errors import ConfigurationError, DrawbridgeError, JournalLost

_REFUSED: Final[type[Exception]] = typer.BadParameter.__mro__[2]  # click's own root of usage errors, vendored or not
_MOST_LINES: Final = 200
_LONGEST: Final = 1_000


def own_process(arguments: Sequence[str]) -> None:
    """What only a process of our own may set: no tracebacks, and `drawbridge incidents | head` ends quietly."""
    if "--debug" not in arguments:
        sys.excepthook = _unexpected
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """The exit code of one command line. Never raises, except with --debug."""
    debug = "--debug" in arguments
    given = [argument for argument in arguments if argument != "--debug"]
    try:
        command = typer.main.get_command(app)  # Typer's own call would put its hook over ours
        return int(command(given, prog_name="drawbridge", standalone_mode=False) or 0)
    except _REFUSED as error:
        return _usage(error, given)
    except typer.Abort:
        return _said("interrupted", 130)
    except (DrawbridgeError, BaseExceptionGroup) as error:
        return _failed(error, debug=debug)


def _usage(error: Exception, given: Sequence[str]) -> int:
    said = str(getattr(error, "format_message", error.__str__)()).replace("\n", " ").rstrip(".")
    command = next((f" {word}" for word in given if not word.startswith("-")), "")
    return _said(f"drawbridge: {said}; see `drawbridge{command if len(given) > 1 else ''} --help`", 2)


def _failed(error: DrawbridgeError | BaseExceptionGroup[BaseException], *, debug: bool) -> int:
    ours = list(_leaves(error))
    foreign = [leaf for leaf in ours if not isinstance(leaf, DrawbridgeError)]
    if debug or foreign:
        raise error
    worst = max(ours, key=lambda leaf: (isinstance(leaf, JournalLost), isinstance(leaf, ConfigurationError)))
    for line in _lines(worst):
        typer.echo(line, err=True)
    return 3 if isinstance(worst, JournalLost) else 2 if isinstance(worst, ConfigurationError) else 1


def _lines(error: BaseException) -> Sequence[str]:
    """A line for each fault of a configuration; anything else in one."""
    if isinstance(error, ConfigurationError):
        return str(error).splitlines()[:_MOST_LINES]
    return [" ".join(str(error).split())[:_LONGEST] or type(error).__name__]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _said(line: str, code: int) -> int:
    typer.echo(line, err=True)
    return code


def _unexpected(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """What nobody foresaw: Python itself leaves with 1 after this."""
    leaf = next(_leaves(error))
    said = (str(leaf).splitlines() or [""])[0][:300]
    name = type(leaf).__name__
    typer.echo(f"drawbridge: internal fault: {name}: {said}; run it again with --debug and report that", err=True)
