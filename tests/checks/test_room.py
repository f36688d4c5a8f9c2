"""What fails because the file system that the worlds are on is full is no fault of the consumer's."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders
from pytest_quarry.simulation import places
from pytest_quarry.storage.writer import QuarryWriter


@pytest.mark.parametrize(
    ("suite", "free", "status"),
    [(BrokenOrders, 20, "inconclusive"), (BrokenOrders, 2000, "failed"), (RepairedOrders, 20, "passed")],
)
def test_nobody_is_accused_for_want_of_room(
    suite: type, free: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "free", lambda path: free * places.MB)
    result = Conductor(suite().consumer()).conduct(BY_ID["EB05"])
    assert result.status == status
    if status == "inconclusive":
        assert result.verdict is not None
        assert result.verdict.sentence == ("Nothing can be said: the file system that the world is on had 20 MB left.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_the_kit_says_so_where_it_has_no_room_itself(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/worlds/w-1/storage")

    monkeypatch.setattr(QuarryWriter, "write", refuse)
    with pytest.raises(
        ConsumerError, match=r"could not write to its world, in /worlds/w-1/storage: .*\. Worlds are in .* by TMPDIR"
    ):
        Conductor(RepairedOrders().consumer()).conduct(BY_ID["EB05"])


def test_rows_that_cannot_be_read_may_be_for_want_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTable(RepairedOrders):
        def rows(self, world: Any) -> Any:
            raise LookupError("no such table: orders")

    monkeypatch.setattr(places, "free", lambda path: 0)
    with pytest.raises(ConsumerError, match=r"no such table: orders.* was full, which may be why\. Worlds are in "):
        Conductor(NoTable().consumer()).conduct(BY_ID["EB05"])
