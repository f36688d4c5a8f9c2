"""What pytest-xdist's workers share out, examples of the fuzz item and parts of the longest checks, and what they share."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

SHARD = "quarry_shard"  # the parameter of an item that is one of several
SHARED = "quarry_shared"  # what a worker is told of the folder
OF = re.compile(r"\b\d+-of-\d+\b")

T = TypeVar("T")


def workers(config: pytest.Config) -> int:
    """How many processes of xdist run these items: 1 without it."""
    count: int = getattr(config, "workerinput", {}).get("workercount", 1)
    return count


def share(node: Any) -> None:
    """Give one of xdist's workers, as it is configured, the folder for what all of them share."""
    if not hasattr(node.config, "_quarry_shared"):
        node.config._quarry_shared = tempfile.TemporaryDirectory(prefix="quarry-shared-")
    node.workerinput[SHARED] = node.config._quarry_shared.name


def share_no_more(config: pytest.Config) -> None:
    """Called in the end: nothing of it is left."""
    shared: tempfile.TemporaryDirectory[str] | None = getattr(config, "_quarry_shared", None)
    if shared is not None:
        shared.cleanup()


def folder(config: pytest.Config) -> Path | None:
    """The folder for what the workers share; none without xdist, and none on another machine."""
    name: str | None = getattr(config, "workerinput", {}).get(SHARED)
    return Path(name) if name is not None and Path(name).is_dir() else None


def split(metafunc: pytest.Metafunc, count: int) -> None:
    """Make so many items of one, if it is more."""
    if count > 1:
        metafunc.fixturenames.append(SHARD)
        numbers = range(1, count + 1)
        ids = [f"{number}-of-{count}" for number in numbers]
        metafunc.parametrize(SHARD, [(number, count) for number in numbers], ids=ids)


def of(item: object) -> tuple[int, int]:
    """Which shard an item is, counted from 1, and of how many; 1 of 1 is whole."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    number, count = params.get(SHARD, (1, 1))
    return number, count


def whole(item: str) -> str:
    """The name, or the parameters, of an item without those of its shard: of all shards the same."""
    name, bracket, parameters = item.rpartition("[")
    rest = "-".join(filter(None, (part.strip("-") for part in OF.split(parameters.removesuffix("]")))))
    return f"{name}[{rest}]" if bracket and rest else name if bracket else rest


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
