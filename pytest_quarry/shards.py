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
