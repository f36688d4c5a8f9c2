"""The table of docs/queues.md, row by row: what AWS documents, what moto alone does, what the kit does.

Each test is named in the table, and each row names its tests (test_queue_table.py sees to that). Where moto alone does
otherwise, a test says so too: when it learns better, the row and the kit's own code can go.
"""

from __future__ import annotations

import inspect
import time
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from moto.sqs.models import SQSBackend
from sides import Ours, Side, both, code, moto_alone, ours, outcomes

MANY = tuple(f"m{number}" for number in range(8))


# At least once.


def test_a_deleted_message_may_come_again() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.delete(first)
        if isinstance(side, Ours):
            side.bus.reappear()
        return first, side.receive()

    (first, again), (_, motos) = both(scenario)
    assert [message["MessageId"] for message in again] == [first["MessageId"]]
    assert again[0]["ReceiptHandle"] != first["ReceiptHandle"]
    assert again[0]["Attributes"]["SentTimestamp"] == first["Attributes"]["SentTimestamp"]
    assert again[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    assert motos == []


def test_a_message_in_flight_may_come_twice() -> None:
    def scenario(side: Side, seed: int) -> list[str]:
        side.send(*MANY)
        if isinstance(side, Ours):
            side.bus.misbehave(seed)
        return [message["MessageId"] for _ in range(8) for message in side.receive()]

    twice = 0
    for seed in range(5):
        with ours() as side:
            found = scenario(side, seed)
            assert len(set(found)) == len(MANY)
            twice += len(found) - len(MANY)
    assert twice
    with moto_alone() as side:
        assert len(scenario(side, 0)) == len(MANY)


def test_a_delete_may_have_no_effect() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        if isinstance(side, Ours):
            side.bus.lose_next("acknowledgement")
        answer = side.delete(first)
        side.advance(31)
        return answer, side.bodies()

    here, motos = both(scenario)
    assert here == ("", ["one"])
    assert motos == ("", [])


# Order, and what a receive finds.


def test_order_is_best_effort() -> None:
    seen = set()
    for seed in range(5):
        with ours() as side:
            side.send(*MANY)
            side.bus.misbehave(seed)
            seen.add(tuple(side.bodies(WaitTimeSeconds=1)))
    assert len(seen) > 1
    assert {tuple(sorted(order)) for order in seen} == {MANY}
    with moto_alone() as side:
        side.send(*MANY)
        assert tuple(side.bodies()) == MANY


def test_misbehaviour_is_seeded() -> None:
    def once() -> list[list[str]]:
        with ours() as side:
            side.send(*MANY)
            side.bus.misbehave(7)
            return [side.bodies() for _ in range(4)]

    assert once() == once()


def test_a_short_poll_finds_a_sample_or_nothing() -> None:
    counts = []
    for seed in range(12):
        with ours() as side:
            side.send("one", "two")
            side.bus.misbehave(seed)
            counts.append(len(side.receive()))
            found = {message["Body"] for _ in range(20) for message in side.receive()}
            assert counts[-1] == 2 or found  # what was not found then is found later
    assert set(counts) == {0, 1, 2}
    with moto_alone() as side:
        side.send("one", "two")
        assert len(side.receive()) == 2


def test_a_long_poll_asks_every_server() -> None:
    for seed in range(12):
        with ours() as side:
            side.send(*MANY)
            side.bus.misbehave(seed)
            assert sorted(side.bodies(WaitTimeSeconds=1)) == list(MANY)


def test_a_long_poll_waits_in_virtual_time() -> None:
    real = time.monotonic()
    with ours() as side:
        before = side.now()
        assert side.receive(WaitTimeSeconds=20) == []
        assert 20 <= side.now() - before < 20.1
        side.send("one")
        side.receive()
        before = side.now()
        side.advance(25)
        assert side.bodies(WaitTimeSeconds=20) == ["one"]  # as soon as it is visible again
        assert 30 <= side.now() - before < 32
    assert time.monotonic() - real < 10


def test_a_receive_asks_for_one_to_ten() -> None:
    def scenario(side: Side) -> list[str]:
        return [
            code(side.sqs.receive_message, QueueUrl=side.url, MaxNumberOfMessages=number) for number in (0, 1, 10, 11)
        ]

    here, motos = both(scenario)
    assert here == ["InvalidParameterValue", "", "", "InvalidParameterValue"] == motos


# Visibility.


def test_a_received_message_is_invisible_for_its_timeout() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        side.receive()
        side.advance(29)
        hidden = side.bodies()
        side.advance(1.1)
        return hidden, side.bodies(VisibilityTimeout=5), side.bodies(), side.advance(5.1), side.bodies()

    here, motos = both(scenario)
    assert here == ([], ["one"], [], None, ["one"]) == motos


def test_time_is_virtual() -> None:
    with ours() as side:
        side.send("one")
        side.receive()
        before = time.time()
        side.advance(31)
        assert side.bodies() == ["one"]
        assert abs(time.time() - before) < 10


def test_an_extension_counts_from_its_call() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(20)
        assert side.extend(first, 30) == ""
        side.advance(29)
        hidden = side.bodies()
        side.advance(1.1)
        return hidden, side.bodies()

    here, motos = both(scenario)
    assert here == ([], ["one"]) == motos


def test_zero_makes_a_message_visible_at_once() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        assert side.extend(first, 0) == ""
        return side.bodies()

    here, motos = both(scenario)
    assert here == ["one"]
    assert motos == []  # not before the clock has moved


def test_a_visibility_timeout_has_its_limits() -> None:
    def scenario(side: Side) -> Any:
        side.send("one", "two")
        (first,) = side.receive(1)
        asked = (-1, 43_201, 43_200, 0)
        received = [code(side.sqs.receive_message, QueueUrl=side.url, VisibilityTimeout=number) for number in asked[:3]]
        entry = {"Id": "a", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": -1}
        batch = side.sqs.change_message_visibility_batch(QueueUrl=side.url, Entries=[entry])
        return received, [side.extend(first, number) for number in asked[:2]], len(batch.get("Failed", ()))

    wrong = "InvalidParameterValue"
    here, motos = both(scenario)
    assert here == ([wrong, wrong, ""], [wrong, wrong], 1)
    assert motos == (["", wrong, ""], ["", wrong], 0)  # a negative one is taken


def test_twelve_hours_count_from_the_receive() -> None:
    def scenario(side: Side) -> list[str]:
        side.send("one")
        side.advance(3600)
        (first,) = side.receive()
        found = [side.extend(first, 43_100)]
        side.advance(43_000)
        return [*found, side.extend(first, 100), side.extend(first, 300)]

    here, motos = both(scenario)
    assert here == ["", "", "InvalidParameterValue"]
    assert motos == ["InvalidParameterValue"] * 3  # it counts from the message's sending


def test_what_is_not_in_flight_cannot_be_extended() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(31)
        return side.extend(first, 30), side.bodies()

    here, motos = both(scenario)
    assert here == ("MessageNotInflight", ["one"])
    assert motos == ("", [])  # hidden from everybody once more


# Receipt handles.


def test_a_stale_receipt_deletes_nothing() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(31)
        (second,) = side.receive()
        return side.delete(first), side.count(), side.delete(second), side.count()

    here, motos = both(scenario)
    assert here == ("", 1, "", 0)
    assert motos == ("", 0, "", 0)


def test_a_stale_receipt_extends_nothing() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(31)
        side.receive()
        return side.extend(first, 600), side.advance(31), side.bodies()

    here, motos = both(scenario)
    assert here == ("InvalidParameterValue", None, ["one"])
    assert motos == ("", None, [])


def test_the_newest_receipt_deletes_after_its_timeout_too() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(31)
        return side.delete(first), side.count()

    here, motos = both(scenario)
    assert here == ("", 0) == motos


def test_a_delete_can_be_repeated() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        return side.delete(first), side.delete(first), side.extend(first, 10)

    here, motos = both(scenario)
    assert here == ("", "", "InvalidParameterValue")
    assert motos == ("", "", "ReceiptHandleIsInvalid")


def test_what_is_no_receipt_is_refused() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        garbage = {"ReceiptHandle": "never given"}
        return side.delete(garbage), side.extend(garbage, 10), side.count()

    here, motos = both(scenario)
    assert here == ("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 1) == motos


def test_a_receipt_outlives_its_message() -> None:
    def scenario(side: Side) -> list[str]:
        side.send("purged")
        (purged,) = side.receive()
        side.sqs.purge_queue(QueueUrl=side.url)
        side.send("dead")
        (dead,) = side.receive()
        side.advance(31)
        side.receive()
        return [side.delete(purged), side.delete(dead)]

    here, motos = both(scenario, max_receives=1)
    assert here == ["", ""]
    assert motos == ["ReceiptHandleIsInvalid"] * 2


# Answers and notifications that are lost or late.


def test_an_answer_may_be_lost() -> None:
    with ours() as side:
        side.send("one")
        side.bus.lose_next("receive")
        with pytest.raises(ReadTimeoutError):
            side.receive()
        assert [(message.in_flight, message.receives) for message in side.bus.messages()] == [(True, 1)]
        assert side.receive() == []
        side.advance(31)
        (found,) = side.receive()
        assert found["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_notification_may_be_lost() -> None:
    def scenario(side: Side) -> list[str]:
        if isinstance(side, Ours):
            side.bus.lose_next(times=2)
        for body in ("one", "two", "three"):
            side.sns.publish(TopicArn=side.topic_arn, Message=body)
        side.send("sent")  # this one is SQS's own promise
        return side.bodies()

    here, motos = both(scenario)
    assert here == ["three", "sent"]
    assert motos == ["one", "two", "three", "sent"]


def test_a_notification_may_be_late() -> None:
    def scenario(side: Side) -> list[list[str]]:
        if isinstance(side, Ours):
            side.bus.delay_next(60)
        for body in ("one", "two"):
            side.sns.publish(TopicArn=side.topic_arn, Message=body)
        found = [side.bodies()]
        side.advance(61)
        return [*found, side.bodies()]

    here, motos = both(scenario)
    assert here == [["two"], ["one", "two"]]
    assert motos[0] == ["one", "two"]


def test_a_message_is_kept_for_its_retention_period() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        side.advance(345_599)
        kept = side.bodies(VisibilityTimeout=0)
        side.advance(2)
        lost = side.bodies()
        side.sqs.set_queue_attributes(QueueUrl=side.url, Attributes={"MessageRetentionPeriod": "60"})
        side.send("two")
        side.advance(61)
        return kept, lost, side.bodies()

    here, motos = both(scenario)
    assert here == (["one"], [], []) == motos


def test_a_topic_accepts_what_it_cannot_deliver() -> None:
    def scenario(side: Side) -> str:
        side.sqs.delete_queue(QueueUrl=side.url)
        return code(side.sns.publish, TopicArn=side.topic_arn, Message="one")

    here, motos = both(scenario)
    assert here == ""
    assert motos == "NonExistentQueue"


# How much.


def test_too_many_receives_end_in_the_dead_letter_queue() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        counts = []
        for _ in range(3):
            counts += [message["Attributes"]["ApproximateReceiveCount"] for message in side.receive()]
            side.advance(31)
        return counts, side.count(), side.bodies(url=side.dead_url)

    here, motos = both(scenario, max_receives=2)
    assert here == (["1", "2"], 0, ["one"]) == motos


def test_too_many_in_flight_are_refused() -> None:
    with ours() as side:
        side.queue.in_flight_limit = 3
        side.send(*MANY)
        assert len(side.receive()) == 3
        assert code(side.receive) == "OverLimit"
        before = side.now()
        assert side.receive(WaitTimeSeconds=5) == []  # a long poll is told of no error
        assert side.now() - before >= 5
        side.advance(31)
        assert len(side.receive(2)) == 2
        assert len(side.receive(2)) == 1
    with ours() as side:
        assert side.queue.in_flight_limit == 120_000


def test_moto_knows_no_limit_in_flight() -> None:
    # 120,000 messages in flight take moto half a minute.
    assert "OverLimit" not in inspect.getsource(SQSBackend.receive_message)


def test_a_batch_has_one_to_ten_distinct_entries() -> None:
    def scenario(side: Side) -> list[list[str]]:
        side.send(*MANY)
        receipts = [message["ReceiptHandle"] for message in side.receive()]
        wrong: list[list[str]] = [[], [f"e{number}" for number in range(11)], ["a", "a"], ["a b"], ["a" * 81]]
        sides = []
        for ids in wrong:
            entries = [{"Id": name, "ReceiptHandle": receipts[at % 8]} for at, name in enumerate(ids)]
            sides.append(
                [
                    code(
                        side.sqs.send_message_batch,
                        QueueUrl=side.url,
                        Entries=[{"Id": name, "MessageBody": "x"} for name in ids],
                    ),
                    code(
                        side.sqs.change_message_visibility_batch,
                        QueueUrl=side.url,
                        Entries=[{**entry, "VisibilityTimeout": 30} for entry in entries],
                    ),
                    code(side.sqs.delete_message_batch, QueueUrl=side.url, Entries=entries),
                ]
            )
        return sides

    here, motos = both(scenario)
    assert here[0] == ["EmptyBatchRequest"] * 3
    assert here[1][:2] == ["TooManyEntriesInBatchRequest"] * 2
    assert here[2] == ["BatchEntryIdsNotDistinct"] * 3
    assert here[3:] == [["InvalidBatchEntryId"] * 3] * 2
    assert [row[1] for row in motos] == [""] * 5  # of extensions moto takes any batch
    assert [row[2] for row in motos][2:] == [""] * 3  # and of deletes any names
    assert [row[0] for row in motos] == [row[0] for row in here]


def test_eleven_deletes_are_refused() -> None:
    def scenario(side: Side) -> Any:
        side.send(*MANY, "m8", "m9", "m10")
        found = [*side.receive(), *side.receive()]
        entries = [
            {"Id": f"e{number}", "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(found)
        ]
        assert len(entries) == 11
        return code(side.sqs.delete_message_batch, QueueUrl=side.url, Entries=entries), side.count()

    here, motos = both(scenario)
    assert here == ("TooManyEntriesInBatchRequest", 11)
    assert motos == ("", 0)


def test_the_entries_of_a_batch_fail_one_by_one() -> None:
    def scenario(side: Side) -> Any:
        side.send("stale", "whole", "visible")
        stale, whole, visible = side.receive()
        side.advance(31)
        side.extend(visible, 0)
        side.receive(2)
        side.advance(1)
        (third,) = side.receive(1)
        receipts = {"stale": stale, "newest": third, "garbage": {"ReceiptHandle": "never given"}}
        entries = [{"Id": name, "ReceiptHandle": found["ReceiptHandle"]} for name, found in receipts.items()]
        extensions = [{**entry, "VisibilityTimeout": 60} for entry in entries]
        too_long = [{**entries[1], "VisibilityTimeout": 43_200}]
        extended = outcomes(side.sqs.change_message_visibility_batch(QueueUrl=side.url, Entries=extensions))
        beyond = code(side.sqs.change_message_visibility_batch, QueueUrl=side.url, Entries=too_long)
        deleted = outcomes(side.sqs.delete_message_batch(QueueUrl=side.url, Entries=entries))
        assert whole != visible
        return extended, beyond, deleted, side.count()

    here, motos = both(scenario)
    garbage = "ReceiptHandleIsInvalid"
    assert here == (
        {"stale": "InvalidParameterValue", "newest": "", "garbage": garbage},
        "",  # the entry failed, not the batch
        {"stale": "", "newest": "", "garbage": garbage},
        2,
    )
    assert motos == (
        {"stale": "", "newest": "", "garbage": garbage},
        "InvalidParameterValue",
        {"stale": "", "newest": "", "garbage": garbage},
        1,
    )


def test_a_batch_is_one_mebibyte_at_most() -> None:
    def scenario(side: Side) -> list[str]:
        half = "x" * (1_048_576 // 2)
        return [
            code(
                side.sqs.send_message_batch,
                QueueUrl=side.url,
                Entries=[{"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": other}],
            )
            for other in (half, half + "x")
        ]

    here, motos = both(scenario)
    assert here == ["", "BatchRequestTooLong"] == motos


def test_no_message_is_empty() -> None:
    def scenario(side: Side) -> list[str]:
        entries = [{"Id": "a", "MessageBody": "one"}, {"Id": "b", "MessageBody": ""}]
        found = [
            code(side.sqs.send_message, QueueUrl=side.url, MessageBody=""),
            code(side.sqs.send_message_batch, QueueUrl=side.url, Entries=entries),
            code(side.sns.publish, TopicArn=side.topic_arn, Message=""),
        ]
        batch = [{"Id": "a", "Message": ""}, {"Id": "b", "Message": "two"}]
        answer = side.sns.publish_batch(TopicArn=side.topic_arn, PublishBatchRequestEntries=batch)
        return [*found, *outcomes(answer).values(), *side.bodies()]

    here, motos = both(scenario)
    assert here == ["MissingParameter", "MissingParameter", "InvalidParameter", "", "InvalidParameter", "two"]
    assert motos == ["", "", "", "", "", "", "one", "", "", "", "two"]


def test_a_purge_empties_the_queue() -> None:
    def scenario(side: Side) -> Any:
        side.send("one", "two")
        side.receive(1)
        first = code(side.sqs.purge_queue, QueueUrl=side.url)
        side.send("three")
        second = code(side.sqs.purge_queue, QueueUrl=side.url)
        side.advance(61)
        return first, second, side.bodies(), code(side.sqs.purge_queue, QueueUrl=side.url)

    here, motos = both(scenario)
    assert here == ("", "PurgeQueueInProgress", ["three"], "") == motos


# FIFO.


def test_a_fifo_queue_keeps_the_order_of_a_group() -> None:
    def scenario(side: Side) -> Any:
        side.send("a1", "a2", group="a")
        side.send("b1", group="b")
        (a1,) = side.receive(1)
        others = side.bodies()
        side.delete(a1)
        return a1["Body"], others, side.bodies()

    here, motos = both(scenario, fifo=True)
    assert here == ("a1", ["b1"], ["a2"]) == motos


def test_a_fifo_queue_stays_in_order_when_a_message_comes_again() -> None:
    def scenario(side: Side) -> Any:
        side.send("a1", "a2", group="a")
        first = side.bodies(1)
        side.advance(31)
        return first, side.bodies()

    here, motos = both(scenario, fifo=True)
    assert here == (["a1"], ["a1", "a2"]) == motos


def test_a_fifo_group_comes_again_in_order() -> None:
    def scenario(side: Side) -> Any:
        side.send("a1", "a2", "a3", group="a")
        first = side.bodies(2)
        side.advance(31)
        return first, side.bodies(1), side.bodies(1)

    here, motos = both(scenario, fifo=True)
    assert here == (["a1", "a2"], ["a1"], [])
    assert motos == (["a1", "a2"], ["a2"], [])


def test_a_fifo_queue_delivers_nothing_again() -> None:
    for seed in range(5):
        with ours(fifo=True) as side:
            side.bus.misbehave(seed)
            side.send(*MANY)
            found = side.receive()
            assert [message["Body"] for message in found] == list(MANY)
            assert side.receive() == []
            for message in found:
                assert side.delete(message) == ""
            with pytest.raises(LookupError, match="a FIFO queue delivers nothing again"):
                side.bus.reappear()


def test_a_fifo_queue_remembers_for_five_minutes_what_was_sent() -> None:
    def scenario(side: Side) -> Any:
        side.send("one", "one")
        (first,) = side.receive()
        side.delete(first)
        side.send("one")
        soon = side.bodies()
        side.advance(301)
        side.send("one")
        return soon, side.bodies()

    here, motos = both(scenario, fifo=True)
    assert here == ([], ["one"])
    assert motos[0] == ["one"]  # forgotten with the message


def test_a_fifo_topic_may_know_messages_by_their_content() -> None:
    def scenario(side: Side) -> Any:
        setting = {"AttributeName": "ContentBasedDeduplication", "AttributeValue": "true"}
        side.sns.set_topic_attributes(TopicArn=side.topic_arn, **setting)
        message = {"TopicArn": side.topic_arn, "Message": "one", "MessageGroupId": "g"}
        told = [code(side.sns.publish, **message, Subject=subject) for subject in ("a", "b")]
        return told, len(side.bodies())

    here, motos = both(scenario, fifo=True)
    assert here == ([""] * 2, 1)
    assert motos == (["InvalidParameterValue"] * 2, 0)  # refused by the queue, which has no such setting


@pytest.mark.parametrize("parameter", ["MessageGroupId", "MessageDeduplicationId"])
def test_a_fifo_id_has_letters_digits_and_punctuation(parameter: str) -> None:
    def scenario(side: Side) -> list[str]:
        found = []
        for given in ("run-1/~!", "x" * 128, "run 1", "x" * 129, "run-é", "run\n"):
            ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d" + str(len(found)), parameter: given}
            entry = {"Id": "a", "Message": "m", **ids}
            found.append(code(side.sqs.send_message, QueueUrl=side.url, MessageBody="m", **ids))
            found.append(code(side.sns.publish, TopicArn=side.topic_arn, Message="m", **ids))
            found.append(outcomes(side.sns.publish_batch(TopicArn=side.topic_arn, PublishBatchRequestEntries=[entry])))
        good, bad = (
            {"Id": each, "MessageBody": each, "MessageGroupId": each, "MessageDeduplicationId": each} for each in "gb"
        )
        count = side.count()
        found.append(code(side.sqs.send_message_batch, QueueUrl=side.url, Entries=[good, {**bad, parameter: "a b"}]))
        return [*found, side.count() == count]

    here, motos = both(scenario, fifo=True)
    taken = ["", "", {"a": ""}]
    assert here == taken * 2 + ["InvalidParameterValue", "InvalidParameter", {"a": "InvalidParameter"}] * 4 + [
        "InvalidParameterValue",
        True,  # none of a batch was sent
    ]
    assert motos == [*taken * 6, "", False]


def test_a_fifo_queue_takes_no_expired_receipt() -> None:
    def scenario(side: Side) -> Any:
        side.send("one")
        (first,) = side.receive()
        side.advance(31)
        expired = side.delete(first), side.count()
        side.receive()
        entry = {"Id": "a", "ReceiptHandle": first["ReceiptHandle"]}
        return *expired, outcomes(side.sqs.delete_message_batch(QueueUrl=side.url, Entries=[entry])), side.count()

    here, motos = both(scenario, fifo=True)
    assert here == ("InvalidParameterValue", 1, {"a": "ReceiptHandleIsInvalid"}, 1)
    assert motos[:2] == ("", 0)


def test_a_full_fifo_queue_is_silent() -> None:
    with ours(fifo=True) as side:
        assert side.queue.in_flight_limit == 120_000
        side.queue.in_flight_limit = 2
        for name in MANY:
            side.send(name, group=name)
        assert len(side.receive()) == 2
        assert side.receive() == []


def test_no_dead_letter_is_taken_for_a_repetition() -> None:
    def scenario(side: Side) -> list[str]:
        redrive = side.sqs.get_queue_attributes(QueueUrl=side.url, AttributeNames=["RedrivePolicy"])["Attributes"]
        another = side.sqs.create_queue(QueueName="another.fifo", Attributes={"FifoQueue": "true", **redrive})[
            "QueueUrl"
        ]
        for url in (side.url, another):
            side.send("one", url=url)
            side.receive(url=url)
        side.advance(31)
        for url in (side.url, another):
            assert side.receive(url=url) == []
        return side.bodies(url=side.dead_url)

    here, motos = both(scenario, fifo=True, max_receives=1)
    assert here == ["one", "one"]
    assert motos == ["one"]
