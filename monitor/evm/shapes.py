"""ABI types as trees: parsed once from text such as '(address,bytes)[2]', with the sizes that a reader needs.

The text is ours or the owner's, so a fault in it is a ConfigurationError.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from monitor.evm.transactions import keccak
from monitor.model.errors import ConfigurationError

MAX_DEPTH: Final = 6
MAX_TEXT: Final = 512

_TOKEN: Final = re.compile(r"[a-z]+[0-9]*|\[[0-9]{0,4}\]|[(),]")
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\(")
_WIDTHS: Final = range(8, 257, 8)


class Shape(Struct, frozen=True):
    """A parsed type. `head` is its size where it stands, 32 for what lies behind an offset."""

    kind: str  # uint, int, address, bool, word, bytes, string, array, tuple
    text: str  # canonical
    size: int = 0  # bits of a number; bytes of a word; members of an array, -1 for any number
    members: tuple[Shape, ...] = ()
    head: int = 32
    dynamic: bool = False
    depth: int = 1


@lru_cache(maxsize=1024)
def shapes(types: tuple[str, ...]) -> tuple[Shape, ...]:
    """Raises ConfigurationError."""
    return tuple(_whole(text) for text in types)


@lru_cache(maxsize=1024)
def function(signature: str) -> tuple[bytes, tuple[str, ...]]:
    """Selector and argument types of 'transfer(address,uint256)'. Raises ConfigurationError."""
    name = _NAME.match(signature)
    arguments = _whole(signature[name.end() - 1 :]) if name else None
    if name is None or arguments is None or arguments.kind != "tuple":
        raise ConfigurationError((f"{signature[:80]!r} is not a function; write it as 'transfer(address,uint256)'",))
    canonical = name.group()[:-1] + arguments.text
    return keccak(canonical.encode())[:4], tuple(member.text for member in arguments.members)


def _whole(text: str) -> Shape:
    tokens = _TOKEN.findall(text)
    if len(text) > MAX_TEXT or "".join(tokens) != text:
        raise _bad(text)
    tokens.reverse()
    shape = _type(tokens, 0)
    if tokens:
        raise _bad(text)
    return shape


def _type(tokens: list[str], depth: int) -> Shape:
    """One type off the end of the reversed tokens."""
    if not tokens:
        raise _bad("")
    if depth > MAX_DEPTH:
        raise _too_deep()
    token = tokens.pop()
    shape = _tuple(tokens, depth) if token == "(" else _elementary(token)  # noqa: S105
    while tokens and tokens[-1][0] == "[":
        shape = _array(shape, tokens.pop())
    if depth + shape.depth > MAX_DEPTH:
        raise _too_deep()
    return shape


def _tuple(tokens: list[str], depth: int) -> Shape:
    members: list[Shape] = []
    if tokens and tokens[-1] == ")":
        tokens.pop()
    else:
        separator = ","
        while separator == ",":
            members.append(_type(tokens, depth + 1))
            separator = tokens.pop() if tokens else ""
        if separator != ")":
            raise _bad(separator or "(")
    text = "(" + ",".join(member.text for member in members) + ")"
    dynamic = any(member.dynamic for member in members)
    head = 32 if dynamic else sum(member.head for member in members)
    depth = 1 + max((member.depth for member in members), default=0)
    return Shape("tuple", text, len(members), tuple(members), head, dynamic, depth)


def _array(member: Shape, dimension: str) -> Shape:
    text = member.text + dimension
    if dimension == "[]":
        return Shape("array", text, -1, (member,), dynamic=True, depth=member.depth + 1)
    size = int(dimension[1:-1])
    head = 32 if member.dynamic else size * member.head
    return Shape("array", text, size, (member,), head, member.dynamic, member.depth + 1)


def _elementary(text: str) -> Shape:
    base = text.rstrip("0123456789")
    digits = int(text[len(base) :] or 0)
    if base in ("uint", "int") and (not digits or digits in _WIDTHS):
        return Shape(base, f"{base}{digits or 256}", digits or 256)
    if base == "bytes" and 1 <= digits <= 32:
        return Shape("word", text, digits)
    if text in ("bytes", "string"):
        return Shape(text, text, dynamic=True)
    if text in ("address", "bool"):
        return Shape(text, text)
    raise _bad(text)


def _too_deep() -> ConfigurationError:
    return ConfigurationError((f"an ABI type is nested deeper than {MAX_DEPTH}",))


def _bad(text: str) -> ConfigurationError:
    return ConfigurationError((f"{text[:80]!r} is not an ABI type; write it as 'uint256' or '(address,bytes)[]'",))
