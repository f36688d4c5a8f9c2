"""A store that readers see later than its writer: a listing that lags, or shows the keys of a run in pieces."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random

from pytest_quarry.storage.stores import KeyTaken, NoSuchKey, Store, check_key

__all__ = ["LateStore"]


@dataclass(frozen=True)
class _Held:
    """What was written and nobody but the writer sees: the bytes, when (nanoseconds since 1970), and whether by a swap."""

    data: bytes
    at: int
    swapped: bool


class LateStore:
    """What Quarry's writer writes to. As long as it lags, ``store`` gets nothing but what `show` lets appear.

    The writer sees its own writes at once. Files keep the time they were written at, of ``clock`` (nanoseconds since 1970).
    """

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lags = False
        self._random: Random | None = None

    @property
    def url(self) -> str:
        """The root as notifications name it."""
        return self._store.url

    @property
    def backend(self) -> str:
        """What Quarry's metrics call it."""
        return self._store.backend

    def lag(self, seed: int | None) -> None:
        """From now on hold back what is written; files appear in the order they were written in, or in one of ``seed``."""
        self._lags = True
        self._random = None if seed is None else Random(f"quarry_storage/{seed}")

    def show(self, most: int | None) -> tuple[str, ...]:
        """Let ``most`` files that are held back appear (None: all); their keys."""
        keys = list(self._held)
        if self._random is not None:
            self._random.shuffle(keys)
        shown = tuple(keys[:most])
        for key in shown:
            self._appear(key, self._held[key])
            del self._held[key]
        return shown

    def catch_up(self) -> tuple[str, ...]:
        """Let all appear that is held back, and hold back nothing any more; the keys."""
        shown = self.show(None)
        self._lags = False
        return shown

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``."""
        if self._lags:
            self._hold(key, data, swapped=False)
        else:
            self._store.put(key, data)

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        if not self._lags:
            self._store.put_new(key, data)
            return
        if self.exists(key):
            raise KeyTaken(f"{self.url}/{key}: exists already; a data file is created once")
        self._hold(key, data, swapped=False)

    def get(self, key: str) -> bytes:
        """What is kept under ``key``, seen or not; raises NoSuchKey."""
        held = self._held.get(key)
        return self._store.get(key) if held is None else held.data

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``, seen or not, sorted bytewise."""
        if not self._held:
            return self._store.list(prefix)
        return iter(sorted({*self._store.list(prefix), *(key for key in self._held if key.startswith(prefix))}))

    def exists(self, key: str) -> bool:
        """Whether something is kept under ``key``, seen or not."""
        return key in self._held or self._store.exists(key)

    def delete(self, key: str) -> None:
        """Forget ``key``, at once also for readers."""
        self._held.pop(key, None)
        self._store.delete(key)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` (None: nothing) by ``new``; False, and no change, if it is not there."""
        if not self._lags:
            return self._store.swap(key, expected, new)
        if self._present(key) != expected:
            return False
        self._hold(key, new, swapped=True)
        return True

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Leave what a writer killed inside `swap` leaves; it is seen at once."""
        return self._store.interrupt_swap(key, new)

    def _present(self, key: str) -> bytes | None:
        try:
            return self.get(key)
        except NoSuchKey:
            return None

    def _hold(self, key: str, data: bytes, *, swapped: bool) -> None:
        check_key(key)
        self._held.pop(key, None)  # what is written again is as late as the last write
        self._held[key] = _Held(bytes(data), self._clock(), swapped)

    def _appear(self, key: str, held: _Held) -> None:
        with self._as_of(held.at):
            if not held.swapped:
                self._store.put(key, held.data)
                return
            before = self._store.get(key) if self._store.exists(key) else None
            self._store.swap(key, before, held.data)

    def _as_of(self, at: int) -> AbstractContextManager[None]:
        """File times are those of the write; a store without times has no say in it."""
        as_of: Callable[[int], AbstractContextManager[None]] | None = getattr(self._store, "as_of", None)
        return nullcontext() if as_of is None else as_of(at)
