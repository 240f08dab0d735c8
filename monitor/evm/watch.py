"""What is protected, and whether something touches it: the filter that stands before everything that costs.

`Protected` answers by chain and address, for the few hundred assets of an owner. `WatchIndex` answers for up to a
million addresses of one chain, at a cost that does not grow with them. `PackedLabels` holds what lists say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from monitor.evm import hexes
from monitor.evm.packed import AddressTable
from monitor.evm.wire import WireLog, WireTransaction, authorizations
from monitor.model.assets import Asset, Token
from monitor.model.chain import Authorization, Effects, Log, Transaction, Transfer
from monitor.model.errors import ConfigurationError, Undecodable
from monitor.model.units import NOBODY, Address, ChainId, Instant

_GAP: Final = bytes(12)  # what stands before an address in an ABI word
_HOLE: Final = bytes(8)
_WITHOUT_DELEGATIONS: Final = (None, "0x0", "0x1", "0x2", "0x3")
_SHORTEST: Final = 12  # bytes of an address that has no hole, without its leading zeros


class Protected:
    """The configured assets. Implements model.ports.Assets."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._all = tuple(assets)
        self._named: dict[str, Asset] = {}
        self._at: dict[tuple[ChainId, Address], Asset] = {}
        self._tokens: dict[tuple[ChainId, Address], Token] = {}
        for asset in self._all:
            self._enter(asset)

    def at(self, chain_id: ChainId, address: Address) -> Asset | None:
        """The asset at an address, else None."""
        return self._at.get((chain_id, address))

    def named(self, name: str) -> Asset | None:
        return self._named.get(name)

    def all(self) -> tuple[Asset, ...]:
        return self._all

    def sisters(self, asset: Asset) -> tuple[Asset, ...]:
        """Other assets of the same family, in configured order."""
        if not asset.family:
            return ()
        return tuple(other for other in self._all if other.family == asset.family and other.name != asset.name)

    def token(self, chain_id: ChainId, token: Address) -> Token | None:
        """A token that some asset lists, else None."""
        return self._tokens.get((chain_id, token))

    def watched(self, chain_id: ChainId) -> Iterator[Address]:
        """What a watch index of this chain holds: the assets and what pauses or tightens them."""
        for asset in self._all:
            if asset.chain_id == chain_id:
                yield from (address for address in _watched(asset) if address != NOBODY)

    def _enter(self, asset: Asset) -> None:
        place = (asset.chain_id, asset.address)
        if asset.name in self._named or place in self._at:
            raise ConfigurationError((f"assets: {asset.name}: its name or its address is there twice; each once",))
        self._named[asset.name] = asset
        if asset.address != NOBODY:  # an account or key off chain has none
            self._at[place] = asset
        for token in asset.tokens:
            known = self._tokens.setdefault((asset.chain_id, token.address), token)
            if known.decimals != token.decimals:
                fault = f"{token.decimals} decimals for a token that has {known.decimals} elsewhere"
                raise ConfigurationError((f"assets: {asset.name}: tokens: {fault}; one number for each token",))


class WatchIndex:
    """The watched addresses of one chain, and whether a transaction, log or transfer touches one of them.

    Calldata is searched for addresses in ABI words at any depth of nesting, not for packed ones: what only a run shows
    is shown by the simulation that every pending transaction gets.
    """

    def __init__(self, addresses: Iterable[Address], *, seed: bytes = b"", capacity: int = 0) -> None:
        self._table = AddressTable(seed=seed, capacity=capacity)
        self._hollow: list[bytes] = []
        self._zeros = False
        for address in addresses:
            self.add(address)

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, address: bytes) -> bool:
        return self._table.find(int.from_bytes(address, "big")) >= 0

    @property
    def nbytes(self) -> int:
        return self._table.nbytes

    def add(self, address: Address) -> None:
        """Raises ConfigurationError for the zero address, which burns and deployments name all the time."""
        if address == NOBODY:
            raise ConfigurationError(("watch: the zero address cannot be watched",))
        self._table.put(address)
        self._zeros = self._zeros or address.startswith(_HOLE[:4])
        if address.find(_HOLE) >= 0 and address not in self._hollow:
            self._hollow.append(address)

    def touches(self, tx: Transaction) -> bool:
        """Whether it is sent by, sent to, delegates, or names in its calldata something watched."""
        return (
            tx.sender in self
            or (tx.to is not None and tx.to in self)
            or self._delegates(tx.authorizations)
            or (len(tx.data) > 20 and self.named_in(tx.data))
        )

    def touches_wire(self, tx: WireTransaction) -> bool:
        """The same before conversion: half a microsecond where calldata is short. Raises Undecodable."""
        try:
            if self._table.holds_any((int(tx.sender, 16), int(tx.to, 16)) if tx.to else (int(tx.sender, 16),)):
                return True
        except ValueError:
            raise Undecodable(f"not an address: {tx.sender!r} or {tx.to!r}") from None
        if tx.type not in _WITHOUT_DELEGATIONS and self._delegates(authorizations(tx)):
            return True
        return len(tx.input) > 42 and self.named_in(hexes.octets(tx.input))

    def touches_log(self, log: Log) -> bool:
        """Whether a watched contract wrote it, or an indexed word names something watched."""
        return log.address in self or any(topic[12:] in self for topic in log.topics[1:])

    def touches_wire_log(self, log: WireLog) -> bool:
        """The same before conversion. Raises Undecodable."""
        try:
            return self._table.holds_any([int(log.address, 16), *[int(topic[-40:], 16) for topic in log.topics[1:]]])
        except ValueError:
            raise Undecodable(f"not an address or topics: {log.address!r}, {log.topics!r}") from None

    def touches_transfer(self, transfer: Transfer) -> bool:
        return transfer.sender in self or transfer.to in self

    def touches_effects(self, effects: Effects) -> bool:
        """Whether what ran moved value of, logged at, called or wrote something watched."""
        return (
            any(self.touches_transfer(transfer) for transfer in effects.transfers)
            or any(self.touches_log(log) for log in effects.logs)
            or any(frame.sender in self or (frame.to or b"") in self for frame in effects.calls)
            or any(change.address in self for change in effects.storage)
        )

    def _delegates(self, entries: tuple[Authorization, ...]) -> bool:
        return any(entry.address in self or (entry.authority or b"") in self for entry in entries)

    def named_in(self, data: bytes) -> bool:
        """Whether an ABI word of this calldata is a watched address.

        Words lie on multiples of 4 at any depth, which says how many zeros before a non-zero byte belong to an address.
        """
        numbers, passed = [], 0
        for index, piece in enumerate(data.split(_GAP)):
            size = len(piece)
            if index and size >= _SHORTEST:
                tail = piece.lstrip(b"\0")
                zeros = (passed + size - len(tail)) & 3
                numbers.append(_candidate(tail, zeros))
                if self._zeros:
                    numbers.append(_candidate(tail, zeros + 4))
            passed += size
        return self._table.holds_any(numbers) or any(address in data for address in self._hollow)


class PackedLabel(Struct, frozen=True):
    """Implements model.ports.Label."""

    kind: str
    origin: str
    expires_at: Instant


class PackedLabels:
    """What lists say about addresses: a million in 70 MB. Implements model.ports.Labels."""

    def __init__(self, *, seed: bytes = b"", capacity: int = 0) -> None:
        self._table = AddressTable(width=12, capacity=capacity, seed=seed)
        self._words: list[str] = []
        self._ids: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._table)

    @property
    def nbytes(self) -> int:
        return self._table.nbytes

    def put(self, address: Address, kind: str, *, origin: str, expires_at: Instant) -> None:
        """Add or replace a label; of several lists, give the one that counts most last."""
        payload = self._id(kind).to_bytes(2, "big") + self._id(origin).to_bytes(2, "big")
        self._table.put(address, payload + expires_at.to_bytes(8, "big"))

    def get(self, address: Address) -> PackedLabel | None:
        """The label of an address, unexpired or not."""
        at = self._table.find(int.from_bytes(address, "big"))
        if at < 0:
            return None
        payload = self._table.payload(at)
        kind, origin = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
        return PackedLabel(self._words[kind], self._words[origin], Instant(int.from_bytes(payload[4:], "big")))

    def _id(self, text: str) -> int:
        known = self._ids.get(text)
        if known is not None:
            return known
        if len(self._words) > 0xFFFF:
            raise ConfigurationError(("labels: more than 65,536 different kinds and origins; use fewer",))
        self._ids[text] = len(self._words)
        self._words.append(text)
        return self._ids[text]


def _watched(asset: Asset) -> Iterator[Address]:
    yield asset.address
    if asset.pause is not None:
        yield asset.pause.target
        if asset.pause.guardian is not None:
            yield asset.pause.guardian
    if asset.tighten is not None:
        yield asset.tighten.gate


def _candidate(tail: bytes, zeros: int) -> int:
    """The address that `zeros` zero bytes and this make, zeros that the gap behind it took given back."""
    return int.from_bytes(tail[: 20 - zeros].ljust(20 - zeros, b"\0"), "big")
