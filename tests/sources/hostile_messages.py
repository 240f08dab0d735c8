"""Seeded messages of a hostile node: each kind breaks something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Json = dict[str, Any]


def notice(subscription: str, result: Any) -> bytes:
    params = {"subscription": subscription, "result": result}
    return json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).encode()


def truncated(random: Random, subscription: str, honest: Json) -> bytes:
    whole = notice(subscription, honest)
    return whole[: random.randrange(1, len(whole) - 1)]


def huge_number(random: Random, subscription: str, honest: Json) -> bytes:
    digits = "9" * random.randrange(20, 5_000)
    return notice(subscription, honest | {"number": 0, "gas": 0}).replace(b": 0,", b": " + digits.encode() + b",")


def huge_quantity(random: Random, subscription: str, honest: Json) -> bytes:
    return notice(subscription, honest | dict.fromkeys(("number", "gas"), "0x" + "f" * random.randrange(65, 9_000)))


def deep(random: Random, subscription: str, honest: Json) -> bytes:
    levels = random.randrange(2_000, 100_000)
    return b'{"jsonrpc":"2.0","method":"eth_subscription","params":' + b"[" * levels + b"]" * levels + b"}"


def deep_payload(random: Random, subscription: str, honest: Json) -> bytes:
    levels = random.randrange(2_000, 50_000)
    return notice(subscription, "deep").replace(b'"deep"', b'{"a":' * levels + b"1" + b"}" * levels)


def wrong_type(random: Random, subscription: str, honest: Json) -> bytes:
    wrong: Any = random.choice([None, 7, -1.5, True, [], {}, [honest], [[[]]]])
    return notice(subscription, wrong if random.random() < 0.5 else honest | {"hash": wrong})


def wrong_subscription(random: Random, subscription: str, honest: Json) -> bytes:
    return notice(f"0x{random.getrandbits(64):x}", honest)


def megabyte(random: Random, subscription: str, honest: Json) -> bytes:
    return notice(subscription, honest | dict.fromkeys(("extraData", "input"), "0x" + "00" * 200_000))


def garbage(random: Random, subscription: str, honest: Json) -> bytes:
    return bytes(random.randrange(32, 127) for _ in range(random.randrange(1, 300)))


def not_text(random: Random, subscription: str, honest: Json) -> bytes:
    return b"\x00\xff\xfe" + random.randbytes(random.randrange(200))


def forged(random: Random, subscription: str, honest: Json) -> bytes:
    return notice(subscription, honest | {"hash": f"0x{random.getrandbits(256):064x}"})


def unasked(random: Random, subscription: str, honest: Json) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": random.randrange(50, 10**6), "result": honest}).encode()


def odd_text(random: Random, subscription: str, honest: Json) -> bytes:
    text = random.choice(["0x_1", "0x 12", "-0x5", "0x", "１２", "\ud800", "0xzz", "1e9"])
    return notice(subscription, honest | dict.fromkeys(("number", "nonce", "gas", "parentHash"), text))


KINDS: tuple[Callable[[Random, str, Json], bytes], ...] = (
    truncated,
    huge_number,
    huge_quantity,
    deep,
    deep_payload,
    wrong_type,
    wrong_subscription,
    megabyte,
    garbage,
    not_text,
    forged,
    unasked,
    odd_text,
)


def hostile(random: Random, subscription: str, honest: Json, *, count: int) -> Iterator[bytes]:
    """`count` messages, every kind about as often."""
    for place in range(count):
        yield KINDS[place % len(KINDS)](random, subscription, honest)
