"""The owner's invariants: what must always hold, and whether it does.

    totalAssets() >= totalSupply()
    0x….balanceOf(self) + 5e17 >= totalAssets() * 995 / 1000
    self.balance >= 1_000e18 or paused() == 1

Integers are exact, division rounds down, `self` is the asset. What cannot be read is unknown, and unknown is never
broken. The text is parsed once, when configuration loads (expressions.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add, eq, floordiv, ge, gt, le, lt, mul, ne, sub
from typing import Final

from monitor.evm.abi import word
from monitor.evm.expressions import parsed
from monitor.model.assets import Expression, Invariant, Operand, Operation, View
from monitor.model.chain import Probe, Reading
from monitor.model.units import Address

Readings = Mapping[Probe, bytes | None]

_OPERATORS: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "/": floordiv,
    ">=": ge,
    ">": gt,
    "<=": le,
    "<": lt,
    "==": eq,
    "!=": ne,
}


def parse(text: str, *, asset: Address) -> Invariant:
    """The invariant that this text declares about the asset. Raises ConfigurationError with the position."""
    tree = parsed(text, asset)
    return Invariant(text, tree, tuple(dict.fromkeys(view.probe for view in views(tree))))


def evaluate(invariant: Invariant, readings: Readings) -> bool | None:
    """Whether it holds; None where it cannot be known: a reading absent, reverted or short, or a division by zero."""
    value = _value(invariant.tree, readings)
    return None if value is None else bool(value)


def before(readings: Iterable[Reading]) -> Readings:
    """What the probes read before the transaction."""
    return {reading.probe: reading.before for reading in readings}


def after(readings: Iterable[Reading]) -> Readings:
    """What the probes read after it."""
    return {reading.probe: reading.after for reading in readings}


def described(invariant: Invariant, readings: Readings) -> str:
    """Each view with its value, for a person: 'totalAssets() = 5, totalSupply() = unknown'."""
    values = {view.text: _value(view, readings) for view in views(invariant.tree)}
    return ", ".join(f"{text} = {'unknown' if value is None else value}" for text, value in values.items())


def views(tree: Expression) -> Iterator[View]:
    """The views in an expression, from left to right."""
    if isinstance(tree, View):
        yield tree
    elif isinstance(tree, Operation):
        yield from views(tree.left)
        yield from views(tree.right)


def _value(tree: Expression, readings: Readings) -> int | None:
    if isinstance(tree, Operand):
        return tree.value
    if isinstance(tree, View):
        raw = readings.get(tree.probe)
        return word(raw, signed=tree.signed) if raw is not None and len(raw) >= 32 else None
    left, right = _value(tree.left, readings), _value(tree.right, readings)
    if tree.operator in ("and", "or"):
        return _logic(left, right, decided=tree.operator == "or")
    if left is None or right is None or (tree.operator == "/" and right == 0):
        return None
    return int(_OPERATORS[tree.operator](left, right))


def _logic(left: int | None, right: int | None, *, decided: bool) -> int | None:
    """Kleene's `or`, which one True decides, and `and`, which one False decides; the other side may stay unknown."""
    for side in (left, right):
        if side is not None and bool(side) == decided:
            return int(decided)
    return None if left is None or right is None else int(not decided)
