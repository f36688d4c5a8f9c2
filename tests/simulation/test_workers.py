"""Workers that receive by themselves: what they find, what becomes of it, what AWS refuses them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest

from pytest_quarry.bus.topology import Topology
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Notify,
    Overlap,
    PlannedRun,
    Restart,
    Schedule,
    Step,
    Switch,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import World

RUNS = tuple(PlannedRun(run_id=f"run-{name}", items=1) for name in "ABC")
TOLD: tuple[Step, ...] = tuple(step for run in RUNS for step in (Write(run.run_id), Notify(run.run_id)))
ONE: tuple[Step, ...] = TOLD[:2]
Message = Mapping[str, Any]


class Worker:
    """Does its work in each turn, with a client and the URL of its queue."""

    def __init__(self, world: World, work: Callable[[Worker], object]) -> None:
        self.world, self.url, self._work = world, world.queue_url, work
        self.sqs: Any = boto3.client("sqs")

    def run_once(self) -> None:
        self._work(self)

    def receive(self, most: int = 10, wait: int = 0) -> list[Message]:
        names = ["All"]
        found: list[Message] = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=most, WaitTimeSeconds=wait, MessageSystemAttributeNames=names
        ).get("Messages", [])
        return found

    def delete(self, message: Message) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def say(self, words: object) -> None:
        self.world.boundary(str(words))


def play(work: Callable[[Worker], object], *steps: Step, **details: Any) -> History:
    """What happens when a worker does this work in each of its turns."""
    consumer = Consumer(
        **{
            "name": "Worker",
            "kind": "event-bus",
            "start": lambda world: Worker(world, work),
            "rows": lambda world: [],
            **details,
        }
    )
    return simulate(Schedule(runs=RUNS, steps=steps), consumer)


def entries(history: History, what: str, step: int | None = None) -> list[Entry]:
    return [entry for entry in history.entries if entry.what == what and step in (None, entry.step)]


def words(history: History, what: str, step: int | None = None) -> list[str]:
    return [entry.text for entry in entries(history, what, step)]


def said(history: History, step: int | None = None) -> list[str]:
    found = [text for text in words(history, "crossed", step) if text.startswith("boundary ")]
    return [text.removeprefix("boundary ") for text in found]


def run_of(message: Message) -> str:
    return str(json.loads(json.loads(message["Body"])["Message"])["run_id"])


def loads_all(worker: Worker) -> None:
    """Says what it finds and deletes it."""
    for message in worker.receive():
        worker.say(run_of(message))
        worker.delete(message)


class TestWhatAReceiveFinds:
    @pytest.mark.parametrize("order", [(1,), (3, 1), (2, 3, 1)])
    def test_exactly_what_is_delivered_in_that_order(self, order: tuple[int, ...]) -> None:
        history = play(loads_all, *TOLD, Deliver(order))
        expected = ["run-" + "ABC"[number - 1] for number in order]
        assert said(history, 7) == expected
        assert [entry.messages for entry in entries(history, "delivered", 7)] == [order]
        assert [entry.messages for entry in entries(history, "acknowledged", 7)] == [(n,) for n in order]

    def test_so_many_as_it_asks_for_and_the_rest_in_its_next_turns(self) -> None:
        def work(worker: Worker) -> None:
            worker.say([run_of(message) for message in worker.receive(2)])

        history = play(work, *TOLD, Deliver((3, 2, 1)))
        assert said(history, 7) == ["['run-C', 'run-B']", "['run-A']"]

    def test_it_may_be_killed_at_the_end_of_any_turn(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive(1):
                worker.say(run_of(message))

        history = play(work, *TOLD, Deliver((3, 2, 1), Crash("return", 2)))
        assert said(history, 7) == ["run-C", "run-B"]
        assert words(history, "killed") == ["after it returned, before anybody was told"]
        assert not history.unreached

    def test_a_copy_in_one_batch_has_a_receipt_of_its_own(self) -> None:
        def work(worker: Worker) -> None:
            found = worker.receive()
            receipts = {message["ReceiptHandle"] for message in found}
            worker.say(f"{len(found)} messages, {len(receipts)} receipts, {found[0]['MessageId'][-2:]}")
            for message in found:
                worker.delete(message)

        history = play(work, *ONE, Deliver((1, 1)))
        assert said(history, 3) == ["2 messages, 2 receipts, 01"]
        assert words(history, "failed", 3) == ["the receipt handle of run-A (#1) is stale: not deleted"]
        assert words(history, "acknowledged", 3) == ["run-A (#1)"]

    def test_what_was_deleted_comes_again_when_it_is_delivered_again(self) -> None:
        history = play(loads_all, *ONE, Deliver((1,)), Wait(60), Deliver((1,)))
        assert said(history, 3) == said(history, 5) == ["run-A"]
        assert len(entries(history, "acknowledged")) == 1

    def test_what_it_deletes_is_deleted_whatever_is_said_of_acknowledgements(self) -> None:
        history = play(loads_all, *ONE, Deliver((1,), ack="lost"))
        assert words(history, "acknowledged", 3) == ["run-A (#1)"]
        assert not entries(history, "failed")

    def test_what_was_not_deleted_is_counted(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.say(message["Attributes"]["ApproximateReceiveCount"])

        history = play(work, *ONE, Deliver((1,)), Restart(), Deliver((1,)), Deliver((1,)))
        assert [said(history, step) for step in (3, 5, 6)] == [["1"], ["2"], ["3"]]

    @pytest.mark.parametrize(("at_once", "receives"), [(1, 10), (2, 10), (3, 11), (6, 14)])
    def test_it_is_dead_after_ten_receives_of_which_two_at_once_count(self, at_once: int, receives: int) -> None:
        def work(worker: Worker) -> None:
            if worker.receive():
                raise ValueError("no")

        history = play(work, *ONE, *[Deliver((1,))] * at_once)
        assert len(entries(history, "delivered")) == receives
        assert [(entry.text, entry.messages) for entry in entries(history, "dead-lettered")] == [("#1", (1,))]
        assert not entries(history, "gave-up")

    def test_a_worker_finds_its_dead_letters(self) -> None:
        def work(worker: Worker) -> None:
            for _ in range(12):
                for message in worker.receive():
                    worker.sqs.change_message_visibility(
                        QueueUrl=worker.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                    )
            dead = worker.sqs.receive_message(QueueUrl=worker.world.dead_letter_url).get("Messages", [])
            worker.say(f"dead: {[run_of(message) for message in dead]}")

        history = play(work, *ONE, Deliver((1,)))
        assert "dead: ['run-A']" in said(history)

    def test_a_receipt_is_stale_after_a_slow_turn(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.say("works")
                worker.delete(message)

        history = play(work, *ONE, Break("boundary works", "slow", times=1), Deliver((1,)))
        assert words(history, "failed") == ["the receipt handle of run-A (#1) is stale: not deleted"]
        assert [entry.step for entry in entries(history, "acknowledged")] == [5]

    def test_who_is_slow_meets_no_others_who_use_its_receives_up(self) -> None:
        """The world plays the one who received in the meantime: that is no delivery to the consumer, and counts as none."""

        def work(worker: Worker) -> None:
            for message in worker.receive():
                for _ in range(12):
                    worker.say("works")
                worker.say(message["Attributes"]["ApproximateReceiveCount"])
                worker.delete(message)

        history = play(work, *ONE, Break("boundary works", "slow"), Deliver((1,)))
        assert not words(history, "dead-lettered")
        assert words(history, "failed") == ["the receipt handle of run-A (#1) is stale: not deleted"]
        assert [text for text in said(history) if text != "works"] == ["1", "2"]
        assert words(history, "acknowledged") == ["run-A (#1)"]

    def test_a_receipt_that_was_extended_is_good_after_a_slow_turn(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.sqs.change_message_visibility(
                    QueueUrl=worker.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=300
                )
                worker.say("works")
                worker.delete(message)

        history = play(work, *ONE, Break("boundary works", "slow", times=1), Deliver((1,)))
        assert not words(history, "failed")
        assert [entry.step for entry in entries(history, "acknowledged")] == [4]

    @pytest.mark.parametrize(("wait", "seconds"), [(0, 0), (20, 20), (5, 5)])
    def test_a_long_poll_takes_virtual_time(self, wait: int, seconds: int) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.delete(message)
            before = time.time()
            worker.receive(wait=wait)
            worker.say(round(time.time() - before))

        real = time.monotonic()
        history = play(work, *ONE, Deliver((1,)))
        (took,) = said(history, 3)
        assert seconds <= int(took) <= seconds + 1  # moto looks once a second
        assert time.monotonic() - real < 15

    def test_a_long_poll_that_finds_something_takes_none(self) -> None:
        def work(worker: Worker) -> None:
            before = time.time()
            for message in worker.receive(wait=20):
                worker.say(round(time.time() - before))
                worker.delete(message)

        assert said(play(work, *ONE, Deliver((1,))), 3) == ["0"]

    def test_a_message_that_was_told_and_never_delivered_is_found_in_the_end(self) -> None:
        history = play(loads_all, *TOLD, Deliver((2,)))
        assert [sorted(said(history, step)) for step in (7, 8)] == [["run-B"], ["run-A", "run-C"]]

    def test_a_copy_that_it_sends_itself_is_found_when_it_has_come(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.say(message["Body"] if message["Body"] == "later" else run_of(message))
                if message["Body"] != "later":
                    sqs = boto3.client("sqs")
                    sqs.send_message(QueueUrl=worker.world.queue_url, MessageBody="later", DelaySeconds=300)
                worker.delete(message)

        history = play(work, *ONE, Deliver((1,)))
        assert said(history) == ["run-A", "later"]
        assert [entry.text for entry in entries(history, "waited")] == ["31 s", "31 s", "31 s", "60 s", "300 s"]

    def test_a_start_finds_nothing_and_the_turn_after_it_what_is_delivered(self) -> None:
        class Eager(Worker):
            def __init__(self, world: World) -> None:
                super().__init__(world, loads_all)
                world.boundary(f"starts with {len(self.receive())}")

        history = play(loads_all, *TOLD, Deliver((1,)), Restart(), Deliver((2,)), Restart(), start=Eager)
        assert said(history) == ["starts with 0", "run-A", "starts with 0", "run-B", "starts with 0", "run-C"]
        at_once = Overlap((1,), (2,), switches=(Switch("boundary run-A"),))
        history = play(loads_all, *TOLD[:4], at_once, start=Eager)
        assert said(history) == ["starts with 0", "starts with 0", "run-B", "run-A"]

    def test_worlds_are_equal(self) -> None:
        steps = (*TOLD, Deliver((2, 1)), Deliver((1,)), Deliver((3,)))
        assert play(loads_all, *steps).difference(play(loads_all, *steps)) is None


class TestTopologies:
    def test_a_filter_policy_that_matches_nothing(self) -> None:
        policy = json.dumps({"outcome": ["never"]})
        history = play(loads_all, *TOLD, Deliver((1, 2, 3)), filter_policy=policy)
        assert all("filtered by the subscription's policy" in text for text in words(history, "notified"))
        assert not entries(history, "delivered")
        assert not history.notified

    def test_a_filter_policy_that_matches_one(self) -> None:
        runs = (PlannedRun(run_id="run-A"), PlannedRun(run_id="run-B", outcome="script_error"))
        told = [step for run in runs for step in (Write(run.run_id), Notify(run.run_id))]
        consumer = Consumer(
            name="Worker",
            kind="event-bus",
            start=lambda world: Worker(world, loads_all),
            rows=lambda world: [],
            filter_policy=json.dumps({"outcome": ["success"]}),
        )
        history = simulate(Schedule(runs=runs, steps=(*told, Deliver((1, 2)))), consumer)
        assert said(history) == ["run-A"]

    def test_raw_delivery(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.say(json.loads(message["Body"])["run_id"])
                worker.delete(message)

        assert said(play(work, *ONE, Deliver((1,)), raw_delivery=True), 3) == ["run-A"]

    @pytest.mark.parametrize(("raw", "names"), [(True, ["outcome", "run_id", "source"]), (False, [])])
    def test_a_message_has_the_attributes_of_its_notification_only_where_it_is_raw(
        self, raw: bool, names: list[str]
    ) -> None:
        def work(worker: Worker) -> None:
            answer = worker.sqs.receive_message(QueueUrl=worker.url, MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                worker.say(sorted(message.get("MessageAttributes", {})))
                worker.delete(message)

        assert said(play(work, *ONE, Deliver((1,)), raw_delivery=raw), 3) == [str(names)]

    def test_a_fifo_queue_names_group_and_order(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                attributes = message["Attributes"]
                worker.say(f"{attributes['MessageGroupId']} {bool(attributes['SequenceNumber'])}")
                worker.delete(message)
            worker.say(worker.url.rpartition("/")[2])

        history = play(work, *ONE, Deliver((1,)), fifo=True)
        assert said(history, 3) == ["runs True", Topology(fifo=True).queue]
        assert Topology(fifo=True).queue.endswith(".fifo")

    @pytest.mark.parametrize(("fifo", "second"), [(False, ["run-A", "run-B"]), (True, ["run-A"])])
    def test_a_group_waits_for_what_is_in_flight(self, fifo: bool, second: list[str]) -> None:
        def work(worker: Worker) -> None:
            found = [message for _ in range(2) for message in worker.receive(1)]
            worker.say([run_of(message) for message in found])
            for message in found:
                worker.delete(message)

        history = play(work, *TOLD[:4], fifo=fifo)
        assert said(history)[0] == str(second)
        assert len(entries(history, "acknowledged")) == 2

    def test_a_fifo_queue_delivers_again_only_what_was_published_again(self) -> None:
        """What was not deleted is there still, under its old id."""
        turns = itertools.count(1)

        def work(worker: Worker) -> None:
            turn = next(turns)
            for message in worker.receive():
                worker.say(message["MessageId"])
                if turn != 2:
                    worker.delete(message)

        history = play(work, *ONE, *[Deliver((1,))] * 4, fifo=True)
        ids = [f"00000000-0000-4000-8{copy:03}-000000000001" for copy in (0, 1, 1, 2)]
        assert [text for step in (3, 4, 5, 6) for text in said(history, step)] == ids

    def test_a_start_that_fails_publishes_nothing_again(self) -> None:
        def start(world: World) -> Worker:
            (world.disk / f"started-{len(list(world.disk.iterdir()))}").touch()
            if len(list(world.disk.iterdir())) == 2:
                raise ValueError("no")
            return Worker(world, says_ids)

        def says_ids(worker: Worker) -> None:
            for message in worker.receive():
                worker.say(message["MessageId"][19:23])
                worker.delete(message)

        steps = (Deliver((1,)), Restart(), Deliver((1,)), Deliver((1,)))
        history = play(says_ids, *ONE, *steps, start=start, fifo=True)
        assert words(history, "raised") == ["start raised ValueError: no"]
        assert said(history) == ["8000", "8001"]


class TestWhatAwsRefuses:
    """AWS's own error, raised in the consumer, and the world goes on."""

    @staticmethod
    def raised(call: Callable[[Worker], object], **details: Any) -> str:
        history = play(call, *ONE, Deliver((1,)), **details)
        assert history.entries[-1].what == "settled"
        assert not entries(history, "acknowledged")
        return words(history, "raised", 3)[0]

    @pytest.mark.parametrize("receipt", ["garbage", "", "x" * 2000, "é/\\n"])
    def test_a_delete_by_a_receipt_it_was_never_given(self, receipt: str) -> None:
        found = self.raised(lambda worker: worker.sqs.delete_message(QueueUrl=worker.url, ReceiptHandle=receipt))
        assert "ReceiptHandleIsInvalid" in found

    def test_an_extension_by_a_receipt_it_was_never_given(self) -> None:
        def work(worker: Worker) -> None:
            worker.sqs.change_message_visibility(QueueUrl=worker.url, ReceiptHandle="garbage", VisibilityTimeout=60)

        assert "ReceiptHandleIsInvalid" in self.raised(work)

    @pytest.mark.parametrize("most", [11, 0, -1])
    def test_a_receive_of_too_many_or_none(self, most: int) -> None:
        found = self.raised(lambda worker: worker.receive(most))
        assert "MaxNumberOfMessages" in found

    def test_a_receive_of_a_queue_that_is_none(self) -> None:
        def work(worker: Worker) -> None:
            worker.sqs.receive_message(QueueUrl=worker.url + "-not")

        assert "NonExistentQueue" in self.raised(work) or "QueueDoesNotExist" in self.raised(work)

    def test_a_parameter_of_the_wrong_type(self) -> None:
        def work(worker: Worker) -> None:
            worker.sqs.receive_message(QueueUrl=worker.url, MaxNumberOfMessages="ten")

        assert "ParamValidationError" in self.raised(work)

    def test_a_batch_of_eleven_and_of_none(self) -> None:
        def work(entries: int) -> Callable[[Worker], object]:
            batch = [{"Id": str(number), "ReceiptHandle": f"garbage-{number}"} for number in range(entries)]
            return lambda worker: worker.sqs.delete_message_batch(QueueUrl=worker.url, Entries=batch)

        assert "TooManyEntriesInBatchRequest" in self.raised(work(11))
        assert "EmptyBatchRequest" in self.raised(work(0))

    def test_a_batch_with_a_receipt_it_was_never_given(self) -> None:
        def work(worker: Worker) -> None:
            found = [message["ReceiptHandle"] for message in worker.receive()]
            batch = [{"Id": str(at), "ReceiptHandle": receipt} for at, receipt in enumerate([*found, "garbage"])]
            answer = worker.sqs.delete_message_batch(QueueUrl=worker.url, Entries=batch)
            worker.say(f"{[one['Id'] for one in answer['Successful']]} {[one['Id'] for one in answer['Failed']]}")

        history = play(work, *ONE, Deliver((1,)))
        assert said(history, 3) == ["['0'] ['1']"]
        assert words(history, "acknowledged", 3) == ["run-A (#1)"]

    def test_a_batch_with_a_receipt_that_is_stale_of_a_message_of_its_own(self) -> None:
        def work(worker: Worker) -> None:
            worker.sqs.send_message(QueueUrl=worker.url, MessageBody="its own")
            receipts = {message["Body"]: message["ReceiptHandle"] for message in worker.receive()}
            if len(receipts) == 2:
                stale = receipts.pop("its own")
                worker.sqs.change_message_visibility(QueueUrl=worker.url, ReceiptHandle=stale, VisibilityTimeout=0)
                worker.receive()
                batch = [{"Id": str(at), "ReceiptHandle": one} for at, one in enumerate([stale, *receipts.values()])]
                worker.sqs.delete_message_batch(QueueUrl=worker.url, Entries=batch)

        history = play(work, *ONE)
        assert words(history, "acknowledged") == ["run-A (#1)"]
        assert not entries(history, "failed")

    def test_what_is_deleted_twice(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.delete(message)
                worker.delete(message)

        history = play(work, *ONE, Deliver((1,)))
        assert not entries(history, "raised")
        assert len(entries(history, "acknowledged")) == 1

    def test_an_extension_of_what_is_deleted(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.delete(message)
                worker.sqs.change_message_visibility(
                    QueueUrl=worker.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60
                )

        history = play(work, *ONE, Deliver((1,)))
        assert "InvalidParameterValue" in words(history, "raised", 3)[0]

    def test_a_queue_that_it_empties(self) -> None:
        history = play(lambda worker: worker.sqs.purge_queue(QueueUrl=worker.url), *ONE, Deliver((1,)))
        assert not entries(history, "delivered")
        assert history.entries[-1].what == "settled"

    def test_a_queue_that_it_deletes(self) -> None:
        history = play(lambda worker: worker.sqs.delete_queue(QueueUrl=worker.url), *ONE, Deliver((1,)), Deliver((1,)))
        assert not entries(history, "delivered")
        assert history.entries[-1].what == "settled"

    def test_messages_that_it_sends_to_its_own_queue(self) -> None:
        def work(worker: Worker) -> None:
            for message in worker.receive():
                worker.say(message["Body"][:5])
                worker.delete(message)
                if message["Body"] != "again":
                    worker.sqs.send_message(QueueUrl=worker.url, MessageBody="again")

        history = play(work, *TOLD[:4], Deliver((1,)))
        assert len(entries(history, "acknowledged")) == 2
        assert history.entries[-1].what == "settled"
