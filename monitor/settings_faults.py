"""What pydantic found, as lines that a person can act on: file:line: field: what is wrong; what is allowed.

A value is quoted back only where it cannot be a secret: never one of the environment, never a URL.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.settings_yaml import Document, Path

_GUESSES: Final = ("model_type", "dict_type", "string_type", "list_type")  # a union's other branch
_SILENT: Final = ("rpc", "store", "notify", "url", "token_sha256", "token_env", "password_env", "key_env", "anchor")
_MOST: Final = 200


def lines(document: Document, errors: Sequence[ErrorDetails], shape: type[BaseModel]) -> tuple[str, ...]:
    """One line a fault, in the file's order."""
    described = _Described(shape)
    found: dict[Path, str] = {}
    for error in _settled([(_path(document.data, error), error) for error in errors]):
        path, what = error
        found.setdefault(path, described.said(document, path, what))
    ordered = sorted(found.items(), key=lambda item: document.line(item[0]))
    return tuple(document.fault(path, said) for path, said in ordered)[:_MOST]


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
            return "must be " + (self._described(path) or str(context["pattern"])) + _given(document, path, error)
        if kind == "value_error":
            return str(context["error"]) + _given(document, path, error)
        return error["msg"].replace("Input should be", "must be", 1) + _given(document, path, error)

    def _unknown(self, path: Path) -> str:
        allowed = sorted(self._at(path[:-1]).get("properties", {}))
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        return f"unknown key; {guess}allowed: {', '.join(allowed)}"

    def _hint(self, path: Path) -> str:
        described = self._described(path)
        return f": {described}" if described else ""

    def _described(self, path: Path) -> str:
        """What the schema says of this field, else of what its type is, else of its keys."""
        at, parent = self._at(path), self._at(path[:-1])
        keys = parent.get("propertyNames", {})
        return str(at.get("description") or keys.get("description") or "").splitlines()[0] if (at or keys) else ""

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
