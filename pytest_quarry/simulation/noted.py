"""Which keys were written of which run, so that one run can be read without the hundreds beside it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_quarry.storage import Store


class Part:
    """Some keys of a store, for the reader: to it there are no others."""

    def __init__(self, store: Store, keys: set[str]) -> None:
        self._store, self._keys = store, keys

    def list(self, prefix: str) -> Iterator[str]:
        """Those that begin with the prefix and are still there, sorted bytewise."""
        keys = sorted(key for key in self._keys if key.startswith(prefix))
        return (key for key in keys if self._store.exists(key))

    def get(self, key: str) -> bytes:
        """The bytes under a key."""
        return self._store.get(key)


class Noted:
    """A store whose writers say of which run they write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, set[str]] = {}
        self._run = ""
        self.backend, self.url = store.backend, store.url
        self.get, self.list, self.exists, self.delete = store.get, store.list, store.exists, store.delete

    def of(self, run: str) -> None:
        """What is written from now on is written of this run."""
        self._run = run

    def part(self, run: str) -> Part:
        """What was written of a run."""
        return Part(self._store, self._noted.get(run, set()))

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``."""
        self._note(key)
        self._store.put(key, data)

    def put_new(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key that is free; raises KeyTaken if it is not."""
        self._note(key)
        self._store.put_new(key, data)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace ``expected`` by ``new``."""
        self._note(key)
        return self._store.swap(key, expected, new)

    def interrupt_swap(self, key: str, new: bytes) -> str | None:
        """Leave what a writer killed inside `swap` leaves."""
        return self._store.interrupt_swap(key, new)

    def _note(self, key: str) -> None:
        self._noted.setdefault(self._run, set()).add(key)
