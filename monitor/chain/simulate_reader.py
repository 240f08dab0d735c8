"""Reads many probes in one call: a small program that is put at an unused address for the length of a simulation.

A token may burn all gas in balanceOf, or return a megabyte, which as a call of its own would come back as two megabytes
of text. The reader gives each probe its own bounded gas, copies at most 4 kB of what it returns, and goes on.

Asked: for each probe, address (20 bytes), length of the data (2 bytes), data; no data asks for the ether balance.
Answered: for each probe, one more than the length of the answer (2 bytes; 0: reverted, ran out of gas, or too long),
then the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from monitor.model.chain import Probe
from monitor.model.errors import Undecodable
from monitor.model.units import Address

READER: Final = Address(bytes.fromhex("d1dd6e0000000000000000000000000000000001"))
ASKER: Final = Address(bytes.fromhex("d1dd6e0000000000000000000000000000000002"))
PROBE_GAS: Final = 500_000
MAX_ANSWER: Final = 4_096
MAX_QUESTION: Final = 4_096
OVERHEAD_GAS: Final = 60_000
PROBES_A_CALL: Final = 24

# Stack notes: i = place in calldata, o = place in memory, a = address, n = length of the question.
_PROGRAM: Final = f"""
    PUSH0 PUSH0
 :loop
    CALLDATASIZE DUP3 LT @body JUMPI
    PUSH0 RETURN
 :body
    DUP2 CALLDATALOAD DUP1 60 SHR SWAP1 50 SHR ffff AND
    DUP1 @ask JUMPI
    POP BALANCE 21 f0 SHL DUP3 MSTORE
    DUP2 02 ADD MSTORE
    22 ADD SWAP1 16 ADD SWAP1 @loop JUMP
 :ask
    DUP1 DUP5 16 ADD DUP5 CALLDATACOPY
    PUSH0 PUSH0 DUP3 DUP6 DUP6 {PROBE_GAS:06x} STATICCALL
    {MAX_ANSWER:04x} RETURNDATASIZE GT ISZERO AND @good JUMPI
    PUSH0 DUP4 MSTORE
    SWAP1 POP SWAP1 02 ADD SWAP2 ADD 16 ADD SWAP1 @loop JUMP
 :good
    RETURNDATASIZE 01 ADD f0 SHL DUP4 MSTORE
    RETURNDATASIZE PUSH0 DUP5 02 ADD RETURNDATACOPY
    SWAP1 POP SWAP1 02 ADD RETURNDATASIZE ADD SWAP2 ADD 16 ADD SWAP1 @loop JUMP
"""

_OPCODES: Final = {
    "ADD": 0x01,
    "LT": 0x10,
    "GT": 0x11,
    "ISZERO": 0x15,
    "AND": 0x16,
    "SHL": 0x1B,
    "SHR": 0x1C,
    "BALANCE": 0x31,
    "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37,
    "RETURNDATASIZE": 0x3D,
    "RETURNDATACOPY": 0x3E,
    "POP": 0x50,
    "MSTORE": 0x52,
    "JUMP": 0x56,
    "JUMPI": 0x57,
    "PUSH0": 0x5F,
    "DUP1": 0x80,
    "DUP2": 0x81,
    "DUP3": 0x82,
    "DUP4": 0x83,
    "DUP5": 0x84,
    "DUP6": 0x85,
    "SWAP1": 0x90,
    "SWAP2": 0x91,
    "RETURN": 0xF3,
    "STATICCALL": 0xFA,
}


def assembled(program: str) -> bytes:
    """EVM code of a program: `:name` marks a place, `@name` pushes it, hexadecimal pushes itself."""
    code, places, marks = bytearray(), dict[str, int](), list[tuple[int, str]]()
    for word in program.split():
        if word.startswith(":"):
            places[word[1:]] = len(code)
            code.append(0x5B)
        elif word.startswith("@"):
            marks.append((len(code) + 1, word[1:]))
            code += b"\x60\x00"
        elif word in _OPCODES:
            code.append(_OPCODES[word])
        else:
            pushed = bytes.fromhex(word)
            code += bytes([0x5F + len(pushed)]) + pushed
    for at, name in marks:
        code[at] = places[name]
    return bytes(code)


CODE: Final = assembled(_PROGRAM)


def question(probes: Sequence[Probe]) -> bytes:
    """The reader's calldata. A question over 4 kB is asked as an empty address, and answered None by `answers`."""
    return b"".join(probe.to + len(probe.data).to_bytes(2, "big") + probe.data for probe in probes if _askable(probe))


def chunks(probes: tuple[Probe, ...]) -> tuple[tuple[Probe, ...], ...]:
    """Probes by call: no transaction may carry more than 2**24 gas (EIP-7825)."""
    return tuple(probes[at : at + PROBES_A_CALL] for at in range(0, len(probes), PROBES_A_CALL))


def gas_for(probes: Sequence[Probe]) -> int:
    """Gas with which every probe gets its own, whatever those before it burned (EIP-150 keeps 1/64 back)."""
    return OVERHEAD_GAS + len(probes) * (PROBE_GAS + PROBE_GAS // 60 + 20_000)


def answers(data: bytes, probes: Sequence[Probe]) -> tuple[bytes | None, ...]:
    """What the reader returned, by probe. Raises Undecodable where it is cut off."""
    found = _split(data)
    try:
        read = tuple(next(found) if _askable(probe) else None for probe in probes)
    except StopIteration:
        raise Undecodable(f"reader answered {len(data)} bytes for {len(probes)} probes: too few") from None
    return read


def _askable(probe: Probe) -> bool:
    return len(probe.data) <= MAX_QUESTION


def _split(data: bytes) -> Iterator[bytes | None]:
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "big") - 1
        at += 2
        if length > len(data) - at:
            return
        yield data[at : at + length] if length >= 0 else None
        at += max(length, 0)
