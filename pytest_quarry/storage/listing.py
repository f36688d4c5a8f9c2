"""A storage root as text, for people."""

from __future__ import annotations

from itertools import islice

from pytest_quarry.storage.stores import NoSuchKey, Store

__all__ = ["listing"]


def listing(store: Store, *, most: int) -> str:
    """Every file with its size and ``latest`` with what it says, in indented folders; after ``most`` files it stops."""
    keys = store.list("")
    shown = _Folder()
    count = 0
    for key in islice(keys, most):
        count += 1
        shown.add(key.split("/"), _about(store, key))
    rest = sum(1 for _ in keys)
    if not count:
        return f"{store.url}  (empty)"
    lines = [store.url, *shown.lines("  ")]
    return "\n".join([*lines, f"  … and {rest:,} more files"] if rest else lines)


class _Folder:
    """A folder of the listing: names of files with what is said of them, names of folders with their contents."""

    def __init__(self) -> None:
        self._entries: dict[str, str | _Folder] = {}

    def add(self, parts: list[str], about: str) -> None:
        folder: _Folder = self
        for name in parts[:-1]:
            # Another slash keeps a folder apart from a file of that name, which only S3 can have.
            inner = folder._entries.setdefault(f"{name}/", _Folder())
            assert isinstance(inner, _Folder)
            folder = inner
        folder._entries[parts[-1]] = about

    def lines(self, indent: str) -> list[str]:
        """The contents; a folder that holds one folder and nothing else is on one line with it."""
        found: list[str] = []
        for name, entry in self._entries.items():
            path, inner = name, entry
            while isinstance(inner, _Folder) and len(inner._entries) == 1:
                ((more, inner),) = inner._entries.items()
                path += more
            if isinstance(inner, _Folder):
                found += [f"{indent}{path}", *inner.lines(indent + "  ")]
            else:
                found.append(f"{indent}{path}  {inner}")
        return found


def _about(store: Store, key: str) -> str:
    try:
        data = store.get(key)
    except NoSuchKey:
        return "(gone)"
    if key.endswith("/latest"):
        return f"→ {data.decode(errors='replace')}"
    return f"{len(data):,} bytes"
