"""Small builders of events, the interesting field as keyword. Addresses and hashes are numbers, spelled out."""

from __future__ import annotations

from monitor.evm.watch import Protected
from monitor.model.assets import Asset, AssetKind, Invariant, Token
from monitor.model.chain import CallFrame, Effects, Header, Probe, Reading, Transaction, Transfer
from monitor.model.events import (
    HeadSeen,
    LedgerComplete,
    PendingSimulated,
    StateRead,
    TransactionMined,
    WithdrawalAuthorised,
)
from monitor.model.units import DOLLAR, NATIVE, SECOND, Address, ChainId, Hash, Instant, Usd, Wei
from tests.detectors.fakes import START, FakeContext, FakePrices

CHAIN = ChainId(31337)
ETH = NATIVE
ONE = 10**18


def who(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def hash_of(number: int) -> Hash:
    return Hash(number.to_bytes(32, "big"))


WALLET, TREASURY, COLD, VAULT, SISTER, POOL = (who(n) for n in range(0xA1, 0xA7))
CUSTOMER, FRIEND, THIEF, MULE, ROUTER, EXCHANGE = (who(n) for n in range(0xB1, 0xB7))
USDC, DAI, WBTC, SCAM = (who(n) for n in range(0xC1, 0xC5))


def asset(
    name: str = "hot",
    *,
    kind: AssetKind = "hot_wallet",
    address: Address = WALLET,
    chain_id: int = CHAIN,
    tokens: tuple[Address, ...] = (NATIVE, USDC, DAI, WBTC),
    known: tuple[Address, ...] = (),
    ledger: str = "main",
    owner: str = "desk",
    family: str = "",
    invariants: tuple[Invariant, ...] = (),
    value_usd: int | None = None,
) -> Asset:
    return Asset(
        name=name,
        kind=kind,
        chain_id=ChainId(chain_id),
        address=address,
        owner=owner,
        tokens=tuple(Token(t) for t in tokens),
        value_usd=None if value_usd is None else Usd(value_usd * DOLLAR),
        known_destinations=known,
        cold_address=COLD,
        ledger=ledger,
        invariants=invariants,
        family=family,
    )


def context(*assets: Asset, prices: dict[Address, float] | None = None) -> FakeContext:
    """One dollar is 1e18 units of each listed token, unless said otherwise."""
    dollars = dict.fromkeys((NATIVE, USDC, DAI, WBTC), DOLLAR / ONE) if prices is None else prices
    found = FakeContext(Protected(assets or (asset(),)), FakePrices(dollars))
    found.heads[CHAIN] = header()
    return found


def header(number: int = 100, *, timestamp: int = START // SECOND) -> Header:
    return Header(number, hash_of(number), hash_of(number - 1), timestamp, 10**9, 30_000_000, 15_000_000, who(9))


def head(number: int = 100, *, chain_id: int = CHAIN, timestamp: int = START // SECOND) -> HeadSeen:
    return HeadSeen(chain_id=ChainId(chain_id), header=header(number, timestamp=timestamp))


def transaction(
    number: int = 1,
    *,
    sender: Address = WALLET,
    to: Address | None = CUSTOMER,
    nonce: int | None = None,
    value: int = 0,
    data: bytes = b"",
) -> Transaction:
    """A transaction; its hash and nonce are its number unless said otherwise."""
    return Transaction(
        hash=hash_of(number),
        sender=sender,
        to=to,
        nonce=number if nonce is None else nonce,
        value=Wei(value),
        gas=100_000,
        max_fee=2 * 10**9,
        max_priority_fee=10**9,
        data=data,
    )


def transfer(
    amount: int = ONE, *, sender: Address = WALLET, to: Address = CUSTOMER, token: Address = NATIVE
) -> Transfer:
    return Transfer(token, sender, to, Wei(amount))


def effects(
    *transfers: Transfer,
    ok: bool = True,
    calls: tuple[CallFrame, ...] = (),
    readings: tuple[Reading, ...] = (),
) -> Effects:
    return Effects(ok, 21_000, transfers=transfers, calls=calls, readings=readings)


def mined(
    *transfers: Transfer,
    tx: Transaction | int = 1,
    block: int = 101,
    timestamp: int | None = None,
    chain_id: int = CHAIN,
    ok: bool = True,
    calls: tuple[CallFrame, ...] = (),
    readings: tuple[Reading, ...] = (),
    index: int = 0,
) -> TransactionMined:
    return TransactionMined(
        chain_id=ChainId(chain_id),
        transaction=tx if isinstance(tx, Transaction) else transaction(tx),
        block_number=block,
        block_hash=hash_of(block),
        timestamp=START // SECOND if timestamp is None else timestamp,
        index=index,
        effects=effects(*transfers, ok=ok, calls=calls, readings=readings),
    )


def pending(
    *transfers: Transfer,
    tx: Transaction | int = 1,
    chain_id: int = CHAIN,
    ok: bool = True,
    calls: tuple[CallFrame, ...] = (),
    readings: tuple[Reading, ...] = (),
    not_includable: str = "",
    agrees: bool = True,
) -> PendingSimulated:
    return PendingSimulated(
        chain_id=ChainId(chain_id),
        transaction=tx if isinstance(tx, Transaction) else transaction(tx),
        base=hash_of(100),
        base_number=100,
        effects=effects(*transfers, ok=ok, calls=calls, readings=readings),
        not_includable=not_includable,
        agrees=agrees,
    )


def authorised(
    amount: int = ONE,
    *,
    to: Address = CUSTOMER,
    token: Address = NATIVE,
    ledger: str = "main",
    sequence: int = 1,
    chain_id: int = CHAIN,
    at: int = START,
) -> WithdrawalAuthorised:
    return WithdrawalAuthorised(
        ledger=ledger,
        id=f"w{sequence}",
        chain_id=ChainId(chain_id),
        token=token,
        to=to,
        amount=Wei(amount),
        authorised_at=Instant(at),
        sequence=sequence,
    )


def complete(sequence: int, *, at: int, ledger: str = "main") -> LedgerComplete:
    return LedgerComplete(ledger=ledger, sequence=sequence, at=Instant(at))


def reading(probe: Probe, before: int | bytes | None, after: int | bytes | None) -> Reading:
    return Reading(probe, _word(before), _word(after))


def state_read(*readings: Reading, block: int = 101, chain_id: int = CHAIN) -> StateRead:
    return StateRead(chain_id=ChainId(chain_id), block_number=block, block_hash=hash_of(block), readings=readings)


def frame(
    depth: int, sender: Address, to: Address | None, *, kind: str = "CALL", error: str = "", data: bytes = b""
) -> CallFrame:
    return CallFrame(depth, kind, sender, to, Wei(0), data, error)


def _word(value: int | bytes | None) -> bytes | None:
    return value.to_bytes(32, "big") if isinstance(value, int) else value
