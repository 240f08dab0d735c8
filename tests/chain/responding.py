"""Builders for tests of signing and sending: assets, plans, requests, versions; the interesting field is a keyword."""

from __future__ import annotations

from monitor.chain.lanes import Flight
from monitor.evm.abi import encode_call
from monitor.evm.fees import Fees
from monitor.evm.transactions import encode_unsigned, keccak
from monitor.model.actions import ActionClass, Bid, Pause, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import Call, SignedTransaction, TransactionRequest
from monitor.model.units import NO_HASH, Address, ChainId, Usd, Wei

CHAIN = ChainId(31_337)
GWEI = 10**9
ETHER = 10**18
GUARDIAN = Address(b"\x6a" * 20)
TARGET = Address(b"\x7a" * 20)
OTHER = Address(b"\x0e" * 20)
SENDER = Address(b"\x5e" * 20)
FEES = Fees(30 * GWEI, GWEI)
BID = Bid(tip=2 * GWEI, max_tip=1_000 * GWEI, max_cost=Wei(ETHER))


def asset(name: str = "vault", *, route: PauseRoute | None = None) -> Asset:
    route = route or PauseRoute("guardian", TARGET, GUARDIAN, 3_600, "guardian-key")
    return Asset(name, "contract", CHAIN, route.target, pause=route)


def request(
    *,
    nonce: int = 0,
    sender: Address = SENDER,
    to: Address = GUARDIAN,
    data: bytes | None = None,
    value: int = 0,
    gas: int = 432_000,
    fees: Fees = FEES,
    chain_id: int = CHAIN,
) -> TransactionRequest:
    return TransactionRequest(
        chain_id=ChainId(chain_id),
        sender=sender,
        to=to,
        nonce=nonce,
        gas=gas,
        max_fee=fees.max_fee,
        max_priority_fee=fees.max_priority_fee,
        data=encode_call("pause(address[],uint64)", [TARGET], 3_600) if data is None else data,
        value=Wei(value),
    )


def version(nonce: int, *, fees: Fees = FEES, data: bytes = b"\x01") -> SignedTransaction:
    """What a lane keeps; the signature does not matter to it."""
    asked = request(nonce=nonce, fees=fees, data=data)
    raw = encode_unsigned(asked)
    return SignedTransaction(asked, keccak(raw), raw)


def flight(nonce: int, action_id: str = "", *, fees: Fees = FEES, signed_at: int = 0) -> Flight:
    action_id = action_id or f"action {nonce}"
    first = version(nonce, fees=fees, data=action_id.encode())
    return Flight(nonce=nonce, action_id=action_id, versions=(first,), signed_at=signed_at, sent=True)


def pause(action_id: str = "main:1/pause", *, incident: str = "main:1", assets: tuple[str, ...] = ("vault",)) -> Pause:
    return Pause(
        id=action_id,
        incident=incident,
        assets=assets,
        action_class=ActionClass.SCOPED,
        cause=1,
        because="a proof",
        duration_s=3_600,
    )


def rehearsed(
    action_id: str = "main:1/pause",
    *,
    calls: tuple[Call, ...],
    signer: str = "guardian-key",
    gas_used: int = 0,
    max_gas: int = 432_000,
) -> Rehearsed:
    """What the lab would give: it is not the lab that is tested here."""
    plan = Plan(pause(action_id), CHAIN, signer, calls, (), max_gas=max_gas)
    found = Rehearsal(action_id, 1, NO_HASH, "holds", "", gas_used, 0, (), Usd(0), Usd(0), "UNPROVEN")
    return Rehearsed(plan, found)
