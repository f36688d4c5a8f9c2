"""The handlers that read a part of a run, or more than is there, or fail at what they do not expect."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken

BROKEN_READING: tuple[Sample, ...] = (
    broken(
        "tries-again-inside",
        "Begins its reading again where that fails, in the transaction that has half of it.",
        "broken_reading:TriesAgainInsideSuite",
        "RD04",
    ),
    broken("strips-ids", "Strips what comes in, ids too.", "broken_names:StripsSuite", "EB14"),
    broken("normalizes-ids", "Brings ids into one form of Unicode.", "broken_names:NormalizesSuite", "EB14"),
    broken("joins-source-and-id", "Joins source and id to a key.", "broken_names:JoinsSourceAndIdSuite", "EB14"),
    broken("pastes-csv", "Pastes ids into CSV, unquoted.", "broken_names:PastesCsvSuite", "RD06"),
    broken("first-page", "Told of a run, reads the first page of a listing.", "buckets:FirstPageHandlerSuite", "RD02"),
    broken(
        "escapes-all",
        "Escapes all of a path that is not a letter or a digit, where Quarry does not.",
        "broken_names:EscapesAllSuite",
        "RD06",
    ),
    broken(
        "stops-at-a-gap",
        "Reads a run's events up to a number that is missing.",
        "broken_reading:StopsAtAGapSuite",
        "RD07",
    ),
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
        "lines-of-text",
        "Reads JSON lines with str.splitlines().",
        "broken_reading:LinesOfTextSuite",
        "RD07",
    ),
    broken(
        "types-by-prefix",
        "Reads event_type=item*.",
        "broken_reading:TypesByPrefixSuite",
        "RD07",
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
        "drops-what-does-not-parse",
        "Takes another run's manifest that is just being written for a malformed notification, and drops it.",
        "broken_errors:DropsWhatDoesNotParseSuite",
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
