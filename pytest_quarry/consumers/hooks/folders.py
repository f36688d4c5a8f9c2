"""What changes a folder gives it, and what is made in it, the machine's time: they get the world's as soon as it is done.

For the consumer that looks at once, as one does that makes a folder to claim something. What is left the world finds at the next boundary.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers.file_times import give, is_of_a_change, real_seconds, real_stat
from pytest_quarry.consumers.hooks.names import OF_ONE_NAME, OF_TWO_NAMES
from pytest_quarry.consumers.link import Link

Make = Callable[[Any], Any]  # of a function, the one in its place


def changes(link: Link) -> dict[str, Make]:
    """The functions of `os` that change which names a folder holds, with what is to make others of them."""
    return {**dict.fromkeys(OF_ONE_NAME, _of_one_name(link)), **dict.fromkeys(OF_TWO_NAMES, _of_two_names(link))}


def changed(link: Link, path: Any, folder: int | None = None) -> None:
    """Something may have been made or removed here just now; relative to an open folder, if there is one."""
    name = None if link.inside else link.name_of(path, folder)
    if name is None:
        return
    with link.aside():
        _stamp(link, path, dir_fd=folder, follow_symlinks=False)
        if "/" in name:  # else it is a folder of the world's, and what that is in is not
            above = os.path.dirname(os.fsdecode(path).rstrip("/")) or "."
            _stamp(link, above, dir_fd=folder)


def _stamp(link: Link, path: Any, **where: Any) -> None:
    with contextlib.suppress(OSError):  # what was removed is not there
        if is_of_a_change(real_stat(path, **where), real_seconds()):
            give(path, link.now, **where)


def _of_one_name(link: Link) -> Make:
    def make(original: Any) -> Any:
        def change(path: Any, *arguments: Any, **keywords: Any) -> None:
            original(path, *arguments, **keywords)
            changed(link, path, keywords.get("dir_fd"))

        change.__name__ = original.__name__
        return change

    return make


def _of_two_names(link: Link) -> Make:
    def make(original: Any) -> Any:
        def change(src: Any, dst: Any, *arguments: Any, **keywords: Any) -> None:
            original(src, dst, *arguments, **keywords)
            changed(link, dst, keywords.get("dst_dir_fd", keywords.get("dir_fd")))
            if original.__name__ in ("rename", "replace"):
                changed(link, src, keywords.get("src_dir_fd"))

        change.__name__ = original.__name__
        return change

    return make
