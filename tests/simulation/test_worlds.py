"""What a world does to a consumer, as histories tell it: delivery, crashes, settling, watching, the target it keeps."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from loaders import loader, noting, poller, rows

from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers import keeper
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation import explore, places
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Litter,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.shrink import shrink
from pytest_quarry.simulation.world import World


@pytest.fixture(autouse=True)
def _no_world_stays() -> Iterator[None]:
    yield
    assert {path.name for path in places.base().iterdir()} <= {"Case"}


def stage_of(consumer: Consumer) -> Stage:
    return Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))


def history_of(consumer: Consumer, *steps: Step, **run: Any) -> History:
    stage = stage_of(consumer)
    return stage.history(stage.schedule([stage.run("A", **run)], [Write("run-A"), *steps]))


def story(history: History) -> list[str]:
    """What happened, without the boundaries."""
    return [f"{entry.what} {entry.text}".strip() for entry in history.entries if entry.what != "crossed"]


def raising(times: int) -> Consumer:
    """Raises at its first turns, counted on its disk."""

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            count = world.disk / "count"
            done = len(count.read_text()) if count.exists() else 0
            if done < times:
                count.write_text("x" * (done + 1))
                raise ValueError(f"for the {done + 1}. time")
            world.target.insert({"run_id": notification["run_id"]})

        return handle

    return loader(start=start)


def test_the_undisturbed_story() -> None:
    history = history_of(loader(), Notify("run-A"), Deliver((1,)))
    assert story(history) == [
        "wrote run-A finished, 3 items",
        "notified run-A (#1)",
        "started the consumer",
        "delivered run-A (#1)",
        "returned return",
        "acknowledged run-A (#1)",
        "settling no more disturbances",
        "settled nothing more to do",
    ]
    assert len(history.rows) == 3
    assert history.notified == {1: "run-A"}


def test_what_was_never_delivered_is_delivered_at_the_end() -> None:
    assert "delivered run-A (#1)" in story(history_of(loader(), Notify("run-A")))


def test_a_message_is_redelivered_until_it_succeeds() -> None:
    history = history_of(raising(3), Notify("run-A"), Deliver((1,)))
    told = story(history)
    assert [text for text in told if text.startswith("raised")] == [
        f"raised ValueError: for the {n}. time" for n in (1, 2, 3)
    ]
    assert told[-2:] == ["acknowledged run-A (#1)", "settled nothing more to do"]
    assert [entry.text for entry in history.entries if entry.what == "waited"] == ["31 s"] * 3


def test_a_message_that_always_fails_ends_in_the_dead_letter_queue() -> None:
    told = story(history_of(raising(99), Notify("run-A"), Deliver((1,))))
    assert [text for text in told if text.startswith("dead")] == ["dead-lettered #1"]
    assert len([text for text in told if text.startswith("delivered")]) == 10


def test_a_kill_before_the_return_leads_to_redelivery() -> None:
    history = history_of(loader(), Notify("run-A"), Deliver((1,), Crash("return")))
    told = story(history)
    assert "killed after it returned, before anybody was told" in told
    assert told.count("delivered run-A (#1)") == 2
    assert len(history.rows) == 3


def test_a_crash_that_is_never_reached_is_told() -> None:
    history = history_of(loader(), Notify("run-A"), Deliver((1,), Crash("target UPSERT", 9)))
    assert history.unreached == ("step 3: target UPSERT (occurrence 9)",)


def test_a_restart_takes_the_memory_and_leaves_the_disk() -> None:
    def start(world: World) -> Callable[[Any], None]:
        memory: list[int] = []

        def handle(notification: Any) -> None:
            memory.append(1)
            with open(world.disk / "notes", "a") as file:
                file.write("x")
            world.target.insert({"run_id": "run-A", "item": f"{len(memory)} {(world.disk / 'notes').read_text()}"})

        return handle

    history = history_of(loader(start=start), Notify("run-A"), *[Deliver((1,))] * 2, Restart(), Deliver((1,)))
    assert [row.item for row in history.rows] == ["1 x", "1 xxx", "2 xx"]


def test_waiting_moves_virtual_time() -> None:
    history = history_of(loader(), Notify("run-A"), Wait(86_400), Deliver((1,)))
    assert 86_400 < history.entries[-1].time < 86_410


def test_a_batch_is_delivered_whole_or_one_by_one() -> None:
    stage = stage_of(noting())
    runs = [stage.run("A"), stage.run("B")]
    steps: list[Step] = [*stage.told(*runs), Deliver((2, 1, 2))]
    history = stage.history(stage.schedule(runs, steps))
    assert [text for text in story(history) if text.startswith("delivered")] == [
        "delivered run-B (#2)",
        "delivered run-A (#1)",
        "delivered run-B (#2)",
    ]

    def start(world: World) -> Callable[..., Any]:
        def function(event: Any, context: Any) -> dict[str, Any]:
            for record in event["Records"]:
                body = json.loads(json.loads(record["body"])["Message"])
                world.target.insert({"run_id": body["run_id"], "item": record["attributes"]["ApproximateReceiveCount"]})
            return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}

        return function

    stage = stage_of(loader(start=start))
    history = stage.history(stage.schedule(runs, [*stage.told(*runs), Deliver((2, 1))]))
    assert story(history).count("delivered run-B (#2), run-A (#1)") == 1
    assert "acknowledged run-A (#1)" in story(history)
    assert "dead-lettered #2" in story(history), "each answer failed the first record, which is then alone"


def test_what_a_lambda_must_answer() -> None:
    def answering(answer: Any) -> Consumer:
        return loader(start=lambda world: lambda event, context: answer)

    for answer in (None, {}, {"batchItemFailures": []}, "done", {"batchItemFailures": None}):
        assert "acknowledged run-A (#1)" in story(history_of(answering(answer), Notify("run-A"), Deliver((1,))))
    for answer in (
        {"batchItemFailures": [{}]},
        {"batchItemFailures": [{"itemIdentifier": "x"}]},
        {"batchItemFailures": 1},
    ):
        told = story(history_of(answering(answer), Notify("run-A"), Deliver((1,))))
        assert "acknowledged run-A (#1)" not in told
        assert any(text.startswith("raised the batch failed") for text in told)


def test_a_poller_is_polled_until_it_is_idle() -> None:
    history = history_of(poller(), Poll())
    assert len(history.rows) == 3
    assert 3 <= story(history).count("polled polls") <= 6
    assert story(history)[-1] == "settled nothing more to do"


def test_a_poller_that_is_never_idle_is_given_up() -> None:
    class Busy:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            self.world.target.insert({"run_id": "run-A"})

    told = story(history_of(poller(start=Busy), Poll()))
    assert any(text.startswith("gave-up not idle after") for text in told)


def test_durable_states_are_numbered_and_crash_points_are_one_each() -> None:
    consumer = loader()
    stage = stage_of(consumer)
    base = stage.loaded(stage.run("A"))
    history = stage.history(base)
    changes = [entry.text for entry in history.entries if entry.changed and entry.what == "crossed"]
    assert changes == ["target UPSERT"] * 3
    points = list(explore.crash_points(base, history))
    crashes = [step.crash for point in points for step in point.steps if isinstance(step, Deliver)]
    assert crashes == [
        Crash("target UPSERT", 1),
        Crash("target UPSERT", 2),
        Crash("target UPSERT", 3),
        Crash("return", 1),
    ]
    for point in points:
        assert len(simulate(point, consumer).rows) == 3


def test_boundaries_between_which_nothing_changes_share_a_crash_point() -> None:
    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            for number in range(5):
                world.boundary(f"thought {number}")
            world.target.insert({"run_id": "run-A"})
            world.boundary("afterthought")

        return handle

    stage = stage_of(loader(start=start))
    base = stage.loaded(stage.run("A"))
    crashes = [point.steps[2].crash.label for point in explore.crash_points(base, stage.history(base))]  # type: ignore[union-attr]
    assert crashes == ["boundary thought 0", "boundary afterthought"]


def test_torn_writes_are_those_that_grow_with_the_data() -> None:
    consumer = noting()
    stage = stage_of(consumer)
    base, more = stage.loaded(stage.run("A")), stage.loaded(stage.run("A", run_id="run-with-a-much-longer-name"))
    sized = explore.data_sized([stage.history(base), stage.history(more)])
    assert sized == {"write notes"}
    torn = [step.crash for each in explore.torn_writes(base, stage.history(base), sized) for step in each.steps[2:]]  # type: ignore[union-attr]
    size = next(entry.size for entry in stage.history(base).entries if entry.text == "write notes")
    assert size is not None
    assert [crash.keep for crash in torn if crash] == [size // 2, size - 1]
    assert not list(explore.torn_writes(base, stage.history(base), frozenset()))


def test_duplicates_and_orders() -> None:
    stage = stage_of(loader())
    runs = [stage.run("A"), stage.run("B")]
    base = stage.schedule(runs, [*stage.told(*runs), Deliver((1,)), Deliver((2,))])
    orders = [tuple(step.messages for step in each.steps if isinstance(step, Deliver)) for each in explore.orders(base)]
    assert sorted(orders) == [((1,), (2,)), ((2,), (1,))]
    found = [
        tuple(step.messages for step in each.steps if isinstance(step, Deliver)) for each in explore.duplicates(base)
    ]
    assert ((1, 1), (2,)) in found
    assert ((1,), (2,), (1,)) in found
    assert ((1,), (2,), (2,)) in found
    assert len(found) == len(set(found)) == 5


def test_shrinking_leaves_what_still_fails() -> None:
    stage = stage_of(loader())
    runs = [stage.run(name) for name in "ABC"]
    steps: list[Step] = [*stage.told(*runs), Deliver((1,)), Wait(5), Deliver((2, 3)), Restart(), Deliver((3,))]
    tried: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        tried.append(schedule)
        messages = [step.messages for step in schedule.steps if isinstance(step, Deliver)]
        return any(run.run_id == "run-C" for run in schedule.runs) and len(messages) >= 2

    smallest = shrink(stage.schedule(runs, steps), fails)
    assert [run.run_id for run in smallest.runs] == ["run-C"]
    assert [run.items for run in smallest.runs] == [1]
    assert not any(isinstance(step, (Wait, Restart)) for step in smallest.steps)
    assert len(tried) <= 60
    assert fails(smallest)


def test_rows_are_read_whenever_they_may_have_changed() -> None:
    history = history_of(loader(), Notify("run-A"), Deliver((1,)))
    assert [len(entry.rows) for entry in history.entries if entry.rows is not None] == [1, 2, 3]


def test_reading_rows_leaves_no_trace() -> None:
    import sqlite3

    def made(world: World) -> list[dict[str, Any]]:
        connection = sqlite3.connect(world.disk / "made by rows.db")
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        connection.close()
        return rows(world)

    seen: list[str] = []

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            world.target.insert({"run_id": "run-A", "item": str(sorted(path.name for path in world.disk.iterdir()))})

        return handle

    history = history_of(loader(start=start, rows=made), Notify("run-A"), Deliver((1,)), Deliver((1,)))
    assert {row.item for row in history.rows} == {"[]"}
    assert history.unexplained == ()
    assert seen == []


def test_rows_that_cannot_be_read_now_do_not_count() -> None:
    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            (world.disk / "busy").touch()
            world.target.insert({"run_id": "run-A"})
            (world.disk / "busy").unlink()

        return handle

    def careful(world: World) -> list[dict[str, Any]]:
        if (world.disk / "busy").exists():
            raise OSError("busy")
        return rows(world)

    history = history_of(loader(start=start, rows=careful), Notify("run-A"), Deliver((1,)))
    assert [(entry.text, len(entry.rows)) for entry in history.entries if entry.rows is not None] == [
        ("unlink busy", 1)
    ]


def test_a_kill_forgets_what_is_open_in_the_target() -> None:
    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            world.target.begin()
            world.target.insert({"run_id": "run-A"})
            world.target.commit()

        return handle

    consumer = loader(start=start)
    for crash, count in ((Crash("target COMMIT"), 1), (Crash("return"), 2), (None, 1)):
        assert len(history_of(consumer, Notify("run-A"), Deliver((1,), crash)).rows) == count


def test_a_locked_tree_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "b").chmod(0)
    (tmp_path / "a" / "link").symlink_to("/nowhere")
    keeper.remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_worlds_in_one_process_share_nothing() -> None:
    first = World(places.base())
    (first.disk / "left over").write_text("x")
    first.target.insert({"run_id": "a"})
    first.close()
    second = World(places.base())
    try:
        assert list(second.disk.iterdir()) == []
        assert second.target.rows() == []
        assert second.time == 0
    finally:
        second.close()


@pytest.mark.parametrize(("delivered", "seen"), [(True, 3), (False, None)])
def test_rows_may_be_asked_for_inside_the_consumer(delivered: bool, seen: int | None) -> None:
    """None where there is no process to ask."""
    run = PlannedRun(run_id="run-A")
    told = (Write("run-A"), Notify("run-A"), Deliver((1,))) if delivered else (Write("run-A"),)
    schedule = Schedule(runs=(run,), steps=told)
    assert simulate(schedule, loader(), peek=True).peeked == seen
    assert simulate(schedule, loader()).peeked is None

    def elsewhere(world: World) -> list[dict[str, Any]]:
        if world._link is not None:
            raise OSError("not from here")
        return rows(world)

    assert simulate(schedule, loader(rows=elsewhere), peek=True).peeked is None


def test_what_storage_holds_is_kept_where_a_play_asks_for_it() -> None:
    steps = (Write("run-A"), Litter("notes.txt"), Wait(1))
    schedule = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=steps)
    assert simulate(schedule, loader()).trees == {}
    history = simulate(schedule, loader(), Play(trees=True))
    assert [history.entries[at].what for at in history.trees] == ["wrote", "littered"]
    before, after = history.trees.values()
    assert after - before == {"notes.txt"}
    assert any(key.endswith("/data/data") for key in before)


def test_temporary_files_are_this_worlds_own() -> None:
    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            world.boundary(f"{os.environ['TMPDIR'] == str(world.tmp)} {tempfile.gettempdir() == str(world.tmp)}")

        return handle

    assert "crossed boundary True True" in [
        f"{entry.what} {entry.text}"
        for entry in history_of(loader(start=start), Notify("run-A"), Deliver((1,))).entries
    ]


def test_a_step_is_told_with_its_number() -> None:
    history = history_of(loader(), Notify("run-A"), Wait(1), Deliver((1,)))
    assert {entry.step for entry in history.entries if entry.what in ("started", "delivered", "crossed")} == {4}
    assert replace(history.entries[0]).step == 1


def test_what_a_consumer_takes_is_told_once_it_was_started() -> None:
    schedule = Schedule(runs=(PlannedRun(run_id="run-A"),), steps=(Write("run-A"),))
    assert simulate(schedule, loader()).takes == ""
    history = simulate(replace(schedule, steps=(Write("run-A"), Notify("run-A"))), loader())
    assert history.takes == "notification"
    assert history.truths == {}


def test_prepare_and_rows_reach_the_aws_of_the_world() -> None:
    def prepare(world: World) -> None:
        boto3.client("s3").put_object(Bucket=world.bucket, Key="target", Body=b"run-A")

    def rows(world: World) -> list[dict[str, Any]]:
        body = boto3.client("s3").get_object(Bucket=world.bucket, Key="target")["Body"]
        return [{"run_id": body.read().decode()}]

    history = simulate(Schedule(runs=(), steps=(Poll(),)), poller(prepare=prepare, rows=rows))
    assert [row.run_id for row in history.rows] == ["run-A"]


def test_a_prepare_that_raises() -> None:
    def prepare(world: World) -> None:
        raise KeyError("settings")

    with pytest.raises(ConsumerError) as error:
        simulate(Schedule(runs=(), steps=()), loader(prepare=prepare))
    assert str(error.value) == (
        "TestLoader.prepare(world) raised KeyError: 'settings'. It runs once per world, before the first start, in the "
        "test's own process."
    )


def test_what_is_broken_for_ever_works_again_when_the_rows_are_read_at_the_end() -> None:
    """They may come over HTTP, as those of a program do."""

    def prepare(world: World) -> None:
        boto3.client("s3").put_object(Bucket=world.bucket, Key="target", Body=b"run-A", ACL="public-read")

    def rows(world: World) -> list[dict[str, Any]]:
        with closing(HTTPConnection(world.endpoint.url.removeprefix("http://"))) as connection:
            connection.request("GET", f"/{world.bucket}/target")
            answer = connection.getresponse()
            assert answer.status == 200
            return [{"run_id": answer.read().decode()}]

    steps = (Break("s3.GetObject", "503", lasting=True), Poll())
    history = simulate(Schedule(runs=(), steps=steps), poller(prepare=prepare, rows=rows))
    assert not [entry for entry in history.entries if entry.rows]
    assert [row.run_id for row in history.rows] == ["run-A"]


def handling(work: Callable[[World], object]) -> Consumer:
    """Each notification is handled by the same work."""

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            work(world)

        return handle

    return loader(start=start)


def crossed(history: History) -> list[str]:
    """The boundaries, in their order."""
    return [entry.text for entry in history.entries if entry.what == "crossed"]


def test_the_place_for_temporary_files_is_known_without_a_search() -> None:
    history = history_of(handling(lambda world: tempfile.gettempdir()), Notify("run-A"), Deliver((1,)))
    assert crossed(history) == []


def test_a_consumer_can_ask_for_the_seed_of_its_world() -> None:
    schedule = Schedule(
        runs=(PlannedRun(run_id="run-A"),), steps=(Write("run-A"), Notify("run-A"), Deliver((1,))), seed=7
    )
    assert crossed(simulate(schedule, handling(lambda world: world.boundary(f"{world.seed}")))) == ["boundary 7"]


def test_the_endpoint_that_is_served_is_known_to_the_next_process() -> None:
    history = history_of(
        handling(lambda world: world.endpoint), Notify("run-A"), Deliver((1,)), Restart(), Deliver((1,))
    )
    assert crossed(history) == ["world.endpoint"]


def test_nothing_is_left_where_pytest_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    history = history_of(loader(), Notify("run-A"), Deliver((1,)))
    assert history.rows
    assert list(tmp_path.iterdir()) == []


def test_where_the_second_worker_raised_is_kept() -> None:
    assert history_of(loader(), Notify("run-A"), Deliver((1,))).stack == ""
    history = history_of(handling(lambda world: os.mkdir(world.disk / "once")), Notify("run-A"), Overlap((1,), (1,)))
    assert history.stack.startswith("Traceback")
    assert "FileExistsError" in history.stack


def test_a_traceback_shows_no_frame_of_a_hook() -> None:
    def fail(world: World) -> None:
        connection = sqlite3.connect(world.disk / "orders.sqlite")
        try:
            connection.execute("INSERT INTO nowhere VALUES (1)")
        except sqlite3.OperationalError:
            connection.cursor().executemany("INSERT INTO nothing VALUES (?)", [(1,)])

    stack = history_of(handling(fail), Notify("run-A"), Deliver((1,))).stack
    assert "nowhere VALUES" in stack
    assert "nothing VALUES" in stack
    assert "During handling of the above exception" in stack
    assert f"{os.sep}hooks{os.sep}" not in stack
    assert stack.count("  File ") == 3, stack  # the consumer's one of the first; two of the second


def test_coverage_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "coverage", raising=False)
    assert history_of(loader(), Notify("run-A"), Deliver((1,))).rows


def test_a_lambda_function_is_told_what_is_left_of_its_time() -> None:
    def start(world: World) -> Any:
        def handler(event: Any, context: Any) -> None:
            left = context.get_remaining_time_in_millis()
            time.sleep(12)
            world.target.insert({"run_id": "run-A", "item": [left, context.get_remaining_time_in_millis()]})

        return handler

    steps = (Write("run-A"), Notify("run-A"), Deliver((1,)))
    schedule = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=steps)
    (row,) = simulate(schedule, loader(start=start, rows=lambda world: world.target.rows())).rows
    assert row.item == "[48000, 35999]", "each look at a clock takes a little"
