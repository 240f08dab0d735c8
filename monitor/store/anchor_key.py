"""The key that signs anchors: made on first use, in a file that only its owner reads, with the public key beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, Self

from coincurve import PrivateKey

from monitor.model.errors import ConfigurationError

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class AnchorKey:
    """A secp256k1 key. `public` is the 33 compressed bytes that an auditor keeps."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public = key.public_key.format()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key, making it (mode 0600, and `path`.pub) where absent. Blocking. Raises ConfigurationError."""
        try:
            if not path.exists():
                _make(path)
            if path.stat().st_mode & _OTHERS:
                raise _faulty(path, "others can read it; run chmod 600 on it")
            key = cls(PrivateKey(bytes.fromhex(path.read_text("ascii").strip())))
            _publish(public_path(path), key.public)
            return key
        except OSError as error:
            raise _faulty(path, error.strerror or "cannot be read") from error
        except ValueError as error:
            raise _faulty(path, "it holds no key: 64 hex digits") from error

    def sign(self, message: bytes) -> bytes:
        """DER signature over the SHA-256 of the message; equal messages give equal signatures (RFC 6979)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"AnchorKey({self.public.hex()})"


def public_path(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def read_public(path: Path) -> bytes:
    """The public key in a `.pub` file. Blocking. Raises ConfigurationError."""
    try:
        return bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise _faulty(path, error.strerror or "cannot be read") from error
    except ValueError as error:
        raise _faulty(path, "it holds no public key: 66 hex digits") from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, PrivateKey().secret.hex().encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(path: Path, public: bytes) -> None:
    text = public.hex() + "\n"
    if not path.exists():
        path.write_text(text, "ascii")
    elif path.read_text("ascii") != text:
        raise ConfigurationError((f"{path}: the public half of another key; move it away if that is meant",))


def _faulty(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError((f"{path}: anchor key: {why}",))
