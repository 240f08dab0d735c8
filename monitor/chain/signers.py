"""Keys. Each is bound to what it may sign, and the binding is checked before each signature, here and nowhere later.

`KeystoreSigner` holds a key that it decrypted from a V3 keystore; `RemoteSigner` asks somebody who holds one
(web3signer, clef, anvil) and believes nothing that comes back until every field and the recovered sender are what was
asked for.
No key, password or address with a password in it is in any text that these give: not in repr, error or log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from coincurve import PrivateKey

from monitor.chain.bindings import Binding
from monitor.chain.keystore import Secret, read_keystore
from monitor.chain.rpc import Rpc, RpcError
from monitor.evm.hexes import octets
from monitor.evm.transactions import Signature, decode_raw, encode_signed, encode_unsigned, keccak
from monitor.model.chain import SignedTransaction, Transaction, TransactionRequest
from monitor.model.errors import ConfigurationError, SignerRefused, Undecodable, Unreachable
from monitor.model.units import Address, shown

MAX_RAW: Final = 131_072  # bytes; nodes take no larger transaction


class KeystoreSigner:
    """A key of this process. Signing takes 0.1 ms and is done on the loop."""

    def __init__(self, name: str, secret: Secret, binding: Binding) -> None:
        self.name, self.address = name, address_of(secret)
        self._secret, self._binding = secret, binding

    def __repr__(self) -> str:
        return f"KeystoreSigner({self.name!r}, {shown(self.address)})"

    @classmethod
    async def open(
        cls,
        name: str,
        path: Path,
        *,
        password: Callable[[], str],
        binding: Binding,
        address: Address | None = None,
        deadline_s: float = 60.0,
    ) -> KeystoreSigner:
        """Decrypt a keystore in a thread (half a second, by design). `address` is what the owner expects, if he said.

        Raises ConfigurationError where the file, the password or the address is wrong, Unreachable past the deadline.
        """
        try:
            async with asyncio.timeout(deadline_s):
                secret = await asyncio.to_thread(read_keystore, path, password, name=name)
        except TimeoutError:
            raise Unreachable(f"signer {name}: {path} was not decrypted within {deadline_s:g} s") from None
        signer = cls(name, secret, binding)
        if address is not None and address != signer.address:
            signer.close()
            fault = f"signer {name}: {path} holds the key of {shown(signer.address)}, not of {shown(address)}"
            raise ConfigurationError((fault,))
        return signer

    async def sign(self, request: TransactionRequest) -> SignedTransaction:
        """Raises SignerRefused outside the binding, and once closed."""
        self._binding.check(request, name=self.name, address=self.address)
        if self._secret.closed:
            raise SignerRefused(f"{self.name} refuses to sign: it is closed")
        return _signed(request, self._secret)

    def close(self) -> None:
        """Overwrite the key, as far as Python allows."""
        self._secret.close()


class RemoteSigner:
    """A key elsewhere, over JSON-RPC. clef calls the method account_signTransaction; the others eth_signTransaction."""

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        rpc: Rpc,
        binding: Binding,
        deadline_ms: int = 1_000,
        method: Literal["eth_signTransaction", "account_signTransaction"] = "eth_signTransaction",
    ) -> None:
        self.name, self.address = name, address
        self._rpc, self._binding = rpc, binding
        self._deadline_ms, self._method = deadline_ms, method

    def __repr__(self) -> str:
        return f"RemoteSigner({self.name!r}, {shown(self.address)})"

    async def sign(self, request: TransactionRequest) -> SignedTransaction:
        """Raises SignerRefused outside the binding or where something else came back, Unreachable past the deadline."""
        self._binding.check(request, name=self.name, address=self.address)
        try:
            answer = await self._rpc.call(self._method, [_asked(request)], deadline_ms=self._deadline_ms)
            raw = _raw(answer)
            seen = decode_raw(raw, chain_id=request.chain_id)
        except RpcError as error:
            self._refuse(f"the remote signer answered: {error.message[:200]}")
        except Undecodable as error:
            self._refuse(f"the remote signer sent something else: {error}")
        changed = differences(request, seen)
        if changed:
            self._refuse(f"the remote signer changed {', '.join(changed)}")
        tx_hash = keccak(raw)
        if seen.hash != tx_hash:
            self._refuse("the remote signer sent bytes that are not in their one canonical form")
        return SignedTransaction(request, tx_hash, raw)

    async def close(self) -> None:
        await self._rpc.close()

    def _refuse(self, why: str) -> NoReturn:
        raise SignerRefused(f"{self.name}: {why}") from None


def address_of(secret: Secret) -> Address:
    """The account of a key."""
    public = PrivateKey(secret.reveal()).public_key.format(compressed=False)
    return Address(keccak(public[1:])[12:])


def differences(request: TransactionRequest, seen: Transaction) -> tuple[str, ...]:
    """The names of all fields in which a signed transaction is not what was asked for."""
    asked: dict[str, object] = {
        "kind": 2,
        "sender": request.sender,
        "to": request.to,
        "nonce": request.nonce,
        "gas": request.gas,
        "max_fee": request.max_fee,
        "max_priority_fee": request.max_priority_fee,
        "value": request.value,
        "data": request.data,
        "authorizations": (),
        "access_gas": 0,
        "blobs": 0,
        "max_blob_fee": 0,
    }
    return tuple(name for name, value in asked.items() if getattr(seen, name) != value)


def _signed(request: TransactionRequest, secret: Secret) -> SignedTransaction:
    """libsecp256k1 signs deterministically (RFC 6979) and always with low s (EIP-2)."""
    digest = keccak(encode_unsigned(request))
    compact = PrivateKey(secret.reveal()).sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big"), compact[64]
    raw = encode_signed(request, Signature(r, s, parity))
    return SignedTransaction(request, keccak(raw), raw)


def _asked(request: TransactionRequest) -> dict[str, str]:
    """Every field set: there is nothing for the signer to fill in. `data` and `input` are two names of one field."""
    return {
        "type": "0x2",
        "chainId": hex(request.chain_id),
        "from": shown(request.sender),
        "to": shown(request.to),
        "nonce": hex(request.nonce),
        "gas": hex(request.gas),
        "maxFeePerGas": hex(request.max_fee),
        "maxPriorityFeePerGas": hex(request.max_priority_fee),
        "value": hex(request.value),
        "data": shown(request.data),
        "input": shown(request.data),
    }


def _raw(answer: Any) -> bytes:
    """geth and clef answer {raw, tx}, the others the raw bytes. Raises Undecodable."""
    text = answer.get("raw") if isinstance(answer, dict) else answer
    if not isinstance(text, str) or len(text) > 2 + 2 * MAX_RAW:
        raise Undecodable("no raw transaction, or one that is too large")
    return octets(text)
