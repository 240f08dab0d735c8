"""What pydantic found, as lines that a person can act on: file:line: field: what is wrong; what is allowed.

A value is quoted back only where it cannot be a secret: never one of the environment, never a URL.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.settings_yaml import Document, Path

_GUESSES: Final = ("model_type", "dict_type", "string_type", "list_type")  # a union's other branch
_SILENT: Final = ("rpc", "store", "notify", "url", "token_sha256", "token_env", "password_env", "key_env", "anchor")
_MOST: Final = 200


def found(document: Document, errors: Sequence[ErrorDetails], shape: type[BaseModel]) -> dict[Path, str]:
    """A line for each place at which the document or its shape is wrong."""
    described = _Described(shape)
    lines = dict(document.faults)
    for path, error in _settled([(_path(document.data, error), error) for error in errors]):
        lines.setdefault(path, document.fault(path, described.said(document, path, error)))
    return lines


def ordered(lines: Mapping[Path, str], document: Document) -> tuple[str, ...]:
    """In the file's order; at most so many that a person reads them."""
    where = sorted(lines, key=lambda path: (document.line(path), [str(part) for part in path]))
    return tuple(lines[path] for path in where)[:_MOST]


class Remainder:
    """The document without every part that is wrong, so that what does not fit together is told in the same breath."""

    def __init__(self, document: Document, wrong: Iterable[Path]) -> None:
        self._kept: dict[str | int, list[int]] = {}
        spoilt = {path[:2] for path in wrong}
        whole = {path[0] for path in spoilt if len(path) == 1}
        self.data = {
            name: self._part(name, value, spoilt)
            for name, value in _mapping(document.data).items()
            if name not in whole
        }

    def original(self, path: Path) -> Path:
        """Where a path of the remainder stands in the file."""
        if len(path) > 1 and path[0] in self._kept and isinstance(path[1], int):
            return (path[0], self._kept[path[0]][path[1]], *path[2:])
        return path

    def _part(self, name: str, value: Any, spoilt: set[Path]) -> Any:
        if isinstance(value, dict):
            return {key: inner for key, inner in value.items() if (name, key) not in spoilt}
        if isinstance(value, list):
            self._kept[name] = [i for i in range(len(value)) if (name, i) not in spoilt]
            return [value[i] for i in self._kept[name]]
        return value


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _path(data: Any, error: ErrorDetails) -> Path:
    """Where in the file, without the names that pydantic gives to branches and validators."""
    path: list[str | int] = []
    for i, part in enumerate(error["loc"]):
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            data = data[part]
        elif not (error["type"] == "missing" and i == len(error["loc"]) - 1):
            continue
        path.append(part)
    return tuple(path)


def _settled(found: list[tuple[Path, ErrorDetails]]) -> list[tuple[Path, ErrorDetails]]:
    """Without what only says that another branch of a union was not meant."""

    def better(path: Path, error: ErrorDetails) -> bool:
        others = (p for p, e in found if e is not error and p[: len(path)] == path and e["type"] not in _GUESSES)
        return error["type"] in _GUESSES and next(others, None) is not None

    return [(path, error) for path, error in found if not better(path, error)]


class _Described:
    """The schema, asked what is allowed at a path."""

    def __init__(self, shape: type[BaseModel]) -> None:
        self._schema = shape.model_json_schema()

    def said(self, document: Document, path: Path, error: ErrorDetails) -> str:
        kind, context = error["type"], error.get("ctx", {})
        if kind == "missing":
            return "is required" + self._hint(path)
        if kind == "extra_forbidden":
            return self._unknown(path)
        if error["input"] is None:
            return "is empty; write a value or remove the line"
        if kind == "too_long" and context.get("max_length") == 0:
            return "is not in this version; leave it empty or remove it"
        if kind == "string_pattern_mismatch":
            return "must be " + self._meant(path, str(context["pattern"])) + _given(document, path, error)
        if kind == "value_error":
            return str(context["error"]) + _given(document, path, error)
        return error["msg"].replace("Input should be", "must be", 1) + _given(document, path, error)

    def _unknown(self, path: Path) -> str:
        allowed = sorted(self._at(path[:-1]).get("properties", {}))
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        return f"unknown key; {guess}allowed: {', '.join(allowed)}"

    def _hint(self, path: Path) -> str:
        at = self._at(path)
        described = self._described(path) or ", ".join(map(str, at.get("enum", ())))
        return f": {described}" if described else ""

    def _meant(self, path: Path, pattern: str) -> str:
        """In words, what a pattern wants."""
        for branch in self._branches(self._at(path)):
            if branch.get("pattern") == pattern and "description" in branch:
                return str(branch["description"])
        return self._described(path) or pattern

    def _described(self, path: Path) -> str:
        """What the schema says of this field, else of what its type is, else of its keys."""
        named = (branch.get("propertyNames", {}) for branch in self._branches(self._at(path[:-1])))
        keys: dict[str, Any] = next((found for found in named if found), {})
        text = str(self._at(path).get("description") or keys.get("description") or "")
        return text.partition("\n")[0]

    def _at(self, path: Path) -> dict[str, Any]:
        node = self._schema
        for part in path:
            node = self._child(node, part)
        return self._resolved(node)

    def _child(self, node: dict[str, Any], part: str | int) -> dict[str, Any]:
        for branch in self._branches(node):
            if isinstance(part, int) and isinstance(branch.get("items"), dict):
                return self._resolved(branch["items"])
            if part in branch.get("properties", {}):
                found: dict[str, Any] = branch["properties"][part]
                return found
            if isinstance(branch.get("additionalProperties"), dict):
                return self._resolved(branch["additionalProperties"])
        return {}

    def _branches(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        node = self._resolved(node)
        return [node, *(self._resolved(n) for n in (*node.get("anyOf", ()), *node.get("allOf", ())))]

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        name = node.get("$ref", "").rpartition("/")[2]
        return self._schema["$defs"][name] if name else node


def _given(document: Document, path: Path, error: ErrorDetails) -> str:
    given = error["input"]
    secret = document.from_environment(path) or any(part in _SILENT for part in path)
    if secret or not isinstance(given, str | int | float) or len(str(given)) > 60:
        return ""
    return f", not {given!r}"
