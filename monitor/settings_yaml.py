"""YAML with positions: each value knows its line, so that a configuration error can name file, line and field.

Plain data only. Aliases, merge keys, foreign tags and keys written twice are refused; ${NAME} reads the environment,
and what came from there is remembered, so that no message ever shows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any, Final

import yaml

from monitor.model.errors import ConfigurationError

Path = tuple[str | int, ...]

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 32
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_INTEGER: Final = re.compile(
    r"[-+]?(0|[1-9][0-9_]{0,80})"
)  # neither octal nor 12:30, which YAML 1.1 also calls integers
_OPENS: Final = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSES: Final = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_KINDS: Final = ("str", "int", "float", "bool", "null", "timestamp")


class Document:
    """A parsed file: `data` is plain Python, `line` finds where a path stands (1-based), `faults` is what was refused.

    Without `secrets` a ${NAME} that is not set stays as it is written: for those who only read the journal.
    """

    def __init__(self, name: str, text: str, environment: Mapping[str, str], *, secrets: bool = True) -> None:
        self.name = name
        self._secrets = secrets
        self._lines: dict[Path, int] = {}
        self._secret: set[Path] = set()
        self._environment = environment
        self.faults: dict[Path, str] = {}
        self.data = self._value(_compose(name, text), ())

    def line(self, path: Path) -> int:
        """The line of a path, or of its nearest parent that is written down."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def from_environment(self, path: Path) -> bool:
        """Whether this value, or one inside it, holds something of the environment."""
        return any(secret[: len(path)] == path for secret in self._secret)

    def fault(self, path: Path, what: str) -> str:
        """'file:line: field: what'."""
        field = ".".join(str(p) for p in path) or "file"
        return f"{self.name}:{self.line(path)}: {field}: {what}"

    def _refuse(self, path: Path, what: str) -> None:
        self.faults.setdefault(path, self.fault(path, what))

    def _value(self, node: yaml.Node | None, path: Path) -> Any:
        if node is None:
            return {}
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            name = str(key.value)[:80] if isinstance(key, yaml.ScalarNode) else "?"
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                self._refuse(path, f"line {key.start_mark.line + 1}: a key must be a plain word")
                continue
            twice = name in found
            self._lines[(*path, name)] = key.start_mark.line + 1
            if twice:
                self._refuse((*path, name), "is written twice; keep one")
            found[name] = self._value(child, (*path, name))
        return found

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), str(node.value)
        if kind not in _KINDS:
            self._refuse(path, f"the tag {node.tag[:40]!r} is not allowed; write plain text or numbers")
            return None
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        if kind in ("str", "int", "timestamp"):  # an unquoted 0x… stays text
            return _VARIABLE.sub(lambda match: self._variable(match, path), text)
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError):
            self._refuse(path, f"{text[:40]!r} is no {kind}; put it in quotes if it is text")
            return None

    def _variable(self, match: re.Match[str], path: Path) -> str:
        name = match.group(1)
        self._secret.add(path)
        if name in self._environment:
            return self._environment[name]
        if self._secrets:
            self._refuse(path, f"environment variable {name} is not set; export it")
        return "" if self._secrets else match.group()


def read_text(name: str) -> str:
    """The text of a configuration file, bounded. Raises ConfigurationError."""
    try:
        with File(name).open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
        text = raw.decode()
    except UnicodeDecodeError:
        raise ConfigurationError((f"{name}:1: file: is not UTF-8 text; give a YAML file",)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError((f"{name}:1: file: cannot be read: {why}; give the path of a YAML file",)) from None
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(
            (f"{name}:1: file: is larger than {MAX_BYTES} bytes; put lists into files of their own",)
        )
    return text


def _compose(name: str, text: str) -> yaml.Node | None:
    try:
        _scan(name, text)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError((f"{name}:{line}: file: is not YAML: {error.problem or 'unreadable'}",)) from None
    except yaml.YAMLError as error:
        said = str(error).splitlines()[0][:120]
        raise ConfigurationError((f"{name}:1: file: is not YAML: {said}",)) from None


def _scan(name: str, text: str) -> None:
    """Refuse aliases, and depth before it costs time: the scanner's own is quadratic in it."""
    depth = 0
    for token in yaml.scan(text):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise ConfigurationError((f"{name}:{line}: file: YAML aliases are not allowed; write the value out",))
        depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
        if depth > MAX_DEPTH:
            raise ConfigurationError((f"{name}:{line}: file: is nested too deeply; at most {MAX_DEPTH} levels",))
