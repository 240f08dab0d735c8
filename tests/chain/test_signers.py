"""Keys: what they sign, what they refuse, what they never show. Remote ones also against real anvil."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.chain.bindings import Between, Binding, OneOf, Permit, Subset, binding
from monitor.chain.keystore import Secret, read_keystore
from monitor.chain.rpc import Rpc, RpcError
from monitor.chain.signers import KeystoreSigner, RemoteSigner, address_of
from monitor.clock import SystemClock
from monitor.evm.abi import encode_call
from monitor.evm.fees import EXPOSURE, Fees
from monitor.evm.transactions import CURVE_ORDER, decode_raw, keccak
from monitor.model.assets import Asset, PauseRoute, TightenRoute, Token
from monitor.model.chain import TransactionRequest
from monitor.model.errors import ConfigurationError, SignerRefused, Unreachable
from monitor.model.units import NATIVE, Address, Wei, address
from monitor.rehearsal.anvil import DEV_KEYS, Anvil
from tests.chain.responding import CHAIN, ETHER, GUARDIAN, GWEI, OTHER, SENDER, TARGET, asset, request

KEY = bytes.fromhex("5eed" * 15 + "beef")
PASSWORD = "canary-pässword"
BOUND = binding([asset()], "guardian-key", max_cost=Wei(ETHER // EXPOSURE))
ANVIL = address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")


def keystore(path: Path, *, kdf: str = "pbkdf2", iterations: int = 2, key: bytes = KEY) -> Path:
    path.write_text(json.dumps(Account.encrypt(key, PASSWORD, kdf=kdf, iterations=iterations)))  # type: ignore[arg-type]
    return path


def local(bound: Binding = BOUND) -> KeystoreSigner:
    return KeystoreSigner("guardian-key", Secret(KEY), bound)


def asked(**changes: Any) -> TransactionRequest:
    return request(**{"sender": local().address, **changes})


def batch(*targets: Address, duration: int = 3_600, function: str = "pause(address[],uint64)") -> bytes:
    return encode_call(function, targets, duration)


ASKED = asked()


class TestBinding:
    """What a key may sign."""

    @pytest.mark.parametrize(
        "allowed",
        [
            asked(),
            asked(data=batch(TARGET, duration=1)),
            asked(data=batch(TARGET, function="extend(address[],uint64)")),
            asked(gas=1 << 24, fees=Fees(59 * GWEI, 0)),
            asked(fees=Fees(0, 0)),
        ],
    )
    async def test_what_the_route_needs_is_signed(self, allowed: TransactionRequest) -> None:
        assert (await local().sign(allowed)).request == allowed

    @pytest.mark.parametrize(
        ("refused", "why"),
        [
            (asked(to=OTHER), "is not among the 2 functions"),
            (asked(to=TARGET, data=bytes.fromhex("8456cb59")), "is not among the 2 functions"),
            (asked(chain_id=1), "on chain 1 is not among"),
            (asked(data=b""), "0x of 0x6a"),
            (asked(data=bytes.fromhex("3f4ba83a")), "is not among"),
            (asked(value=1), "it would send 1 wei along"),
            (asked(data=batch(OTHER)), "argument 1 of pause"),
            (asked(data=batch(TARGET, OTHER)), "argument 1 of pause"),
            (asked(data=batch(TARGET, TARGET)), "argument 1 of pause"),
            (asked(data=batch()), "argument 1 of pause"),
            (asked(data=batch(TARGET, duration=3_601)), "argument 2 of pause"),
            (asked(data=batch(TARGET, duration=0)), "argument 2 of pause"),
            (asked(data=batch(TARGET) + b"\x00"), "canonical"),
            (asked(data=batch(TARGET)[:-1]), "ABI data ends at byte 127"),
            (asked(gas=(1 << 24) + 1), "16777217 gas; at most 16777216"),
            (asked(gas=0), "0 gas"),
            (asked(gas=1_000_000, fees=Fees(ETHER // 10**6 + 1, 0)), "it may cost 1000000000001000000 wei"),
            (asked(fees=Fees(1, 2)), "make no sense"),
            (asked(fees=Fees(1, -1)), "make no sense"),
            (asked(nonce=-1), "make no sense"),
            (asked(sender=OTHER), "the sender is 0x0e"),
        ],
    )
    async def test_what_is_outside_is_refused_in_one_line(self, refused: TransactionRequest, why: str) -> None:
        with pytest.raises(SignerRefused, match="guardian-key refuses to sign: ") as raised:
            await local().sign(refused)
        assert why in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_dirty_high_bits_of_an_argument_are_refused(self) -> None:
        clean = batch(TARGET)
        dirty = clean[:4] + clean[4:36] + b"\x01" + clean[37:]
        with pytest.raises(SignerRefused, match="canonical"):
            BOUND.check(asked(data=dirty), name="k", address=local().address)

    @given(data=st.binary(max_size=200))
    def test_no_calldata_but_the_routes_own_passes(self, data: bytes) -> None:
        whole = batch(TARGET)
        for crafted in (data, whole[:4] + data, whole[:36] + data, whole + data[:1] + b"\x00"):
            with pytest.raises(SignerRefused):
                BOUND.check(replace(ASKED, data=crafted), name="k", address=ASKED.sender)

    @given(duration=st.integers(0, 2**64 - 1), targets=st.lists(st.sampled_from([TARGET, OTHER]), max_size=3))
    def test_what_passes_is_bounded(self, duration: int, targets: list[Address]) -> None:
        crafted = replace(ASKED, data=batch(*targets, duration=duration))
        if targets == [TARGET] and 1 <= duration <= 3_600:
            BOUND.check(crafted, name="k", address=ASKED.sender)
        else:
            with pytest.raises(SignerRefused, match="outside its bounds"):
                BOUND.check(crafted, name="k", address=ASKED.sender)

    def test_a_binding_has_only_the_routes_that_name_its_key(self) -> None:
        direct = PauseRoute("direct", OTHER, signer="other-key")
        gate = Asset(
            "hot-1",
            "hot_wallet",
            CHAIN,
            OTHER,
            tokens=(Token(NATIVE), Token(TARGET)),
            tighten=TightenRoute(OTHER, "tighten-key"),
        )
        assets = [asset(), asset("direct", route=direct), gate]
        assert binding(assets, "nobody", max_cost=Wei(1)).permits == ()
        assert binding(assets, "other-key", max_cost=Wei(1)).permits == (Permit(CHAIN, OTHER, "pause()"),)
        tokens = OneOf((NATIVE, TARGET))
        bounds = (tokens, Between(0, 2**192 - 1), Between(1, 2**64 - 1))
        wanted = (Permit(CHAIN, OTHER, "tighten(address,uint192,uint64)", bounds),)
        assert binding(assets, "tighten-key", max_cost=Wei(1)).permits == wanted

    def test_sisters_of_one_guardian_share_a_permit(self) -> None:
        sister = PauseRoute("guardian", OTHER, GUARDIAN, 7_200, "guardian-key")
        permits = binding([asset(), asset("sister", route=sister)], "guardian-key", max_cost=Wei(1)).permits
        assert [permit.function for permit in permits] == ["pause(address[],uint64)", "extend(address[],uint64)"]
        assert permits[0].bounds == (Subset((TARGET, OTHER)), Between(1, 7_200))

    def test_more_targets_than_a_guardian_takes_are_refused(self) -> None:
        many = tuple(Address(bytes([n]) * 20) for n in range(1, 40))
        assert Subset(many).admits(many[:32])
        assert not Subset(many).admits(many[:33])


class TestKeystoreSigner:
    """A key of this process."""

    @pytest.mark.parametrize(("kdf", "iterations"), [("pbkdf2", 2), ("scrypt", 2)])
    async def test_a_keystore_opens_and_signs_as_the_account_it_holds(
        self, tmp_path: Path, kdf: str, iterations: int
    ) -> None:
        path = keystore(tmp_path / "key.json", kdf=kdf, iterations=iterations)
        signer = await KeystoreSigner.open(
            "guardian-key", path, password=lambda: PASSWORD, binding=BOUND, address=local().address
        )
        wanted = asked(nonce=7)
        signed = await signer.sign(wanted)
        seen = decode_raw(signed.raw, chain_id=CHAIN)
        assert (seen.sender, seen.nonce, seen.data, seen.hash) == (signer.address, 7, wanted.data, signed.hash)
        assert Account.recover_transaction(signed.raw) == Account.from_key(KEY).address
        assert signer.address.hex() == Account.from_key(KEY).address[2:].lower()

    @given(nonce=st.integers(0, 2**63), max_fee=st.integers(0, 10**12), gas=st.integers(21_000, 10**6))
    def test_equal_requests_give_equal_bytes_with_low_s(self, nonce: int, max_fee: int, gas: int) -> None:
        wanted = replace(ASKED, nonce=nonce, gas=gas, max_fee=max_fee, max_priority_fee=max_fee // 2)
        first, second = asyncio.run(local().sign(wanted)), asyncio.run(local().sign(wanted))
        assert first == second
        assert first.hash == keccak(first.raw)
        tail = Account.from_key(KEY).sign_transaction(_as_dict(wanted))
        assert first.raw == tail.raw_transaction
        assert tail.s <= CURVE_ORDER // 2

    async def test_a_closed_signer_signs_nothing_and_holds_no_key(self) -> None:
        secret = Secret(KEY)
        held = secret._bytes
        signer = KeystoreSigner("guardian-key", secret, BOUND)
        signer.close()
        assert held == b""
        with pytest.raises(SignerRefused, match="it is closed"):
            await signer.sign(asked())

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "not a V3 keystore"),
            ("[]", "not a V3 keystore"),
            ('{"version": 4, "crypto": {}}', "not a V3 keystore"),
            ("[" * 100_000, "more than 65536 bytes"),
            ('{"a":' + "[" * 30_000, "more than 32 brackets"),
            ('{"version":3,"crypto":{"kdf":"scrypt","kdfparams":{"n":1073741824,"r":8,"p":1}}}', "costs too much"),
            ('{"version":3,"crypto":{"kdf":"pbkdf2","kdfparams":{"c":999999999}}}', "costs too much"),
            ('{"version":3,"crypto":{"kdf":"scrypt","kdfparams":{"n":2,"r":1,"p":1}}}', "or it is damaged"),
        ],
    )
    async def test_a_file_that_is_no_keystore_is_named_in_one_line(self, tmp_path: Path, text: str, why: str) -> None:
        path = tmp_path / "key.json"
        path.write_text(text)
        with pytest.raises(ConfigurationError) as raised:
            await KeystoreSigner.open("guardian-key", path, password=lambda: PASSWORD, binding=BOUND)
        assert why in str(raised.value)
        assert "signer guardian-key: keystore " in str(raised.value)
        assert "\n" not in str(raised.value)

    async def test_a_wrong_password_a_missing_file_and_a_wrong_address_are_faults(self, tmp_path: Path) -> None:
        path = keystore(tmp_path / "key.json")
        with pytest.raises(ConfigurationError, match="the password does not open it"):
            await KeystoreSigner.open("k", path, password=lambda: "wrong", binding=BOUND)
        with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
            await KeystoreSigner.open("k", tmp_path / "none", password=lambda: PASSWORD, binding=BOUND)
        with pytest.raises(ConfigurationError, match=r"holds the key of 0x\w+, not of 0x0e0e"):
            await KeystoreSigner.open("k", path, password=lambda: PASSWORD, binding=BOUND, address=OTHER)

    async def test_decryption_has_a_deadline_and_leaves_the_loop_free(self, tmp_path: Path) -> None:
        path, release = keystore(tmp_path / "key.json"), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow() -> str:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
            return PASSWORD

        with pytest.raises(Unreachable, match=r"not decrypted within 0\.05 s"):
            await KeystoreSigner.open("k", path, password=slow, binding=BOUND, deadline_s=0.05)
        release.set()

    @pytest.mark.parametrize("raw", [b"", b"\x00" * 32, b"\x01" * 31])
    def test_a_key_of_no_use_is_refused(self, raw: bytes) -> None:
        with pytest.raises(ConfigurationError, match="32 bytes and is not zero"):
            Secret(raw)


class FakeSigner:
    """Speaks eth_signTransaction with a real key, and does to the request what a test wants done."""

    def __init__(self, *, change: Callable[[dict[str, Any]], Any] = lambda fields: None, key: bytes = KEY) -> None:
        self.asked: list[Any] = []
        self._change, self._key = change, key

    async def call(self, method: str, params: Any = (), *, deadline_ms: int = 0, into: Any = None) -> Any:
        self.asked.append((method, params, deadline_ms))
        fields = dict(params[0])
        sender = fields.pop("from")
        del fields["input"]
        answer = self._change(fields)
        if answer is not None:
            return answer
        fields = {name: value for name, value in fields.items() if value is not None}
        signed = Account.from_key(self._key).sign_transaction({**fields, "to": to_checksum_address(fields["to"])})
        assert sender.startswith("0x")
        return "0x" + signed.raw_transaction.hex()

    async def close(self) -> None:
        self.asked.append("closed")


def remote(fake: Any, **options: Any) -> RemoteSigner:
    return RemoteSigner("guardian-key", local().address, rpc=fake, binding=BOUND, **options)


def sets(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda asked: asked.update(fields)


class TestRemoteSigner:
    """A key elsewhere: nothing that comes back is believed."""

    async def test_it_gives_the_same_bytes_as_the_key_itself(self) -> None:
        wanted = asked(nonce=3)
        assert await remote(FakeSigner()).sign(wanted) == await local().sign(wanted)

    async def test_the_answer_may_be_an_object_as_clef_gives_it(self) -> None:
        raw = (await local().sign(asked())).raw
        fake = FakeSigner(change=lambda fields: {"raw": "0x" + raw.hex(), "tx": {}})
        signed = await remote(fake, method="account_signTransaction").sign(asked())
        assert signed.raw == raw
        assert fake.asked[0][0] == "account_signTransaction"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (sets(nonce="0x9"), "changed nonce"),
            (sets(gas="0x5208"), "changed gas"),
            (sets(maxFeePerGas=hex(31 * GWEI)), "changed max_fee"),
            (sets(maxPriorityFeePerGas="0x1"), "changed max_priority_fee"),
            (sets(value="0x1"), "changed value"),
            (sets(data="0x"), "changed data"),
            (sets(to="0x" + "11" * 20), "changed to"),
            (sets(to="0x" + "11" * 20, nonce="0x9"), "changed to, nonce"),
            (sets(chainId="0x1"), "signed for chain 1, not 31337"),
            (sets(type="0x1", maxFeePerGas=None, maxPriorityFeePerGas=None, gasPrice="0x1"), "changed kind"),
            (
                sets(accessList=[{"address": "0x" + "11" * 20, "storageKeys": []}]),
                "changed access_gas",
            ),
            (lambda fields: "0x", "sent something else: no transaction"),
            (lambda fields: "0x02c0", "sent something else"),
            (lambda fields: "zz", "sent something else"),
            (lambda fields: {"raw": None}, "no raw transaction"),
            (lambda fields: [], "no raw transaction"),
            (lambda fields: 7, "no raw transaction"),
            (lambda fields: "0x" + "00" * 200_000, "too large"),
        ],
    )
    async def test_whatever_was_not_asked_for_is_refused(self, change: Any, why: str) -> None:
        with pytest.raises(SignerRefused, match="guardian-key: the remote signer ") as raised:
            await remote(FakeSigner(change=change)).sign(asked())
        assert why in str(raised.value)

    async def test_another_key_is_refused(self) -> None:
        with pytest.raises(SignerRefused, match="changed sender"):
            await remote(FakeSigner(key=b"\x02" * 32)).sign(asked())

    async def test_a_high_s_is_refused(self) -> None:
        raw = bytearray((await local().sign(asked())).raw)
        s = int.from_bytes(raw[-32:], "big")
        raw[-32:] = (CURVE_ORDER - s).to_bytes(32, "big")
        with pytest.raises(SignerRefused, match="recovers to nobody"):
            await remote(FakeSigner(change=lambda fields: "0x" + raw.hex())).sign(asked())

    async def test_what_is_outside_the_binding_never_reaches_it(self) -> None:
        fake = FakeSigner()
        with pytest.raises(SignerRefused, match="it would send 5 wei"):
            await remote(fake).sign(asked(value=5))
        assert fake.asked == []

    async def test_an_error_of_it_is_a_refusal_in_one_line(self) -> None:
        def refuse(fields: dict[str, Any]) -> Any:
            raise RpcError(-32000, "no such account " + "x" * 5_000)

        with pytest.raises(SignerRefused, match="answered: no such account") as raised:
            await remote(FakeSigner(change=refuse)).sign(asked())
        assert len(str(raised.value)) < 300

    async def test_it_is_closed_with_its_connection(self) -> None:
        fake = FakeSigner()
        await remote(fake).close()
        assert fake.asked == ["closed"]

    @pytest.mark.chain
    async def test_anvil_signs_exactly_what_is_asked(self) -> None:
        async with Anvil() as anvil:
            rpc = Rpc(anvil.http_url, clock=SystemClock())
            signer = RemoteSigner("anvil", ANVIL, rpc=rpc, binding=BOUND)
            wanted = request(sender=ANVIL, nonce=4)
            signed = await signer.sign(wanted)
            key = KeystoreSigner("same", Secret(bytes.fromhex(DEV_KEYS[0][2:])), BOUND)
            assert signed == await key.sign(wanted)
            stranger = RemoteSigner("stranger", SENDER, rpc=rpc, binding=BOUND)
            with pytest.raises(SignerRefused, match="stranger: the remote signer answered: "):
                await stranger.sign(request())
            await signer.close()

    @pytest.mark.chain
    async def test_a_signer_that_is_gone_is_unreachable_within_the_deadline(self) -> None:
        async with Anvil() as anvil:
            url = anvil.http_url
        signer = RemoteSigner("gone", ANVIL, rpc=Rpc(url, clock=SystemClock()), binding=BOUND, deadline_ms=500)
        with pytest.raises(Unreachable):
            await signer.sign(request(sender=ANVIL))
        await signer.close()


class TestNothingSecretIsShown:
    """A canary key and password, looked for in everything that can be printed."""

    @pytest.fixture
    def log(self) -> Iterator[io.StringIO]:
        stream, root = io.StringIO(), logging.getLogger()
        handler, level = logging.StreamHandler(stream), root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        yield stream
        root.removeHandler(handler)
        root.setLevel(level)

    async def test_not_in_repr_text_errors_or_log(
        self, tmp_path: Path, log: io.StringIO, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path, shown = keystore(tmp_path / "key.json"), []
        signer = await KeystoreSigner.open("k", path, password=lambda: PASSWORD, binding=BOUND)
        secret = Secret(KEY)
        shown += [repr(signer), str(signer), repr(secret), f"{secret}", repr([secret]), repr(vars(signer))]
        for wanted in (asked(value=1), asked(to=OTHER), asked(data=b"")):
            shown.append(await _failure(signer.sign(wanted)))
        await signer.sign(asked())
        shown.append(await _failure(KeystoreSigner.open("k", path, password=lambda: PASSWORD + "!", binding=BOUND)))
        damaged = tmp_path / "damaged.json"
        damaged.write_text(path.read_text().replace('"iv": "', '"iv": "zz'))
        shown.append(await _failure(KeystoreSigner.open("k", damaged, password=lambda: PASSWORD, binding=BOUND)))
        signer.close()
        shown.append(await _failure(signer.sign(asked())))
        out = capfd.readouterr()
        everything = "\n".join([*shown, log.getvalue(), out.out, out.err])
        for canary in (KEY.hex(), str(KEY), repr(bytearray(KEY)), PASSWORD, str(int.from_bytes(KEY, "big"))):
            assert canary not in everything

    def test_a_secret_is_not_copied(self) -> None:
        with pytest.raises(TypeError, match="not copied"):
            pickle.dumps(Secret(KEY))

    def test_a_remote_signer_shows_name_and_address_only(self) -> None:
        assert repr(remote(FakeSigner())) == f"RemoteSigner('guardian-key', 0x{local().address.hex()})"
        assert address_of(Secret(KEY)) == local().address


def test_reading_a_keystore_needs_no_loop(tmp_path: Path) -> None:
    secret = read_keystore(keystore(tmp_path / "key.json"), lambda: PASSWORD, name="k")
    assert secret.reveal() == KEY
    older = json.loads((tmp_path / "key.json").read_text())
    older["Crypto"] = older.pop("crypto")
    (tmp_path / "older.json").write_text(json.dumps(older))
    assert read_keystore(tmp_path / "older.json", lambda: PASSWORD, name="k").reveal() == KEY


def test_opening_a_keystore_leaves_the_recursion_limit_alone(tmp_path: Path) -> None:
    """py_ecc, which eth-account imports, lifts it to 100,000; then nested JSON crashes the process."""
    code = (
        "import sys; from pathlib import Path; from monitor.chain.keystore import read_keystore;"
        "read_keystore(Path(sys.argv[1]), lambda: sys.argv[2], name='k'); print(sys.getrecursionlimit())"
    )
    command = [sys.executable, "-c", code, str(keystore(tmp_path / "key.json")), PASSWORD]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "1000\n"


async def _failure(awaited: Any) -> str:
    with pytest.raises((SignerRefused, ConfigurationError)) as raised:
        await awaited
    chain = traceback.format_exception(raised.value)
    return "\n".join([str(raised.value), repr(raised.value), *chain])


def _as_dict(wanted: TransactionRequest) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": wanted.chain_id,
        "to": to_checksum_address(wanted.to),
        "nonce": wanted.nonce,
        "gas": wanted.gas,
        "maxFeePerGas": wanted.max_fee,
        "maxPriorityFeePerGas": wanted.max_priority_fee,
        "value": wanted.value,
        "data": wanted.data,
    }
