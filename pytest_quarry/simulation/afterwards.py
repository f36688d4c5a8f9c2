"""Whether rows outlive their world: then the target is elsewhere, and nobody looked at it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.hooks import no_escape
from pytest_quarry.simulation import reading
from pytest_quarry.simulation.history import History, Row
from pytest_quarry.simulation.world import World

OWN = Path("/proc/self")


def outlived(history: History, consumer: Consumer, old: World, new: World) -> tuple[Row, ...]:
    """Rows of a world that is closed, which are there in a new one too, in which nothing was prepared and nobody started."""
    old.target.empty()  # a suite may have kept it
    if old.has_aws:
        new.bucket_keys()  # it is made anew with that, and nothing of the old one's is left
    mine = {row for row in history.rows if row.run_id in history.views}
    if not mine or _is_held(old.root):
        return ()
    with contextlib.suppress(Exception), no_escape.closed(new.aws):
        return tuple(row for row in reading.rows_of(consumer, new) if row in mine)
    return ()


def _is_held(root: Path) -> bool:
    """Whether this process has a file of that world open, or mapped: for whom has it open it is there, though it was removed."""
    below = f"{root}{os.sep}"
    try:
        opened = [os.readlink(entry.path) for entry in os.scandir(OWN / "fd")]
        return any(name.startswith(below) for name in opened) or below in (OWN / "maps").read_text()
    except OSError:  # not on this system, or one was closed meanwhile
        return True
