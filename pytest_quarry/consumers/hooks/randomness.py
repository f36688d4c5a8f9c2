"""The child's randomness is seeded per incarnation.

The same seed twice would give a restarted consumer the same uuids and hide bugs; no seed would make histories differ. Each thread, and
each piece of work of a pool, draws from a source of its own: which of them draws first is luck.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import uuid
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.works import Work, current

# For uuid1, which would ask this machine for its network address, with programs of its own.
NODE = 0x02_00_00_00_00_01
# What draws from the generator that all threads share without asking another of its functions.
SHARED = ("random", "getrandbits", "seed", "getstate", "setstate")


class Randomness:
    """What one process draws from."""

    def __init__(self, link: Link) -> None:
        self._link, self._source, self._seed = link, random.Random(0), 0
        self._real_seed = random.Random.seed
        self._real_urandom = os.urandom

    def install(self) -> dict[int, Any]:
        """Install it in this process; the replacements of functions that others may hold by name."""
        link, real_urandom, real_seed = self._link, self._real_urandom, self._real_seed

        def urandom(size: int, /) -> bytes:
            return real_urandom(size) if link.inside else self._of(current()).randbytes(size)

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            real_seed(generator, self._of(current()).getrandbits(64) if a is None else a, version)

        replacements: dict[int, Any] = {id(os.urandom): urandom}
        os.urandom = urandom
        random.Random.seed = seed  # type: ignore
        uuid._node = NODE  # type: ignore[attr-defined]
        return replacements | self._share_generators()

    def _share_generators(self) -> dict[int, Any]:
        """The generator behind the functions of `random`, and that of `tempfile`, are one for each piece of work."""
        shared: random.Random = random._inst
        shared.__class__ = _each_its_own(self._of_thread)
        replacements: dict[int, Any] = {}
        for name in SHARED:
            replacements[id(getattr(random, name))] = getattr(shared, name)
            setattr(random, name, getattr(shared, name))
        names: Any = tempfile._RandomNameSequence  # type: ignore[attr-defined]
        of_main = names.rng.fget
        names.rng = property(lambda sequence: self._of_thread() or of_main(sequence))
        return replacements

    def _of_thread(self) -> random.Random | None:
        """What the calling thread draws from; None where it shares what the main thread draws from."""
        work = current()
        return self._of(work) if work.place and self._link.enabled else None

    def _of(self, work: Work) -> random.Random:
        if not work.place:
            return self._source
        if work.luck is None:
            work.luck = random.Random(f"{self._seed} {work.place}")
        generator: random.Random = work.luck
        return generator

    def begin(self, seed: int) -> None:
        """A start of the consumer begins in this process."""
        self._seed = seed
        self._real_seed(self._source, seed)
        random.seed(self._source.getrandbits(64))
        numpy = sys.modules.get("numpy")
        if numpy is not None and hasattr(numpy, "random"):
            numpy.random.seed(self._source.getrandbits(32))


def _each_its_own(of_thread: Callable[[], random.Random | None]) -> type[random.Random]:
    """The class of a generator that leaves each thread but the main one to a generator of its own."""

    class Shared(random.Random):
        """As `random.Random`."""

        def random(self) -> float:
            own = of_thread()
            return super().random() if own is None else own.random()

        def getrandbits(self, k: int, /) -> int:
            own = of_thread()
            return super().getrandbits(k) if own is None else own.getrandbits(k)

        def seed(self, a: Any = None, version: int = 2) -> None:
            own = of_thread()
            super().seed(a, version) if own is None else own.seed(a, version)

        def getstate(self) -> Any:
            own = of_thread()
            return super().getstate() if own is None else own.getstate()

        def setstate(self, state: Any) -> None:
            own = of_thread()
            super().setstate(state) if own is None else own.setstate(state)

    return Shared
