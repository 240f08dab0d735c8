"""docs/operate.md, followed to the letter by somebody who has never seen the project."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.docs.walkthrough import blocks, terminal

ROOT = Path(__file__).parents[2]
LINKED = (".venv", "node_modules", "contracts", "monitor", "detectors", "responders")
# Right after a block, the whole slot is there for the pause; a person may be unlucky and see it a block later.
NEW_BLOCK = 'B=$(cast block-number); while [ "$(cast block-number)" = "$B" ]; do :; done; '


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _checkout(folder: Path) -> Path:
    """A project folder of its own, whose parts are those of this one."""
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "own").mkdir()
    return folder


@pytest.mark.chain
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_a_stranger_protects_a_contract_of_their_own_as_the_document_says(tmp_path: Path) -> None:
    node = _free_port()
    replaced = {
        "make install": "true",
        "mkdir own && cd own": "cd own",
        "anvil --block-time": f"anvil --port {node} --block-time",
        "8545": str(node),
        "8700": str(_free_port()),
        "send $THIEF": f"{NEW_BLOCK}send $THIEF",
    }
    checkout = _checkout(tmp_path)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    document = (ROOT / "docs" / "operate.md").read_text()
    async with terminal(checkout, environment, replaced) as shell:
        for block in blocks(document, after="## Ten minutes", before="## Running it"):
            if block.kind in ("yaml", "solidity"):
                shell.folder = checkout / "own"
            await shell.follow(block)
