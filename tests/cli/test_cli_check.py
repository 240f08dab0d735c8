"""What `check` says about a configuration on a real chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.rehearsal.anvil import Anvil, AnvilOptions
from monitor.rehearsal.stage import ETHER
from tests.cli.cli_stage import TOKEN, Town, town, vault

pytestmark = pytest.mark.chain
ENVIRONMENT = {"ALICE_TOKEN": TOKEN}


async def _check(made: Town, *options: str) -> tuple[int, list[str]]:
    code, out, err = await made.command("check", made.path, "--json", *options, environment=ENVIRONMENT)
    assert err == ""
    return code, [f"{line['level']} {line['about']}: {line['text']}" for line in json.loads(out)]


def _said(lines: list[str], level: str, *words: str) -> bool:
    return any(line.startswith(level) and all(word in line for word in words) for line in lines)


async def test_a_good_configuration_is_fine_in_enforce_mode_too(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        await made.stage.rpc("anvil_setBalance", made.stage.responder.address, hex(ETHER))
        code, lines = await _check(made, "--mode", "enforce")
        assert code == 0, lines
        assert _said(lines, "ok devnet", "2 of 2 nodes serve chain 31337")
        assert _said(lines, "ok vault", "code at its address, its guardian") or _said(lines, "ok vault", "code at")
        assert _said(lines, "ok vault", "invariant", "holds", "totalAssets() = 0")
        assert _said(lines, "ok vault", "pause by guardian-key works on the fork", "1 golden calls", "3 uses left")
        assert _said(lines, "ok signer guardian-key", "can nothing but respond")
        assert _said(lines, "ok detectors", "invariant_broken")
        assert _said(lines, "warning notify", "nobody is told")
        code, out, _ = await made.command("check", made.path, environment=ENVIRONMENT)
        assert code == 0
        assert "shadow mode: fine" in out
        assert "\x1b[" not in out


async def test_every_thing_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        nowhere = "0x1234567890123456789012345678901234567890"
        broken = vault(
            made,
            tokens=[{"address": made.token.address, "decimals": 18}, made.guardian.address],
            invariants=["totalAssets() >= 1", "nonesuch() == 1"],
            golden=[
                {
                    "from": made.stage.admin.address,
                    "call": "redeem(uint256,address,address)",
                    "args": [5, nowhere, nowhere],
                }
            ],
        )
        elsewhere = vault(made, name="other", address=nowhere, tokens=[], invariants=[], golden=[])
        made.configured(assets=[broken, elsewhere])
        await made.stage.setup(made.stage.admin, made.guardian, "setPauser(address)", made.stage.tightener)
        await made.stage.builder.seal()
        code, lines = await _check(made)
        assert code == 1
        assert _said(lines, "finding vault", "says 6 decimals, the configuration 18")
        assert _said(lines, "finding vault", "decimals()")
        assert _said(lines, "finding vault", "totalAssets() >= 1 is broken NOW")
        assert _said(lines, "finding vault", "nonesuch() == 1 cannot be read")
        assert _said(lines, "finding vault", "golden call", "does not pass even now")
        assert _said(lines, "finding vault", "pause by guardian-key fails")
        assert _said(lines, "finding other", "there is no code at its address")


async def test_a_wrong_chain_and_an_absent_node_are_named(tmp_path: Path) -> None:
    async with town(tmp_path) as made, Anvil(AnvilOptions(chain_id=7)) as other:
        rpc = [made.stage.anvil.ws_url, other.ws_url, "http://127.0.0.1:9"]
        made.configured(chains=[{"name": "devnet", "chain_id": 31_337, "rpc": rpc, "rpc_quorum": 1}])
        code, lines = await _check(made)
        assert code == 1
        assert _said(lines, "finding devnet", "devnet-1", "serves chain 7, not 31337")
        assert _said(lines, "finding devnet", "devnet-2")
        assert _said(lines, "ok devnet", "1 of 3 nodes")
        assert _said(lines, "warning configuration", "a single node decides")
        rpc = [other.ws_url]
        made.configured(chains=[{"name": "devnet", "chain_id": 31_337, "rpc": rpc, "rpc_quorum": 1}])
        code, lines = await _check(made)
        assert code == 1
        assert _said(lines, "warning vault", "not looked at")


async def test_a_hot_key_is_a_finding_in_enforce_mode_and_a_warning_elsewhere(tmp_path: Path) -> None:
    from eth_account import Account

    from monitor.rehearsal.anvil import DEV_KEYS

    async with town(tmp_path) as made:
        stored = Account.encrypt(bytes.fromhex(DEV_KEYS[1][2:]), "pass", kdf="pbkdf2", iterations=1)
        (tmp_path / "key.json").write_text(json.dumps(stored))
        await made.stage.rpc("anvil_setBalance", made.stage.responder.address, hex(ETHER))
        made.configured(signers={"guardian-key": {"keystore": "key.json", "password_env": "PASSWORD"}})
        environment = ENVIRONMENT | {"PASSWORD": "pass"}
        code, out, _ = await made.command("check", made.path, environment=environment)
        assert code == 0, out
        assert "a hot key in a local keystore" in out
        code, out, _ = await made.command("check", made.path, "--mode", "enforce", environment=environment)
        assert code == 1
        code, out, _ = await made.command("check", made.path, environment=ENVIRONMENT | {"PASSWORD": "wrong"})
        assert code == 1
        assert "password" in out
