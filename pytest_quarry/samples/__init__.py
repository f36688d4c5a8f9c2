"""Sample consumers, sound and broken: what the kit tests itself with, and examples to read.

`SAMPLES` lists them; the modules that hold them are imported when a sample's suite is asked for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

__all__ = ["SAMPLES", "Sample"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A consumer with its suite. A broken one says its mistake in `what`, and which checks must catch it."""

    name: str
    sound: bool
    what: str
    caught_by: tuple[str, ...]
    suite: Callable[[], type[Conformance]]


def _load(module: str, suite: str) -> type[Conformance]:
    found: type[Conformance] = getattr(importlib.import_module(f"{__name__}.{module}"), suite)
    return found


def _sound(name: str, what: str, place: str) -> Sample:
    suite = functools.partial(_load, *place.split(":"))
    return Sample(name=name, sound=True, what=what, caught_by=(), suite=suite)


def _broken(name: str, what: str, place: str, caught_by: str) -> Sample:
    suite = functools.partial(_load, *place.split(":"))
    return Sample(name=name, sound=False, what=what, caught_by=tuple(caught_by.split()), suite=suite)


_SOUND_HANDLERS = (
    _sound(
        "one-transaction", "Rows and mark in one SQLite transaction.", "sound_handlers:OneTransactionSuite"
    ),
    _sound("upserts", "Upserts by (run_id, event_id), no mark.", "sound_handlers:UpsertsSuite"),
    _sound(
        "upserts-row-by-row",
        "One commit per row, the mark last; the rows have keys.",
        "sound_handlers:UpsertsRowByRowSuite",
    ),
    _sound(
        "replaces-the-run",
        "Deletes and inserts a run in one transaction.",
        "sound_handlers:ReplacesTheRunSuite",
    ),
    _sound("leased", "A claim that ends by itself, then one transaction.", "sound_handlers:LeasedSuite"),
    _sound("async", "A coroutine function, one transaction.", "sound_handlers:AsyncLoaderSuite"),
    _sound(
        "function",
        "A plain function that claims and loads in one transaction.",
        "sound_handlers:FunctionSuite",
    ),
    _sound(
        "marker-by-rename", "Rows, then a marker file, each by rename.", "sound_files:MarkerByRenameSuite"
    ),
    _sound(
        "staged-folder", "A staging directory, renamed when it is whole.", "sound_files:StagedFolderSuite"
    ),
    _sound("ledger", "An append-only file that recovers at the start.", "sound_files:LedgerSuite"),
    _sound("lambda", "A Lambda function with partial batch responses.", "sound_aws:LambdaSuite"),
    _sound("lambda-raw", "The same with raw message delivery.", "sound_aws:RawLambdaSuite"),
    _sound("target", "A transaction of world.target.", "sound_aws:TargetSuite"),
    _sound("dynamodb", "Conditional writes to DynamoDB, the mark last.", "sound_aws:DynamoSuite"),
    _sound("sqlalchemy", "SQLAlchemy's ORM, one session per run.", "sound_sqlalchemy:SqlAlchemySuite"),
)

_SOUND_POLLERS = (
    _sound(
        "poller-one-transaction",
        "Rows and mark in one SQLite transaction.",
        "sound_pollers:OneTransactionPollerSuite",
    ),
    _sound("poller-flat", "The same over the flat layout.", "sound_pollers:FlatPollerSuite"),
    _sound(
        "poller-atomic-checkpoint",
        "Upserts a run, then replaces the checkpoint file.",
        "sound_pollers:AtomicCheckpointSuite",
    ),
    _sound(
        "poller-checkpoint-per-poll",
        "Upserts all new runs, then replaces the checkpoint file once.",
        "sound_pollers:CheckpointPerPollSuite",
    ),
    _sound("poller-files", "One file per run, by rename.", "sound_pollers:FilePollerSuite"),
    _sound("poller-target", "The target is the checkpoint.", "sound_pollers:TargetPollerSuite"),
    _sound(
        "poller-looks-back-and-catches-up",
        "A look-back window, and a scan of everything once an hour.",
        "sound_pollers:LooksBackAndCatchesUpSuite",
    ),
)

_BROKEN_HANDLERS = (
    _broken(
        "inserts-always",
        "Does not deduplicate at all.",
        "broken_handlers:InsertsAlwaysSuite",
        "EB01 EB03 EB05",
    ),
    _broken(
        "remembers-in-memory",
        "Keeps the loaded runs in a set, which a restart empties.",
        "broken_handlers:RemembersInMemorySuite",
        "EB03 EB05",
    ),
    _broken(
        "remembers-the-last",
        "Knows only the last run again.",
        "broken_handlers:RemembersTheLastSuite",
        "EB01 EB03",
    ),
    _broken(
        "once-per-batch",
        "A Lambda function that deduplicates within a batch only.",
        "broken_handlers:OncePerBatchSuite",
        "EB01 EB03 EB05",
    ),
    _broken(
        "forgets-after-an-hour",
        "Lets its marks expire earlier than messages do.",
        "broken_handlers:ForgetsAfterAnHourSuite",
        "EB01 EB03",
    ),
    _broken(
        "marks-first",
        "Makes the mark durable before the rows.",
        "broken_handlers:MarksFirstSuite",
        "EB04",
    ),
    _broken(
        "marks-in-a-second-commit",
        "Loads in one commit and marks in another.",
        "broken_handlers:MarksInASecondCommitSuite",
        "EB05",
    ),
    _broken(
        "first-row-means-loaded",
        "Commits row by row and takes the first row as proof of the rest.",
        "broken_handlers:FirstRowMeansLoadedSuite",
        "EB04",
    ),
    _broken(
        "claims-for-ever",
        "Acknowledges a run that a dead worker has claimed.",
        "broken_handlers:ClaimsForEverSuite",
        "EB04",
    ),
    _broken(
        "refuses-for-ever",
        "A Lambda function that fails a run a dead worker has claimed, until it is in the dead-letter queue.",
        "broken_handlers:RefusesForEverSuite",
        "EB04",
    ),
    _broken(
        "writes-behind",
        "Acknowledges what it has not committed.",
        "broken_handlers:WritesBehindSuite",
        "EB04",
    ),
    _broken(
        "processed-file",
        "Rewrites its file of processed runs in place, and fails for ever when it is cut.",
        "broken_handlers:ProcessedFileSuite",
        "EB04",
    ),
    _broken(
        "logs-and-goes-on",
        "Swallows every error, that of a cut file too, and acknowledges.",
        "broken_handlers:LogsAndGoesOnSuite",
        "EB04",
    ),
    _broken(
        "starts-anew",
        "Takes a cut file of processed runs as an empty one.",
        "broken_handlers:StartsAnewSuite",
        "EB05",
    ),
    _broken(
        "marker-means-started",
        "Creates its marker file before it writes the rows.",
        "broken_handlers:MarkerMeansStartedSuite",
        "EB04",
    ),
    _broken(
        "ledger-without-recovery",
        "Appends to a file and leaves there what a crash cut off.",
        "broken_handlers:LedgerWithoutRecoverySuite",
        "EB05",
    ),
)

_BROKEN_MATCHING = (
    _broken(
        "keyed-by-event", "A primary key of event_id alone.", "broken_matching:KeyedByEventSuite", "EB14"
    ),
    _broken("matches-prefix", "Compares run ids by prefix.", "broken_matching:MatchesPrefixSuite", "EB14"),
    _broken(
        "matches-anywhere", "Compares run ids by substring.", "broken_matching:MatchesAnywhereSuite", "EB14"
    ),
    _broken("short-column", "Cuts run ids to 32 characters.", "broken_matching:ShortColumnSuite", "EB14"),
    _broken("slug-names", "Names files so that two ids share one.", "broken_matching:SlugNamesSuite", "EB14"),
    _broken(
        "one-set-of-events",
        "One set of event ids for all runs.",
        "broken_matching:OneSetOfEventsSuite",
        "EB14",
    ),
    _broken(
        "once-per-job",
        "Deduplicates by job_id, so that a retry is skipped.",
        "broken_matching:OncePerJobSuite",
        "EB14 EB17",
    ),
    _broken(
        "newest-only",
        "Skips notifications older than the newest.",
        "broken_matching:NewestOnlySuite",
        "EB13",
    ),
    _broken(
        "ids-only-go-up",
        "Skips runs whose id sorts before the last one.",
        "broken_matching:IdsOnlyGoUpSuite",
        "EB13 EB14",
    ),
    _broken(
        "needs-category",
        "Requires a field that the minimal payload lacks.",
        "broken_matching:NeedsCategorySuite",
        "EB16",
    ),
    _broken(
        "forgiving-lambda",
        "A Lambda function that answers success for records it could not load.",
        "broken_matching:ForgivingLambdaSuite",
        "EB16",
    ),
    _broken(
        "ignores-event-type",
        "Takes any message of the topic as run_completed.",
        "broken_matching:IgnoresEventTypeSuite",
        "EB16",
    ),
    _broken("every-outcome", "Loads failed runs too.", "broken_matching:EveryOutcomeSuite", "EB17"),
    _broken(
        "two-outcomes",
        "Skips only `error`, the failed outcome of the published examples.",
        "broken_matching:TwoOutcomesSuite",
        "EB17",
    ),
)

_BROKEN_READING = (
    _broken(
        "first-segment",
        "Reads the first segment of a run.",
        "broken_reading:FirstSegmentHandlerSuite",
        "RD02 RD05",
    ),
    _broken(
        "newest-segment",
        "Reads the newest segment of a run.",
        "broken_reading:NewestSegmentHandlerSuite",
        "RD02 RD05",
    ),
    _broken(
        "file-by-file",
        "Loads an event as often as storage holds it.",
        "broken_reading:FileByFileHandlerSuite",
        "RD01",
    ),
    _broken(
        "poller-first-segment",
        "Reads the first segment of a run.",
        "broken_reading:FirstSegmentPollerSuite",
        "RD02 RD05",
    ),
    _broken(
        "poller-newest-segment",
        "Reads the newest segment of a run.",
        "broken_reading:NewestSegmentPollerSuite",
        "RD02 RD05",
    ),
    _broken(
        "poller-file-by-file",
        "Loads an event as often as storage holds it.",
        "broken_reading:FileByFilePollerSuite",
        "RD01",
    ),
    _broken(
        "poller-all-files", "Reads data that no manifest commits.", "broken_reading:AllFilesSuite", "PO07"
    ),
    _broken(
        "poller-partition-means-finished",
        "Loads a run as soon as its partition has items.",
        "broken_reading:PartitionMeansFinishedSuite",
        "PO07",
    ),
    _broken(
        "poller-items-mean-finished",
        "Does not wait for the terminal event of a run in the flat layout.",
        "broken_reading:ItemsMeanFinishedSuite",
        "PO07",
    ),
    _broken(
        "poller-walks-parents",
        "Follows `latest` and the parents instead of listing the segments.",
        "broken_reading:WalksParentsSuite",
        "PO07",
    ),
)

_BROKEN_POLLERS = (
    _broken("poller-inserts", "Keeps no checkpoint.", "broken_pollers:InsertsEachTimeSuite", "PO01 PO03"),
    _broken("poller-in-memory", "Keeps the loaded runs in a set.", "broken_pollers:InMemorySuite", "PO03"),
    _broken(
        "poller-checkpoint-in-place",
        "Rewrites the checkpoint in place, and fails for ever when it is cut.",
        "broken_pollers:CheckpointInPlaceSuite",
        "PO02",
    ),
    _broken(
        "poller-checkpoint-first",
        "Makes the checkpoint durable before the rows.",
        "broken_pollers:CheckpointFirstSuite",
        "PO02",
    ),
    _broken(
        "poller-checkpoint-later",
        "Only inserts, and writes the checkpoint after that.",
        "broken_pollers:CheckpointLaterSuite",
        "PO03",
    ),
    _broken(
        "poller-checkpoint-may-be-lost",
        "Takes a cut checkpoint as an empty one, and only inserts.",
        "broken_pollers:CheckpointMayBeLostSuite",
        "PO03",
    ),
    _broken(
        "poller-row-by-row",
        "Commits row by row and takes the first row as proof of the rest.",
        "broken_pollers:RowByRowSuite",
        "PO02",
    ),
    _broken("poller-looks-back", "Looks back one hour.", "broken_pollers:LooksBackSuite", "PO05 PO06"),
    _broken(
        "poller-today-only", "Looks at today's partition only.", "broken_pollers:TodayOnlySuite", "PO05 PO06"
    ),
    _broken(
        "poller-high-water-mark",
        "Looks at what finished after the newest it has loaded.",
        "broken_pollers:HighWaterMarkSuite",
        "PO06",
    ),
    _broken(
        "poller-high-water-mark-twice",
        "Looks again at what finished at the mark itself, and only inserts.",
        "broken_pollers:HighWaterMarkTwiceSuite",
        "PO01 PO06",
    ),
    _broken(
        "poller-counts-runs",
        "Keeps an offset into a sorted listing.",
        "broken_pollers:CountsRunsSuite",
        "PO06",
    ),
    _broken("poller-newest-days", "Takes past days as closed.", "broken_pollers:NewestDaysSuite", "PO06"),
)

SAMPLES: tuple[Sample, ...] = (
    *_SOUND_HANDLERS,
    *_SOUND_POLLERS,
    *_BROKEN_HANDLERS,
    *_BROKEN_MATCHING,
    *_BROKEN_READING,
    *_BROKEN_POLLERS,
)
