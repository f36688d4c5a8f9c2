"""The samples that receive from the queue themselves, and those whose mistakes show from one turn to the next."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_WORKERS: tuple[Sample, ...] = (
    sound(
        "worker", "Ten messages by a long poll, each loaded in one transaction, then deleted.", "workers:WorkerSuite"
    ),
    sound("worker-one-by-one", "One message a turn, by a short poll; errors end the turn.", "workers:OneByOneSuite"),
    sound("worker-drains", "Receives until a long poll finds nothing.", "workers:DrainsTheQueueSuite"),
    sound("worker-localstack", "A client of another region, at LocalStack's address.", "workers:ForLocalStackSuite"),
    sound("worker-deletes-in-batches", "DeleteMessageBatch, its failures looked at.", "workers:DeletesInBatchesSuite"),
    sound("worker-extends", "Extends the visibility timeout of what it works on.", "workers:ExtendsSuite"),
    sound("worker-beats", "A thread extends the visibility timeout as long as it works.", "workers:BeatsSuite"),
    sound("worker-backs-off", "Lets what failed come again later and later.", "workers:BacksOffSuite"),
    sound("worker-raw", "Raw message delivery.", "workers:RawWorkerSuite"),
    sound("worker-fifo", "Behind a FIFO topic and queue.", "workers:FifoWorkerSuite"),
    sound("worker-filtered", "Behind a filter policy on the outcome.", "workers:FilteredWorkerSuite"),
    sound("worker-dynamo-marked", "Rows by their keys, then a mark in DynamoDB.", "workers:DynamoMarkedSuite"),
    sound("worker-inbox", "Writes down what it receives, and loads it in its turns.", "inboxes:InboxWorkerSuite"),
    sound("worker-whole-batch", "One commit per batch, a savepoint per message.", "workers:WholeBatchSuite"),
    sound(
        "worker-sends-a-copy-first",
        "Sends a copy of what is not there yet, to come in five minutes, then deletes it.",
        "workers:SendsACopyFirstSuite",
    ),
    sound("worker-reconciles", "Looks into storage on idle turns.", "reconciling:IdleWorkerSuite"),
    sound("reconciles", "A handler that a timer lets look into storage.", "reconciling:ReconcilesSuite"),
)

BROKEN_WORKERS: tuple[Sample, ...] = (
    broken(
        "drops-at-its-sixth",
        "Gives a message up that was received five times before.",
        "broken_workers:DropsAtItsSixthSuite",
        "EB06",
    ),
    broken(
        "sends-a-copy",
        "Deletes what is not there yet, then sends a copy with a delay.",
        "broken_workers:SendsACopySuite",
        "EB04",
    ),
    broken(
        "worker-deletes-first",
        "Deletes a message, then loads it.",
        "broken_workers:DeletesBeforeLoadingSuite",
        "EB04 EB06",
    ),
    broken(
        "worker-deletes-in-finally",
        "Deletes a message whatever became of it.",
        "broken_workers:DeletesInFinallySuite",
        "EB06",
    ),
    broken(
        "worker-logs-and-deletes",
        "Logs what it could not load, and deletes it.",
        "broken_workers:LogsAndDeletesSuite",
        "EB06",
    ),
    broken(
        "worker-deletes-the-batch",
        "Deletes all that it received, loaded or not.",
        "broken_workers:DeletesTheBatchSuite",
        "EB06",
    ),
    broken(
        "worker-leaves-it-to-the-holder",
        "Deletes a duplicate while the claim of a dead worker stands.",
        "broken_workers:LeavesItToTheHolderSuite",
        "EB07",
    ),
    broken("worker-lock-file", "Takes a lock file that outlives it.", "broken_workers:LockFileSuite", "EB04 EB07"),
    broken(
        "worker-gives-back-late-runs",
        "Takes back the mark of a run that took longer than its message was invisible.",
        "broken_workers:GivesBackLateRunsSuite",
        "EB09",
    ),
    broken(
        "worker-tries-again-at-once",
        "Takes a failed delete for a failed load, and loads again.",
        "broken_workers:TriesAgainAtOnceSuite",
        "EB10",
    ),
    broken(
        "worker-undoes-the-mark",
        "Takes back the mark, and not the rows, where the delete failed.",
        "broken_workers:UndoesTheMarkSuite",
        "EB10",
    ),
    broken(
        "worker-stops-at-a-bad-message",
        "Ends its turn at a bad message, which comes first the next time as well.",
        "broken_workers:StopsAtABadMessageSuite",
        "EB11",
    ),
    broken(
        "worker-one-commit-per-batch",
        "Rolls a batch back for one bad message.",
        "broken_workers:OneCommitPerBatchSuite",
        "EB11",
    ),
    broken(
        "worker-deletes-all-at-once",
        "Deletes more than ten messages in one call, which SQS refuses.",
        "broken_workers:DeletesAllAtOnceSuite",
        "EB11",
    ),
    broken("worker-parses-first", "Parses a batch before it works on it.", "broken_workers:ParsesFirstSuite", "EB11"),
    broken("worker-parks", "Puts what it cannot load away for half a day.", "broken_receivers:ParksSuite", "EB12"),
    broken("worker-by-message-id", "Deduplicates on SQS's MessageId.", "broken_receivers:ByMessageIdSuite", "EB15"),
    broken(
        "worker-by-envelope",
        "Deduplicates on the MessageId of SNS's envelope.",
        "broken_receivers:ByEnvelopeSuite",
        "EB15",
    ),
    broken("worker-by-text", "Deduplicates on a hash of the message.", "broken_receivers:ByTextSuite", "EB15"),
    broken(
        "worker-by-run-and-time", "Deduplicates on run_id and timestamp.", "broken_receivers:ByRunAndTimeSuite", "EB15"
    ),
    broken(
        "worker-generator-ends",
        "Receives in a generator, which a failed receive ends for good.",
        "broken_receivers:GeneratorEndsSuite",
        "EB21 EB22",
    ),
    broken(
        "worker-ends-when-cut-off",
        "Receives in a generator that survives refusals and timeouts; a closed connection ends it for good.",
        "broken_receivers:EndsWhenCutOffSuite",
        "EB22",
    ),
    broken(
        "worker-counts-receives",
        "Takes what it receives a second time for loaded.",
        "broken_receivers:CountsReceivesSuite",
        "EB04 EB06 EB22",
    ),
    broken(
        "worker-stops-when-throttled",
        "Does nothing any more after a receive failed.",
        "broken_receivers:StopsWhenThrottledSuite",
        "EB21 EB22",
    ),
)

BROKEN_TURNS: tuple[Sample, ...] = (
    broken(
        "remembers-too-early",
        "Puts a run into its cache before it is loaded.",
        "broken_turns:RemembersTooEarlySuite",
        "EB06",
    ),
    broken(
        "gives-up-after-three",
        "Acknowledges what three attempts could not load.",
        "broken_turns:GivesUpAfterThreeSuite",
        "EB06",
    ),
    broken(
        "trusts-time-to-live",
        "Leaves it to DynamoDB's time to live to end a claim.",
        "broken_turns:TrustsTimeToLiveSuite",
        "EB04 EB07",
    ),
    broken(
        "marks-while-leased",
        "Commits rows, and marks the run only if its claim has not ended.",
        "broken_turns:MarksWhileLeasedSuite",
        "EB09",
    ),
    broken("lambda-all-or-nothing", "Fails a batch for one bad record.", "broken_turns:AllOrNothingSuite", "EB11"),
    broken(
        "lambda-reports-runs",
        "Reports run ids where Lambda wants message ids.",
        "broken_turns:ReportsRunsSuite",
        "EB11",
    ),
    broken(
        "inbox-in-order",
        "Works an inbox off in order: one bad message holds up all.",
        "broken_turns:InboxInOrderSuite",
        "EB12",
    ),
    broken(
        "backlog-in-order",
        "Loads what failed before anything new: one bad message holds up all.",
        "broken_turns:BacklogInOrderSuite",
        "EB12 EB20",
    ),
    broken(
        "buffers-rows",
        "Keeps rows in a buffer that a failed turn leaves full.",
        "broken_turns:BuffersRowsSuite",
        "EB20",
    ),
    broken(
        "never-rolls-back", "Leaves its transaction open after an error.", "broken_turns:NeverRollsBackSuite", "EB20"
    ),
    broken(
        "leaves-the-target-open",
        "Leaves a transaction open, so that no other can begin.",
        "broken_turns:LeavesTheTargetOpenSuite",
        "EB06 EB20",
    ),
    broken(
        "ledger-recovers-at-start",
        "Appends to a file, and cuts off at its start only what a failure left there.",
        "broken_turns:LedgerRecoversAtStartSuite",
        "EB20",
    ),
    broken(
        "skips-throttled-rows",
        "Goes on without rows that were throttled.",
        "broken_turns:SkipsThrottledRowsSuite",
        "EB21",
    ),
    broken(
        "reads-again-from-the-start",
        "Reads a run again after throttling, without a rollback.",
        "broken_turns:ReadsAgainFromTheStartSuite",
        "EB21",
    ),
    broken(
        "reconciles-at-start",
        "Looks for what it was not told of at its start only.",
        "reconciling:ReconcilesAtStartSuite",
        "EB19",
    ),
    broken("reconciles-today", "Looks for runs of today only.", "reconciling:ReconcilesTodaySuite", "EB19"),
    broken(
        "reconciles-from-the-newest",
        "Looks for runs newer than all it has loaded.",
        "reconciling:ReconcilesFromTheNewestSuite",
        "EB19",
    ),
)
