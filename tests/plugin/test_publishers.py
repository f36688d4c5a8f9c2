"""The publisher suite under pytest: sound ones pass, PB01 is skipped with its reason, bad ones are told what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from orders import SOUND as _IMPORTED  # noqa: F401 - imports what pytester must not forget

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
DOCS = Path(__file__).parents[2] / "docs" / "publishers.md"
ANNOUNCER = """
import datetime
import json

import boto3


class Announcer:
    def __init__(self, topic_arn):
        self.topic_arn = topic_arn
        self.sns = boto3.client("sns")

    def publish(self, run):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        names = ("run_id", "source", "category", "day", "outcome", "storage_path")
        message = {name: getattr(run, name) for name in names}
        message.update(event_type="run_completed", timestamp=now)
        self.sns.publish(
            TopicArn=self.topic_arn,
            Message=json.dumps(message),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": message[name]} for name in ("run_id", "source", "outcome")
            },
        )
"""
SUITE = """
import boto3
from announce import Announcer
from pytest_quarry import PublisherConformance


class TestAnnouncer(PublisherConformance):
"""


@pytest.fixture
def announce(pytester: pytest.Pytester) -> Path:
    return pytester.makepyfile(announce=ANNOUNCER)


@pytest.mark.usefixtures("announce")
def test_the_docs_run(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    names = [re.match(r"# (\w+)\.py", block) for block in blocks]
    pytester.makepyfile(**{name[1]: block for name, block in zip(names, blocks, strict=True) if name is not None})
    result = pytester.runpytest(*QUIET, "-rs", "-k", "not retries and not valid_json and not fuzz")
    result.assert_outcomes(passed=7, skipped=1, deselected=6)
    result.stdout.fnmatch_lines(
        ["SKIPPED * the run is over before publish(run) is called,*run.execute() in publish(run)."]
    )


def test_the_docs_list_the_checks() -> None:
    from pytest_quarry.checks.catalogue import of_kind

    listed = re.findall(r"^\| (PB\d\d) \| ([a-z-]+) \|", DOCS.read_text(), re.MULTILINE)
    assert listed == [(check.id, check.slug) for check in of_kind("publisher")]


def show(pytester: pytest.Pytester, body: str, check: str = "attributes") -> pytest.RunResult:
    """One check of a bad publisher, which never passes."""
    pytester.makeini("[pytest]\nquarry_guard = 0.5")
    pytester.makepyfile(f"{SUITE}{body}")
    result = pytester.runpytest(*QUIET, "-k", check)
    assert result.parseoutcomes().get("passed", 0) == 0
    assert result.parseoutcomes()["failed"] == 1
    assert "INTERNALERROR" not in result.stdout.str()
    return result


START = "    def start(self, world):\n        "
UNUSABLE = {
    "returns nothing": (
        "pass",
        "*start(world) returned None. Return the consumer itself: an object with publish(run), or a *",
    ),
    "returns another kind": (
        "return {'publish': 1}",
        "*start(world) returned a dict, which the kit cannot drive.*Return an object with publish(run), or a function of *",
    ),
    "returns the class": ("return Announcer", "*start(world) returned the class Announcer itself, *"),
}


@pytest.mark.usefixtures("announce")
@pytest.mark.parametrize(("body", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_start_must_return(pytester: pytest.Pytester, body: str, words: str) -> None:
    show(pytester, START + body).stdout.fnmatch_lines(["PB06 attributes: cannot be checked", words])


def function(*lines: str) -> str:
    """A suite whose publisher is a function."""
    inner = "".join(f"            {line}\n" for line in lines)
    return f"{START}def publish(run):\n{inner}        return publish\n"


SILENT = {
    "does nothing": (function("return 1"), "It made no call to SNS that the kit can see: *"),
    "hangs": (
        function("while True: pass"),
        "It did not come back: it did nothing the world could see for 0.5 s, and was*",
    ),
    "exits": (function("import os", "os._exit(3)"), "It ended its own process, with status 3."),
    "raises": (function("raise KeyError('{run}')"), "It raised KeyError: '{run}'."),
    "start raises": (
        f"{START}raise OSError('no topic')",
        "TestAnnouncer.start(world) raised OSError: no topic. It must return a publisher that is ready to take a run.",
    ),
    "another topic": (
        function(
            "sns = boto3.client('sns')",
            "sns.publish(TopicArn=sns.create_topic(Name='else')['TopicArn'], Message='{}')",
        ),
        "It published to arn:aws:sns:us-east-1:123456789012:else, not to world.topic_arn.",
    ),
    "another event": (
        function(
            """boto3.client('sns').publish(TopicArn=world.topic_arn, Message='{"event_type": "RunCompleted"}')""",
        ),
        "It published 1 of another event_type: consumers look for run_completed and skip the rest.*",
    ),
    "two events under one id": (
        """    fifo = True

    def start(self, world):
        def publish(run):
            sns = boto3.client('sns')
            for event in ('run_started', 'run_completed'):
                message = '{"event_type": "' + event + '"}'
                known = {"MessageGroupId": "runs", "MessageDeduplicationId": "runs"}
                sns.publish(TopicArn=world.topic_arn, Message=message, **known)
        return publish
""",
        "The FIFO topic swallowed its message: it had taken another of that MessageDeduplicationId within five minutes.*",
    ),
    "swallows errors": (
        function(
            "try: boto3.client('sns').publish(TopicArn=world.topic_arn + 'x', Message='m')", "except Exception: pass"
        ),
        "Each call to SNS failed, and it came back as if all were well.",
    ),
    "executes what is over": (
        function("run.execute()"),
        "It raised ConsumerError: publish(run) called run.execute(), but the run is over: declare wraps_run = True on*",
    ),
}


@pytest.mark.usefixtures("announce")
@pytest.mark.parametrize(("body", "words"), SILENT.values(), ids=SILENT)
def test_a_publisher_that_announces_nothing_is_no_proof(pytester: pytest.Pytester, body: str, words: str) -> None:
    lines = re.sub(r"([\[\]])", r"[\1]", words)
    result = show(pytester, body)
    result.stdout.fnmatch_lines(
        ["PB06 attributes *inconclusive", "The publisher did nothing where something was due: *"]
    )
    flat = " ".join(result.stdout.str().split())
    pytest.LineMatcher([flat]).fnmatch_lines([f"*{lines.rstrip('*')}*"])


@pytest.mark.usefixtures("announce")
def test_a_wrapper_that_never_runs_its_run(pytester: pytest.Pytester) -> None:
    body = "    wraps_run = True\n\n" + function("run.outcome = 'success'", "Announcer(world.topic_arn).publish(run)")
    show(pytester, body, "after_the_boundary").stdout.fnmatch_lines(
        ["PB01 after-the-boundary *inconclusive", "The publisher announced run-A and never ran it: *"]
    )


@pytest.mark.usefixtures("announce")
def test_what_it_prints_shows_with_its_failure(pytester: pytest.Pytester) -> None:
    body = function("print('announcing', run)", "if run.outcome == 'success': Announcer(world.topic_arn).publish(run)")
    result = show(pytester, body, "failed_runs")
    result.stdout.fnmatch_lines(
        [
            "PB05 failed-runs * high",
            "run-A (script_error) was never announced: publish(run) came back as if all were well, *",
            "what the consumer printed:",
            "  announcing <run run-A of shop, script_error>",
        ]
    )


@pytest.mark.usefixtures("announce")
def test_a_saved_schedule_is_replayed(pytester: pytest.Pytester) -> None:
    body = function("if run.outcome == 'success': Announcer(world.topic_arn).publish(run)")
    shown = show(pytester, body, "failed_runs").stdout.str()
    file = re.search(r"--quarry-replay=(\S+)", shown)
    assert file is not None
    replay = f"--quarry-replay={file[1]}"
    pytester.runpytest(*QUIET, replay).stdout.fnmatch_lines(["*still failing*"])
    pytester.makepyfile(SUITE + function("Announcer(world.topic_arn).publish(run)"))
    pytester.runpytest(*QUIET, replay).assert_outcomes(passed=1, deselected=6)


@pytest.mark.usefixtures("announce")
@pytest.mark.parametrize("wraps", ['"yes"', "1", "None"])
def test_wraps_run_is_true_or_false(pytester: pytest.Pytester, wraps: str) -> None:
    body = f"    wraps_run = {wraps}\n\n" + function("pass")
    show(pytester, body).stdout.fnmatch_lines(["TestAnnouncer.wraps_run is *; it must be True or False."])


@pytest.mark.usefixtures("announce")
def test_what_is_drawn_for_a_publisher_is_found_saved_and_replayed(pytester: pytest.Pytester) -> None:
    drawn = ("--quarry-profile=fuzz", "--quarry-seed=1", "-p", "no:cacheprovider")
    pytester.makepyfile(SUITE + function("if run.outcome == 'success':", "    Announcer(world.topic_arn).publish(run)"))
    found = pytester.runpytest(*QUIET, *drawn)
    found.assert_outcomes(failed=1, deselected=6)
    found.stdout.fnmatch_lines(
        [
            "FUZZ fuzz *critical",
            "* was never announced: publish(run) came back as if all were well, *",
            "schedule * of those that Hypothesis drew; * execution*",
            "replay: pytest * --quarry-replay=.quarry/FUZZ-*.json",
        ]
    )
    (file,) = (pytester.path / ".quarry").glob("FUZZ-*.json")
    pytester.makepyfile(SUITE + function("Announcer(world.topic_arn).publish(run)"))
    pytester.runpytest(*QUIET, f"--quarry-replay={file}").stdout.fnmatch_lines([f"*{file.name}: fixed, *"])


# A FIFO topic takes one message of each id in five minutes, and answers the others with 200.
BY_ID = """    fifo = True

    def start(self, world):
        sns = boto3.client("sns")
        sns.real = sns.publish
        known = {{"MessageGroupId": "runs"}}
        announcer = Announcer(world.topic_arn)
        announcer.sns = sns

        def publish(run):
            sns.publish = lambda **call: sns.real(**call, **known, MessageDeduplicationId={})
            announcer.publish(run)
        return publish
"""


@pytest.mark.usefixtures("announce")
@pytest.mark.parametrize(
    ("by", "sentence"),
    [
        ("run.run_id", ""),
        ("'runs'", "run-4 (success) was never announced: SNS swallowed its message, *"),
        (
            "run.job_id or run.run_id",
            "run-B (success) was never announced: SNS swallowed its message, *",
        ),
    ],
    ids=["run", "constant", "job"],
)
def test_what_a_fifo_topic_swallows_is_announced_to_nobody(pytester: pytest.Pytester, by: str, sentence: str) -> None:
    pytester.makepyfile(SUITE + BY_ID.format(by))
    result = pytester.runpytest(*QUIET, "-k", "failed_runs")
    if not sentence:
        result.assert_outcomes(passed=1, deselected=6)
        return
    result.assert_outcomes(failed=1, deselected=6)
    result.stdout.fnmatch_lines([sentence, "*published run-*, swallowed*"])


@pytest.mark.usefixtures("announce")
def test_async_publishers(pytester: pytest.Pytester) -> None:
    body = (
        "        async def publish(run):\n            Announcer(world.topic_arn).publish(run)\n        return publish\n"
    )
    pytester.makepyfile(f"{SUITE}    def start(self, world):\n{body}")
    pytester.runpytest(*QUIET, "-k", "attributes").assert_outcomes(passed=1, deselected=6)
