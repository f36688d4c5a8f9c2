"""Schedules are plain data: there and back through JSON, refused where they cannot be, executed alike each time."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loaders import loader, poller

from pytest_quarry.checks.stage import Stage
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    AWS_ERRORS,
    FILE_ERRORS,
    STEPS,
    Crash,
    Deliver,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    ScheduleError,
    Step,
    Switch,
    Wait,
    Write,
)

CRASHES = st.none() | st.builds(
    Crash,
    st.sampled_from(["target UPSERT", "return", "never there"]),
    st.integers(1, 4),
    st.none() | st.integers(0, 50),
)
RUNS = ("run-A", "run-B", "run.b")


@st.composite
def schedules(draw: Callable[..., Any], *, told: bool = True) -> Schedule:
    """Small schedules of every sort."""
    names = draw(st.lists(st.sampled_from(RUNS), min_size=1, max_size=3, unique=True))
    runs = tuple(draw(_run(name)) for name in names)
    steps: list[Step] = [Write(name) for name in names]
    if told:
        steps += [Notify(name) for name in names]
    for _ in range(draw(st.integers(1, 4))):
        steps.append(draw(_step(len(names), told)))
    return Schedule(runs=runs, steps=tuple(steps), seed=draw(st.integers(0, 3)))


@st.composite
def _run(draw: Callable[..., Any], name: str) -> PlannedRun:
    policy = draw(st.sampled_from(["strict", "buffered", "streaming"]))
    return PlannedRun(
        run_id=name,
        items=draw(st.integers(0, 3)),
        policy=policy,
        outcome=draw(st.sampled_from(["success", "success", "script_error"])),
        stored_twice=policy == "buffered" and draw(st.booleans()),
        logs=draw(st.integers(0, 1)),
    )


def _step(messages: int, told: bool) -> st.SearchStrategy[Step]:
    deliveries = st.lists(st.integers(1, messages), min_size=1, max_size=3).map(tuple)
    turn: Any = st.builds(Deliver, deliveries, CRASHES) if told else st.builds(Poll, CRASHES)
    return st.one_of(turn, turn, _two(messages, told), st.just(Restart()), st.builds(Wait, st.integers(0, 90_000)))


def _two(messages: int, told: bool) -> st.SearchStrategy[Overlap]:
    """Two workers at once; `first` and `second` are messages, or nothing for pollers."""
    nothing: Any = st.just(())
    given = st.lists(st.integers(1, messages), min_size=1, max_size=2).map(tuple) if told else nothing
    labels = st.sampled_from(["target UPSERT", "target BEGIN", "never there"])
    switches = st.lists(st.builds(Switch, labels, st.integers(1, 3)), max_size=3).map(tuple)
    first = given.map(lambda numbers: numbers[:1])
    return st.builds(Overlap, first, given, switches, CRASHES, st.booleans(), st.integers(0, 60))


def everything(kind: type, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a kind of step, or of planned run, with every field drawn: those of tomorrow too."""
    hints = typing.get_type_hints(kind)
    drawn = {field.name: st.from_type(hints[field.name]) for field in fields(kind)}
    return st.builds(kind, **{name: fixed.get(name, strategy) for name, strategy in drawn.items()})


BY_ITSELF = [kind for kind in STEPS.values() if not {"run", "messages"} & {field.name for field in fields(kind)}]
ERRORS = st.sampled_from([*FILE_ERRORS, *AWS_ERRORS])
UNTOLD = {"first": st.just(()), "second": st.just(())}
STEPS_BY_THEMSELVES = st.one_of([everything(kind, error=ERRORS, crash=CRASHES, **UNTOLD) for kind in BY_ITSELF])
ODD = st.builds(
    Schedule,
    runs=st.tuples(everything(PlannedRun, run_id=st.just("run-A"))),
    steps=st.lists(STEPS_BY_THEMSELVES, max_size=4).map(tuple),
    seed=st.integers(0, 99),
)


@settings(deadline=None, max_examples=200)
@given(schedules() | schedules(told=False) | ODD)
def test_every_schedule_survives_json(schedule: Schedule) -> None:
    text = json.dumps(schedule.to_json())
    again = Schedule.from_json(json.loads(text))
    assert again == schedule
    assert again.fingerprint == schedule.fingerprint
    assert json.dumps(again.to_json()) == text


@settings(deadline=None, max_examples=25)
@given(schedules())
def test_a_schedule_gives_one_history(schedule: Schedule) -> None:
    _same_twice(schedule, loader())


@settings(deadline=None, max_examples=15)
@given(schedules(told=False))
def test_a_schedule_gives_a_poller_one_history(schedule: Schedule) -> None:
    _same_twice(schedule, poller())


def _same_twice(schedule: Schedule, consumer: Any) -> None:
    first, second = simulate(schedule, consumer), simulate(schedule, consumer)
    assert first.difference(second) is None
    assert first == second
    _is_in_order(first)
    _loads_what_is_due(schedule, first)


def _is_in_order(history: History) -> None:
    times = [entry.time for entry in history.entries]
    assert times == sorted(times)
    incarnations = [entry.incarnation for entry in history.entries if not entry.worker]
    assert incarnations == sorted(incarnations)
    assert history.entries[-1].what == "settled"


def _loads_what_is_due(schedule: Schedule, history: History) -> None:
    """A sound consumer ends with each item of each finished run, once, whatever was done to it."""
    delivered = {message for step in schedule.steps if isinstance(step, Deliver) for message in step.messages}
    assert delivered <= set(history.notified) or not delivered
    expected = sorted(
        (view.run_id, item) for view in history.views.values() if view.standing == "due" for item in view.items
    )
    assert [(row.run_id, row.item) for row in history.rows] == expected


@settings(deadline=None, max_examples=15)
@given(schedules())
def test_what_is_observed_does_not_change_what_happens(schedule: Schedule) -> None:
    fine = simulate(schedule, loader())
    coarse = simulate(schedule, loader(), Play(observe=False))
    strip = [replace(entry, rows=None) for entry in fine.entries]
    assert [replace(entry, rows=None) for entry in coarse.entries] == strip
    assert coarse.rows == fine.rows


def test_defaults_are_left_out() -> None:
    schedule = Schedule(runs=(PlannedRun(run_id="a"),), steps=(Write("a"), Notify("a"), Deliver((1,), Crash("return"))))
    assert schedule.to_json() == {
        "version": 1,
        "seed": 0,
        "runs": [{"run_id": "a"}],
        "steps": [
            {"do": "write", "run": "a"},
            {"do": "notify", "run": "a"},
            {"do": "deliver", "messages": [1], "crash": {"label": "return"}},
        ],
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: Schedule(runs=(a, a), steps=()), "two planned runs share a run_id"),
        (lambda a: Schedule(runs=(a,), steps=(Write("b"),)), "step 1 is about run 'b'; planned are a"),
        (lambda a: Schedule(runs=(a,), steps=(Notify("b"),)), "step 1 is about run 'b'"),
        (lambda a: Schedule(runs=(a,), steps=(Deliver((1,)),)), "step 1 delivers (1,), but only 0 were accepted"),
        (lambda a: Schedule(runs=(a,), steps=(Notify("a"), Deliver(()))), "step 2 delivers ()"),
        (lambda a: Schedule(runs=(a,), steps=(Notify("a"), Deliver((0,)))), "step 2 delivers (0,)"),
        (lambda a: Schedule.from_json(None), "not a schedule"),
        (lambda a: Schedule.from_json({"version": 1, "runs": []}), "not a schedule"),
        (lambda a: Schedule.from_json({"version": 0, "runs": [], "steps": []}), "of schedule version 0"),
        (lambda a: Schedule.from_json({"version": 1, "runs": [7], "steps": []}), "run 1 is 7"),
        (lambda a: Schedule.from_json({"version": 1, "runs": [{}], "steps": []}), "run 1 lacks run_id"),
        (lambda a: Schedule.from_json({"version": 1, "runs": [], "steps": ["x"]}), "step 1 is 'x'; known are write"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[PlannedRun], Schedule], words: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(words)):
        make(PlannedRun(run_id="a"))


KNOWN_STEPS = "write, notify, deliver, poll, overlap, publish, restart, wait, break, heal, damage, litter"
KNOWN_FORMS = "full, minimal, extra, reordered, other-event, bare, not-json, missing-fields, wrong-types, no-such-path"
KNOWN_ERRORS = "EIO, ENOENT, EACCES, ENOSPC, EROFS, 503, 500, 404, throttle, conflict, reset, timeout, lost, dropped, cut, twice, pieces, lag, entries, first-entry, last-entry, slow"


def saved(*steps: Any, **other: Any) -> dict[str, Any]:
    return {"version": 1, "runs": [{"run_id": "a"}], "steps": list(steps), **other}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (7, "not a schedule: it needs version, runs and steps"),
        (saved(version=2), "it is of schedule version 2; this pytest-quarry reads version 1"),
        (saved(steps={}), "steps is {}, not a list"),
        (saved(runs="a"), "runs is 'a', not a list"),
        (saved(seed="1"), "seed is '1', not a whole number"),
        (saved(seed=True), "seed is True, not a whole number"),
        (saved({"do": "jump"}), f"step 1 is {{'do': 'jump'}}; known are {KNOWN_STEPS}"),
        (saved({"do": "poll"}, {"do": "write"}), "step 2 lacks run"),
        (saved({"do": "write", "run": 7}), "step 1 has run 7; it must be text"),
        (saved({"do": "write", "run": "a", "flush": True}), "step 1 has flush True; it must be a whole number"),
        (saved({"do": "write", "run": "a", "window": 1}), "step 1 has window 1; it must be text or null"),
        (
            saved({"do": "write", "run": "a", "when": 1, "how": 2}),
            "step 1 has unknown how, when; known are run, window, flush, clock",
        ),
        (
            saved({"do": "notify", "run": "a", "form": "short"}),
            f"step 1 has form 'short'; it must be one of {KNOWN_FORMS}",
        ),
        (saved({"do": "poll", "crash": 7}), "step 1, crash is 7, not an object"),
        (saved({"do": "poll", "crash": {}}), "step 1, crash lacks label"),
        (
            saved({"do": "poll", "crash": {"label": "x", "power": "off"}}),
            "step 1, crash has power 'off'; it must be one of cut, back or null",
        ),
        (saved({"do": "deliver", "messages": 7}), "step 1 has messages 7; it must be a list of whole numbers"),
        (saved({"do": "deliver", "messages": [1]}), "step 1 delivers (1,), but only 0 were accepted before it"),
        (saved({"do": "overlap", "switches": 7}), "step 1 has switches 7; it must be a list of switches"),
        (saved({"do": "overlap", "switches": [{}]}), "step 1, switch lacks label"),
        (saved({"do": "overlap", "second": ["1"]}), "step 1 has second ('1',); it must be a list of whole numbers"),
        (
            saved({"do": "notify", "run": "a"}, {"do": "overlap", "first": [1], "second": [2]}),
            "step 2 delivers (2,), but only 1 were accepted before it",
        ),
        (
            saved({"do": "notify", "run": "a"}, {"do": "overlap", "first": [2], "second": [1]}),
            "step 2 delivers (2,), but only 1 were accepted before it",
        ),
        (saved({"do": "overlap", "crash_second": 1}), "step 1 has crash_second 1; it must be true or false"),
        (
            saved({"do": "break", "at": "x", "error": "EGG"}),
            f"step 1 breaks with 'EGG'; known are {KNOWN_ERRORS}",
        ),
        (saved({"do": "write", "run": "b"}), "step 1 is about run 'b'; planned are a"),
        (
            saved({"do": "notify", "run": "a"}, {"do": "overlap", "first": [1]}),
            "step 2 delivers (), but only 1 were accepted before it",
        ),
        (saved({"do": "break"}), "step 1 lacks at, error"),
        (
            saved({"do": "write", "run": "c"}, runs=[{"run_id": "a"}, {"run_id": "b"}]),
            "step 1 is about run 'c'; planned are a, b",
        ),
        (saved(runs=[{"run_id": "b"}, {}]), "run 2 lacks run_id"),
        (saved(runs=[7]), "run 1 is 7, not an object"),
        (
            saved(runs=[{"run_id": "b"}, {"run_id": "a"}, {"run_id": "b"}]),
            "two planned runs share a run_id: ['a', 'b', 'b']",
        ),
    ],
)
def test_what_is_wrong_in_a_saved_schedule_is_told_word_for_word(data: Any, words: str) -> None:
    with pytest.raises(ScheduleError, match=f"^{re.escape(words)}$"):
        Schedule.from_json(data)


def test_a_saved_schedule_may_lack_its_seed() -> None:
    steps = {"do": "notify", "run": "a"}, {"do": "overlap", "first": [1], "second": [1], "switches": [{"label": "x"}]}
    overlap = Overlap((1,), (1,), (Switch("x"),))
    expected = Schedule(runs=(PlannedRun(run_id="a"),), steps=(Notify("a"), overlap), seed=0)
    assert Schedule.from_json(saved(*steps)) == expected


def test_names_of_runs_of_every_sort_go_through() -> None:
    for name in ("run with space", "ünïcødé", "a/b", "%2F", ".hidden", "x" * 120, "run_id=1"):
        consumer = loader()
        stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))  # noqa: B023
        history = stage.history(stage.loaded(stage.run("", run_id=name)))
        assert [row.run_id for row in history.rows] == [name] * 3, name
