"""Operations that fail: what the consumer meets, and what is left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from working import RUN, play, words

from pytest_quarry.bus.calls import AwsCall, describe
from pytest_quarry.bus.faults import FaultPlan, matches
from pytest_quarry.consumers.protocol import Blocked, Boundary, Sleep
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.schedule import (
    Break,
    Heal,
    Poll,
    Step,
    Write,
)
from pytest_quarry.simulation.trouble import Trouble, has_no_effect
from pytest_quarry.simulation.world import World


class TestBreaks:
    def test_waiting_never_fails(self) -> None:
        """To sleep, to wait for a lock and to pass a named place is no operation of a file or a database."""

        def work(world: World) -> None:
            time.sleep(1)
            world.boundary("a place")
            with pytest.raises(OSError, match="Input/output"):
                (world.disk / "a").touch()
            time.sleep(1)

        history = play(work, Write("run-A"), Break("", "EIO"), Poll())
        assert not words(history, "raised")
        assert words(history, "broke") == ["every operation: EIO from then on"]

    @pytest.mark.parametrize("lock", [fcntl.flock, fcntl.lockf])
    def test_a_lock_can_be_let_go(self, lock: Callable[[Any, int], None]) -> None:
        """No disk that fails is in the way of that: the lock is the system's."""

        def work(world: World) -> None:
            with open(world.disk / "a.lock", "w") as file:
                with contextlib.suppress(OSError):
                    lock(file, fcntl.LOCK_EX)
                lock(file, fcntl.LOCK_UN)

        history = play(work, Break("lock a", "EIO"), Poll())
        assert words(history, "failed") == ["lock a.lock: Input/output error"]
        assert not words(history, "raised")

    @pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EACCES", "EROFS", "ENOENT"])
    def test_a_write_fails_as_a_disk_fails(self, error: str) -> None:
        history = play(
            lambda world: (world.disk / "a").write_text("x") and None, Break("write a", error, times=1), Poll()
        )
        assert words(history, "failed") == [f"write a: {os.strerror(getattr(errno, error))}"]
        assert len(words(history, "raised")) == 1
        assert not history.unreached

    def test_no_outage_lasts_for_ever(self) -> None:
        """Who tries until it works gets through; what is lasting never works again."""

        def work(world: World) -> None:
            for attempt in range(300):
                with contextlib.suppress(OSError):
                    (world.disk / "a").write_text(str(attempt))
                    break
                time.sleep(5)

        history = play(work, Break("write a", "EIO"), Poll(), Poll())
        assert len(words(history, "failed")) == 200
        assert words(history, "healed")[:1] == ["what was broken, as it tries on: 200 times by now"]
        history = play(work, Break("write a", "EIO", lasting=True), Poll())
        assert len(words(history, "failed")) % 300 == 0

    def test_an_outage_lasts_for_as_many_turns_as_the_schedule_says(self) -> None:
        def work(world: World) -> None:
            for _ in range(75):  # each time it writes, and once more as it closes
                with contextlib.suppress(OSError):
                    (world.disk / "a").write_text("x")

        history = play(work, Break("write a", "EIO"), Poll(), Poll(), Heal(), Poll())
        assert len(words(history, "failed")) == 300
        assert "what was broken" in words(history, "healed")

    def test_nothing_of_a_failed_write_is_there(self) -> None:
        def work(world: World) -> None:
            try:
                (world.disk / "a").write_text("x")
            except OSError:
                assert (world.disk / "a").read_text() == ""
                world.boundary("caught")

        history = play(work, Break("write a", "ENOSPC"), Poll(), Heal())
        assert "boundary caught" in words(history, "crossed")
        assert not words(history, "raised")

    def test_the_first_are_skipped_and_so_many_fail(self) -> None:
        def work(world: World) -> None:
            for number in range(5):
                try:
                    os.mkdir(world.disk / str(number))
                except OSError:
                    world.boundary(f"no {number}")

        history = play(work, Break("mkdir", "EIO", times=2, skip=1), Poll())
        crossed = words(history, "crossed")
        assert [text for text in crossed if "boundary" in text][:2] == ["boundary no 1", "boundary no 2"]

    def test_reads_fail_where_reads_are_watched(self) -> None:
        def work(world: World) -> None:
            _ = [path.read_bytes() for path in sorted(world.storage_root.rglob("data/data"))]

        steps = (Write("run-A"), Break("read storage/*event_type=item", "EIO"), Poll(), Heal())
        history = play(work, *steps, play=Play(reads=True))
        assert words(history, "raised")[0].startswith("OSError: [Errno 5]")
        assert len(words(history, "raised")) == 1

    def test_what_is_never_met_is_said(self) -> None:
        history = play(lambda world: None, Break("write nothing", "EIO"), Poll())
        assert history.unreached == ("a boundary to break: write nothing: EIO from then on",)

    def test_what_is_slow_takes_virtual_time(self) -> None:
        def work(world: World) -> None:
            before = time.time()
            world.boundary("long")
            assert time.time() - before > 40

        real = time.monotonic()
        history = play(work, Break("boundary long", "slow"), Poll())
        assert "boundary long" in words(history, "crossed")
        # Healed at the end: the same assertion then fails, in the polls that settle.
        assert len(words(history, "raised")) == len(words(history, "polled")) - 1
        assert time.monotonic() - real < 30

    def test_two_breaks_that_are_equal_are_healed_together(self) -> None:
        import boto3

        def work(world: World) -> None:
            boto3.client("sns").list_topics()

        twice = Break("sns.ListTopics", "404", times=1)
        history = play(work, twice, twice, Heal(), Poll())
        assert not words(history, "failed")
        assert not words(history, "raised")
        history = play(work, twice, twice, *[Poll()] * 3)
        assert len(words(history, "failed")) == 2
        assert not history.unreached

    def test_a_lasting_break_is_not_healed(self) -> None:
        history = play(lambda world: os.mkdir(world.disk / "a"), Break("mkdir", "EIO", lasting=True), Poll(), Heal())
        assert len(words(history, "failed")) == len(words(history, "polled")) > 3

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            ("503", "ClientError: An error occurred (SlowDown)"),
            ("404", "NoSuchKey"),
            ("reset", "ConnectionClosedError"),
            ("timeout", "ReadTimeoutError"),
            ("cut", "IncompleteReadError"),
        ],
    )
    def test_aws_fails_as_aws_fails(self, error: str, raised: str) -> None:
        import boto3

        def work(world: World) -> None:
            client = boto3.client("s3", region_name="us-east-1")
            keys = [found["Key"] for found in client.list_objects_v2(Bucket=world.bucket)["Contents"]]
            client.get_object(Bucket=world.bucket, Key=keys[0])["Body"].read()

        history = play(work, Write("run-A"), Break("s3.GetObject", error), Poll(), Heal(), storage="s3")
        assert len(words(history, "raised")) == 1
        assert raised in words(history, "raised")[0]

    def test_a_batch_that_is_taken_in_part_has_failed(self) -> None:
        import boto3

        def work(world: World) -> None:
            sns = boto3.client("sns", region_name="us-east-1")
            sns.publish(TopicArn=world.topic_arn, Message="x")
            entries: list[Any] = [{"Id": "1", "Message": "x"}, {"Id": "2", "Message": "y"}]
            found = sns.publish_batch(TopicArn=world.topic_arn, PublishBatchRequestEntries=entries)
            world.boundary(f"not taken: {[entry['Id'] for entry in found['Failed']]}")

        history = play(work, Break("sns.", "last-entry"), Poll(), Heal())
        assert "boundary not taken: ['2']" in words(history, "crossed")
        assert words(history, "failed") == [
            "sns.PublishBatch quarry-runs: AWS answers 200, with entries that it did not take"
        ]

    @pytest.mark.parametrize(
        ("error", "raised", "sent"),
        [
            ("500", "ClientError: An error occurred (InternalError)", 0),
            ("throttle", "ThrottlingException", 0),
            ("timeout", "ReadTimeoutError", 0),
            ("lost", "ReadTimeoutError", 1),
            ("dropped", "ConnectionClosedError", 1),
            ("twice", None, 2),
        ],
    )
    def test_a_call_has_its_effect_or_not_whatever_the_answer(self, error: str, raised: str | None, sent: int) -> None:
        import boto3
        from botocore.config import Config

        def work(world: World) -> None:
            once = Config(retries={"max_attempts": 0})
            client = boto3.client("sqs", region_name="us-east-1", config=once)
            try:
                client.send_message(QueueUrl=world.queue_url, MessageBody="x")
            finally:
                count = "ApproximateNumberOfMessages"
                found = client.get_queue_attributes(QueueUrl=world.queue_url, AttributeNames=[count])
                world.boundary(f"there are {found['Attributes'][count]}")

        history = play(work, Break("sqs.SendMessage quarry-runs", error, times=1), Poll())
        assert f"boundary there are {sent}" in words(history, "crossed")
        if raised is None:
            assert not words(history, "raised")
        else:
            assert raised in words(history, "raised")[0]
        assert not history.unreached

    def test_a_call_is_chosen_by_what_it_carries(self) -> None:
        import boto3

        def work(world: World) -> None:
            client = boto3.client("sqs", region_name="us-east-1")
            for text in ("one", "two"):
                client.send_message(QueueUrl=world.queue_url, MessageBody=text)

        history = play(work, Break("sqs.SendMessage", "404", containing="two"), Poll(), Heal())
        of_the_poll = [(entry.what, entry.text) for entry in history.entries if entry.step == 2]
        assert of_the_poll.count(("crossed", "sqs.SendMessage quarry-runs-consumer")) == 1
        assert of_the_poll.count(("failed", "sqs.SendMessage quarry-runs-consumer: AWS answers 404")) == 1

    def test_a_listing_lags_and_comes_in_pieces(self) -> None:
        import boto3

        def work(world: World) -> None:
            client = boto3.client("s3", region_name="us-east-1")
            first = client.list_objects_v2(Bucket=world.bucket, Prefix=world.prefix)
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=world.bucket, Prefix=world.prefix)
            seen = {entry["Key"].split("run_id=")[-1].split("/")[0] for page in pages for entry in page["Contents"]}
            runs = " ".join(sorted(name for name in seen if name.startswith("run-")))
            world.boundary(f"{first['KeyCount']} keys, {runs}{', more' * first['IsTruncated']}")

        def seen(*steps: Step) -> str:
            history = play(work, Write("run-A"), *steps, storage="s3", runs=(RUN, replace(RUN, run_id="run-B")))
            return next(text for text in words(history, "crossed") if text.startswith("boundary"))

        whole = seen(Poll())
        assert seen(Break("s3.ListObjects", "lag"), Write("run-B"), Poll(), Heal()) == whole
        assert "run-A run-B" in seen(Write("run-B"), Poll())
        assert seen(Break("s3.ListObjects", "pieces"), Poll(), Heal()) == "boundary 2 keys, run-A, more"

    @pytest.mark.parametrize(
        ("pattern", "label", "found"),
        [("a*c", "xaybzc", True), ("a*c", "ca", False), ("b", "abc", True), ("", "x", True), ("a*a", "a", False)],
    )
    def test_patterns(self, pattern: str, label: str, found: bool) -> None:
        assert matches(pattern, label) is found


def of_file(label: str = "write a") -> Boundary:
    return Boundary(label)


def of_call(operation: str = "sqs.SendMessage", body: bytes = b"") -> Boundary:
    call = AwsCall(operation, "POST", "https://sqs.us-east-1.amazonaws.com/", (), body)
    return Boundary(describe(call), call=call)


class TestInForce:
    """Which breaks are in force, of files and of AWS calls alike."""

    @staticmethod
    def meets(trouble: Trouble, boundary: Boundary) -> bool:
        """Whether it fails."""
        assert trouble.delay(boundary) == 0
        return trouble.at(boundary) is not None or trouble.of_call(boundary) is not None

    KINDS = pytest.mark.parametrize(
        ("at", "error", "boundary"), [("write", "EIO", of_file()), ("sqs.SendMessage", "404", of_call())]
    )

    @KINDS
    def test_so_many_fail_after_those_that_are_skipped(self, at: str, error: str, boundary: Boundary) -> None:
        trouble = Trouble(FaultPlan())
        step = Break(at, error, times=2, skip=2)
        trouble.begin(step)
        assert [self.meets(trouble, boundary) for _ in range(2)] == [False, False]
        assert trouble.met == set()
        assert [self.meets(trouble, boundary) for _ in range(4)] == [True, True, False, False]
        assert trouble.met == {step}

    @KINDS
    def test_without_a_number_all_fail_until_it_is_healed(self, at: str, error: str, boundary: Boundary) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break(at, error))
        assert all(self.meets(trouble, boundary) for _ in range(5))
        trouble.heal()
        assert not self.meets(trouble, boundary)

    @KINDS
    def test_what_lasts_is_healed_at_the_end_of_the_world(self, at: str, error: str, boundary: Boundary) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break(at, error, lasting=True))
        trouble.heal()
        trouble.heal()
        assert self.meets(trouble, boundary)
        trouble.heal(all_of_them=True)
        assert not self.meets(trouble, boundary)
        trouble.begin(Break(at, error))
        trouble.heal(all_of_them=True)
        assert not self.meets(trouble, boundary)

    def test_what_lasts_stays_where_another_is_healed(self) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break("sqs.SendMessage", "404", lasting=True))
        trouble.begin(Break("sns.Publish", "404"))
        trouble.heal()
        assert self.meets(trouble, of_call())
        assert not self.meets(trouble, of_call("sns.Publish"))

    @KINDS
    def test_those_that_are_about_something_else_do_not_fail(self, at: str, error: str, boundary: Boundary) -> None:
        trouble = Trouble(FaultPlan())
        for step in (Break("rename", "ENOSPC"), Break("sns.Publish", "503"), Break(at, error, containing="two")):
            trouble.begin(step)
        # What a call carries is asked of calls alone.
        assert self.meets(trouble, boundary) is (boundary.call is None)
        assert self.meets(trouble, of_call(body=b"one, two")) is (boundary.call is not None)

    def test_the_error_is_the_systems(self) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break("write", "ENOSPC"))
        assert trouble.at(of_file()) == errno.ENOSPC

    @pytest.mark.parametrize(
        "boundary",
        [
            of_file("sqlite ROLLBACK orders.sqlite"),
            of_file("boundary write"),
            of_call(),
            Boundary("sleep 5 s", call=Sleep(5)),
            Boundary("wait for a lock", call=Blocked(None)),
        ],
    )
    def test_what_is_no_operation_of_a_file_never_fails(self, boundary: Boundary) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break("", "EIO"))
        assert trouble.at(boundary) is None
        assert trouble.met == set()

    def test_a_slow_operation_does_not_fail(self) -> None:
        trouble = Trouble(FaultPlan())
        step = Break("", "slow", times=1)
        trouble.begin(step)
        assert trouble.at(of_file()) is None
        assert trouble.met == set()
        assert [trouble.delay(of_file()) for _ in range(2)] == [45, 0]
        assert trouble.met == {step}

    def test_a_slow_call_is_met_once(self) -> None:
        trouble = Trouble(FaultPlan())
        step = Break("sqs", "slow", times=1)
        trouble.begin(step)
        assert trouble.delay(of_call()) == 0
        fault = trouble.of_call(of_call())
        assert fault is not None
        assert fault.error == "slow"
        assert trouble.of_call(of_call()) is None
        assert trouble.met == {step}

    def test_the_first_that_is_in_force_is_met(self) -> None:
        trouble = Trouble(FaultPlan())
        first, second = Break("write", "EIO", times=1), Break("write", "EACCES")
        trouble.begin(first)
        trouble.begin(second)
        failed = [trouble.at(of_file()) for _ in range(2)]
        assert failed == [errno.EIO, errno.EACCES]

    def test_a_listing_lags_behind_what_was_there(self) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break("s3.ListObjectsV2", "lag"), frozenset({"a"}))
        fault = trouble.of_call(of_call("s3.ListObjectsV2"))
        assert fault is not None
        assert (fault.listed, fault.error, has_no_effect(fault)) == ({"a"}, "lag", False)

    @pytest.mark.parametrize("error", ["503", "500", "404", "throttle", "reset", "timeout"])
    def test_what_has_no_effect(self, error: str) -> None:
        trouble = Trouble(FaultPlan())
        trouble.begin(Break("sqs", error))
        fault = trouble.of_call(of_call())
        assert fault is not None
        assert has_no_effect(fault)
