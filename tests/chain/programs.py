"""Small EVM programs for tests: opcodes by name, hexadecimal pushes itself, `:x` is a place and `@x` pushes it."""

from __future__ import annotations

from typing import Final

NAMES: Final = {
    "STOP": 0x00,
    "ADD": 0x01,
    "SUB": 0x03,
    "LT": 0x10,
    "GT": 0x11,
    "EQ": 0x14,
    "ISZERO": 0x15,
    "SHR": 0x1C,
    "KECCAK256": 0x20,
    "ADDRESS": 0x30,
    "BALANCE": 0x31,
    "CALLER": 0x33,
    "CALLVALUE": 0x34,
    "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36,
    "GASPRICE": 0x3A,
    "COINBASE": 0x41,
    "TIMESTAMP": 0x42,
    "NUMBER": 0x43,
    "PREVRANDAO": 0x44,
    "SELFBALANCE": 0x47,
    "BASEFEE": 0x48,
    "POP": 0x50,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMP": 0x56,
    "JUMPI": 0x57,
    "GAS": 0x5A,
    "PUSH0": 0x5F,
    "DUP1": 0x80,
    "SWAP1": 0x90,
    "LOG0": 0xA0,
    "LOG3": 0xA3,
    "CALL": 0xF1,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}


def code(program: str) -> bytes:
    written, places, marks = bytearray(), dict[str, int](), list[tuple[int, str]]()
    for word in program.split():
        if word.startswith(":"):
            places[word[1:]] = len(written)
            written.append(0x5B)
        elif word.startswith("@"):
            marks.append((len(written) + 1, word[1:]))
            written += b"\x60\x00"
        elif word in NAMES:
            written.append(NAMES[word])
        else:
            pushed = bytes.fromhex(word)
            written += bytes([0x5F + len(pushed)]) + pushed
    for at, name in marks:
        written[at] = places[name]
    return bytes(written)


def logs_words(*words: str) -> bytes:
    """A program that logs what each of these leaves on the stack, 32 bytes each."""
    stores = " ".join(f"{word} {32 * at:02x} MSTORE" for at, word in enumerate(words))
    return code(f"{stores} {32 * len(words):02x} PUSH0 LOG0 STOP")


def sends_on(to: bytes) -> bytes:
    """A program that sends the ether it gets to another address, and ends well whether that works or not."""
    return code(f"PUSH0 PUSH0 PUSH0 PUSH0 CALLVALUE {to.hex()} GAS CALL STOP")


def reverts_with(data: bytes) -> bytes:
    chunks = [data[at : at + 32].ljust(32, b"\0") for at in range(0, len(data), 32)]
    stores = " ".join(f"{chunk.hex()} {32 * at:04x} MSTORE" for at, chunk in enumerate(chunks))
    return code(f"{stores} {len(data):04x} PUSH0 REVERT")


def error_string(text: str) -> bytes:
    raw = text.encode()
    return bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + len(raw).to_bytes(32, "big") + raw.ljust(32, b"\0")


STORES_OR_READS: Final = code(
    "20 CALLDATASIZE GT @store JUMPI PUSH0 CALLDATALOAD SLOAD PUSH0 MSTORE 20 PUSH0 RETURN"
    " :store 20 CALLDATALOAD PUSH0 CALLDATALOAD SSTORE STOP"
)
KECCAK_BOMB: Final = code(":loop 20 PUSH0 KECCAK256 POP @loop JUMP")
LOG_BOMB: Final = code(":loop PUSH0 PUSH0 LOG0 0186a0 GAS GT @loop JUMPI STOP")  # until 100,000 gas are left


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)
