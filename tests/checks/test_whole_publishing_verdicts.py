"""What each oracle of publishers says, whole: the sentence, why, the steps it names, the place of the wrong effect, the run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_publishing_oracles import ATTRIBUTES, entry, history, message, published, truth

from pytest_quarry.checks.oracles import judge
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.simulation.history import Entry, History

RUN_B = truth("run-B")


def said(found: History, letter: str) -> Verdict:
    got = judge(found, letter, told_only=False)
    assert got is not None
    return got


def whole(letter: str, sentence: str, why: str, *entries: int, here: int, run_id: str = "run-A") -> Verdict:
    return Verdict(
        status="violated", oracle=letter, sentence=sentence, why=why, entries=entries, here=here, run_id=run_id
    )


class TestBefore:
    SENTENCE = "run-A was announced before it was visible: storage held nothing of it."
    BEFORE = "The message of step {1} was out before Quarry had written the run, at step {0}."

    def test_before_the_run_is_written(self) -> None:
        wrote = entry("wrote")
        got = said(history(wrote, published(message(), "nowhere"), entry("failed"), wrote, wrote), "B")
        assert got == whole("B", self.SENTENCE, self.BEFORE, 4, 2, here=2)

    def test_the_run_came_to_nothing(self) -> None:
        got = said(history(*[entry("failed")] * 3, published(message(), "nowhere")), "B")
        why = "At step {0} the run came to nothing, and step {1} announced it all the same."
        assert got == whole("B", self.SENTENCE, why, 3, 4, here=4)

    def test_nothing_was_written_at_all(self) -> None:
        got = said(history(entry("crossed"), published(message(), "nowhere")), "B")
        assert got == whole("B", self.SENTENCE, "Nothing had written the run by step {0}.", 2, here=2)

    @pytest.mark.parametrize("state", ["nowhere", "running", "uncommitted"])
    def test_a_run_that_never_became_visible(self, state: str) -> None:
        """That storage held then what it holds at the end is no excuse."""
        assert said(history(published(message(), state), runs=(truth(state=state),)), "B").here == 1

    def test_a_message_in_time_hides_no_other(self) -> None:
        assert said(history(published(message()), published(message(), "running")), "B").entries == (2,)


class TestWhichRunAMessageIsAbout:
    def test_the_one_it_names_where_there_is_one(self) -> None:
        found = history(published(message(run_id="run-B", day="2026-01-01")), runs=(truth(), RUN_B))
        assert said(found, "T").run_id == "run-B"

    def test_else_the_one_that_was_asked_for(self) -> None:
        asked = (entry("asked", "run-A"), entry("asked", "run-B"))
        found = history(*asked, published("{}"), runs=(truth(), RUN_B), asked=False)
        assert said(found, "T").run_id == "run-B"

    def test_what_comes_before_anything_was_asked_is_about_nothing(self) -> None:
        found = history(published("{}"), runs=(truth(""),), asked=False)
        assert judge(history(published("{}"), asked=False), "T", told_only=False) is None
        assert judge(found, "T", told_only=False) is not None  # unless a run has that very name

    def test_messages_that_are_none_of_ours_hide_no_other(self) -> None:
        strangers = (published("{}", ours=False), published(message(event_type="run_started")), entry("crossed"))
        assert said(history(*strangers, published("nonsense")), "J").here == 4


def test_what_is_no_notification_and_what_is_wrong_in_the_next() -> None:
    why = (
        "Whoever gets the message of step {0} and believes it looks in a wrong place, or does what should not be done."
    )
    got = said(history(published(message()), published(message(day="2026-02-03"))), "T")
    sentence = "run-A was announced with day '2026-02-03'; storage has it under '2026-02-02'."
    assert got == whole("T", sentence, why, 2, here=2)
    kinds = [judge(history(published(text)), "T", told_only=False) for text in ("[]", message(day="2026-02-03"))]
    assert [each.why for each in kinds if each] == [why, why]


def test_an_x_at_the_end_of_a_path_is_no_slash() -> None:
    path = json.loads(message())["storage_path"]
    assert said(history(published(message(storage_path=path + "X"))), "T").here == 1


class TestIntact:
    def test_no_json(self) -> None:
        got = said(history(published("run-A")), "J")
        fault = "it is not JSON (Expecting value: line 1 column 1 (char 0))"
        sentence = f"What announces run-A cannot be read: {fault}. It is 'run-A'."
        assert got == whole("J", sentence, "No consumer can parse the message of step {0}.", 1, here=1)

    @pytest.mark.parametrize("name", ["run_id", "source"])
    def test_an_id_that_must_be_there(self, name: str) -> None:
        got = said(history(published(message(**{name: ...}))), "J")
        sentence = f"{name} {getattr(truth(), name)!r} came out as None."
        assert got == whole("J", sentence, "The message of step {0} names what does not exist.", 1, here=1)

    @pytest.mark.parametrize("name", ["category", "job_id"])
    def test_an_id_that_may_be_missing_but_not_wrong(self, name: str) -> None:
        assert said(history(published(message(**{name: "x"}))), "J").sentence.endswith("came out as 'x'.")

    def test_what_cannot_be_read_is_one_fault_and_not_five(self) -> None:
        from pytest_quarry.checks.publishing_oracles import intact

        assert len(list(intact(history(published("nonsense")), False))) == 1


class TestSilence:
    ALONE = "Called at step {0}, it left the run durable and nobody told."
    BROKEN = "From step {1} on publishing failed; called at step {0}, it left the run durable and nobody told."
    BROKE, ASKED = entry("broke", "sns.Publish: throttle 5 times"), entry("asked", "run-A")

    def test_undisturbed(self) -> None:
        sentence = "run-A (success) was never announced: its process ended with status 0, and SNS had taken no message about it."
        got = said(history(entry("ended", "its own process, with status 0")), "N")
        assert got == whole("N", sentence, self.ALONE, 0, here=0)

    def test_while_publishing_fails(self) -> None:
        found = history(entry("crossed"), self.BROKE, self.ASKED, entry("returned"), asked=False)
        sentence = (
            "run-A was never announced, and nothing says so: publishing failed, and publish(run) came back as if all were "
            "well."
        )
        assert said(found, "N") == whole("N", sentence, self.BROKEN, 2, 1, here=2)

    def test_what_broke_before_anything_else_counts_too(self) -> None:
        assert said(history(self.BROKE, self.ASKED, entry("returned"), asked=False), "N").entries == (1, 0)

    def test_a_process_that_ends_with_a_status_though_nothing_failed(self) -> None:
        got = said(history(entry("ended", "its own process, with status 1")), "N")
        words = "run-A was not announced: publish(run) ended its own process, with status 1, though nothing had failed."
        assert got == whole("N", words, self.ALONE, 0, here=0)

    @pytest.mark.parametrize("excused", [published(message()), entry("killed")])
    def test_a_turn_that_owes_nothing_hides_no_other(self, excused: Entry) -> None:
        second = (entry("asked", "run-B"), entry("returned"))
        got = said(history(self.ASKED, excused, *second, runs=(truth(), RUN_B), asked=False), "N")
        assert (got.run_id, got.here) == ("run-B", 2)

    def test_a_loud_turn_hides_no_quiet_one(self) -> None:
        loud, quiet = (self.ASKED, entry("raised", "E")), (entry("asked", "run-B"), entry("returned"))
        got = said(history(self.BROKE, *loud, *quiet, runs=(truth(), RUN_B), asked=False), "N")
        assert (got.run_id, got.entries) == ("run-B", (3, 0))

    def test_a_turn_ends_where_the_next_begins_or_the_world_settles(self) -> None:
        """What is raised later says nothing of this turn."""
        loud_later = (entry("asked", "run-B"), entry("raised", "E"))
        found = history(self.BROKE, self.ASKED, *loud_later, runs=(truth(), RUN_B), asked=False)
        assert said(found, "N").run_id == "run-A"
        settled = History(
            entries=(self.BROKE, self.ASKED, entry("settling"), entry("raised", "E")), truths={"run-A": truth()}
        )
        assert said(settled, "N").here == 1


def test_without_an_outcome() -> None:
    got = said(history(published(message(outcome=...))), "O")
    sentence = "run-A ended with 'success' and was announced without an outcome."
    assert got == whole("O", sentence, "Consumers decide by the outcome that the message of step {0} names.", 1, here=1)


class TestAttributes:
    def test_one_that_is_missing(self) -> None:
        got = said(history(published(message(), attributes=ATTRIBUTES[1:])), "A")
        sentence = "The message about run-A has no attribute run_id; it has outcome, source."
        assert got == whole("A", sentence, "Subscriptions that filter by it miss the message of step {0}.", 1, here=1)

    @pytest.mark.parametrize(("value", "right"), [("error", True), ("script_error", True), ("success", False)])
    def test_the_outcome_may_be_called_error(self, value: str, right: bool) -> None:
        attributes = (*ATTRIBUTES[:2], ("outcome", "String", value))
        found = history(published(message(), attributes=attributes), runs=(truth(outcome="script_error"),))
        assert (judge(found, "A", told_only=False) is None) is right


@pytest.mark.parametrize(
    ("run_id", "shown"), [("run-A", "run-A"), ("run A", "'run A'"), ("run\n", r"'run\n'"), ("r" + "X", "rX")]
)
def test_a_run_id_is_quoted_where_it_would_not_stand_out(run_id: str, shown: str) -> None:
    found = history(entry("asked", run_id), entry("returned"), runs=(truth(run_id),), asked=False)
    assert said(found, "N").sentence.startswith(f"{shown} (success) was never announced")


@pytest.mark.parametrize(("length", "cut"), [(198, False), (199, True), (500, True)])
def test_long_values_are_cut(length: int, cut: bool) -> None:
    value: Any = "x" * length  # two quotes come with it
    sentence = said(history(published(message(source=value))), "J").sentence
    shown = "'" + "x" * 198 + ("…" if cut else "'")
    assert sentence == f"source 'shop' came out as {shown}."
