"""The parser of invariants: owner's text to a tree of exact integers and view calls, by recursive descent.

Bounded in length and depth, and typed: what compares is a claim, what counts is a number, and neither passes for the
other. Every fault is a ConfigurationError that says where, what was found and what is allowed.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from eth_utils.address import is_checksum_address

from monitor.evm.abi import encode_call
from monitor.model.assets import Expression, Operand, Operation, View
from monitor.model.chain import Probe, ether_probe
from monitor.model.errors import ConfigurationError
from monitor.model.units import Address

MAX_TEXT: Final = 512
MAX_DEPTH: Final = 16
MAX_ARGUMENTS: Final = 8
MAX_NUMBER: Final = 2**256

_TOKEN: Final = re.compile(
    r"(?P<hex>0x[0-9a-fA-F]+\b)|(?P<number>\d[\d_]*(?:\.\d+)?(?:e\d{1,2})?\b)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>>=|<=|==|!=|[-+*/<>().,])",
    re.ASCII,
)
_COMPARISONS: Final = (">=", ">", "<=", "<", "==", "!=")
_LOGIC: Final = ("and", "or")
_LEVELS: Final[tuple[tuple[str, ...], ...]] = (("or",), ("and",), _COMPARISONS, ("+", "-"), ("*", "/"))
_OPERAND: Final = "a number, a view such as totalAssets() or 0x….balanceOf(self), self.balance, int(view) or (…)"
_LITERAL: Final = "a literal: a number, self, true, false, or 0x with 40 or 64 digits; a type may stand before it"
_TYPE: Final = re.compile(r"u?int\d*|bytes\d+|address|bool")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parsed(text: str, asset: Address) -> Expression:
    """The tree of an invariant about `asset`. Raises ConfigurationError."""
    return _Parser(text, asset).whole()


class _Parser:
    """One level of precedence at a time, over tokens that wait in reverse."""

    def __init__(self, text: str, asset: Address) -> None:
        self._text = text
        self._asset = asset
        self._nested = 0
        self._tokens = self._scan()

    def whole(self) -> Expression:
        tree = self._level(0)
        self._take("", "an operator or the end")
        if not _is_claim(tree):
            raise self._fault("a comparison: a number by itself never holds or breaks", _Token("", self._text, 0))
        return tree

    def _level(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._operand()
        left = self._level(level + 1)
        while self._tokens[-1].text in _LEVELS[level]:
            operator = self._tokens.pop()
            left = self._joined(operator, left, self._level(level + 1))
        return left

    def _joined(self, operator: _Token, left: Expression, right: Expression) -> Operation:
        claims = operator.text in _LOGIC
        if _is_claim(left) != claims or _is_claim(right) != claims:
            raise self._fault("comparisons on both sides" if claims else "numbers on both sides", operator)
        tree = Operation(operator.text, left, right)  # type: ignore[arg-type]  # one of _LEVELS
        if _depth(tree) > MAX_DEPTH:
            raise self._fault(f"at most {MAX_DEPTH} operations inside or after one another", operator)
        return tree

    def _operand(self) -> Expression:
        token = self._tokens.pop()
        self._nested += 1
        if self._nested > MAX_DEPTH:
            raise self._fault(f"at most {MAX_DEPTH} levels", token)
        tree = self._one(token)
        self._nested -= 1
        return tree

    def _one(self, token: _Token) -> Expression:
        if token.text == "(":
            inner = self._level(0)
            self._take(")", "an operator or )")
            return inner
        if token.text == "-":
            inner = self._operand()
            return self._joined(token, Operand(0), inner) if not isinstance(inner, Operand) else Operand(-inner.value)
        if token.kind == "number":
            return Operand(self._number(token))
        if token.text == "int" and self._tokens[-1].text == "(":
            return self._signed(token)
        return self._view(token)

    def _signed(self, token: _Token) -> View:
        self._tokens.pop()
        view = self._view(self._tokens.pop())
        end = self._take(")", ")")
        return View(view.probe, self._text[token.at : end.at + 1], signed=True)

    def _view(self, token: _Token) -> View:
        holder, name = self._asset, token
        if token.kind == "hex" or token.text == "self":
            holder = self._address(token)
            self._take(".", ". and the name of a view")
            name = self._tokens.pop()
        if name.kind != "name" or name.text in _LOGIC:
            raise self._fault(_OPERAND, name)
        if name.text == "balance" and name is not token and self._tokens[-1].text != "(":
            return View(ether_probe(holder), self._text[token.at : name.at + 7])
        return self._called(holder, name, start=token.at)

    def _called(self, holder: Address, name: _Token, *, start: int) -> View:
        self._take("(", f"( after {name.text}")
        types, values = self._arguments()
        end = self._take(")", ", or )")
        try:
            data = encode_call(f"{name.text}({','.join(types)})", *values)
        except ConfigurationError as error:
            raise self._fault(f"arguments that fit their types ({error})", name) from error
        return View(Probe(holder, data), self._text[start : end.at + 1])

    def _arguments(self) -> tuple[list[str], list[Any]]:
        types: list[str] = []
        values: list[Any] = []
        while self._tokens[-1].text != ")" or types:
            kind, value = self._argument()
            types.append(kind)
            values.append(value)
            if len(types) > MAX_ARGUMENTS:
                raise self._fault(f"at most {MAX_ARGUMENTS} arguments", self._tokens[-1])
            if self._tokens[-1].text != ",":
                break
            self._tokens.pop()
        return types, values

    def _argument(self) -> tuple[str, Any]:
        token = self._tokens.pop()
        if _TYPE.fullmatch(token.text):
            return token.text, self._literal(self._tokens.pop())[1]
        return self._literal(token)

    def _literal(self, token: _Token) -> tuple[str, Any]:
        """The value with the type that it has where none stands before it."""
        if token.text == "-":
            return "int256", -self._number(self._tokens.pop())
        if token.kind == "number":
            return "uint256", self._number(token)
        if token.text in ("true", "false"):
            return "bool", token.text == "true"
        if token.text == "self" or len(token.text) == 42:
            return "address", self._address(token)
        if token.kind == "hex" and len(token.text) % 2 == 0:
            return "bytes32", bytes.fromhex(token.text[2:])
        raise self._fault(_LITERAL, token)

    def _address(self, token: _Token) -> Address:
        if token.text == "self":
            return self._asset
        digits = token.text[2:]
        if token.kind != "hex" or len(digits) != 40:
            raise self._fault("an address of 40 digits", token)
        if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(token.text):
            raise self._fault("an address whose checksum fits (EIP-55), or one in small letters", token)
        return Address(bytes.fromhex(digits))

    def _number(self, token: _Token) -> int:
        mantissa, _, exponent = token.text.replace("_", "").partition("e")
        whole, _, fraction = mantissa.partition(".")
        if token.kind != "number":
            raise self._fault("a number", token)
        shift = int(exponent or 0) - len(fraction)
        value, rest = divmod(int(whole + fraction) * int(10 ** max(shift, 0)), int(10 ** max(-shift, 0)))
        if rest or value >= MAX_NUMBER:
            raise self._fault("a whole number below 2**256", token)
        return value

    def _take(self, text: str, expected: str) -> _Token:
        token = self._tokens.pop()
        if token.text != text:
            raise self._fault(expected, token)
        return token

    def _scan(self) -> list[_Token]:
        """The tokens, last first; the end is a token of its own, and stays."""
        if len(self._text) > MAX_TEXT:
            raise ConfigurationError((f"invariant of {len(self._text)} characters; at most {MAX_TEXT}",))
        tokens, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match:
                tokens.append(_Token(match.lastgroup or "", match.group(), at))
            elif not self._text[at].isspace():
                raise self._fault(_OPERAND, _Token("", self._text[at], at))
            at = match.end() if match else at + 1
        end = _Token("end", "", len(self._text))
        return [end, end, *reversed(tokens)]

    def _fault(self, expected: str, token: _Token) -> ConfigurationError:
        found = repr(token.text) if token.text else "the end"
        return ConfigurationError((f"invariant {self._text!r}: position {token.at + 1}: {found}; allowed: {expected}",))


def _is_claim(tree: Expression) -> bool:
    return isinstance(tree, Operation) and tree.operator in (*_COMPARISONS, *_LOGIC)


def _depth(tree: Expression) -> int:
    return 1 + max(_depth(tree.left), _depth(tree.right)) if isinstance(tree, Operation) else 0
