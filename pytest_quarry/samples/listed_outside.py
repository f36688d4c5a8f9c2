"""The samples that are programs: in bash, Python, Node and TypeScript, judged from outside."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_OUTSIDE: tuple[Sample, ...] = (
    sound(
        "outside-bash-poller",
        "bash and jq: one file of rows per run, renamed into place, is the mark.",
        "programs:BashPollerSuite",
        programs="bash jq",
    ),
    sound(
        "outside-python-poller",
        "A Python script: rows and mark in one SQLite transaction.",
        "programs:PythonPollerSuite",
    ),
    sound(
        "outside-python-bucket-poller",
        "A Python script with boto3 that looks at everything in the bucket.",
        "programs:PythonBucketPollerSuite",
    ),
    sound(
        "outside-typescript-poller",
        "TypeScript: one file of rows per run, renamed into place, is the mark.",
        "programs:TypeScriptPollerSuite",
        programs="node tsx",
    ),
    sound(
        "outside-bash-worker",
        "bash, curl and jq: a file per run by rename, deletes last.",
        "programs:BashWorkerSuite",
        programs="bash curl jq",
    ),
    sound(
        "outside-python-worker",
        "A Python script with boto3: a file per run by rename, deletes last.",
        "programs:PythonWorkerSuite",
    ),
    sound(
        "outside-typescript-worker",
        "TypeScript and fetch: a file per run by rename, deletes last.",
        "programs:TypeScriptWorkerSuite",
        programs="node tsx",
    ),
    sound(
        "outside-bash-publisher",
        "bash, jq and `aws sns publish`: all that is said comes from the arguments.",
        "programs:BashPublisherSuite",
        programs="bash jq aws",
    ),
    sound(
        "outside-python-publisher",
        "A Python script with boto3 that retries, then fails loudly.",
        "programs:PythonPublisherSuite",
    ),
    sound(
        "outside-typescript-publisher",
        "TypeScript and fetch: retries, then fails loudly.",
        "programs:TypeScriptPublisherSuite",
        programs="node tsx",
    ),
    sound(
        "outside-node-lambda",
        "JavaScript behind the shim: a file per run by rename, each record alone.",
        "programs_lambda:NodeLambdaSuite",
        programs="node",
    ),
    sound(
        "outside-typescript-lambda",
        "TypeScript behind the shim: a file per run by rename, each record alone.",
        "programs_lambda:TypeScriptLambdaSuite",
        programs="node tsx",
    ),
    sound(
        "outside-python-lambda",
        "Python behind the shim: SQLite with a key, each record alone.",
        "programs_lambda:PythonLambdaSuite",
    ),
)

BROKEN_OUTSIDE: tuple[Sample, ...] = (
    broken(
        "outside-bash-poller-in-place",
        "bash and jq: Quarry's checkpoint format, rewritten in place at the end of a poll.",
        "programs:BashPollerInPlaceSuite",
        "PO03 PO04 PO09",
        programs="bash jq",
    ),
    broken(
        "outside-python-poller-looks-back",
        "A Python script that looks back one hour.",
        "programs:PythonPollerLooksBackSuite",
        "PO05",
    ),
    broken(
        "outside-typescript-poller-remembers-first",
        "TypeScript: the checkpoint is written before the rows.",
        "programs:TypeScriptPollerRemembersFirstSuite",
        "PO02",
        programs="node tsx",
    ),
    broken(
        "outside-bash-worker-deletes-all",
        "bash, curl and jq: appends, and deletes a message whatever became of it.",
        "programs:BashWorkerDeletesAllSuite",
        "EB01 EB06",
        programs="bash curl jq",
    ),
    broken(
        "outside-python-worker-acknowledges-first",
        "A Python script with boto3 that deletes a message, then loads its run.",
        "programs:PythonWorkerAcknowledgesFirstSuite",
        "EB04",
    ),
    broken(
        "outside-bash-publisher-pasted",
        "bash and `aws sns publish`: JSON and path are pasted together.",
        "programs:BashPublisherPastedSuite",
        "PB02 PB03",
        programs="bash aws",
    ),
    broken(
        "outside-python-publisher-quiet",
        "A Python script with boto3: failed runs are not announced, failures of SNS exit with 0.",
        "programs:PythonPublisherQuietSuite",
        "PB05 PB04",
    ),
    broken(
        "outside-typescript-publisher-gives-up",
        "TypeScript and fetch: one attempt, no attributes.",
        "programs:TypeScriptPublisherGivesUpSuite",
        "PB06 PB04",
        programs="node tsx",
    ),
    broken(
        "outside-node-lambda-remembers",
        "JavaScript behind the shim: a set in memory, a batch that fails as a whole.",
        "programs_lambda:NodeLambdaRemembersSuite",
        "EB03 EB11",
        programs="node",
    ),
    broken(
        "outside-typescript-lambda-remembers",
        "TypeScript behind the shim: a set in memory, a batch that fails as a whole.",
        "programs_lambda:TypeScriptLambdaRemembersSuite",
        "EB03 EB11",
        programs="node tsx",
    ),
    broken(
        "outside-python-lambda-inserts",
        "Python behind the shim: a set in memory, a table without a key.",
        "programs_lambda:PythonLambdaInsertsSuite",
        "EB03",
    ),
)
