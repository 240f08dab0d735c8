"""Labels from files that the owner names: plain lines, JSON or CSV. What does not parse is counted, not fatal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.evm.watch import PackedLabels
from monitor.model.errors import ConfigurationError
from monitor.model.units import SECOND, Address, Instant

MAX_BYTES: Final = 256_000_000
DAY_S: Final = 86_400


def read_labels(labels: PackedLabels, path: str, *, form: str, kind: str, days: int, now: Instant) -> tuple[int, int]:
    """Add a file's addresses; returns how many were taken and how many lines or entries were not an address.

    `lines`: one address first on each line, # begins a comment. `json`: a list, or an object whose keys or values are
    addresses, at any depth up to 4. `csv`: the first column that is an address. Raises ConfigurationError.
    """
    text = _text(path)
    expires = Instant(now + days * DAY_S * SECOND)
    taken = refused = 0
    for word in _words(text, form, path):
        address = _address(word)
        if address is None:
            refused += 1
            continue
        labels.put(address, kind, origin=path, expires_at=expires)
        taken += 1
    return taken, refused


def _text(path: str) -> str:
    try:
        file = Path(path)
        if file.stat().st_size > MAX_BYTES:
            raise ConfigurationError((f"labels {path}: larger than {MAX_BYTES} bytes; split it",))
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError((f"labels {path}: cannot be read: {error.strerror}; name a file",)) from None


def _words(text: str, form: str, path: str) -> Iterator[str]:
    if form == "json":
        try:
            yield from _strings(msgspec.json.decode(text.encode()), 4)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigurationError((f"labels {path}: not JSON: {error}",)) from None
    elif form == "csv":
        for row in csv.reader(io.StringIO(text)):
            yield next((cell for cell in row if cell.strip().lower().startswith("0x")), "")
    else:
        for line in text.splitlines():
            word = line.split("#", 1)[0].split()
            if word:
                yield word[0].rstrip(",;")


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list):
        for entry in value:
            yield from _strings(entry, depth - 1)
    elif depth and isinstance(value, dict):
        for key, entry in value.items():
            if key.startswith("0x"):
                yield key
            else:
                yield from _strings(entry, depth - 1)


def _address(word: str) -> Address | None:
    text = word.strip()
    if len(text) != 42 or not text.lower().startswith("0x"):
        return None
    try:
        return Address(bytes.fromhex(text[2:]))
    except ValueError:
        return None
