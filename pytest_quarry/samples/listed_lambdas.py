"""The samples that are Lambda functions over DynamoDB and S3, some with Powertools for AWS Lambda."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

POWERTOOLS = "aws_lambda_powertools"

SOUND_LAMBDAS: tuple[Sample, ...] = (
    sound("lambda-dynamo-rows", "Rows under run_id#event_id, the mark last.", "sound_lambdas:DynamoRowsSuite"),
    sound(
        "lambda-claimed",
        "A claim that ends by itself, then rows and mark in one DynamoDB transaction.",
        "sound_lambdas:ClaimedRunsSuite",
    ),
    sound(
        "lambda-marks-with-its-rows",
        "Rows and a conditional mark in one DynamoDB transaction; looks why one was cancelled.",
        "cancelled:MarksWithItsRowsSuite",
    ),
    sound(
        "lambda-appends-once",
        "One conditional update that appends a run's rows and notes the run.",
        "sound_lambdas:AppendsOnceSuite",
    ),
    sound(
        "lambda-appends-and-marks",
        "Appends a run's rows and marks it in one DynamoDB transaction, one worker at a time.",
        "sound_lambdas:AppendsAndMarksSuite",
    ),
    sound("lambda-output", "One object per run on S3, written whole.", "sound_lambdas:OutputObjectsSuite"),
    sound("lambda-writes-once", "One object per run, by a conditional put.", "sound_lambdas:WritesOnceSuite"),
    sound(
        "lambda-writes-in-batches",
        "Rows by boto3's batch writer, the mark last.",
        "dynamo_batches:WritesInBatchesSuite",
    ),
    sound(
        "powertools-batch",
        "Powertools' batch processor over upserts.",
        "sound_powertools:BatchSuite",
        needs=POWERTOOLS,
    ),
    sound(
        "powertools-keyed-rows",
        "Powertools' idempotency by run_id; each row is put under its key.",
        "sound_powertools:PowertoolsSuite",
        needs=POWERTOOLS,
    ),
    sound(
        "powertools-replaces",
        "Powertools' idempotency with a local cache; a run is replaced in one transaction.",
        "sound_powertools:PowertoolsSqliteSuite",
        needs=POWERTOOLS,
    ),
)

BROKEN_LAMBDAS: tuple[Sample, ...] = (
    broken(
        "lambda-out-of-time",
        "Stops when little time is left, and answers that nothing failed.",
        "broken_batches:OutOfTimeSuite",
        "EB11",
    ),
    broken(
        "lambda-takes-cancelled-for-loaded",
        "Takes every transaction that DynamoDB cancelled for one of a run that is loaded.",
        "cancelled:TakesCancelledForLoadedSuite",
        "EB06",
    ),
    broken(
        "lambda-claims-for-ever",
        "Refuses a run that a dead invocation has claimed, until it is a dead letter.",
        "broken_lambdas:ClaimsWithoutEndSuite",
        "EB04 EB07",
    ),
    broken(
        "lambda-leaves-it-to-the-other",
        "Acknowledges a run whose claim has not ended yet, its holder dead.",
        "broken_lambdas:LeavesItToTheOtherSuite",
        "EB04 EB07",
    ),
    broken("lambda-marks-first", "Puts the mark before the rows.", "broken_lambdas:MarksFirstSuite", "EB04"),
    broken(
        "lambda-any-error-means-there",
        "Takes every error of a conditional put for a row that is there already.",
        "broken_lambdas:AnyErrorMeansThereSuite",
        "EB06 EB20",
    ),
    broken(
        "lambda-looks-then-appends",
        "Looks whether a run was appended, then appends it without a condition.",
        "broken_lambdas:LooksThenAppendsSuite",
        "EB02 EB08",
    ),
    broken(
        "lambda-output-by-time",
        "Writes a new object at every delivery.",
        "broken_lambdas:OutputByTimeSuite",
        "EB01 EB03 EB15",
    ),
    broken(
        "lambda-output-by-day",
        "Keeps one object per source and day, which the next run replaces.",
        "broken_lambdas:OutputByDaySuite",
        "EB14",
    ),
    broken(
        "lambda-appends-to-an-object",
        "Adds rows to an object, and writes a marker after it.",
        "broken_lambdas:AppendsToAnObjectSuite",
        "EB05",
    ),
    broken(
        "lambda-without-rollback",
        "Leaves a transaction open when something fails in it.",
        "broken_lambdas:WithoutRollbackSuite",
        "EB06 EB20",
    ),
    broken(
        "lambda-marks-messages",
        "Deduplicates by message id: the run announced again has another.",
        "broken_lambdas:MarksMessagesSuite",
        "EB15",
    ),
    broken(
        "lambda-marks-texts",
        "Deduplicates by the text of the notification, its timestamp too.",
        "broken_lambdas:MarksTextsSuite",
        "EB15",
    ),
    broken(
        "lambda-known-listing",
        "Keeps what it listed, of a run that was not visible yet, as long as the process is warm.",
        "broken_lambdas:KnownListingSuite",
        "EB18",
    ),
    broken(
        "lambda-names-receipts",
        "Names failed records by their receipt handles, which fails the whole batch.",
        "broken_batches:NamesReceiptsSuite",
        "EB11",
    ),
    broken(
        "lambda-names-runs",
        "Names failed records by their run ids, which fails the whole batch.",
        "broken_batches:NamesRunsSuite",
        "EB11",
    ),
    broken(
        "lambda-names-the-last",
        "Names the last record of the batch for each that failed: the failed one is acknowledged.",
        "broken_batches:NamesTheLastSuite",
        "EB11",
    ),
    broken(
        "lambda-miscounts",
        "Finds failed records by their place among those that are to be loaded, in a batch that has others too.",
        "broken_batches:MiscountsSuite",
        "EB11",
    ),
    broken(
        "lambda-misspells-the-answer",
        "Answers batch_item_failures, which Lambda does not know.",
        "broken_batches:MisspellsSuite",
        "EB06 EB18",
    ),
    broken(
        "lambda-swallows",
        "Answers that nothing failed, whatever did.",
        "broken_batches:SwallowsSuite",
        "EB06 EB18 EB21",
    ),
    broken("lambda-fails-the-batch", "Lets one bad record fail the batch.", "broken_batches:AllOrNothingSuite", "EB11"),
    broken(
        "lambda-parses-first",
        "Parses the whole batch before it loads any of it.",
        "broken_batches:ParsesFirstSuite",
        "EB11",
    ),
    broken(
        "lambda-leaves-the-rest",
        "Does not look at what DynamoDB did not take of a batch.",
        "dynamo_batches:LeavesTheRestSuite",
        "EB06 EB20",
    ),
    broken(
        "lambda-marks-in-the-batch",
        "Puts rows and mark in one batch, as if it were a transaction.",
        "dynamo_batches:MarksInTheBatchSuite",
        "EB04",
    ),
    broken(
        "lambda-first-record",
        "Loads the first record of a batch and acknowledges all.",
        "broken_batches:FirstRecordSuite",
        "EB11",
    ),
    broken(
        "lambda-marks-after-the-batch",
        "Marks the runs of a batch together, after the last: a failure before that repeats the others.",
        "broken_batches:MarksAfterTheBatchSuite",
        "EB05 EB11",
    ),
    broken(
        "lambda-module-set",
        "Keeps the loaded runs in a set of the module.",
        "broken_batches:ModuleSetSuite",
        "EB03 EB05",
    ),
    broken(
        "lambda-remembers-too-early",
        "Notes a run in memory before it is loaded, and skips it when it failed.",
        "broken_batches:RemembersTooEarlySuite",
        "EB06 EB18",
    ),
    broken(
        "lambda-carries-rows-over",
        "Keeps rows of a failed run in a list of the module, and inserts them with the next.",
        "broken_batches:CarriesRowsOverSuite",
        "EB20",
    ),
    broken(
        "lambda-one-commit-per-batch",
        "Commits at the end of the batch what a failed run left half done.",
        "broken_batches:OneCommitPerBatchSuite",
        "EB06",
    ),
)

BROKEN_POWERTOOLS: tuple[Sample, ...] = (
    broken(
        "powertools-plain-inserts",
        "Inserts, and trusts Powertools' idempotency with a crash between the work and its record.",
        "broken_powertools:PlainInsertsSuite",
        "EB05 EB20",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-default-expiry",
        "Lets Powertools' records expire after an hour, earlier than messages do.",
        "broken_powertools:DefaultExpirySuite",
        "EB01 EB03",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-whole-notification",
        "Makes all of the notification Powertools' key, its timestamp too.",
        "broken_powertools:WholeNotificationSuite",
        "EB15",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-no-key",
        "Gives Powertools a path to the key that finds nothing, and overlooks the warning.",
        "broken_powertools:NoKeySuite",
        "EB01 EB03 EB05",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-message-id",
        "Makes the message id Powertools' key: the run announced again has another.",
        "broken_powertools:ByMessageIdSuite",
        "EB05 EB15",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-whole-batch",
        "Makes the batch Powertools' unit: the next batch has other messages in it.",
        "broken_powertools:WholeBatchSuite",
        "EB01 EB03 EB15",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-keeps-its-answer",
        "Lets Powertools keep the answer that a record failed, and gives it again for a week.",
        "broken_powertools:KeepsItsAnswerSuite",
        "EB06 EB18",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-no-context",
        "Does not tell Powertools of the Lambda context, so that a dead invocation stays in progress.",
        "broken_powertools:NoContextSuite",
        "EB04 EB07",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-skips-in-progress",
        "Acknowledges a run that Powertools says is in progress, its holder dead.",
        "broken_powertools:SkipsInProgressSuite",
        "EB07",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-stores-failures",
        "Returns an error as a status, which Powertools keeps as the run's result.",
        "broken_powertools:StoresFailuresSuite",
        "EB06 EB18",
        needs=POWERTOOLS,
    ),
    broken(
        "powertools-fifo-processor",
        "Uses the processor for FIFO queues: one bad record fails all behind it.",
        "broken_powertools:FifoProcessorSuite",
        "EB11",
        needs=POWERTOOLS,
    ),
)
