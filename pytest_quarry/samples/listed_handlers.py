"""The samples that are told of runs."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_HANDLERS: tuple[Sample, ...] = (
    sound("one-transaction", "Rows and mark in one SQLite transaction.", "sound_handlers:OneTransactionSuite"),
    sound("upserts", "Upserts by (run_id, event_id), no mark.", "sound_handlers:UpsertsSuite"),
    sound(
        "upserts-row-by-row",
        "One commit per row, the mark last; the rows have keys.",
        "sound_handlers:UpsertsRowByRowSuite",
    ),
    sound(
        "replaces-the-run",
        "Deletes and inserts a run in one transaction.",
        "sound_handlers:ReplacesTheRunSuite",
    ),
    sound("leased", "A claim that ends by itself, then one transaction.", "sound_handlers:LeasedSuite"),
    sound("expiring-marks", "One transaction; marks expire after a week.", "sound_handlers:ExpiringMarksSuite"),
    sound("reads-in-threads", "Threads read, one transaction writes.", "sound_handlers:ReadsInThreadsSuite"),
    sound(
        "reads-in-processes",
        "A pool of processes parses, one transaction writes.",
        "sound_handlers:ReadsInProcessesSuite",
    ),
    sound(
        "refuses-while-open",
        "A circuit breaker that raises while it is open.",
        "breakers:RefusesWhileOpenSuite",
    ),
    sound("async", "A coroutine function, one transaction.", "sound_handlers:AsyncLoaderSuite"),
    sound(
        "function",
        "A plain function that claims and loads in one transaction.",
        "sound_handlers:FunctionSuite",
    ),
    sound("marker-by-rename", "Rows, then a marker file, each by rename.", "sound_files:MarkerByRenameSuite"),
    sound("staged-folder", "A staging directory, renamed when it is whole.", "sound_files:StagedFolderSuite"),
    sound("ledger", "An append-only file that recovers before each load.", "sound_files:LedgerSuite"),
    sound("journal", "A journal that the next start finishes, in one transaction.", "journals:JournaledSuite"),
    sound("lambda", "A Lambda function with partial batch responses.", "sound_aws:LambdaSuite"),
    sound("lambda-raw", "The same with raw message delivery.", "sound_aws:RawLambdaSuite"),
    sound("target", "A transaction of world.target.", "sound_aws:TargetSuite"),
    sound("dynamodb", "Conditional writes to DynamoDB, the mark last.", "sound_aws:DynamoSuite"),
    sound("sqlalchemy", "SQLAlchemy's ORM, one session per run.", "sound_sqlalchemy:SqlAlchemySuite"),
    sound("artifacts", "Loads items and committed artifacts.", "artifacts:LoadsArtifactsSuite"),
    sound("bucket", "Reads runs on S3; rows and mark in one transaction.", "buckets:BucketHandlerSuite"),
    sound("duckdb", "Rows and mark in one DuckDB transaction.", "sound_duckdb:DuckSuite", needs="duckdb"),
    sound("zipped", "gzip makes a file, a rename puts it into place.", "zipped:ZippedSuite", programs="gzip"),
)

BROKEN_HANDLERS: tuple[Sample, ...] = (
    broken(
        "inserts-always",
        "Does not deduplicate at all.",
        "broken_handlers:InsertsAlwaysSuite",
        "EB01 EB03 EB05",
    ),
    broken(
        "remembers-in-memory",
        "Keeps the loaded runs in a set, which a restart empties.",
        "broken_handlers:RemembersInMemorySuite",
        "EB03 EB05",
    ),
    broken(
        "loads-in-a-thread",
        "Returns while a thread still loads.",
        "broken_background:LoadsInAThreadSuite",
        "EB04",
    ),
    broken(
        "loads-in-a-task",
        "Returns while a task nobody awaits still loads.",
        "broken_background:LoadsInATaskSuite",
        "EB04",
    ),
    broken(
        "recovers-row-by-row",
        "Finishes its journal after a crash in several commits, and begins anew after a second one.",
        "journals:RecoversRowByRowSuite",
        "EB05",
    ),
    broken(
        "remembers-the-last",
        "Knows only the last run again.",
        "broken_handlers:RemembersTheLastSuite",
        "EB01 EB03",
    ),
    broken(
        "once-per-batch",
        "A Lambda function that deduplicates within a batch only.",
        "broken_handlers:OncePerBatchSuite",
        "EB01 EB03 EB05",
    ),
    broken(
        "forgets-after-an-hour",
        "Lets its marks expire earlier than messages do.",
        "broken_handlers:ForgetsAfterAnHourSuite",
        "EB01 EB03",
    ),
    broken(
        "marks-first",
        "Makes the mark durable before the rows.",
        "broken_handlers:MarksFirstSuite",
        "EB04",
    ),
    broken(
        "marks-in-a-second-commit",
        "Loads in one commit and marks in another.",
        "broken_handlers:MarksInASecondCommitSuite",
        "EB05",
    ),
    broken(
        "first-row-means-loaded",
        "Commits row by row and takes the first row as proof of the rest.",
        "broken_handlers:FirstRowMeansLoadedSuite",
        "EB04",
    ),
    broken(
        "claims-for-ever",
        "Acknowledges a run that a dead worker has claimed.",
        "broken_handlers:ClaimsForEverSuite",
        "EB04",
    ),
    broken(
        "refuses-for-ever",
        "A Lambda function that fails a run a dead worker has claimed, until it is in the dead-letter queue.",
        "broken_handlers:RefusesForEverSuite",
        "EB04",
    ),
    broken(
        "writes-behind",
        "Acknowledges what it has not committed.",
        "broken_handlers:WritesBehindSuite",
        "EB04",
    ),
    broken(
        "processed-file",
        "Rewrites its file of processed runs in place, and fails for ever when it is cut.",
        "broken_handlers:ProcessedFileSuite",
        "EB04",
    ),
    broken(
        "logs-and-goes-on",
        "Swallows every error, that of a cut file too, and acknowledges.",
        "broken_handlers:LogsAndGoesOnSuite",
        "EB04",
    ),
    broken(
        "starts-anew",
        "Takes a cut file of processed runs as an empty one.",
        "broken_handlers:StartsAnewSuite",
        "EB05",
    ),
    broken(
        "marker-means-started",
        "Creates its marker file before it writes the rows.",
        "broken_handlers:MarkerMeansStartedSuite",
        "EB04",
    ),
    broken(
        "ledger-without-recovery",
        "Appends to a file and leaves there what a crash cut off.",
        "broken_handlers:LedgerWithoutRecoverySuite",
        "EB05",
    ),
    broken(
        "zipped-in-place",
        "gzip makes the file whose name says that the run is loaded.",
        "zipped:ZippedInPlaceSuite",
        "EB04",
        programs="gzip",
    ),
    broken(
        "duckdb-commits-each",
        "DuckDB commits the rows, then the mark.",
        "broken_duckdb:CommitsEachSuite",
        "EB05",
        needs="duckdb",
    ),
)

BROKEN_MATCHING: tuple[Sample, ...] = (
    broken("keyed-by-event", "A primary key of event_id alone.", "broken_matching:KeyedByEventSuite", "EB14"),
    broken("matches-prefix", "Compares run ids by prefix.", "broken_matching:MatchesPrefixSuite", "EB14"),
    broken("matches-anywhere", "Compares run ids by substring.", "broken_matching:MatchesAnywhereSuite", "EB14"),
    broken("short-column", "Cuts run ids to 32 characters.", "broken_matching:ShortColumnSuite", "EB14"),
    broken("slug-names", "Names files so that two ids share one.", "broken_matching:SlugNamesSuite", "EB14"),
    broken(
        "one-set-of-events",
        "One set of event ids for all runs.",
        "broken_matching:OneSetOfEventsSuite",
        "EB14",
    ),
    broken(
        "once-per-job",
        "Deduplicates by job_id, so that a retry is skipped.",
        "broken_matching:OncePerJobSuite",
        "EB14 EB17",
    ),
    broken(
        "newest-only",
        "Skips notifications older than the newest.",
        "broken_matching:NewestOnlySuite",
        "EB13",
    ),
    broken(
        "ids-only-go-up",
        "Skips runs whose id sorts before the last one.",
        "broken_matching:IdsOnlyGoUpSuite",
        "EB13 EB14",
    ),
    broken(
        "needs-category",
        "Requires a field that the minimal payload lacks.",
        "broken_matching:NeedsCategorySuite",
        "EB16",
    ),
    broken(
        "forgiving-lambda",
        "A Lambda function that answers success for records it could not load.",
        "broken_matching:ForgivingLambdaSuite",
        "EB16",
    ),
    broken(
        "ignores-event-type",
        "Takes any message of the topic as run_completed.",
        "broken_matching:IgnoresEventTypeSuite",
        "EB16",
    ),
    broken("every-outcome", "Loads failed runs too.", "broken_matching:EveryOutcomeSuite", "EB17"),
    broken(
        "two-outcomes",
        "Skips only `error`, the failed outcome of the published examples.",
        "broken_matching:TwoOutcomesSuite",
        "EB17",
    ),
)

BROKEN_READING: tuple[Sample, ...] = (
    broken(
        "day-of-publishing",
        "Takes the day of the notification for the day of the run.",
        "broken_assumptions:DayOfPublishingSuite",
        "RD02",
    ),
    broken(
        "first-segment",
        "Reads the first segment of a run.",
        "broken_reading:FirstSegmentHandlerSuite",
        "RD02 RD05",
    ),
    broken(
        "policy-of-the-first-run",
        "Learns from the first run it sees whether items share the last snapshot, and reads all others so.",
        "broken_reading:PolicyOfTheFirstRunSuite",
        "RD05",
    ),
    broken(
        "newest-segment",
        "Reads the newest segment of a run.",
        "broken_reading:NewestSegmentHandlerSuite",
        "RD02 RD05",
    ),
    broken(
        "file-by-file",
        "Loads an event as often as storage holds it.",
        "broken_reading:FileByFileHandlerSuite",
        "RD01",
    ),
    broken(
        "every-chunk",
        "Takes chunks of artifacts that no record commits.",
        "artifacts:EveryChunkSuite",
        "RD03",
    ),
    broken(
        "claimed-size",
        "Believes the size in an artifact's commit record.",
        "artifacts:ClaimedSizeSuite",
        "RD03",
    ),
    broken(
        "waits-for-the-folder",
        "Takes a run as whole when its folder is there.",
        "broken_errors:WaitsForTheFolderSuite",
        "EB18",
    ),
    broken(
        "marks-empty-runs",
        "Marks a run as loaded whose data is not visible yet.",
        "broken_errors:MarksEmptyRunsSuite",
        "EB18",
    ),
    broken(
        "skips-unreadable-files",
        "Loads a run without the files it could not read.",
        "broken_errors:SkipsUnreadableSuite",
        "RD04",
    ),
    broken(
        "literal-path",
        "Follows storage_path to the letter, which is not escaped as the folders are.",
        "broken_errors:LiteralPathSuite",
        "RD06",
    ),
    broken(
        "first-batch",
        "Writes the first 25 items, as many as DynamoDB takes at once.",
        "broken_assumptions:FirstBatchSuite",
        "RD07",
    ),
    broken(
        "acknowledges-while-open",
        "A circuit breaker that returns while it is open.",
        "breakers:AcknowledgesWhileOpenSuite",
        "EB06",
    ),
    broken(
        "limited-lines",
        "Reads lines of 10 MiB at most.",
        "broken_errors:LimitedLinesSuite",
        "RD07",
    ),
    broken(
        "counts-types",
        "Fails at a type of event that it does not know.",
        "broken_errors:CountsTypesSuite",
        "RD07",
    ),
    broken(
        "needs-items",
        "Raises at a run without items.",
        "broken_errors:NeedsItemsSuite",
        "RD08",
    ),
)
