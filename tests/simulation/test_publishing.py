"""Publishers in worlds: what they are given, what executing a run does, what the history says of what SNS took."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_quarry.bus import names
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.wrapped import FIELDS, RESULTS, WrappedRun
from pytest_quarry.simulation.history import History, Publication, Truth
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    PlannedRun,
    Poll,
    Publish,
    Schedule,
    ScheduleError,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import World

Announce = Callable[[WrappedRun], Any]
RUN = PlannedRun(run_id="run-A", items=2, job_id="job-1")


def send(run: WrappedRun, **more: Any) -> None:
    import boto3

    text = json.dumps({name: getattr(run, name) for name in (*FIELDS, *RESULTS)} | more)
    boto3.client("sns").publish(TopicArn=names.TOPIC_ARN, Message=text)


def executed_and_sent(run: WrappedRun) -> None:
    before = run.outcome
    send(run, before=before, returned=run.execute())


def play(publish: Announce, *steps: Step, wraps: bool = False, run: PlannedRun = RUN, **details: Any) -> History:
    kept: dict[str, Any] = {"start": lambda world: publish, **details}
    consumer = Consumer(name="Announces", kind="publisher", rows=lambda world: [], wraps_run=wraps, **kept)
    return simulate(Schedule(runs=(run,), steps=steps), consumer)


def texts(history: History) -> list[dict[str, Any]]:
    return [json.loads(entry.published.text) for entry in history.entries if entry.published is not None]


def whats(history: History) -> list[str]:
    return [entry.what for entry in history.entries]


def test_what_a_run_is() -> None:
    history = play(send, Write("run-A"), Publish("run-A"))
    (text,) = texts(history)
    path = text.pop("storage_path")
    root = text.pop("storage_root")
    assert path == f"{root}/datasets/quarry/partitions/source=shop/category=products/day=2026-02-02/run_id=run-A"
    assert path == history.truths["run-A"].storage_paths[0]
    assert text == {
        "run_id": "run-A",
        "source": "shop",
        "category": "products",
        "day": "2026-02-02",
        "job_id": "job-1",
        "attempt": 1,
        "parent_run_id": None,
        "outcome": "success",
        "event_count": 3,
        "duration_ms": 1500,
    }


@pytest.mark.parametrize("outcome", ["success", "executor_crash"])
def test_a_wrapper_executes_its_run(outcome: Any) -> None:
    run = PlannedRun(run_id="run-A", outcome=outcome)
    history = play(executed_and_sent, Publish("run-A"), wraps=True, run=run)
    (text,) = texts(history)
    assert (text["before"], text["returned"]) == (None, outcome)
    assert text["outcome"] == outcome
    order = whats(history)
    assert order.index("asked") < order.index("wrote") < order.index("published")
    asked, wrote = (history.entries[order.index(what)].time for what in ("asked", "wrote"))
    assert wrote - asked == pytest.approx(text["duration_ms"] / 1000 + 1 + 0.001)


def test_a_run_is_executed_once() -> None:
    def twice(run: WrappedRun) -> None:
        run.execute()
        run.execute()

    raised = [entry.text for entry in play(twice, Publish("run-A"), wraps=True).entries if entry.what == "raised"]
    assert raised == ["RuntimeError: run-A has been executed already: one run, one execution"]


def test_executing_takes_time() -> None:
    def timed(run: WrappedRun) -> None:
        import datetime

        before = datetime.datetime.now(datetime.UTC).isoformat()
        run.execute()
        send(run, before=before, after=datetime.datetime.now(datetime.UTC).isoformat())

    (text,) = texts(play(timed, Wait(57_598), Publish("run-A"), wraps=True))
    assert text["before"].startswith("2026-02-02T23:59:5")
    assert text["after"].startswith("2026-02-03T00:00:0")


def test_what_storage_shows_at_each_publish() -> None:
    def early_and_late(run: WrappedRun) -> None:
        send(run)
        run.execute()
        send(run)

    history = play(early_and_late, Publish("run-A"), wraps=True)
    states = [entry.published.states for entry in history.entries if entry.published is not None]
    assert states == [(), (("run-A", "finished"),)]


@pytest.mark.parametrize("layout", ["lode", "flat"])
@pytest.mark.parametrize("storage", ["fs", "s3"])
def test_where_a_run_is(layout: Any, storage: Any) -> None:
    run = PlannedRun(run_id="run é/1")
    history = play(send, Write(run.run_id), Publish(run.run_id), run=run, layout=layout, storage=storage)
    announced, escaped = history.truths[run.run_id].storage_paths
    assert announced == texts(history)[0]["storage_path"]
    assert announced.endswith("/run_id=run é/1")
    assert escaped.endswith("/run_id=run%20%C3%A9%2F1")


@pytest.mark.parametrize(("error", "taken"), [("throttle", 0), ("timeout", 0), ("lost", 5), ("dropped", 5)])
def test_only_what_took_effect_is_published(error: str, taken: int) -> None:
    history = play(send, Write("run-A"), Break("sns.Publish", error), Publish("run-A"))
    assert len(texts(history)) == taken
    assert whats(history).count("raised") == 1


def test_a_killed_publisher_is_not_called_again() -> None:
    history = play(send, Write("run-A"), Publish("run-A", Crash("sns.Publish quarry-runs")))
    assert whats(history).count("killed") == 1
    assert whats(history).count("asked") == 1
    assert texts(history) == []
    assert history.unreached == ()


def test_how_a_message_is_shown() -> None:
    """Its run and outcome where it says so, else how it begins."""
    shown = {
        '{"run_id": "run-A", "outcome": "success", "more": 1}': "run-A success",
        '{"outcome": "success", "run_id": 7}': "7 success",
        '{"run_id": "run-A"}': "run-A",
        '{"outcome": "success"}': '{"outcome": "success"}',
        '["run_id"]': '["run_id"]',
        "x" * 40: "x" * 40,
        "x" * 41: "x" * 39 + "…",
        "7": "7",
    }

    def publish(run: WrappedRun) -> None:
        import boto3

        for text in shown:
            boto3.client("sns").publish(TopicArn=names.TOPIC_ARN, Message=text)

    history = play(publish, Write("run-A"), Publish("run-A"))
    assert [entry.text for entry in history.entries if entry.published is not None] == list(shown.values())


def test_what_is_kept_of_a_message() -> None:
    def publish(run: WrappedRun) -> None:
        import boto3

        sns = boto3.client("sns")
        other = sns.create_topic(Name="other")["TopicArn"]
        attributes = {"run_id": {"DataType": "String", "StringValue": run.run_id}}
        sns.publish(TopicArn=names.TOPIC_ARN, Message="ours", MessageAttributes=attributes)
        sns.publish(TopicArn=other, Message="theirs")

    history = play(publish, Write("run-A"), Publish("run-A"))
    other = names.TOPIC_ARN.replace(names.TOPIC, "other")
    states = (("run-A", "finished"),)
    assert [entry.published for entry in history.entries if entry.published is not None] == [
        Publication(
            topic=names.TOPIC_ARN, ours=True, text="ours", attributes=(("run_id", "String", "run-A"),), states=states
        ),
        Publication(topic=other, ours=False, text="theirs", attributes=(), states=states),
    ]


@pytest.mark.parametrize(
    ("texts", "wait", "swallowed"),
    [
        ("aa", 299, [False, True]),
        ("aa", 300, [False, False]),
        ("ab", 0, [False, False]),
        ("aab", 0, [False, True, False]),
    ],
)
def test_what_a_fifo_topic_swallows(texts: str, wait: int, swallowed: list[bool]) -> None:
    """It remembers an id for five minutes."""

    def publish(run: WrappedRun) -> None:
        import time

        import boto3

        for number, text in enumerate(texts):
            time.sleep(wait if number else 0)
            details = {"MessageGroupId": "runs", "MessageDeduplicationId": text}
            boto3.client("sns").publish(TopicArn=f"{names.TOPIC_ARN}.fifo", Message=str(number), **details)

    history = play(publish, Write("run-A"), Publish("run-A"), fifo=True)
    assert [entry.published.swallowed for entry in history.entries if entry.published is not None] == swallowed


def test_a_topic_may_know_messages_by_their_content() -> None:
    """The attributes do not count; who names an id of its own is taken at its word."""

    def publish(run: WrappedRun) -> None:
        import boto3

        sns = boto3.client("sns")
        arn = f"{names.TOPIC_ARN}.fifo"
        sns.set_topic_attributes(TopicArn=arn, AttributeName="ContentBasedDeduplication", AttributeValue="true")
        attributes = {"run_id": {"DataType": "String", "StringValue": run.run_id}}
        for details in ({}, {"MessageAttributes": attributes}, {"MessageDeduplicationId": "own"}):
            sns.publish(TopicArn=arn, Message="a", MessageGroupId="runs", **details)
        entries = [{"Id": text, "Message": text, "MessageGroupId": "runs"} for text in "ab"]
        sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)

    history = play(publish, Write("run-A"), Publish("run-A"), fifo=True)
    told = [entry.published for entry in history.entries if entry.published is not None]
    assert [(message.text, message.swallowed) for message in told] == [
        *(("a", False), ("a", True), ("a", False)),
        *(("a", True), ("b", False)),
    ]


def test_what_is_true_of_a_run() -> None:
    retry: dict[str, Any] = {"job_id": "job-1", "attempt": 2, "parent_run_id": "run-0"}
    there = PlannedRun(run_id="run-A", items=2, category="c", source="s", day="2026-02-03", **retry)
    nowhere = PlannedRun(run_id="run-B", items=2, outcome="executor_crash")
    consumer = Consumer(name="A", kind="publisher", start=lambda world: send, rows=lambda world: [])
    truths = simulate(Schedule(runs=(there, nowhere), steps=(Write("run-A"),)), consumer).truths
    assert list(truths) == ["run-A", "run-B"]
    (path,) = truths["run-A"].storage_paths
    assert path.endswith("/storage/datasets/quarry/partitions/source=s/category=c/day=2026-02-03/run_id=run-A")
    assert truths["run-A"] == Truth(
        run_id="run-A",
        source="s",
        category="c",
        day="2026-02-03",
        outcome="success",
        job_id="job-1",
        attempt=2,
        event_count=3,
        storage_paths=(path,),
        state="finished",
    )
    other = truths["run-B"]
    assert (other.state, other.outcome, other.event_count) == ("nowhere", "executor_crash", 2)
    assert other.storage_paths[0].endswith("/source=shop/category=products/day=2026-02-02/run_id=run-B")


def test_what_a_consumer_publishes_is_nobodys_announcement() -> None:
    class Poller:
        def poll(self) -> None:
            import boto3

            boto3.client("sns").publish(TopicArn=names.TOPIC_ARN, Message="x")

    consumer = Consumer(name="P", kind="poller", start=lambda world: Poller(), rows=lambda world: [])
    history = simulate(Schedule(runs=(), steps=(Poll(),)), consumer)
    assert "published" not in whats(history)
    assert "crossed" in whats(history)


def test_two_executions_are_equal() -> None:
    steps = (Write("run-A"), Break("sns.Publish", "lost", times=2), Publish("run-A"))
    assert play(send, *steps) == play(send, *steps)


def test_the_step_as_json() -> None:
    schedule = Schedule(runs=(RUN,), steps=(Publish("run-A"), Publish("run-A", Crash("return"))))
    data = json.loads(json.dumps(schedule.to_json()))
    assert data["steps"][0] == {"do": "publish", "run": "run-A"}
    assert Schedule.from_json(data) == schedule
    with pytest.raises(ScheduleError, match="step 1 is about run 'run-B'; planned are run-A"):
        Schedule(runs=(RUN,), steps=(Publish("run-B"),))


@pytest.mark.parametrize(("wait", "day"), [(0, "2026-02-02"), (57_598, "2026-02-02"), (86_400, "2026-02-03")])
def test_a_run_that_is_wrapped_starts_when_its_publisher_is_called(wait: int, day: str) -> None:
    """Whatever was planned: a wrapper that takes the day from its clock before it runs Quarry is right."""
    history = play(executed_and_sent, Wait(wait), Publish("run-A"), wraps=True, run=replace(RUN, day="2025-12-24"))
    (text,) = texts(history)
    assert text["day"] == history.truths["run-A"].day == day
    assert f"/day={day}/" in text["storage_path"]


def test_a_start_may_cross_boundaries() -> None:
    def start(world: World) -> Announce:
        world.boundary("starts")
        return send

    history = play(send, Write("run-A"), Publish("run-A"), start=start)
    assert whats(history)[:4] == ["wrote", "started", "crossed", "asked"]


def test_a_run_that_was_executed_has_its_day_for_good() -> None:
    """It is the wrapper's second call that comes a day later, not the run."""

    def publish(run: WrappedRun) -> None:
        send(run)
        run.execute()

    history = play(publish, Publish("run-A"), Wait(86_400), Publish("run-A"), wraps=True)
    assert [text["day"] for text in texts(history)] == ["2026-02-02", "2026-02-02"]


def test_a_run_that_nobody_wrote_has_the_day_that_was_planned() -> None:
    (text,) = texts(play(send, Publish("run-A"), run=replace(RUN, day="2025-12-24")))
    assert text["day"] == "2025-12-24"
