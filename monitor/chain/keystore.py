"""Encrypted keystores (Web3 Secret Storage, version 3), and the object that holds a key in memory.

What Python allows: our one copy is a bytearray that `close` overwrites; libraries make short-lived copies that nobody
can reach but that are not overwritten. A key that must not be in this process's memory belongs into a remote signer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import msgspec
from msgspec import Struct

from monitor.model.errors import ConfigurationError

MAX_FILE: Final = 65_536  # bytes; a keystore has 500
MAX_BRACKETS: Final = 32  # a keystore has 5
MAX_MEMORY: Final = 1 << 30  # bytes that scrypt may ask for; the usual is 256 MB
MAX_ROUNDS: Final = 10_000_000


class Secret:
    """32 bytes that no text shows. Cannot be copied, compared or pickled."""

    __slots__ = ("_bytes",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32 or not any(raw):
            raise ConfigurationError(("a private key has 32 bytes and is not zero",))
        self._bytes = bytearray(raw)

    def __repr__(self) -> str:
        return "Secret()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied")

    @property
    def closed(self) -> bool:
        return not self._bytes

    def reveal(self) -> bytes:
        """For the one line that signs; never keep it."""
        return bytes(self._bytes)

    def close(self) -> None:
        self._bytes[:] = bytes(len(self._bytes))
        self._bytes.clear()


def read_keystore(path: Path, password: Callable[[], str], *, name: str) -> Secret:
    """Decrypt; blocks for half a second. Raises ConfigurationError, which names the file and nothing that is in it."""

    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError((f"signer {name}: keystore {path}: {why}",))

    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise wrong(f"cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE:
        raise wrong(f"more than {MAX_FILE} bytes; this is no keystore")
    fault = _unusable(text)
    if fault:
        raise wrong(fault)
    raw = _decrypt(text.decode("utf-8", "replace"), password())
    if raw is None:
        raise wrong("the password does not open it, or it is damaged")
    return Secret(raw)


class _Parameters(Struct, frozen=True):
    n: int = 1
    r: int = 1
    p: int = 1
    c: int = 1


class _Crypto(Struct, frozen=True):
    kdf: Literal["scrypt", "pbkdf2"]
    kdfparams: _Parameters


class _Keystore(Struct, frozen=True):
    version: Literal[3]
    crypto: _Crypto


def _unusable(text: bytes) -> str:
    """Why this is not a V3 keystore that we would decrypt; empty where it is one."""
    if text.count(b"{") + text.count(b"[") > MAX_BRACKETS:
        return f"not a V3 keystore: more than {MAX_BRACKETS} brackets"
    try:
        members = msgspec.json.decode(text, type=dict[str, Any])
        lowered = {key.lower(): value for key, value in members.items()}  # older clients write Crypto
        params = msgspec.convert(lowered, _Keystore).crypto.kdfparams
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"not a V3 keystore: {error}"
    if 128 * params.n * params.r * params.p > MAX_MEMORY or params.c > MAX_ROUNDS:
        return f"its key derivation costs too much: n {params.n}, r {params.r}, p {params.p}, c {params.c}"
    return ""


def _decrypt(text: str, password: str) -> bytes | None:
    """The key, or None. eth-account is imported only here, because it is slow to import and not always needed.

    With it comes py_ecc, which lifts Python's recursion limit to 100,000 for the whole process; beyond the usual 1,000
    deeply nested JSON from a hostile node overflows the C stack of the decoder. So the limit is put back.
    """
    limit = sys.getrecursionlimit()
    from eth_account import Account

    sys.setrecursionlimit(limit)
    try:
        return bytes(Account.decrypt(text, password))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        return None
