"""JSON-RPC 2.0 frames: how a request is written, and how a hostile reply is read.

Pure: no sockets, no clock. A reply may be truncated, nested five thousand deep, answer twice, answer what nobody
asked, or carry an error whose message is a novel; each is either read as a bounded value or refused as Undecodable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from monitor.model.errors import DrawbridgeError, Undecodable

T = TypeVar("T")

Params = Sequence[Any]
BatchCall = tuple[str, Params]

MESSAGE_CHARACTERS: Final = 300
DATA_CHARACTERS: Final = 65_536
DEEPEST: Final = 5_000


class RpcError(DrawbridgeError):
    """A node understood the request and answered with an error: a revert, an unknown method, a refused transaction."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"node answered error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class _Error(Struct):
    code: int = 0
    message: str = ""
    data: Any = None


class Reply(Struct):
    """One answer; `result` stays raw until somebody says what it should be."""

    id: int | str | None = None
    result: Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | None = None


_encoder = msgspec.json.Encoder()
_one = msgspec.json.Decoder(Reply)
_many = msgspec.json.Decoder(list[Reply])
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def request(method: str, params: Params, number: int) -> bytes:
    """One request frame. Bytes must already be hex text: the wire knows no other."""
    return _encoder.encode(_envelope(method, params, number))


def batch_request(calls: Sequence[BatchCall], first: int) -> bytes:
    """All calls in one frame, numbered from `first`."""
    return _encoder.encode([_envelope(method, params, first + at) for at, (method, params) in enumerate(calls)])


def _envelope(method: str, params: Params, number: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def read_reply(frame: bytes, number: int) -> Reply:
    """The answer to request `number` in one frame. Raises Undecodable."""
    try:
        reply = _decoded(_one, frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _undecodable("a JSON-RPC reply", error) from None
    if reply.id != number and (reply.id is not None or reply.error is None):
        raise Undecodable(f"not the answer asked for: request {number}, reply {str(reply.id)[:40]}")
    return reply


def read_batch(frame: bytes, first: int, count: int) -> tuple[Reply, ...]:
    """The answers of one batch frame in the order asked. Raises Undecodable, or RpcError if the batch was refused."""
    if frame[:1] != b"[":
        raise error_of(read_reply(frame, first)) or Undecodable("not a JSON-RPC batch: a single result came back")
    try:
        replies = {reply.id: reply for reply in _decoded(_many, frame)}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _undecodable("a JSON-RPC batch", error) from None
    missing = [number for number in range(first, first + count) if number not in replies]
    if missing:
        raise Undecodable(f"not a whole JSON-RPC batch: {len(missing)} of {count} answers are missing")
    return tuple(replies[number] for number in range(first, first + count))


def error_of(reply: Reply) -> RpcError | None:
    """The error that a reply carries, cut to size; None where it has a result."""
    if reply.error is None:
        return None
    error = reply.error
    data = error.data if not isinstance(error.data, str) else error.data[:DATA_CHARACTERS]
    return RpcError(error.code, " ".join(error.message[:MESSAGE_CHARACTERS].split()), data)


def value(reply: Reply, into: Any = None) -> Any:
    """What the reply holds as `into` (plain objects where None). Raises RpcError, Undecodable."""
    error = error_of(reply)
    if error is not None:
        raise error
    if isinstance(reply.result, msgspec.UnsetType):
        raise Undecodable("not a JSON-RPC reply: neither result nor error")
    return decode_as(reply.result, into)


def decode_as(raw: Raw | bytes, into: Any = None) -> Any:
    """Decode JSON as `into`. Raises Undecodable."""
    try:
        return _decoded(_decoder(into), raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _undecodable(getattr(into, "__name__", "JSON"), error) from None


def canonical(result: Any) -> bytes:
    """Bytes that are equal where two nodes mean the same: key order and the case of hex text do not matter."""
    try:
        return msgspec.json.encode(_lowered(result), order="deterministic")
    except RecursionError as error:
        raise _undecodable("comparable JSON", error) from None


def _lowered(result: Any) -> Any:
    if isinstance(result, str):
        return result.lower() if result[:2] in ("0x", "0X") else result
    if isinstance(result, dict):
        return {key: _lowered(item) for key, item in result.items()}
    if isinstance(result, list):
        return [_lowered(item) for item in result]
    return result


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes | Raw) -> T:
    """Decode with the interpreter's recursion limit at a known depth.

    Call trees are up to 1,024 calls deep, two brackets each, which the usual 1,000 would refuse; py-evm, where
    installed, lifts it to 100,000 as web3 is imported, and then a reply nested 50,000 deep overflows the C stack and
    kills the process instead of raising RecursionError.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)
    try:
        return decoder.decode(data)
    finally:
        sys.setrecursionlimit(limit)


def _decoder(into: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(into)
    if found is None:
        found = _decoders[into] = msgspec.json.Decoder(Any if into is None else into)
    return found


def _undecodable(noun: str, error: BaseException) -> Undecodable:
    return Undecodable(f"not {noun}: {str(error)[:MESSAGE_CHARACTERS]}")
