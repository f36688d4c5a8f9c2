"""The samples that announce runs."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_PUBLISHERS: tuple[Sample, ...] = (
    sound("publisher", "Publishes the full notification of a run that is over.", "publishers:AfterTheRunSuite"),
    sound("publisher-minimal", "Publishes the minimal payload of Quarry's guide.", "publishers:MinimalSuite"),
    sound("publisher-wrapper", "Runs Quarry, then publishes.", "publishers:WrapperSuite"),
    sound(
        "publisher-persistent", "Tries again above botocore's own retries, then raises.", "publishers:PersistentSuite"
    ),
    sound("publisher-endless", "Tries again until SNS takes it.", "publishers:EndlessSuite"),
    sound("publisher-batch", "Publishes a batch of one, over the flat layout.", "publishers:BatchSuite"),
    sound("publisher-fifo", "Publishes to a FIFO topic, once per run.", "publishers:FifoSuite"),
    sound("publisher-outbox", "Says what waits in its outbox, a SQLite database.", "publishers:OutboxSuite"),
    sound("publisher-bucket", "Runs Quarry on S3, then publishes.", "publishers:BucketSuite"),
    sound("publisher-script", "A function that exits with status 1 where SNS fails.", "publishers:ScriptSuite"),
)

BROKEN_PUBLISHERS: tuple[Sample, ...] = (
    broken(
        "publisher-cuts-attributes",
        "Cuts attributes to 64 characters.",
        "broken_publishers:CutsAttributesSuite",
        "PB06",
    ),
    broken("publisher-before-the-run", "Publishes, then runs Quarry.", "broken_publishers:BeforeTheRunSuite", "PB01"),
    broken(
        "publisher-in-any-case",
        "Publishes in a finally clause, also where Quarry could not run.",
        "broken_publishers:InAnyCaseSuite",
        "PB01",
    ),
    broken("publisher-today", "Names the day of publishing.", "broken_publishers:TodaySuite", "PB02"),
    broken(
        "publisher-today-wrapper",
        "Names the day on which the run ended.",
        "broken_publishers:TodayWrapperSuite",
        "PB02",
    ),
    broken(
        "publisher-flat-path",
        "Puts storage_path together without dataset and category.",
        "broken_publishers:FlatPathSuite",
        "PB02",
    ),
    broken(
        "publisher-one-category", "Names one category for all runs.", "broken_publishers:OneCategorySuite", "PB02 PB03"
    ),
    broken(
        "publisher-first-attempt", "Calls every run a first attempt.", "broken_publishers:FirstAttemptSuite", "PB02"
    ),
    broken("publisher-pasted", "Pastes its JSON together.", "broken_publishers:PastedSuite", "PB03"),
    broken("publisher-only-ascii", "Drops what is not ASCII from ids.", "broken_publishers:OnlyAsciiSuite", "PB03"),
    broken(
        "publisher-logs-and-goes-on",
        "Logs that SNS failed, and is done.",
        "broken_publishers:LogsAndGoesOnSuite",
        "PB04",
    ),
    broken(
        "publisher-exits-quietly",
        "Exits with status 0 where SNS fails.",
        "broken_publishers:ExitsQuietlySuite",
        "PB04",
    ),
    broken(
        "publisher-quiet-at-timeouts",
        "Takes a timeout for a message that arrived.",
        "broken_publishers:QuietAtTimeoutsSuite",
        "PB04",
    ),
    broken(
        "publisher-trusts-the-status",
        "Publishes a batch, and takes status 200 for all of it.",
        "broken_publishers:TrustsTheStatusSuite",
        "PB04",
    ),
    broken(
        "publisher-marks-by-file",
        "Leaves a file for each run it announced, with a name of 80 characters and no slash.",
        "broken_names:MarksByFileSuite",
        "PB04",
    ),
    broken(
        "publisher-escapes-paths",
        "Escapes the path that it announces.",
        "broken_names:EscapesPathsSuite",
        "PB02",
    ),
    broken("publisher-only-success", "Says nothing of failed runs.", "broken_publishers:OnlySuccessSuite", "PB05"),
    broken(
        "publisher-only-orderly-ends",
        "Raises at outcomes it does not know.",
        "broken_publishers:OnlyOrderlyEndsSuite",
        "PB05",
    ),
    broken(
        "publisher-always-success",
        "Announces every run as a success.",
        "broken_publishers:AlwaysSuccessSuite",
        "PB05 PB02",
    ),
    broken(
        "publisher-fifo-by-day",
        "Deduplicates by source and day: the FIFO topic drops the day's second run.",
        "broken_publishers:FifoByDaySuite",
        "PB05 PB02 PB04",
    ),
    broken(
        "publisher-fifo-by-letters",
        "Deduplicates by the letters and digits of a run's id: the topic drops run-10 after run-1-0.",
        "broken_publishers:FifoByLettersSuite",
        "PB04",
    ),
    broken(
        "publisher-fifo-by-run-id",
        "Deduplicates by a run's id as it is: SNS refuses one with a space.",
        "broken_publishers:FifoByRunIdSuite",
        "PB03 PB02 PB04",
    ),
    broken(
        "publisher-once-per-job",
        "Announces each job once, and its retry never.",
        "broken_publishers:OncePerJobSuite",
        "PB05",
    ),
    broken("publisher-no-attributes", "Gives no attributes.", "broken_publishers:NoAttributesSuite", "PB06"),
    broken(
        "publisher-binary-attributes",
        "Gives its attributes as bytes.",
        "broken_publishers:BinaryAttributesSuite",
        "PB06",
    ),
    broken(
        "publisher-old-attributes",
        "Gives each message the attributes of the first.",
        "broken_publishers:OldAttributesSuite",
        "PB06",
    ),
)
