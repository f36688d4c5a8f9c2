"""What pytest-xdist's workers share out: the examples of a fuzz item, and the parts of the checks that take longest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import pytest

SHARD = "quarry_shard"  # the parameter of an item that is one of several
OF = re.compile(r"\b\d+-of-\d+\b")

T = TypeVar("T")


def workers(config: pytest.Config) -> int:
    """How many processes of xdist run these items: 1 without it."""
    count: int = getattr(config, "workerinput", {}).get("workercount", 1)
    return count


def split(metafunc: pytest.Metafunc, count: int) -> None:
    """Make so many items of one, if it is more."""
    if count > 1:
        metafunc.fixturenames.append(SHARD)
        numbers = range(1, count + 1)
        metafunc.parametrize(SHARD, numbers, ids=[f"{number}-of-{count}" for number in numbers])


def number_of(item: object) -> int:
    """Which shard an item is, counted from 1; 1 for one that is whole."""
    callspec = getattr(item, "callspec", None)
    return int(callspec.params.get(SHARD, 1)) if callspec is not None else 1


def whole(item: str) -> str:
    """The name, or the parameters, of an item without those of its shard: of all shards the same."""
    name, bracket, parameters = item.rpartition("[")
    rest = "-".join(filter(None, (part.strip("-") for part in OF.split(parameters.removesuffix("]")))))
    return f"{name}[{rest}]" if bracket and rest else name if bracket else rest


def spread(longest: Sequence[T], others: Sequence[T], count: int) -> list[T]:
    """The items in the order in which each of `count` workers begins with one of the longest, as xdist hands them out."""
    chunk = max(
        (len(longest) + len(others)) // (4 * count), 2
    )  # xdist's LoadScheduling: the first tests of each worker
    found: list[T] = []
    rest = list(others)
    for worker in range(count):
        mine = longest[worker::count]
        fill = max(chunk - len(mine), 0)
        found += [*mine, *rest[:fill]]
        rest = rest[fill:]
    return found + rest
