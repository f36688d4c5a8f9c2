"""Every crash point, torn write, order and duplicate of a small schedule: which ones, and that there are no more."""

from __future__ import annotations

from typing import Any

from pytest_quarry.simulation.explore import (
    crash_points,
    data_sized,
    duplicates,
    durable_work,
    kinds_of_work,
    orders,
    power_losses,
    rare_places,
    torn_writes,
)
from pytest_quarry.simulation.history import Entry, Happening, History, Row
from pytest_quarry.simulation.schedule import (
    Crash,
    Deliver,
    Notify,
    PlannedRun,
    Poll,
    Publish,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)

RUNS = tuple(PlannedRun(run_id=name) for name in "AB")
TOLD: tuple[Step, ...] = (Write("A"), Notify("A"), Write("B"), Notify("B"))
POLLS = Schedule(runs=RUNS, steps=(Write("A"), Poll(), Restart(), Poll()))


def happened(what: Happening, text: str, step: int, state: int, **details: Any) -> Entry:
    return Entry(time=0.0, what=what, text=text, step=step, state=state, **details)


HISTORY = History(
    entries=(
        happened("wrote", "A", 1, 1),
        happened("crossed", "a", 2, 1),
        happened("crossed", "b", 2, 2),
        happened("crossed", "a", 2, 2),
        happened("returned", "return", 2, 2),
        happened("killed", "between two turns", 3, 3),
        happened("crossed", "a", 3, 4),
        happened("crossed", "a", 4, 4),
        happened("returned", "return", 4, 5),
        happened("crossed", "c", 4, 5),
        happened("crossed", "d", 5, 6),
        happened("crossed", "e", 5, 7),
    )
)


def killed(schedule: Schedule) -> list[tuple[int, Crash]]:
    """The steps that are killed, and where; the rest is as it was."""
    found = [(at, step.crash) for at, step in enumerate(schedule.steps, 1) if isinstance(step, (Poll, Publish))]
    return [(at, crash) for at, crash in found if crash is not None]


def test_a_crash_comes_before_the_first_boundary_of_each_durable_state() -> None:
    points = list(crash_points(POLLS, HISTORY))
    assert [killed(point) for point in points] == [
        [(2, Crash("a", 1))],
        [(2, Crash("a", 2))],
        [(4, Crash("a", 1))],
        [(4, Crash("c", 1))],
    ]
    assert [type(step) for step in points[0].steps] == [type(step) for step in POLLS.steps]


def test_a_publisher_is_killed_too_and_who_loses_power_is_not_one() -> None:
    publishes = Schedule(runs=RUNS, steps=(Write("A"), Publish("A")))
    assert [killed(point) for point in crash_points(publishes, HISTORY)][:1] == [[(2, Crash("a", 1))]]
    assert list(power_losses(publishes, HISTORY)) == []


def test_power_is_lost_at_the_same_points_in_two_ways() -> None:
    lost = [killed(point) for point in power_losses(POLLS, HISTORY)]
    assert lost[:2] == [[(2, Crash("a", 1, power="cut"))], [(2, Crash("a", 1, power="back"))]]
    assert lost[-1] == [(4, Crash("c", 1, power="back"))]
    assert len(lost) == 8


def test_one_write_is_torn_at_half_and_before_its_last_byte() -> None:
    entries = (
        happened("crossed", "write a", 2, 1, size=10, buffered=True),
        happened("crossed", "write a", 2, 1, size=3, buffered=True),
        happened("crossed", "write a", 2, 1, size=2, buffered=True),
        happened("crossed", "write a", 2, 1, size=1, buffered=True),
        happened("crossed", "write a", 2, 1, size=10),
        happened("crossed", "write b", 2, 1, size=10, buffered=True),
        happened("crossed", "write a", 3, 1, size=10, buffered=True),
        happened("failed", "write a", 4, 1, size=10, buffered=True),
        happened("crossed", "write a", 4, 1, buffered=True),
        happened("crossed", "write a", 4, 1, size=100, buffered=True),
    )
    torn = torn_writes(POLLS, History(entries=entries), frozenset({"write a"}))
    assert [killed(each) for each in torn] == [
        [(2, Crash("write a", 1, 5))],
        [(2, Crash("write a", 1, 9))],
        [(2, Crash("write a", 2, 1))],
        [(2, Crash("write a", 2, 2))],
        [(2, Crash("write a", 3, 1))],
        [(4, Crash("write a", 2, 50))],
        [(4, Crash("write a", 2, 99))],
    ]


def test_a_write_grows_with_the_data_when_it_grows_by_more_than_digits() -> None:
    def wrote(**sizes: int | None) -> History:
        return History(entries=tuple(happened("crossed", name, 2, 1, size=size) for name, size in sizes.items()))

    more = (happened("failed", "fails", 2, 1, size=100),)
    histories = [wrote(grows=0, counts=10, is_none=None), wrote(grows=8, counts=17, is_none=None, fails=1)]
    assert data_sized([*histories, History(entries=more)]) == {"grows"}


def test_a_header_and_records_do_not_grow_with_the_data() -> None:
    """Each is written whole, of the same size whatever the data: nothing of them is ever cut."""

    def wrote(*sizes: int) -> History:
        return History(entries=tuple(happened("crossed", "write marks", 2, 1, size=size) for size in sizes))

    assert not data_sized([wrote(64, 32), wrote(64, 32, 32)])
    assert data_sized([wrote(64, 32), wrote(64, 40)]) == {"write marks"}


def test_durable_work_is_what_changed_something_under_any_random_name() -> None:
    entries = (
        happened("crossed", "open tmpa1b2_3z8", 2, 1, changed=True),
        happened("crossed", "rename 0f8fad5b-d9cb-469f-a165-70867728950e a", 2, 1, changed=True),
        happened("crossed", "rename 0f8fad5bd9cb469fa16570867728950e a", 2, 1, changed=True),
        happened("crossed", "target UPSERT", 2, 1, rows=(Row("A"),)),
        happened("crossed", "thinks", 2, 1),
        happened("wrote", "A", 2, 1, changed=True),
        happened("crossed", "open b", 3, 1, changed=True),
    )
    expected = ("open *", "rename * a", "rename * a", "target UPSERT")
    assert durable_work(History(entries=entries), 2) == expected


MERGES = History(
    entries=(
        happened("crossed", "rename tmpa1b2_3z8 → A-1", 5, 1, changed=True),
        happened("returned", "return", 5, 1),
        happened("crossed", "rename tmp77b2_3z8 → B-2", 6, 2, changed=True),
        happened("crossed", "looks", 6, 2),
        happened("crossed", "unlink A-1", 6, 3, changed=True),
        happened("crossed", "looks", 6, 3),
        happened("crossed", "unlink B-2", 6, 4, changed=True),
        happened("returned", "return", 6, 4),
    )
)


def test_kinds_of_work_are_labels_without_runs_numbers_and_random_names() -> None:
    schedule = Schedule(runs=RUNS, steps=(*TOLD, Deliver((1,)), Deliver((2,))))
    assert kinds_of_work(MERGES, schedule) == {"rename * → *-#", "unlink *-#"}


def test_what_it_does_for_the_first_time_is_killed_before_and_after() -> None:
    """Of several in a row the first, and where something else that is durable comes, or its turn ends."""
    schedule = Schedule(runs=RUNS, steps=(*TOLD, Deliver((1,)), Deliver((2,)), Deliver((1,))))
    rare = list(rare_places(schedule, MERGES, {"rename * → *-#"}))
    crashes = [step.crash for point in rare for step in point.steps if isinstance(step, Deliver) and step.crash]
    assert crashes == [Crash("unlink A-1"), Crash("looks", 2), Crash("unlink B-2")]
    assert {point.steps[:-1] for point in rare} == {(*TOLD, Deliver((1,)))}
    assert not list(rare_places(schedule, MERGES, kinds_of_work(MERGES, schedule)))


def test_runs_that_are_told_of_later_are_left_out() -> None:
    schedule = Schedule(runs=RUNS, steps=(*TOLD, Deliver((1,)), Deliver((2,))))
    rare = list(rare_places(schedule, MERGES, {"unlink *-#"}))
    assert [(point.runs, point.steps[:-1]) for point in rare[:1]] == [(RUNS[:1], TOLD[:2])]


def delivered(schedule: Schedule) -> list[str]:
    return [
        "+".join(map(str, step.messages)) if isinstance(step, Deliver) else type(step).__name__
        for step in schedule.steps
        if not isinstance(step, (Write, Notify))
    ]


def test_deliveries_come_in_every_order_after_all_else() -> None:
    base = Schedule(runs=RUNS, steps=(*TOLD, Deliver((1,)), Wait(5), Deliver((2,)), Deliver((1, 2))))
    assert [delivered(each) for each in orders(base)] == [
        ["Wait", "1", "2", "1+2"],
        ["Wait", "1", "1+2", "2"],
        ["Wait", "2", "1", "1+2"],
        ["Wait", "2", "1+2", "1"],
        ["Wait", "1+2", "1", "2"],
        ["Wait", "1+2", "2", "1"],
    ]


def test_deliveries_that_come_before_a_notification_have_one_order() -> None:
    early = Schedule(runs=RUNS, steps=(*TOLD[:2], Deliver((1,)), *TOLD[2:], Deliver((2,))))
    assert list(orders(early)) == []
    assert [delivered(each) for each in orders(Schedule(runs=RUNS, steps=TOLD))] == [[]]
    assert list(orders(Schedule(runs=RUNS, steps=(Wait(5),)))) == [Schedule(runs=RUNS, steps=(Wait(5),))]


def test_each_delivery_is_repeated_in_its_batch_and_at_each_later_place() -> None:
    base = Schedule(runs=RUNS, steps=(*TOLD, Deliver((2, 1), Crash("a")), Wait(5), Deliver((2,))))
    found = list(duplicates(base))
    assert [delivered(each) for each in found] == [
        ["2+1+1", "Wait", "2"],
        ["2+1", "2+1", "Wait", "2"],
        ["2+1", "Wait", "2+1", "2"],
        ["2+1", "Wait", "2", "2+1"],
        ["2+1", "Wait", "2+2"],
        ["2+1", "Wait", "2", "2"],
    ]
    crashes = [[step.crash for step in each.steps if isinstance(step, Deliver)] for each in found]
    assert crashes[:2] == [[Crash("a"), None], [Crash("a"), None, None]]
