"""What a key could do beyond its task, tried on the chain's present state: each power as a call that must be refused.

A call that only this key gets through is a power of it. One that a stranger gets through too says nothing about the key
(a fallback function takes anything), and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.chain.lab_cases import FRESH, scene_of
from monitor.chain.simulate_wire import Outcome, Run
from monitor.cli_inspect import Chain, Inspection
from monitor.evm.abi import encode_call
from monitor.model.assets import Asset
from monitor.model.chain import Call
from monitor.model.errors import DrawbridgeError
from monitor.model.units import NATIVE, Address, ChainId, Hash

SOMEBODY: Final = Address(bytes.fromhex("d1dd6e0000000000000000000000000000005ee7"))  # who would be given the power
IMPLEMENTATION: Final = Hash(
    bytes.fromhex("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc")
)  # EIP-1967
DEFAULT_ADMIN: Final = bytes(32)
DEADLINE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Power:
    """Calls in order that together would be an abuse; the last one is what counts."""

    on: Address
    calls: tuple[bytes, ...]
    means: str


def powers(asset: Asset, implementation: Address | None) -> Iterator[Power]:
    """What no response key should be able to do to an asset and the contracts around it."""
    target = asset.pause.target if asset.pause else asset.address
    yield from _of_target(target, implementation)
    if asset.pause is not None and asset.pause.guardian is not None:
        yield from _of_guardian(asset.pause.guardian, target)
    if asset.tighten is not None:
        yield from _of_gate(asset.tighten.gate)
    for token in asset.tokens:
        if token.address != NATIVE:
            spend = encode_call("transferFrom(address,address,uint256)", asset.address, SOMEBODY, 1)
            yield Power(token.address, (spend,), f"spend {token.symbol or 'a token'} of {asset.name}")


def _of_target(target: Address, implementation: Address | None) -> Iterator[Power]:
    pause, unpause = encode_call("pause()"), encode_call("unpause()")
    yield Power(target, (pause, unpause), "end a pause")
    yield Power(target, (unpause,), "end the pause that is on")
    yield Power(target, (encode_call("transferOwnership(address)", SOMEBODY),), "give the contract away")
    yield Power(target, (encode_call("setOwner(address)", SOMEBODY),), "give the contract away")
    yield Power(target, (encode_call("grantRole(bytes32,address)", DEFAULT_ADMIN, SOMEBODY),), "grant the admin role")
    yield Power(target, (encode_call("setPauser(address,bool)", SOMEBODY, True),), "name pausers")
    if implementation is not None:
        yield Power(target, (encode_call("upgradeToAndCall(address,bytes)", implementation, b""),), "upgrade it")
        yield Power(target, (encode_call("upgradeTo(address)", implementation),), "upgrade it")


def _of_guardian(guardian: Address, target: Address) -> Iterator[Power]:
    yield Power(guardian, (encode_call("resume(address)", target),), "end a pause early")
    yield Power(guardian, (encode_call("rearm(uint32)", 0),), "grant itself uses")
    yield Power(guardian, (encode_call("setPauser(address)", SOMEBODY),), "name the pauser")
    yield Power(guardian, (encode_call("setPerson(address,bool)", SOMEBODY, True),), "name people who may pause")
    yield Power(guardian, (encode_call("unregister(address)", target),), "take a target out")


def _of_gate(gate: Address) -> Iterator[Power]:
    yield Power(gate, (encode_call("setSigner(address)", SOMEBODY),), "name who signs withdrawals")
    yield Power(gate, (encode_call("setGuardian(address)", SOMEBODY),), "name the guardian")
    yield Power(gate, (encode_call("setTightener(address)", SOMEBODY),), "name the tightener")
    yield Power(gate, (encode_call("setLimit(address,uint192)", NATIVE, 2**191),), "raise a limit")
    yield Power(gate, (encode_call("lift(address)", NATIVE),), "lift a tightening")


async def held(inspection: Inspection, chain_id: ChainId, key: Address, asset: Asset) -> list[str]:
    """The powers that this key has and a stranger has not. Raises DrawbridgeError where no node answers."""
    chain = inspection.chains[chain_id]
    if chain.head is None:
        return []
    target = asset.pause.target if asset.pause else asset.address
    wanted = list(powers(asset, await _implementation(chain, target)))
    mine = await _tried(chain, key, wanted)
    strangers = await _tried(chain, FRESH, wanted)
    found = zip(wanted, mine, strangers, strict=True)
    return list(
        dict.fromkeys(f"{power.means} (0x{power.on.hex()})" for power, can, anybody in found if can and not anybody)
    )


async def _tried(chain: Chain, who: Address, wanted: Sequence[Power]) -> list[bool]:
    if chain.head is None:
        return [False] * len(wanted)
    context = scene_of(ChainId(chain.rule.chain_id), chain.head, chain.rule.slot_s).first
    runs = tuple(
        Run(calls=tuple(Call(power.on, data, sender=who) for data in power.calls), context=context, at=chain.head.hash)
        for power in wanted
    )
    outcomes = await chain.simulator.run_many(runs, deadline_ms=DEADLINE_MS)
    return [_passed(outcome) for outcome in outcomes]


def _passed(outcome: Outcome | DrawbridgeError) -> bool:
    return isinstance(outcome, Outcome) and bool(outcome.effects) and all(effects.ok for effects in outcome.effects)


async def _implementation(chain: Chain, target: Address) -> Address | None:
    """Where a proxy's code is (EIP-1967), or nothing."""
    slot = ["0x" + target.hex(), "0x" + IMPLEMENTATION.hex(), "latest"]
    word = str(await chain.nodes.first("eth_getStorageAt", slot, into=str))
    raw = bytes.fromhex(word.removeprefix("0x").rjust(64, "0"))[-20:]
    return Address(raw) if any(raw) else None
