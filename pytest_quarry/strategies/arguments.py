"""The checks of what strategies are asked for: said at the call, with what would do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NoReturn, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

T = TypeVar("T")


def refuse(where: str, words: str) -> NoReturn:
    """Raise InvalidArgument, as Hypothesis' own strategies do."""
    raise InvalidArgument(f"{where}(): {words}")


def count(where: str, name: str, value: object, *, least: int = 0, most: int = 1000) -> None:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(where, f"{name} is {value!r}; it must be a whole number from {least} to {most}")


def between(where: str, name: str, least: object, most: object, *, floor: int = 0) -> None:
    """A range, as ``min_<name>`` and ``max_<name>``."""
    count(where, f"min_{name}", least, least=floor)
    count(where, f"max_{name}", most, least=floor)
    if least > most:  # type: ignore[operator]
        refuse(where, f"min_{name} is {least}, max_{name} is {most}; the least must not be above the most")


def some(where: str, name: str, values: object, known: Collection[str], *, empty: bool = False) -> tuple[str, ...]:
    """Names out of the known ones, one at least unless ``empty``, in the order given: examples shrink to the first."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        refuse(where, f"{name} is {values!r}; give a list, of {', '.join(map(repr, map(str, known)))}")
    found = tuple(str(value) for value in values)
    unknown = [value for value in found if value not in known]
    if unknown:
        refuse(where, f"{name} has {unknown[0]!r}; there are {', '.join(map(repr, map(str, known)))}")
    if not found and not empty:
        refuse(where, f"{name} is empty; give at least one of {', '.join(map(repr, map(str, known)))}")
    return found


def one_of(where: str, name: str, value: object, known: Collection[str]) -> None:
    """One of the known names."""
    if value not in known:
        refuse(where, f"{name} is {value!r}; there are {', '.join(map(repr, map(str, known)))}")


def text(where: str, name: str, value: object, default: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A text, or a strategy of texts, as a strategy; None as the default."""
    if value is None:
        return default
    if isinstance(value, st.SearchStrategy):
        return value
    if not isinstance(value, str):
        refuse(where, f"{name} is {value!r}; give a text, a strategy of texts, or leave it out")
    return st.just(value)


def drawn(where: str, value: Any, kind: type[T], what: str) -> T:
    """A value that a strategy of the caller drew."""
    if not isinstance(value, kind):
        refuse(where, f"of= drew {value!r}; it must draw {what}")
    return value
