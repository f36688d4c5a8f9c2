"""The samples whose commits, or whose memory, are large enough for a few small runs of one day."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken

BROKEN_LIMITS: tuple[Sample, ...] = (
    broken(
        "inserts-in-batches",
        "Inserts a hundred rows per commit, the mark with the last.",
        "broken_limits:InsertsInBatchesSuite",
        "EB05",
    ),
    broken(
        "marks-with-the-first-batch",
        "Upserts a hundred rows per commit, the mark with the first.",
        "broken_limits:MarksWithTheFirstBatchSuite",
        "EB04",
    ),
    broken(
        "poller-inserts-in-batches",
        "Inserts a hundred rows per commit, the mark with the last.",
        "broken_limits:PollsInBatchesSuite",
        "PO03",
    ),
)
