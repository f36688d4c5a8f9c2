"""Where a consumer is killed: at each distinct durable state, but for those that SQLite takes back by itself."""

from __future__ import annotations

import pytest

from pytest_quarry.simulation import explore
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.schedule import ANY, Crash, Poll, Schedule
from pytest_quarry.simulation.turn import Turn

SCHEDULE = Schedule(runs=(), steps=(Poll(),))
JOURNAL = ("open a.db-journal", "write a.db-journal", "write a.db-journal")
SYNC = "fsync a.db-journal"
COMMIT = ("write a.db", "write a.db", "fsync a.db", "unlink a.db-journal")


def points(*labels: str, worker: int = 0) -> list[str]:
    """Before which operations of a turn it is killed; each changes something durable but to sync and to return."""
    entries, state = [], 0
    for label in (*labels, "return"):
        changes = not label.startswith(("fsync", "return"))
        state += changes
        entries.append(
            Entry(
                time=1.0,
                what="returned" if label == "return" else "crossed",
                text=label,
                step=1,
                state=state,
                changed=changes,
                worker=worker,
            )
        )
    found = explore.crash_points(SCHEDULE, History(entries=tuple(entries)))
    crashes = [point.steps[0].crash for point in found if isinstance(point.steps[0], Poll)]
    return [f"{crash.label} {crash.occurrence}" for crash in crashes if crash is not None]


def test_each_durable_state_is_one() -> None:
    assert points("write a", "fsync a", "write b") == ["write a 1", "fsync a 1", "return 1"]
    assert points("fsync a", "write a") == ["fsync a 1", "return 1"]


def test_in_a_transaction_that_is_taken_back_once_is_enough() -> None:
    """Before it, when all is written and nothing committed, and after it."""
    assert points(*JOURNAL, SYNC, *COMMIT) == ["open a.db-journal 1", "fsync a.db 1", "return 1"]
    truncated = [label.replace("unlink", "truncate") for label in COMMIT]
    assert points(*JOURNAL, SYNC, *truncated) == ["open a.db-journal 1", "fsync a.db 1", "return 1"]


def test_each_transaction_has_its_own() -> None:
    assert len(points(*JOURNAL, SYNC, *COMMIT, *JOURNAL, SYNC, *COMMIT)) == 5
    never_synced = len(points(*JOURNAL, *COMMIT))
    assert len(points(*JOURNAL, SYNC, *COMMIT, *JOURNAL, *COMMIT)) == 2 + never_synced


def test_what_is_written_before_a_transaction_is_not_taken_back_with_it() -> None:
    found = points("write a.db", *JOURNAL, SYNC, *COMMIT)
    assert found == ["write a.db 1", "open a.db-journal 1", "fsync a.db 1", "return 1"]


def test_what_else_is_written_meanwhile_is_a_state_of_its_own() -> None:
    found = points(*JOURNAL, SYNC, "write a.db", "rename b → c", *COMMIT)
    assert found == ["open a.db-journal 1", "write a.db 2", "fsync a.db 1", "return 1"]


@pytest.mark.parametrize(
    "labels",
    [
        (*JOURNAL, *COMMIT),
        ("write a.db", "write a.db", "fsync a.db"),
        (*JOURNAL, SYNC, *COMMIT[:-1]),
        ("open b-journal", "write b-journal", "write c-journal", "fsync c-journal", "unlink d-journal"),
    ],
    ids=["never synced", "no journal", "never committed", "other files"],
)
def test_where_nothing_is_promised_every_state_counts(labels: tuple[str, ...]) -> None:
    changes = [label for label in labels if not label.startswith("fsync")]
    assert len(points(*labels)) == len(changes) + 1


def test_a_write_that_is_taken_back_is_not_torn() -> None:
    def entry(label: str, state: int) -> Entry:
        return Entry(time=1.0, what="crossed", text=label, step=1, state=state, changed=True, size=512, buffered=True)

    labels = ["write a.db-journal", SYNC, "write a.db", "unlink a.db-journal", "write log"]
    history = History(entries=tuple(entry(label, at) for at, label in enumerate(labels, 1)))
    torn = explore.torn_writes(SCHEDULE, history, frozenset(labels))
    crashes = [point.steps[0].crash for point in torn if isinstance(point.steps[0], Poll)]
    written = [crash.label for crash in crashes if crash is not None and crash.label.startswith("write ")]
    assert written == ["write log", "write log"]


def killed_at(crash: Crash | None, *labels: str) -> list[int]:
    """At which of these boundaries, counted from 1, a turn is killed."""
    turn, found = Turn(crash), []
    for number, label in enumerate(labels, 1):
        turn.boundaries = number
        turn.crossed[label] += 1
        if turn.ends_at(label):
            found.append(number)
            turn.reached = True
    return found


def test_which_boundary_of_a_turn_a_crash_means() -> None:
    labels = ("write a", "write b", "write a", "write a")
    assert killed_at(None, *labels) == []
    assert killed_at(Crash("write a"), *labels) == [1]
    assert killed_at(Crash("write a", 2), *labels) == [3]
    assert killed_at(Crash("write b", 2), *labels) == []
    assert killed_at(Crash(ANY, 2), *labels) == [2]
    assert killed_at(Crash(ANY, 5), *labels) == []
