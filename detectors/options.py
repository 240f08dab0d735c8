"""What an owner wrote as a detector's option, checked: each function says what is allowed. Raises ValueError."""

from __future__ import annotations


def whole(name: str, value: object, *, least: int = 0, most: int = 10**15) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}; a whole number from {least} to {most} is allowed")
    return value


def share(name: str, value: object) -> float:
    """A part of one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; a number from 0 to 1 is allowed")
    return float(value)


def words(name: str, value: object) -> frozenset[str]:
    """A list of words."""
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{name} is {value!r}; a list of words is allowed")
    return frozenset(value)
