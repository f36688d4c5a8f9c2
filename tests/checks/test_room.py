"""What fails because the file system that the worlds are on is full is no fault of the consumer's."""

from __future__ import annotations

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders
from pytest_quarry.simulation import places


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
