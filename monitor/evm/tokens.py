"""Value that moved, read from logs and call frames: ERC-20 in the shapes that tokens really use, wrapped ether, ether.

Any contract can log anything: a Transfer counts for its own token only, and tokens that no asset lists count nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from monitor.model.chain import CallFrame, Log, Transaction, Transfer
from monitor.model.units import NATIVE, NOBODY, Address, Wei

TRANSFER_TOPIC: Final = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
APPROVAL_TOPIC: Final = bytes.fromhex("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925")
DEPOSIT_TOPIC: Final = bytes.fromhex("e1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c")  # WETH9
WITHDRAWAL_TOPIC: Final = bytes.fromhex("7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65")  # WETH9

TRANSFER: Final = bytes.fromhex("a9059cbb")  # transfer(address,uint256)
TRANSFER_FROM: Final = bytes.fromhex("23b872dd")  # transferFrom(address,address,uint256)
APPROVE: Final = bytes.fromhex("095ea7b3")  # approve(address,uint256)
BALANCE_OF: Final = bytes.fromhex("70a08231")  # balanceOf(address)
TOTAL_SUPPLY: Final = bytes.fromhex("18160ddd")  # totalSupply()
TOTAL_ASSETS: Final = bytes.fromhex("01e1d114")  # totalAssets()

_MOVES_VALUE: Final = frozenset(("CALL", "CREATE", "CREATE2", "SELFDESTRUCT"))


def transfer_of(log: Log) -> Transfer | None:
    """The ERC-20 Transfer in a log, whichever of its three fields are indexed; None for NFTs and everything else.

    eth_simulateV1 writes ether the same way, as logs of NATIVE.
    """
    if not log.topics or log.topics[0] != TRANSFER_TOPIC or len(log.topics) > 3:
        return None
    words = _words(log)
    if len(words) < 3:
        return None
    return Transfer(log.address, _address(words[0]), _address(words[1]), _amount(words[2]))


def transfers_of(
    logs: Iterable[Log], transaction: Transaction | None = None, frames: Sequence[CallFrame] = ()
) -> tuple[Transfer, ...]:
    """Everything that moved in one successful transaction: tokens by their logs, ether by the best that there is.

    Ether is taken from simulated NATIVE logs, else from call frames, else from the transaction's own value; never from
    two of them.
    """
    logs = tuple(logs)
    moved = [transfer for log in logs if (transfer := transfer_of(log)) is not None]
    minting = {each.token for each in moved if NOBODY in (each.sender, each.to)}
    wrapped = (wrap for log in logs if log.address not in minting and (wrap := _wrap_of(log)) is not None)
    moved.extend(wrapped)
    if not any(each.token == NATIVE for each in moved):
        moved.extend(ether_of(frames) if frames else _own_value(transaction))
    return tuple(moved)


def ether_of(frames: Sequence[CallFrame]) -> tuple[Transfer, ...]:
    """Ether that frames moved and kept: a failed frame takes all below it back; a delegate call moves nothing."""
    moved: list[Transfer] = []
    failed_depth: int | None = None
    for frame in frames:
        if failed_depth is not None and frame.depth > failed_depth:
            continue
        failed_depth = frame.depth if frame.error else None
        if not frame.error and frame.value and frame.to is not None and frame.kind in _MOVES_VALUE:
            moved.append(Transfer(NATIVE, frame.sender, frame.to, frame.value))
    return tuple(moved)


def _own_value(transaction: Transaction | None) -> tuple[Transfer, ...]:
    if transaction is None or transaction.to is None or not transaction.value:
        return ()
    return (Transfer(NATIVE, transaction.sender, transaction.to, transaction.value),)


def _wrap_of(log: Log) -> Transfer | None:
    """WETH9 mints and burns without a Transfer. Tokens that log their mints never come here."""
    if not log.topics or log.topics[0] not in (DEPOSIT_TOPIC, WITHDRAWAL_TOPIC) or len(log.topics) > 2:
        return None
    words = _words(log)
    if len(words) != 2:
        return None
    holder, amount = _address(words[0]), _amount(words[1])
    if log.topics[0] == DEPOSIT_TOPIC:
        return Transfer(log.address, NOBODY, holder, amount)
    return Transfer(log.address, holder, NOBODY, amount)


def _words(log: Log) -> list[bytes]:
    """Indexed words, then at most three of the data."""
    data = log.data[:96]
    return [*log.topics[1:], *(data[at : at + 32] for at in range(0, len(data) - 31, 32))]


def _address(word: bytes) -> Address:
    return Address(word[12:32])


def _amount(word: bytes) -> Wei:
    return Wei(int.from_bytes(word, "big"))
