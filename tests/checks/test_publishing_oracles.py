"""Each oracle of publishers on histories made by hand: what it must find, and what it must leave alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_quarry.checks.oracles import judge
from pytest_quarry.simulation.history import Entry, History, Publication, Truth

ROOT = "file:///root/datasets/quarry/partitions/source=shop/category=products/day=2026-02-02/run_id="


def truth(run_id: str = "run-A", **details: Any) -> Truth:
    values: dict[str, Any] = {
        "run_id": run_id,
        "source": "shop",
        "category": "products",
        "day": "2026-02-02",
        "outcome": "success",
        "job_id": "job-1",
        "attempt": 1,
        "event_count": 4,
        "storage_paths": (f"{ROOT}{run_id}", f"{ROOT}escaped"),
        "state": "finished",
    }
    return Truth(**values | details)


def message(**changes: Any) -> str:
    fields = {
        "event_type": "run_completed",
        "run_id": "run-A",
        "source": "shop",
        "category": "products",
        "day": "2026-02-02",
        "outcome": "success",
        "storage_path": f"{ROOT}run-A",
        "timestamp": "2026-02-02T08:00:00Z",
        "job_id": "job-1",
        "attempt": 1,
        "event_count": 4,
    } | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


ATTRIBUTES = (("run_id", "String", "run-A"), ("source", "String", "shop"), ("outcome", "String", "success"))


def entry(what: Any, text: str = "", **details: Any) -> Entry:
    return Entry(time=0.0, what=what, text=text, **details)


def published(text: str, state: str = "finished", ours: bool = True, attributes: Any = ATTRIBUTES) -> Entry:
    states = () if state == "nowhere" else (("run-A", state),)
    return entry(
        "published", published=Publication(topic="arn", ours=ours, text=text, attributes=attributes, states=states)
    )


def history(*entries: Entry, runs: tuple[Truth, ...] = (truth(),), asked: bool = True) -> History:
    first = (entry("asked", "run-A"),) if asked else ()
    truths = {run.run_id: run for run in runs}
    return History(entries=(*first, *entries, entry("settling")), truths=truths)


def words(found: History, letter: str) -> str | None:
    verdict = judge(found, letter, told_only=False)
    if verdict is None:
        return None
    assert verdict.oracle == letter
    assert verdict.here is not None
    assert all(0 <= at < len(found.entries) for at in verdict.entries)
    verdict.why.format(*verdict.entries)
    return verdict.sentence


@pytest.mark.parametrize("letter", "BTJNOA")
def test_a_sound_message(letter: str) -> None:
    assert words(history(published(message())), letter) is None


class TestBefore:
    @pytest.mark.parametrize(
        ("state", "held"), [("nowhere", "nothing"), ("running", "only a part"), ("uncommitted", "nothing committed")]
    )
    def test_before_it_is_visible(self, state: str, held: str) -> None:
        found = words(history(published(message(), state), entry("wrote")), "B")
        assert found == f"run-A was announced before it was visible: storage held {held} of it."

    def test_it_is_never_written(self) -> None:
        assert words(history(published(message(), "nowhere"), runs=(truth(state="nowhere"),)), "B") is not None

    def test_again_after_it_is_visible(self) -> None:
        assert words(history(published(message(), "running"), published(message())), "B") is not None

    def test_another_event_is_no_notification(self) -> None:
        assert words(history(published(message(event_type="run_started"), "nowhere"), entry("wrote")), "B") is None

    def test_another_topic_is_its_own_business(self) -> None:
        assert words(history(published("{}", "nowhere", ours=False)), "B") is None


class TestTruth:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"day": "2026-02-03"}, "day '2026-02-03'; storage has it under '2026-02-02'"),
            ({"category": "default"}, "category 'default'; storage has it under 'products'"),
            ({"source": "shop-eu"}, "source 'shop-eu'; storage has it under 'shop'"),
            ({"run_id": "run-B"}, "run_id 'run-B'; it is 'run-A'"),
            ({"job_id": "run-A"}, "job_id 'run-A'; it is 'job-1'"),
            ({"attempt": 2}, "attempt 2; it is 1"),
            ({"event_count": 0}, "event_count 0; it is 4"),
            ({"storage_path": "file:///run_id=run-A"}, f"storage_path 'file:///run_id=run-A'; it is in '{ROOT}run-A'"),
        ],
    )
    def test_a_field_that_is_wrong(self, changes: dict[str, Any], said: str) -> None:
        assert words(history(published(message(**changes))), "T") == f"run-A was announced with {said}."

    @pytest.mark.parametrize(
        "changes",
        [
            {"category": ..., "job_id": ..., "attempt": ..., "event_count": ...},
            {"storage_path": f"{ROOT}escaped"},
            {"storage_path": f"{ROOT}run-A/"},
            {"job_id": None, "added": {"by": "us"}},
        ],
    )
    def test_what_may_differ(self, changes: dict[str, Any]) -> None:
        assert words(history(published(message(**changes))), "T") is None

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("run-A is done", "it is not JSON *"),
            ("[1]", "it is a JSON list, not an object."),
            (message(storage_path=...), "storage_path is missing; *"),
            (message(timestamp="now"), "timestamp is 'now'; *"),
            (message(event_type=...), "event_type is None; *"),
            (message(outcome="done"), "outcome is 'done'; *"),
        ],
    )
    def test_no_notification_of_quarry(self, text: str, fault: str) -> None:
        found = words(history(published(text)), "T")
        assert found is not None
        pytest.LineMatcher([found]).fnmatch_lines([f"What announces run-A is no notification of Quarry: {fault}"])

    def test_of_two_messages_about_one_run_the_second_is_wrong(self) -> None:
        found = history(published(message()), published(message(day="2026-02-03")))
        assert words(found, "T") is not None


@pytest.mark.parametrize("letter", "TO")
@pytest.mark.parametrize(("outcome", "said", "right"), [("script_error", "error", True), ("success", "error", False)])
def test_the_outcomes_of_quarrys_examples(letter: str, outcome: str, said: str, right: bool) -> None:
    found = history(published(message(outcome=said)), runs=(truth(outcome=outcome),))
    expected = None if right else f"run-A ended with '{outcome}' and was announced as '{said}'."
    assert words(found, letter) == expected


class TestIntact:
    def test_an_id_that_came_out_otherwise(self) -> None:
        found = history(published(message(run_id="run A")), runs=(truth('run "A"'), truth()))
        assert words(found, "J") == "run_id 'run-A' came out as 'run A'."

    def test_no_json(self) -> None:
        found = words(history(published('{"run_id": "a"b"}')), "J")
        assert found is not None
        assert found.startswith("What announces run-A cannot be read: it is not JSON (")

    def test_a_missing_category(self) -> None:
        assert words(history(published(message(category=..., job_id=...))), "J") is None


class TestAnnounced:
    BROKE = entry("broke", "sns.Publish: throttle 5 times")
    ENDLESS = entry("broke", "sns.Publish: throttle from then on")
    ASKED = entry("asked", "run-A")

    def test_nothing_is_published(self) -> None:
        expected = (
            "run-A (success) was never announced: publish(run) came back as if all were well, and SNS had taken no message "
            "about it."
        )
        assert words(history(entry("returned")), "N") == expected

    def test_it_raises_though_nothing_failed(self) -> None:
        found = words(history(entry("raised", "KeyError: 'x'")), "N")
        assert found == "run-A was not announced: publish(run) raised KeyError: 'x', though nothing had failed."

    @pytest.mark.parametrize("end", [entry("raised", "ClientError"), entry("ended", "its own process, with status 1")])
    def test_a_loud_failure(self, end: Entry) -> None:
        assert words(history(self.BROKE, self.ASKED, end, asked=False), "N") is None

    @pytest.mark.parametrize("end", [entry("returned"), entry("ended", "its own process, with status 0")])
    def test_a_quiet_failure(self, end: Entry) -> None:
        found = words(history(self.BROKE, self.ASKED, end, asked=False), "N")
        assert found is not None
        assert found.startswith("run-A was never announced, and nothing says so: publishing failed, and ")

    def test_loud_after_all_is_healed(self) -> None:
        found = history(self.BROKE, entry("healed"), self.ASKED, entry("raised", "OSError"), asked=False)
        assert words(found, "N") is not None

    def test_a_raise_after_the_message_was_taken(self) -> None:
        assert words(history(published(message()), entry("raised", "ReadTimeoutError")), "N") is None

    def test_trying_for_ever_while_it_fails_for_ever(self) -> None:
        assert words(history(self.ENDLESS, self.ASKED, entry("hung", "10,000"), asked=False), "N") is None
        found = words(history(self.BROKE, self.ASKED, entry("hung", "10,000"), asked=False), "N")
        assert found == "run-A was not announced: publish(run) does not come back: 10,000."

    @pytest.mark.parametrize(("state", "accused"), [("nowhere", False), ("uncommitted", True)])
    def test_a_run_that_came_to_nothing_need_not_be_announced(self, state: str, accused: bool) -> None:
        failed = entry("failed", "quarry run run-A: EIO 5 Input/output error")
        found = history(self.BROKE, self.ASKED, failed, entry("returned"), runs=(truth(state=state),), asked=False)
        assert (words(found, "N") is not None) is accused

    def test_a_run_that_was_never_run_is_not_forgiven(self) -> None:
        assert (
            words(history(self.BROKE, self.ASKED, entry("returned"), runs=(truth(state="nowhere"),)), "N") is not None
        )

    def test_a_killed_publisher_owes_nothing(self) -> None:
        assert words(history(entry("killed", "before sns.Publish")), "N") is None


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ((), "has no attribute run_id; it has none"),
        (ATTRIBUTES[:2], "has no attribute outcome; it has run_id, source"),
        ((("run_id", "Binary", "cnVuLUE="), *ATTRIBUTES[1:]), "has the attribute run_id as Binary, not as String"),
        ((("run_id", "String", "run-B"), *ATTRIBUTES[1:]), "has the attribute run_id 'run-B'; it is 'run-A'"),
    ],
)
def test_attributes(attributes: Any, fault: str) -> None:
    assert words(history(published(message(), attributes=attributes)), "A") == f"The message about run-A {fault}."


def test_attributes_of_more_kinds_and_names_are_welcome() -> None:
    more = (("run_id", "String.Id", "run-A"), *ATTRIBUTES[1:], ("price", "Number", "1"))
    assert words(history(published(message(), attributes=more)), "A") is None
