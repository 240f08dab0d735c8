"""What a key may do on a real chain, and what it may do too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.rehearsal.stage import ETHER
from tests.cli.cli_stage import TOKEN, Town, town, vault

pytestmark = pytest.mark.chain
ENVIRONMENT = {"ALICE_TOKEN": TOKEN}


async def _authority(made: Town) -> tuple[int, dict[str, Any]]:
    code, out, err = await made.command("authority", made.path, "--json", environment=ENVIRONMENT)
    assert err == ""
    return code, json.loads(out)[0]


def _findings(report: dict[str, Any]) -> list[str]:
    return [f"{line['about']}: {line['text']}" for line in report["lines"] if line["level"] == "finding"]


async def test_a_key_that_can_pause_and_nothing_else_is_fine(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        await made.stage.rpc("anvil_setBalance", made.stage.responder.address, hex(ETHER))
        code, report = await _authority(made)
        assert (code, report["lines"]) == (0, [])
        (probe,) = report["may"]
        assert (probe["ok"], probe["uses_left"], probe["asset"]) == (True, 3, "vault")
        code, out, _ = await made.command("authority", made.path, environment=ENVIRONMENT)
        assert code == 0
        assert "pause works at block" in out
        assert "1 keys, no finding" in out


async def test_a_key_that_is_too_powerful_is_a_finding(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        stage = made.stage
        made.configured(
            signers={"guardian-key": {"rpc": stage.anvil.http_url, "address": stage.admin.address}},
            assets=[vault(made, known_destinations=[stage.admin.address])],
        )
        await stage.setup(stage.admin, made.token, "mint(address,uint256)", stage.admin, 5)
        await stage.builder.seal()
        code, report = await _authority(made)
        found = _findings(report)
        assert code == 1
        assert any("holds 5 of USD" in line for line in found)
        assert any("is one of its known destinations" in line for line in found)
        assert any("can end a pause early" in line for line in found)
        assert any("can name the pauser" in line for line in found)
        assert any("can name pausers" in line for line in found)
        assert any("far more than gas" in line["text"] for line in report["lines"] if line["level"] == "warning")


async def test_a_key_that_lost_its_role_is_a_finding_with_the_reason(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        stage = made.stage
        await stage.setup(stage.admin, made.guardian, "setPauser(address)", stage.tightener)
        await stage.builder.seal()
        code, report = await _authority(made)
        assert code == 1
        assert report["may"][0]["ok"] is False
        assert report["may"][0]["why"]


async def test_a_key_with_an_allowance_or_code_is_a_finding(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        stage = made.stage
        made.configured(assets=[vault(made), _wallet(made)])
        await stage.setup(stage.admin, made.token, "approve(address,uint256)", stage.responder, 7)
        await stage.setup(stage.admin, made.token, "mint(address,uint256)", stage.admin, 5)
        await stage.builder.seal()
        await stage.rpc("anvil_setCode", stage.responder.address, "0xef0100" + "11" * 20)
        code, report = await _authority(made)
        found = _findings(report)
        assert code == 1
        assert "hot: may spend 7 of its USD" in found
        assert any("hot: can spend USD of hot" in line for line in found)
        assert any("an EIP-7702 delegation" in line for line in found)


async def test_a_signer_that_does_not_have_the_key_is_a_finding(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        other = "0x9999999999999999999999999999999999999999"
        made.configured(signers={"guardian-key": {"rpc": made.stage.anvil.http_url, "address": other}})
        code, report = await _authority(made)
        assert code == 1
        assert any("has no key of 0x9999" in line for line in _findings(report))


def _wallet(made: Town) -> dict[str, Any]:
    tokens = [{"address": made.token.address, "decimals": 6, "symbol": "USD"}]
    where = {"chain": "devnet", "address": made.stage.admin.address}
    return {"name": "hot", "kind": "hot_wallet", "tokens": tokens} | where
