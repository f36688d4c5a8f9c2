"""What a sample is."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A consumer with its suite. A broken one says its mistake in `what`, and which checks must catch it.

    `needs` is the module of a library that its suite imports and the kit does not require, if there is one; `programs` are
    those that it runs, with spaces between.
    """

    name: str
    sound: bool
    what: str
    caught_by: tuple[str, ...]
    suite: Callable[[], type[Conformance]]
    needs: str = ""
    programs: str = ""

    @property
    def missing(self) -> str:
        """Why it cannot be tried here: something it needs is not installed. Empty, where it can."""
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return f"{self.name} needs {self.needs}, which is not installed; the extra `dev` has it"
        absent = [name for name in self.programs.split() if shutil.which(name) is None]
        return f"{self.name} needs {', '.join(absent)}, which is not installed" if absent else ""


def sound(name: str, what: str, place: str, *, needs: str = "", programs: str = "") -> Sample:
    """A sample that no check may accuse; `place` is `module:Suite`."""
    return Sample(name=name, sound=True, what=what, caught_by=(), suite=_suite(place), needs=needs, programs=programs)


def broken(name: str, what: str, place: str, caught_by: str, *, needs: str = "", programs: str = "") -> Sample:
    """A sample with one mistake; `caught_by` is the ids of checks that must catch it, with spaces between."""
    return Sample(
        name=name,
        sound=False,
        what=what,
        caught_by=tuple(caught_by.split()),
        suite=_suite(place),
        needs=needs,
        programs=programs,
    )


def _suite(place: str) -> Callable[[], type[Conformance]]:
    module, name = place.split(":")
    return functools.partial(_load, module, name)


def _load(module: str, name: str) -> type[Conformance]:
    found: type[Conformance] = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    return found
