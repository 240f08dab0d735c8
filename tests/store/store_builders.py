"""Builders of journal entries, and hypothesis strategies for any value of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from monitor.model.events import AnyEvent, Fault, Stamped, Tick
from monitor.model.incidents import Step
from monitor.model.units import SECOND, Instant

START = 1_700_000_000 * SECOND


def stamped(seq: int, event: AnyEvent | None = None) -> Stamped:
    return Stamped(seq, Instant(START + seq), event or Fault(where="here", what=f"event {seq}"))


def entry(seq: int, event: AnyEvent | None = None, *, said: str = "") -> tuple[Stamped, Step]:
    """An event with a quiet step, or with one that says something."""
    return stamped(seq, event), Step(seq, faults=(said,) if said else ())


def entries(first: int, last: int) -> list[tuple[Stamped, Step]]:
    """Quiet and loud steps in turn, both ends included."""
    return [entry(seq, Tick() if seq % 3 == 0 else None, said="loud" * (seq % 2)) for seq in range(first, last + 1)]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a model type, from msgspec's own view of it."""
    return _strategy(inspect.type_info(kind))


def _strategy(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _strategy(field.type) for field in fields})
        case inspect.UnionType(types=types):
            return st.one_of(*map(_strategy, types))
        case inspect.VarTupleType(item_type=item):
            return st.lists(_strategy(item), max_size=2).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_strategy, items))
        case inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case _:
            return _scalars()[type(info)]


def _scalars() -> dict[type, st.SearchStrategy[Any]]:
    return {
        inspect.IntType: st.integers(-(2**256), 2**256),
        inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
        inspect.StrType: st.text(max_size=20),
        inspect.BytesType: st.binary(max_size=40),
        inspect.BoolType: st.booleans(),
        inspect.NoneType: st.none(),
    }


def renumbered(pairs: Sequence[tuple[AnyEvent, Step]], first: int) -> list[tuple[Stamped, Step]]:
    """Give drawn values the places that the journal demands."""
    return [
        (stamped(seq, event), msgspec.structs.replace(step, seq=seq)) for seq, (event, step) in enumerate(pairs, first)
    ]
