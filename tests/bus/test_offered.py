"""What the world offers to the next receives, and to nobody else."""

from __future__ import annotations

from sides import ours


def test_a_long_poll_that_is_to_find_nothing_takes_nothing() -> None:
    with ours() as side:
        side.send("one")
        (first,) = side.receive()
        side.queue.offered = []
        for _ in range(2):  # it is visible again after 30 seconds
            assert side.receive(WaitTimeSeconds=20) == []
        side.queue.offered = None
        (second,) = side.receive()
    assert second["MessageId"] == first["MessageId"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
