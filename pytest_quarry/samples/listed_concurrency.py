"""The samples that are sound while one of them runs, and lose or repeat something as soon as there are two."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_TOGETHER: tuple[Sample, ...] = (
    sound(
        "looks-at-its-lock",
        "Removes its lock file, and makes sure that it has locked the one that is there.",
        "removed_locks:LooksAtItsLockSuite",
    ),
    sound(
        "waits-its-turn",
        "Looks and loads under a file lock that the system takes back from the dead.",
        "sound_together:WaitsItsTurnSuite",
    ),
    sound(
        "looks-inside-its-transaction",
        "Begins the transaction as a writer, then looks, then loads.",
        "sound_together:LooksInsideSuite",
    ),
    sound(
        "names-its-process",
        "A file with the id of the process that loads; of a dead process it is taken over.",
        "sound_together:NamesItsProcessSuite",
    ),
    sound(
        "asks-psutil",
        "As names-its-process, and psutil says who is alive, and how much memory each load took.",
        "sound_psutil:AsksPsutilSuite",
        needs="psutil",
    ),
    sound(
        "poller-stands-by",
        "Takes a lock when it starts; a second poller waits until the first is gone.",
        "sound_together:StandsBySuite",
    ),
)

BROKEN_TOGETHER: tuple[Sample, ...] = (
    broken(
        "checks-then-inserts",
        "Looks whether the run is there, reads it, and inserts it; nothing in the table refuses a second copy.",
        "broken_together:ChecksThenInsertsSuite",
        "EB02 EB08",
    ),
    broken(
        "ignores-the-mark-of-another",
        "Marks the run by INSERT OR IGNORE and does not ask whether it was ignored.",
        "broken_together:IgnoresTheMarkSuite",
        "EB02 EB08",
    ),
    broken(
        "claims-by-select",
        "Looks for a claim in one commit and makes its own in another.",
        "broken_together:ClaimsBySelectSuite",
        "EB02",
    ),
    broken(
        "claims-too-briefly",
        "Claims a run for ten seconds, less than a load may take.",
        "broken_together:ClaimsTooBrieflySuite",
        "EB08",
    ),
    broken(
        "locks-its-threads-only",
        "Guards look and load by a lock of its own process.",
        "broken_together:LocksItsThreadsSuite",
        "EB02 EB08",
    ),
    broken(
        "unlocks-before-commit",
        "Gives the file lock back before it commits.",
        "broken_together:UnlocksBeforeCommitSuite",
        "EB02 EB08",
    ),
    broken(
        "removes-its-lock",
        "Removes its lock file: who waited for it holds the lock of a file without a name.",
        "removed_locks:RemovesItsLockSuite",
        "EB02",
    ),
    broken(
        "looks-before-it-locks",
        "Looks whether the run is there before it has the lock, and not again with it.",
        "broken_together:LooksBeforeItLocksSuite",
        "EB02 EB08",
    ),
    broken(
        "leaves-its-lock-file",
        "Makes a lock file and removes it at the end; a killed worker's stays, and all others wait.",
        "broken_together:LeavesItsLockFileSuite",
        "EB02 EB04",
    ),
    broken(
        "takes-old-lock-files",
        "Waits for a lock file, and takes it away when it is ten seconds old, less than a load may take.",
        "broken_together:TakesOldLockFilesSuite",
        "EB08",
    ),
    broken(
        "takes-locks-in-any-order",
        "Takes two locks, the run's and the table's, and at a repair in the other order.",
        "broken_together:TakesLocksInAnyOrderSuite",
        "EB02",
    ),
    broken(
        "takes-busy-for-done",
        "Takes “database is locked” for a sign that another worker loads the run, and acknowledges.",
        "broken_together:TakesBusyForDoneSuite",
        "EB02",
    ),
    broken(
        "lambda-puts-by-chance",
        "Looks for the run in DynamoDB, then puts its items under new ids, without a condition.",
        "broken_together:PutsByChanceSuite",
        "EB02 EB08",
    ),
    broken(
        "tidies-up",
        "Takes the rows of a run away where it fails, those of another worker too.",
        "tidying_up:TidiesUpSuite",
        "EB02",
    ),
    broken(
        "rewrites-one-document",
        "Keeps all runs in one JSON document, which it reads, adds to and replaces without a lock.",
        "broken_together:RewritesOneDocumentSuite",
        "EB02",
    ),
    broken(
        "poller-checks-then-inserts",
        "Lists the loaded runs at the beginning of a poll; nothing in the table refuses a second copy.",
        "broken_together:PollerChecksThenInsertsSuite",
        "PO09",
    ),
    broken(
        "poller-leaves-its-lock-file",
        "Returns where a lock file is there; a killed poll leaves its own behind.",
        "broken_together:LeavesItsLockSuite",
        "PO02 PO09",
    ),
    broken(
        "poller-shares-a-temporary-file",
        "Writes its checkpoint by way of a temporary file that every poller calls the same.",
        "broken_together:SharesATemporaryFileSuite",
        "PO09",
    ),
    broken(
        "poller-numbers-its-output",
        "Names its output files by how many there are.",
        "broken_together:NumbersItsOutputSuite",
        "PO09",
    ),
)
