"""What a sample is."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A consumer with its suite. A broken one says its mistake in `what`, and which checks must catch it.

    `needs` is the module of a library that its suite imports and the kit does not require, if there is one.
    """

    name: str
    sound: bool
    what: str
    caught_by: tuple[str, ...]
    suite: Callable[[], type[Conformance]]
    needs: str = ""


def sound(name: str, what: str, place: str, *, needs: str = "") -> Sample:
    """A sample that no check may accuse; `place` is `module:Suite`."""
    return Sample(name=name, sound=True, what=what, caught_by=(), suite=_suite(place), needs=needs)


def broken(name: str, what: str, place: str, caught_by: str, *, needs: str = "") -> Sample:
    """A sample with one mistake; `caught_by` is the ids of checks that must catch it, with spaces between."""
    return Sample(
        name=name, sound=False, what=what, caught_by=tuple(caught_by.split()), suite=_suite(place), needs=needs
    )


def _suite(place: str) -> Callable[[], type[Conformance]]:
    module, name = place.split(":")
    return functools.partial(_load, module, name)


def _load(module: str, name: str) -> type[Conformance]:
    found: type[Conformance] = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    return found
