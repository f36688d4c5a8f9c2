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
    broken(
        "purges-after-three-days",
        "Deletes marks of three days ago at each load, which is earlier than messages go.",
        "broken_limits:PurgesAfterThreeDaysSuite",
        "EB01 EB03",
    ),
    broken(
        "remembers-five",
        "Knows the last five runs again.",
        "broken_limits:RemembersFiveSuite",
        "EB01",
    ),
    broken(
        "newest-day-only",
        "Skips runs of an earlier day than the newest.",
        "broken_limits:NewestDayOnlySuite",
        "EB13",
    ),
)
