"""Power loss, a model: what was written and not fsynced is cut, or taken back.

File contents reach a disk when they are fsynced, names in the order of the calls (a journaling file system that does not
journal data: ext4's `data=ordered` without delayed allocation's heuristics). SQLite syncs for itself, unseen, and is
believed.
"""

from __future__ import annotations

from pathlib import Path

from pytest_quarry.consumers.protocol import Boundary

CHANGING = ("open", "write", "truncate")


class PowerLog:
    """Which files differ from what a power loss would leave, and what that is."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: dict[str, bytes | None] = {}  # of unsynced files: the content before, None where there was none

    def before(self, boundary: Boundary) -> None:
        """Note what is about to happen."""
        verb, names = boundary.label.split(" ", 1)[0], boundary.paths
        if verb in CHANGING:
            for name in names:
                self._durable.setdefault(name, self._content(name))
        elif verb in ("fsync", "unlink") and names:
            self._durable.pop(names[0], None)
        elif verb == "rename" and len(names) == 2:
            self._rename(*names)

    def _rename(self, old: str, new: str) -> None:
        unsynced = [name for name in self._durable if name == old or name.startswith(f"{old}/")]
        if not unsynced:
            self._durable.pop(new, None)
        for name in unsynced:
            del self._durable[name]
            moved = new + name.removeprefix(old)
            self._durable.setdefault(moved, self._content(moved))

    def lose(self, how: str) -> tuple[str, ...]:
        """Do to the disk what the loss does: `cut` or `back`; the files it changed."""
        changed = []
        for name, before in sorted(self._durable.items()):
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
        self._durable.clear()
        return tuple(changed)

    def _content(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.is_file() else None


def _cut(before: bytes | None, now: bytes | None) -> bytes | None:
    if now is None:
        return None
    return before if before is not None and now.startswith(before) else b""
