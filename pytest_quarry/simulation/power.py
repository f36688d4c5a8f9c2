"""Power loss, a model: what was written and not synced is cut, or taken back.

File contents reach a disk when they are synced, by fsync, by sync or as they are written (O_DSYNC), names in the order of
the calls (a journaling file system that does not journal data: ext4's `data=ordered` without delayed allocation's
heuristics). SQLite syncs for itself, unseen, and is believed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from pytest_quarry.consumers.protocol import Boundary

CHANGING = ("open", "write", "truncate")
SYNCING = ("sync", "start sync", "shell sync")  # as a call, and as a program


class Unsynced(NamedTuple):
    """A file that differs from what a power loss would leave: the content `before`, None where there was none.

    `written`: data of it waits to be written, and not its size alone, which goes to the disk with the next data that is synced.
    """

    before: bytes | None
    written: bool


class PowerLog:
    """Which files differ from what a power loss would leave, and what that is."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: dict[str, Unsynced] = {}  # under each name that such a file has

    def before(self, boundary: Boundary) -> None:
        """Note what is about to happen."""
        verb, names = boundary.label.split(" ", 1)[0], boundary.paths
        if verb == "write" and boundary.synced:
            for name in names:
                self._writes_through(name)
        elif verb in CHANGING:
            for name in names:
                self._changes(name, written=verb == "write")
        elif boundary.label in SYNCING:
            self._unsynced.clear()
        elif verb == "fsync" and names:
            for name in self._names_of(names[0]):
                self._unsynced.pop(name, None)
        elif verb == "unlink" and names:
            self._unsynced.pop(names[0], None)
        elif verb == "rename" and len(names) == 2:
            self._rename(*names)
        elif verb == "link" and names:
            self._link(*names, synced=boundary.synced)

    def _changes(self, name: str, *, written: bool) -> None:
        now = Unsynced(self._content(name), False)
        for one in self._names_of(name):
            found = self._unsynced.get(one, now)
            self._unsynced[one] = found._replace(written=found.written or written)

    def _writes_through(self, name: str) -> None:
        """What others wrote to the file before waits on: open(2), O_DSYNC."""
        for one in self._names_of(name):
            if one in self._unsynced and not self._unsynced[one].written:
                del self._unsynced[one]

    def _rename(self, old: str, new: str) -> None:
        if new in self._names_of(old):  # nothing happens, and both names stay: rename(2)
            return
        unsynced = [name for name in self._unsynced if name == old or name.startswith(f"{old}/")]
        if not unsynced:
            self._unsynced.pop(new, None)
        for name in unsynced:
            of_old = self._unsynced.pop(name)
            moved = new + name.removeprefix(old)
            of_new = self._unsynced.get(moved)
            before = self._content(moved) if of_new is None else of_new.before
            self._unsynced[moved] = of_old._replace(before=before)

    def _link(self, *names: str, synced: bool) -> None:
        """What has not reached the disk has not under a new name either; where that is taken, nothing happens."""
        new = names[-1]
        if os.path.lexists(self._root / new):
            return
        if names[0] in self._unsynced:
            self._unsynced[new] = self._unsynced[names[0]]
        elif len(names) == 1 and not synced:  # it had no name
            self._unsynced[new] = Unsynced(None, True)

    def lose(self, how: str) -> tuple[str, ...]:
        """Do to the disk what the loss does: `cut` or `back`; the files it changed."""
        changed = []
        for name, (before, _) in sorted(self._unsynced.items()):
            now = self._content(name)
            after = before if how == "back" else _cut(before, now)
            if after == now:
                continue
            changed.append(name)
            path = self._root / name
            if after is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(after)
        self._unsynced.clear()
        return tuple(changed)

    def _content(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def _names_of(self, name: str) -> list[str]:
        """All names of that file: whatever is done to its content is done under each of them."""
        try:
            file = os.stat(self._root / name)
        except OSError:
            return [name]
        if file.st_nlink == 1 or not stat.S_ISREG(file.st_mode):
            return [name]
        paths = (os.path.join(folder, one) for folder, _, names in os.walk(self._root) for one in names)
        return [os.path.relpath(path, self._root) for path in paths if _is(file, path)]


def _is(file: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(os.lstat(path), file)
    except OSError:  # it went meanwhile
        return False


def _cut(before: bytes | None, now: bytes | None) -> bytes | None:
    if now is None:
        return None
    return before if before is not None and now.startswith(before) else b""
