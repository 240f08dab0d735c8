"""An attack on one asset, rewritten for its sister: what would the same hand do to the market next door?

Pure. Addresses are replaced wherever the attacker wrote them: in the transaction's target and calldata, and in the
code of contracts that stand between the attacker and the asset (one that has its victim in its code has to be
rewritten, as the attacker would by deploying it anew). The asset, its sister and their tokens are never rewritten, nor
what they call: a loss that shows with the sister's own code and state is the sister's own fault. A transplant that
fails proves nothing, since addresses that the attacker keeps in storage, or computes, are not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from monitor.model.assets import Asset
from monitor.model.chain import CallFrame, Transaction
from monitor.model.units import NATIVE, NO_HASH, Address


def transplant(
    transactions: Sequence[Transaction],
    frames: Sequence[CallFrame],
    asset: Asset,
    sister: Asset,
    code_of: Mapping[Address, bytes],
) -> tuple[tuple[Transaction, ...], dict[Address, bytes]]:
    """Transactions and code overrides that do to `sister` what `transactions` did to `asset`.

    `frames` are the attack's own call frames, all transactions one after the other (empty: only direct targets count as
    between). `code_of` has the code of whatever addresses the caller could read; the rest is left alone. Tokens are
    exchanged by their order on both lists. Both results are empty where nothing names the asset: there is nothing to
    transplant, as with a stolen key, which opens no sister. The transactions' hashes are zero: nobody signed them.
    """
    names = exchanged(asset, sister)
    if any(transaction.sender in names for transaction in transactions):
        return (), {}
    replace = _replacer(names)
    moved = tuple(_moved(transaction, replace) for transaction in transactions)
    overrides = {
        address: code
        for address in between(transactions, frames, frozenset(names) | frozenset(names.values()))
        if address in code_of and (code := replace(code_of[address])) != code_of[address]
    }
    if not overrides and all(_same(old, new) for old, new in zip(transactions, moved, strict=True)):
        return (), {}
    return moved, overrides


def exchanged(asset: Asset, sister: Asset) -> dict[Address, Address]:
    """Which address stands for which: the assets themselves, then their tokens by order."""
    names = {asset.address: sister.address}
    for ours, theirs in zip(asset.tokens, sister.tokens, strict=False):
        if NATIVE not in (ours.address, theirs.address) and ours.address != theirs.address:
            names[ours.address] = theirs.address
    return names


def between(
    transactions: Sequence[Transaction], frames: Sequence[CallFrame], protected: frozenset[Address]
) -> tuple[Address, ...]:
    """Contracts on the way from a sender to a protected address, in order of entry; never protected ones or below."""
    found = dict.fromkeys(each.to for each in transactions if each.to is not None and each.to not in protected)
    stack: list[Address | None] = []
    noted = 0  # so much of the stack is in `found`: a tree 1,000 deep must not cost its square
    inside: int | None = None  # depth of the outermost protected frame that we are in
    for frame in frames:
        del stack[frame.depth :]
        noted = min(noted, len(stack))
        inside = None if inside is None or inside >= len(stack) else inside
        if frame.to in protected and inside is None:
            found.update(dict.fromkeys(to for to in stack[noted:] if to is not None))
            noted = inside = len(stack)
        stack.append(frame.to)
    return tuple(found)


def replaced_words(data: bytes, words: Mapping[int, int]) -> bytes:
    """Calldata with whole ABI words exchanged: how an amount is scaled or a message made fresh."""
    head, body = data[:4], data[4:]
    chunks = [body[at : at + 32] for at in range(0, len(body), 32)]
    return head + b"".join(_exchanged_word(chunk, words) for chunk in chunks)


def _exchanged_word(chunk: bytes, words: Mapping[int, int]) -> bytes:
    number = int.from_bytes(chunk, "big")
    return words[number].to_bytes(32, "big") if len(chunk) == 32 and number in words else chunk


def _moved(transaction: Transaction, replace: Callable[[bytes], bytes]) -> Transaction:
    to = None if transaction.to is None else Address(replace(transaction.to))
    return msgspec.structs.replace(transaction, hash=NO_HASH, to=to, data=replace(transaction.data))


def _same(old: Transaction, new: Transaction) -> bool:
    return old.to == new.to and old.data == new.data


def _replacer(names: Mapping[Address, Address]) -> Callable[[bytes], bytes]:
    """Replace all names at once, so that two tokens that change places do."""
    pattern = re.compile(b"|".join(re.escape(name) for name in names), re.DOTALL)
    return lambda data: pattern.sub(lambda found: names[Address(found[0])], data)
