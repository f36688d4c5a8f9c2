"""The history in the making: what each entry says, what a boundary explains, when rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loaders import loader

from pytest_quarry.bus.delivery import Mailbox
from pytest_quarry.consumers.consumer import ConsumerError, RowsError
from pytest_quarry.simulation.history import Entry, Row
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.world import EPOCH, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def recorder_of(world: World, rows: Callable[[World], Any] = lambda world: world.target.rows()) -> Recorder:
    return Recorder(world, loader(rows=rows), Mailbox(3))


def after(recorder: Recorder, change: Callable[[], object]) -> Entry:
    """The entry of an operation that changes something."""
    recorder.record("crossed", "x")
    change()
    recorder.look()
    return recorder.entries[-1]


def unexplained(recorder: Recorder, *files: Path) -> list[str]:
    """Which of these changes no boundary explains."""
    recorder.unexplained.clear()
    recorder.record("crossed", "x")
    for file in files:
        file.write_text(f"{len(recorder.entries)}")
    recorder.look()
    return sorted(recorder.unexplained)


def test_an_entry_says_when_and_whose_it_is(world: World) -> None:
    recorder = recorder_of(world)
    recorder.record("waited", "1 s")
    assert recorder.entries == [Entry(time=0, what="waited", text="1 s")]
    world.advance(1.5)
    recorder.step, recorder.incarnation, recorder.worker = 3, 2, 1
    after(recorder, (world.disk / "a").touch)
    recorder.record("crossed", "write a", size=5, buffered=True)
    assert recorder.entries[-1] == Entry(
        time=1.5, what="crossed", text="write a", incarnation=2, worker=1, state=1, step=3, size=5, buffered=True
    )
    recorder.record("returned")
    assert recorder.entries[-1].text == ""


def test_a_fault_at_the_endpoint_is_told(world: World) -> None:
    recorder = recorder_of(world)
    assert world.on_fault is not None
    world.on_fault("sqs.SendMessage", "throttle")
    (entry,) = recorder.entries
    assert (entry.what, entry.text) == ("failed", "sqs.SendMessage: throttle, at the endpoint")


def test_states_are_numbered_as_they_are_first_seen(world: World) -> None:
    file, mailbox = world.disk / "a", Mailbox(3)
    recorder = Recorder(world, loader(), mailbox)
    recorder.look()
    changes = [
        lambda: file.write_text("1"),
        lambda: file.write_text("2"),
        lambda: None,
        lambda: file.write_text("1"),
        lambda: world.target.insert({"run_id": "run-A"}),
        lambda: mailbox.accept("run-A", {}, {}, 0),
    ]
    entries = [after(recorder, change) for change in changes]
    assert [entry.state for entry in entries] == [1, 2, 2, 1, 3, 4]
    assert [entry.changed for entry in entries] == [True, True, False, True, True, True]


def test_a_state_that_comes_back_before_anybody_read_the_rows_is_a_change(world: World) -> None:
    recorder, file = recorder_of(world), world.disk / "a"
    observed = [after(recorder, lambda text=text: file.write_text(text)) for text in "12"]
    recorder.record("crossed", "x")
    file.write_text("1")
    recorder.look(observe=False)
    back = after(recorder, lambda: file.write_text("2"))
    assert (back.state, back.changed) == (observed[-1].state, True)


def test_files_get_virtual_times(world: World) -> None:
    (world.disk / "prepared").touch()
    recorder = recorder_of(world)
    world.advance(60)
    after(recorder, (world.disk / "later").touch)
    times = [(world.disk / name).stat().st_mtime_ns // 1000 - EPOCH for name in ("prepared", "later")]
    assert times == [0, 60_000_000]
    assert recorder.unexplained == {"disk/later"}


def test_what_the_last_boundary_names_and_what_is_below_it_is_explained(world: World) -> None:
    recorder = recorder_of(world)
    (world.disk / "a").mkdir()
    recorder.expect(("disk/a", "disk/b"))
    assert unexplained(recorder, world.disk / "a" / "x", world.disk / "b") == []
    assert unexplained(recorder, world.disk / "ab", world.disk / "c") == ["disk/ab", "disk/c"]
    recorder.expect(("disk/c",))
    assert unexplained(recorder, world.disk / "b", world.disk / "c") == ["disk/b"]
    recorder.restored()
    assert unexplained(recorder, world.disk / "c") == ["disk/c"]


def test_of_two_workers_all_that_they_named_is_explained(world: World) -> None:
    recorder = recorder_of(world)
    recorder.worker = 1
    recorder.expect(("disk/a",))
    recorder.worker = 2
    recorder.expect(("disk/b",))
    assert unexplained(recorder, world.disk / "a", world.disk / "b", world.disk / "c") == ["disk/c"]


def test_a_database_and_its_journal_change_whenever_sqlite_likes(world: World) -> None:
    recorder = recorder_of(world)
    recorder.expect(("disk/a.db", "disk/a.db-journal"))
    recorder.expect(("disk/b",))
    assert unexplained(recorder, world.disk / "a.db", world.disk / "a.db-journal", world.disk / "b") == []
    recorder.restored()
    assert unexplained(recorder, world.disk / "a.db") == ["disk/a.db"]


def test_of_a_consumer_that_cannot_be_seen_nothing_is_unexplained(world: World) -> None:
    recorder = recorder_of(world)
    assert unexplained(recorder, world.disk / "a") == ["disk/a"]
    recorder.blind |= True
    assert unexplained(recorder, world.disk / "a") == []


def test_storage_is_watched_from_the_first_boundary_that_names_it(world: World) -> None:
    storage = world.storage_root
    recorder = recorder_of(world)
    recorder.expect(("disk/a",))
    assert unexplained(recorder, storage / "early") == [], "nothing was known of it: not the consumer's doing, perhaps"
    recorder.expect(("disk/a", "storage/b"))
    assert unexplained(recorder, world.disk / "a", storage / "b", storage / "c") == ["storage/c"]
    assert recorder.entries[-1].changed
    assert unexplained(recorder, world.disk / "d", storage / "c") == ["disk/d", "storage/c"]
    (storage / "e").touch()
    recorder.expect(("storage/b",))
    assert unexplained(recorder) == ["storage/e"]


def test_what_the_world_writes_into_storage_is_not_the_consumers_doing(world: World) -> None:
    storage, file = world.storage_root, world.disk / "a"
    recorder = recorder_of(world)
    recorder.expect(("disk/a", "storage/b"))
    before = after(recorder, lambda: file.write_text("1"))
    recorder.record("waited", "1 s")
    (storage / "run").touch()
    recorder.storage_written()
    recorder.look()
    assert not recorder.entries[-1].changed
    assert recorder.unexplained == set()
    written = after(recorder, lambda: None)
    assert written.state == before.state + 1
    after(recorder, lambda: file.write_text("2"))
    assert after(recorder, lambda: file.write_text("1")).state == written.state


class Target:
    """Rows that a test gives, or that cannot be read; counts how often they are read."""

    def __init__(self, *run_ids: str) -> None:
        self.run_ids, self.reads = list(run_ids), 0
        self.error: Exception | None = None

    def rows(self, world: World) -> list[dict[str, Any]]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return [{"run_id": run_id} for run_id in self.run_ids]


def test_rows_are_read_once_for_each_state_and_told_when_they_differ(world: World) -> None:
    target, file = Target("a"), world.disk / "file"
    recorder = recorder_of(world, target.rows)
    recorder.look()
    assert target.reads == 0, "there is no entry to tell it with"
    first = after(recorder, lambda: None)
    assert (first.rows, first.changed, target.reads) == ((Row("a"),), False, 1)
    assert after(recorder, lambda: None).rows is None
    assert target.reads == 1, "in one state rows are read once"
    assert after(recorder, lambda: file.write_text("1")).rows is None, "they are what they were"
    assert target.reads == 2
    second = after(recorder, lambda: (file.write_text("2"), target.run_ids.append("b")))
    assert (second.rows, second.changed, target.reads) == ((Row("a"), Row("b")), True, 3)
    assert recorder.rows == second.rows


def test_rows_are_not_read_where_the_play_observes_less(world: World) -> None:
    target = Target("a")
    recorder = recorder_of(world, target.rows)
    recorder.record("crossed", "x")
    (world.disk / "a").touch()
    recorder.look(observe=False)
    assert (recorder.entries[-1].rows, recorder.entries[-1].changed, target.reads) == (None, True, 0)


def test_an_entry_that_is_looked_at_again_keeps_what_was_seen(world: World) -> None:
    target = Target("a")
    recorder = recorder_of(world, target.rows)
    recorder.record("crossed", "x")
    (world.disk / "a").touch()
    recorder.look(observe=False)
    recorder.look()
    (entry,) = recorder.entries
    assert (entry.rows, entry.changed) == ((Row("a"),), True)
    (world.disk / "b").touch()
    recorder.look()
    (entry,) = recorder.entries
    assert (entry.rows, entry.state) == ((Row("a"),), 2)


@pytest.mark.parametrize("error", [RowsError("no database yet"), OSError("locked")])
def test_rows_that_cannot_be_read_now_are_read_at_the_next_look(world: World, error: Exception) -> None:
    target = Target("a")
    target.error = error
    recorder = recorder_of(world, target.rows)
    assert after(recorder, lambda: None).rows is None
    assert recorder.read_or_none() is None
    target.error = None
    assert after(recorder, lambda: None).rows == recorder.read_or_none() == (Row("a"),)


def test_rows_that_are_wrong_are_an_error_at_once(world: World) -> None:
    recorder = recorder_of(world, lambda world: 7)
    with pytest.raises(ConsumerError, match="which is not a list of rows"):
        after(recorder, lambda: None)


def test_what_reading_rows_makes_is_gone_again(world: World) -> None:
    (world.disk / "kept").touch()

    def rows(world: World) -> list[Any]:
        (world.disk / "file").touch()
        (world.disk / "folder" / "in it").mkdir(parents=True)
        (world.disk / "folder" / "in it" / "file").touch()
        (world.disk / "link").symlink_to(world.storage_root)
        return []

    recorder = recorder_of(world, rows)
    (world.storage_root / "run").touch()
    assert recorder.final_rows() == ()
    assert [path.name for path in world.disk.iterdir()] == ["kept"]
    assert (world.storage_root / "run").exists()
    assert not after(recorder, lambda: None).changed
    assert recorder.unexplained == set()


def test_the_history(world: World) -> None:
    recorder = recorder_of(world)
    recorder.record("waited", "1 s")
    recorder.unexplained |= {"disk/b", "disk/a", "disk/c"}
    recorder.unreached.append("step 1: return (occurrence 2)")
    recorder.not_exercised["torn writes"] = None
    history = recorder.history(rows=(Row("a"),))
    assert history.entries == (Entry(time=0, what="waited", text="1 s"),)
    assert history.unexplained == ("disk/a", "disk/b", "disk/c")
    assert history.unreached == ("step 1: return (occurrence 2)",)
    assert history.not_exercised == ("torn writes",)
    assert history.rows == (Row("a"),)
