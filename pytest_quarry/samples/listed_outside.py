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
        "outside-bash-publisher",
        "bash, jq and `aws sns publish`: all that is said comes from the arguments.",
        "programs:BashPublisherSuite",
        programs="bash jq aws",
    ),
    sound(
        "outside-node-lambda",
        "JavaScript behind the shim: a file per run by rename, each record alone.",
        "programs_lambda:NodeLambdaSuite",
        programs="node",
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
        programs="libfaketime",
    ),
    broken(
        "outside-bash-worker-deletes-all",
        "bash, curl and jq: appends, and deletes a message whatever became of it.",
        "programs:BashWorkerDeletesAllSuite",
        "EB01 EB06",
        programs="bash curl jq",
    ),
    broken(
        "outside-bash-publisher-pasted",
        "bash and `aws sns publish`: JSON and path are pasted together.",
        "programs:BashPublisherPastedSuite",
        "PB02 PB03",
        programs="bash aws",
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
