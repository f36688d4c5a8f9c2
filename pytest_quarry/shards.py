"""What pytest-xdist's workers share out, examples of the fuzz item and parts of the longest checks, and what they share."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pytest_quarry.consumers import keeper

SHARD = "quarry_shard"  # the parameter of an item that is one of several
SHARED = "quarry_shared"  # what a worker is told of the folder

T = TypeVar("T")


def workers(config: pytest.Config) -> int:
    """How many processes of xdist run these items: 1 without it."""
    count: int = getattr(config, "workerinput", {}).get("workercount", 1)
    return count


def share(node: Any) -> None:
    """Tell one of xdist's workers, as it is configured, where the folder is for what all of them share."""
    if not hasattr(node.config, "_quarry_shared"):  # whoever needs it makes it
        node.config._quarry_shared = os.path.join(tempfile.gettempdir(), f"quarry-shared-{uuid.uuid4().hex}")
    node.workerinput[SHARED] = node.config._quarry_shared


def share_no_more(config: pytest.Config) -> None:
    """Called in the end: nothing of it is left."""
    name: str | None = getattr(config, "_quarry_shared", None)
    if name is not None:
        shutil.rmtree(name, ignore_errors=True)


def folder(config: pytest.Config) -> Path | None:
    """The folder for what the workers share; none without xdist, and none where another machine has no such place."""
    name: str | None = getattr(config, "workerinput", {}).get(SHARED)
    if name is None or workers(config) == 1:
        return None
    with contextlib.suppress(OSError):
        os.makedirs(name, mode=0o700, exist_ok=True)
        keeper.remember_directory(name)  # the session may be killed; who is without it is on its own
        return Path(name)
    return None


def split(metafunc: pytest.Metafunc, count: int) -> None:
    """Make so many items of one, if it is more; called when the item has all its other parameters."""
    if count > 1:
        metafunc.fixturenames.append(SHARD)
        numbers = range(1, count + 1)
        ids = [_id(number, count) for number in numbers]
        metafunc.parametrize(SHARD, [(number, count) for number in numbers], ids=ids)


def of(item: object) -> tuple[int, int]:
    """Which shard an item is, counted from 1, and of how many; 1 of 1 is whole."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    number, count = params.get(SHARD, (1, 1))
    return number, count


def parameters(item: object) -> str:
    """The id of an item's parameters but its shard, which stands last: of all shards the same."""
    number, count = of(item)
    found: str = getattr(getattr(item, "callspec", None), "id", "")
    return found if count == 1 else found.removesuffix(_id(number, count)).removesuffix("-")


def whole(item: Any) -> str:
    """The node id of an item but for its shard: of all shards the same."""
    found: str = item.nodeid
    if of(item)[1] == 1:
        return found
    rest = parameters(item)
    return found.replace(f"[{item.callspec.id}]", f"[{rest}]" if rest else "")


def whole_name(nodeid: str) -> str:
    """The same, where the item is not at hand, as of one that died with its process."""
    return re.sub(r"\[(?:(.*)-)?\d+-of-\d+\]$", lambda found: f"[{found[1]}]" if found[1] else "", nodeid)


def _id(number: int, count: int) -> str:
    return f"{number}-of-{count}"


def spread(longest: Sequence[T], others: Sequence[T], count: int) -> list[T]:
    """The items in the order in which each of `count` workers begins with one of the longest, as xdist hands them out."""
    # xdist's LoadScheduling: so many tests are what each worker is given first.
    chunk = max((len(longest) + len(others)) // (4 * count), 2)
    found: list[T] = []
    rest = list(others)
    for worker in range(count):
        mine = longest[worker::count]
        fill = max(chunk - len(mine), 0)
        found += [*mine, *rest[:fill]]
        rest = rest[fill:]
    return found + rest
