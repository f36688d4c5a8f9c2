"""The pointer ``latest``: which snapshot a new one calls its parent, and what writers do who want it at the same time."""

import json
from collections.abc import Generator

from pytest_quarry.contract.layout import latest_path, manifest_path
from pytest_quarry.contract.run import Run
from pytest_quarry.storage.stores import NoSuchKey, Store, StoreError

__all__ = ["Pointer", "SnapshotConflict"]

_CONFLICT_RETRIES = 3


class SnapshotConflict(StoreError):
    """Other writers were in the way of a write call; its data stays behind, uncommitted.

    ``ended``: its run, as it then ended, a policy_failure; None where only a single call was written.
    """

    ended: Run | None = None


class Pointer:
    """One writer's view of ``latest``: it remembers what it swapped last, and looks again only after a conflict.

    ``crowded``: others write between its steps. Then a manifest that is half written stops it, as it stops Lode; a
    writer by itself passes over what a dead one left torn, so that a story can go on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heads: dict[str, str] = {}
        self.crowded = False

    def forget(self, dataset: str) -> None:
        """Look again at the next swap: the snapshot swapped last may never get a manifest."""
        self._heads.pop(dataset, None)

    def swap(self, dataset: str, snapshot: str, step: tuple[int, str]) -> Generator[tuple[int, str], None, str | None]:
        """Point ``latest`` at the snapshot; the parent it then has. Yields ``step`` where others can be faster.

        After a conflict it is tried three times more, each time with the parent that is then there. Raises
        SnapshotConflict.
        """
        key, new = latest_path(dataset), snapshot.encode()
        for attempt in range(1 + _CONFLICT_RETRIES):
            if attempt:
                yield step
                self._look_again(dataset)
            head = self._heads.get(dataset)
            present, parent = self._resolve(dataset) if head is None else (head.encode(), head)
            if attempt or head is None:
                yield step
            if self._store.swap(key, present, new):
                self._heads[dataset] = snapshot
                return parent
        raise SnapshotConflict(f"{key}: swapped by others {1 + _CONFLICT_RETRIES} times; snapshot {snapshot} gives up")

    def _look_again(self, dataset: str) -> None:
        """Read ``latest`` as Lode does after a conflict.

        Where it names no snapshot Lode repairs it, and so takes back the swap of a writer that has not come to its
        manifest yet: both then have one parent, and the history forks.
        """
        present, name = self._read(dataset)
        if name is None or not self._readable(name, dataset):
            name = self._newest(dataset)
            if name is None:
                self.forget(dataset)
                return
            self._store.swap(latest_path(dataset), present, name.encode())
        self._heads[dataset] = name

    def _resolve(self, dataset: str) -> tuple[bytes | None, str | None]:
        """What ``latest`` holds, and the snapshot to call parent: its own, or the newest one where it has none."""
        present, name = self._read(dataset)
        return present, name or self._newest(dataset)

    def _read(self, dataset: str) -> tuple[bytes | None, str | None]:
        """What ``latest`` holds, and the snapshot it names, if there is one."""
        try:
            present = self._store.get(latest_path(dataset))
        except NoSuchKey:
            return None, None
        name = present.decode(errors="replace")
        there = name.isdecimal() and self._store.exists(manifest_path(name, dataset=dataset))
        return present, name if there else None

    def _newest(self, dataset: str) -> str | None:
        """The newest snapshot, by its id. Raises SnapshotConflict if it is half written, by one of the others."""
        keys = self._store.list(f"datasets/{dataset}/segments/")
        ids = [key.split("/")[-2] for key in keys if key.endswith("/manifest.json")]
        newest = max(ids, key=lambda one: (len(one), one), default=None)
        if newest is not None and not self._readable(newest, dataset):
            key = manifest_path(newest, dataset=dataset)
            raise SnapshotConflict(f"{key}: half written by another writer; latest cannot be resolved")
        return newest

    def _readable(self, name: str, dataset: str) -> bool:
        if not self.crowded:
            return True
        try:
            json.loads(self._store.get(manifest_path(name, dataset=dataset)))
        except ValueError:
            return False
        return True
