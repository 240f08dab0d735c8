"""A small valid configuration as text, with the interesting part as keyword."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.model.errors import ConfigurationError
from monitor.settings import Settings, load

VAULT = "0x4444444444444444444444444444444444444444"
GUARDIAN = "0x5555555555555555555555555555555555555555"
USER = "0x6666666666666666666666666666666666666666"
KEY = "0x8888888888888888888888888888888888888888"
CHAIN = '{ name: devnet, chain_id: 31337, rpc: ["ws://a", "http://b"] }'


def text(*more: str, chain: str = CHAIN) -> str:
    return "\n".join(["version: 1", "chains:", f"  - {chain}", *more]) + "\n"


def asset(name: str = "vault", **fields: str) -> str:
    """One asset in flow style."""
    given = {"kind": "contract", "chain": "devnet", "address": f'"{VAULT}"'} | fields
    return f"  - {{ name: {name}, " + ", ".join(f"{key}: {value}" for key, value in given.items()) + " }"


SIGNERS = f'signers: {{ guardian-key: {{ rpc: "http://signer", address: "{KEY}" }} }}'
RESPONDERS = "responders: { pause: { signer: guardian-key } }"


class File:
    """A configuration file in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "drawbridge.yaml"

    def load(
        self, content: str, *, environment: dict[str, str] | None = None, mode: str | None = None, secrets: bool = True
    ) -> Settings:
        self.path.write_text(content)
        return load(str(self.path), environment=environment or {}, mode=mode, secrets=secrets)

    def faults(self, content: str, **how: dict[str, str] | str | None) -> list[str]:
        """The faults without the file's name: 'line: field: what'."""
        environment, mode = how.get("environment"), how.get("mode")
        with pytest.raises(ConfigurationError) as caught:
            self.load(
                content,
                environment=environment if isinstance(environment, dict) else None,
                mode=mode if isinstance(mode, str) else None,
            )
        return [fault.removeprefix(f"{self.path}:") for fault in caught.value.faults]
