"""Each oracle on histories made by hand: what it must find, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_quarry.checks.oracles import judge
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.simulation.history import Entry, History, Row, RunView

ITEMS = ("i1", "i2", "i3")


def view(
    standing: Any = "due",
    state: str = "finished",
    run_id: str = "run-A",
    items: tuple[str, ...] = ITEMS,
    replaced_by: tuple[str, ...] = (),
) -> RunView:
    return RunView(run_id=run_id, standing=standing, state=state, items=items, replaced_by=replaced_by)


def rows(*items: str | None, run_id: str = "run-A") -> tuple[Row, ...]:
    return tuple(Row(run_id, item) for item in items)


def entry(what: Any, **details: Any) -> Entry:
    return Entry(time=0.0, what=what, **details)


def history(*entries: Entry, held: tuple[Row, ...] = (), told: bool = True) -> History:
    return History(entries=entries, rows=held, notified={1: "run-A"} if told else {})


def verdict(found: History, oracle: str, *, told_only: bool = True) -> Verdict | None:
    return judge(found, oracle, told_only=told_only)


def violated(found: History, oracle: str, *, told_only: bool = True) -> Verdict:
    got = verdict(found, oracle, told_only=told_only)
    assert got is not None
    assert got.oracle == oracle
    return got


WROTE = entry("wrote", runs=(view(),))


class TestOneRunInThePlaceOfAnother:
    WROTE = entry("wrote", runs=(view("optional", replaced_by=("run-B", "run-C")), view(run_id="run-C")))
    BOTH = rows(*ITEMS) + rows(*ITEMS, run_id="run-C")

    def test_the_newer_one_alone(self) -> None:
        found = history(self.WROTE, held=rows(*ITEMS, run_id="run-C"))
        assert [verdict(found, oracle, told_only=False) for oracle in "LDP"] == [None, None, None]

    def test_the_older_one_alone(self) -> None:
        assert violated(history(self.WROTE, held=rows(*ITEMS)), "L", told_only=False).sentence == (
            "run-C was lost: 3 rows expected, none found."
        )

    def test_both(self) -> None:
        entries = entry("crossed", rows=rows(*ITEMS)), entry("crossed", rows=self.BOTH)
        got = violated(history(self.WROTE, *entries, held=self.BOTH), "D")
        assert got.sentence == "run-A is in the target beside run-C, which takes its place."
        assert (got.why, got.entries, got.here) == ("One came at step {0}, the other at step {1}.", (1, 2), 2)

    def test_both_at_one_time(self) -> None:
        got = violated(history(self.WROTE, entry("crossed", rows=self.BOTH), held=self.BOTH), "D")
        assert (got.why, got.entries, got.here) == ("Both came in one go.", (1,), 1)

    def test_a_part_of_the_older_one(self) -> None:
        found = history(self.WROTE, held=rows("i1") + rows(*ITEMS, run_id="run-C"))
        assert (
            violated(found, "L", told_only=False).sentence == "run-A was loaded only in part: 3 rows expected, 1 found."
        )


class TestNoLoss:
    def test_all_items_there(self) -> None:
        assert verdict(history(WROTE, held=rows(*ITEMS)), "L") is None

    def test_nothing_there(self) -> None:
        assert violated(history(WROTE), "L").sentence == "run-A was lost: 3 rows expected, none found."

    def test_a_part_there(self) -> None:
        got = violated(history(WROTE, held=rows("i1")), "L")
        assert got.sentence == "run-A was loaded only in part: 3 rows expected, 1 found."

    def test_rows_without_item_stand_for_the_run(self) -> None:
        assert verdict(history(WROTE, held=rows(None)), "L") is None

    def test_other_runs_rows_do_not_count(self) -> None:
        violated(history(WROTE, held=rows(*ITEMS, run_id="run-B")), "L")

    def test_nobody_was_told(self) -> None:
        assert verdict(history(WROTE, told=False), "L") is None

    def test_a_poller_needs_no_telling(self) -> None:
        violated(history(WROTE, told=False), "L", told_only=False)

    @pytest.mark.parametrize("standing", ["optional", "forbidden"])
    def test_what_need_not_be_there(self, standing: str) -> None:
        assert verdict(history(entry("wrote", runs=(view(standing),))), "L") is None

    def test_an_optional_run_is_loaded_whole_or_not_at_all(self) -> None:
        wrote = entry("wrote", runs=(view("optional"),))
        assert verdict(history(wrote, held=rows(*ITEMS)), "L") is None
        violated(history(wrote, held=rows("i1", "i2")), "L")

    def test_the_last_view_of_a_run_counts(self) -> None:
        running = entry("wrote", runs=(view("forbidden", "running"),))
        violated(history(running, WROTE), "L")
        assert verdict(history(WROTE, running), "L") is None

    def test_a_run_without_items_cannot_be_lost(self) -> None:
        assert verdict(history(entry("wrote", runs=(view(items=()),))), "L") is None

    def test_says_that_it_was_acknowledged_before_the_kill(self) -> None:
        found = history(WROTE, entry("acknowledged", messages=(1,)), entry("killed"))
        got = violated(found, "L")
        assert got.entries == (1, 2)
        assert "Step {0} said that it was done" in got.why

    def test_says_what_took_it_out_again(self) -> None:
        found = history(
            WROTE,
            entry("crossed", worker=2, rows=rows(*ITEMS)),
            entry("acknowledged", messages=(1,)),
            entry("crossed", worker=1, rows=rows("i1", run_id="run-B")),
        )
        got = violated(found, "L")
        assert (got.entries, got.here) == ((1, 3), 3)
        assert got.why == (
            "It was in the target at step {0}; step {1} took it out again: worker 1 wrote what it had made of an older state."
        )

    def test_asks_whether_the_run_that_came_instead_is_to_take_its_place(self) -> None:
        entries = [
            WROTE,
            entry("crossed", rows=rows(*ITEMS)),
            entry("crossed", rows=()),
            entry("crossed", rows=rows("i1", run_id="run-B")),
        ]
        assert violated(history(*entries), "L").why == (
            "It was in the target at step {0}; step {1} took it out again, and nothing put it back. If run-B is to take its place, "
            "the suite must say so: replaces(run, other)."
        )
        assert violated(history(*entries[:-1]), "L").why.endswith(", and nothing put it back.")
        said = entry("wrote", runs=(view("optional", run_id="run-C", replaced_by=("run-D",)),))
        assert violated(history(*entries, said), "L").why.endswith(", and nothing put it back.")

    def test_says_that_an_older_run_took_its_place(self) -> None:
        older = view("optional", run_id="run-B", replaced_by=("run-A",))
        entries = [entry("wrote", runs=(view(), older)), entry("crossed", rows=rows(*ITEMS))]
        got = violated(history(*entries, entry("crossed", rows=rows("i1", run_id="run-B"))), "L")
        assert got.why == (
            "It was in the target at step {0}; step {1} took it out again: run-B, which is the older one, took its place."
        )

    def test_says_that_who_took_it_out_was_killed_before_it_was_there_again(self) -> None:
        found = history(
            WROTE,
            entry("crossed", worker=1, rows=rows(*ITEMS)),
            entry("crossed", worker=2, rows=rows("i1", run_id="run-B")),
            entry("acknowledged", messages=(1,), worker=1),
            entry("killed", worker=2),
        )
        why = violated(found, "L").why
        assert (
            why
            == "It was in the target at step {0}; step {1} took it out again, and was killed before it was there again."
        )

    def test_says_what_a_loss_of_power_took(self) -> None:
        found = history(WROTE, entry("crossed", rows=rows(*ITEMS)), entry("killed", rows=()))
        assert "took it out again, as it was not synced" in violated(found, "L").why

    def test_what_came_back_was_not_taken_out(self) -> None:
        whole, half = entry("crossed", rows=rows(*ITEMS)), entry("crossed", rows=rows("i1"))
        told = entry("acknowledged", messages=(1,))
        assert violated(history(WROTE, whole, half, whole, half, told), "L").entries == (3, 4)
        assert violated(history(WROTE, half, told), "L").entries == (2,)

    @pytest.mark.parametrize(
        ("how", "more"),
        [
            ("it crossed 9 boundaries, the last at {x}", ""),
            ("it did nothing the world could see for 10 s", "--quarry-guard"),
        ],
    )
    def test_says_that_it_did_not_come_back(self, how: str, more: str) -> None:
        got = violated(history(WROTE, entry("killed"), entry("hung", text=how)), "L")
        assert got.why.format(*got.entries).startswith(
            f"At step 2 it did not come back: {how}. It was ended there, and"
        )
        assert more in got.why
        assert ("guard" in got.why) == bool(more)

    def test_says_that_the_message_died(self) -> None:
        got = violated(history(WROTE, entry("raised"), entry("dead-lettered", messages=(1,))), "L")
        assert got.entries == (2,)


class TestNoDuplicate:
    def test_each_once(self) -> None:
        assert verdict(history(WROTE, held=rows(*ITEMS)), "D") is None

    def test_all_twice(self) -> None:
        got = violated(history(WROTE, held=rows(*ITEMS, *ITEMS)), "D")
        assert got.sentence == "run-A was loaded twice: 3 rows expected, 6 found."

    def test_one_item_twice(self) -> None:
        got = violated(history(WROTE, held=rows("i1", *ITEMS)), "D")
        assert got.sentence == "run-A was loaded more than once: 3 rows expected, 4 found."

    def test_rows_without_item_twice(self) -> None:
        violated(history(WROTE, held=rows(None, None)), "D")

    def test_equal_items_of_two_runs_are_two(self) -> None:
        both = entry("wrote", runs=(view(), view(run_id="run-B")))
        assert verdict(history(both, held=(*rows(*ITEMS), *rows(*ITEMS, run_id="run-B"))), "D") is None

    def test_names_the_kill_between_the_two_loads(self) -> None:
        found = history(
            WROTE,
            entry("crossed", rows=rows("i1")),
            entry("killed"),
            entry("crossed", rows=rows("i1", "i1")),
            held=rows("i1", "i1"),
        )
        got = violated(found, "D")
        assert got.entries == (1, 2, 3)
        assert got.here == 3


class TestNothingPremature:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("running", "still running"),
            ("uncommitted", "not committed"),
            ("failed", "a failed run"),
            ("crashed", "a crashed run"),
        ],
    )
    def test_forbidden_rows(self, state: str, words: str) -> None:
        found = history(entry("wrote", runs=(view("forbidden", state),)), entry("crossed", rows=rows("i1")))
        assert violated(found, "P").sentence == f"run-A was loaded although it is {words}."

    def test_rows_that_came_too_early_and_were_due_later(self) -> None:
        running = entry("wrote", runs=(view("forbidden", "running"),))
        found = history(running, entry("crossed", rows=rows("i1")), WROTE, held=rows(*ITEMS))
        assert violated(found, "P").here == 1

    def test_rows_that_were_taken_back(self) -> None:
        running = entry("wrote", runs=(view("forbidden", "running"),))
        violated(history(running, entry("crossed", rows=rows("i1")), entry("crossed", rows=())), "P")

    def test_an_unknown_run(self) -> None:
        found = history(WROTE, entry("crossed", rows=rows("i1", run_id="run-X")))
        assert violated(found, "P").sentence == "run-X is in the target, but no run of that id exists."

    def test_an_unknown_item(self) -> None:
        violated(history(WROTE, entry("crossed", rows=rows("i9"))), "P")

    @pytest.mark.parametrize("standing", ["due", "optional"])
    def test_what_may_be_there(self, standing: str) -> None:
        found = history(entry("wrote", runs=(view(standing),)), entry("crossed", rows=rows("i1")))
        assert verdict(found, "P") is None


class TestSettles:
    def test_settled(self) -> None:
        assert verdict(history(WROTE, entry("settled")), "V") is None

    def test_hung(self) -> None:
        assert "does not settle" in violated(history(WROTE, entry("hung", text="it did nothing")), "V").sentence

    def test_a_good_message_in_the_dead_letter_queue(self) -> None:
        found = history(WROTE, entry("raised", text="KeyError: 'x'"), entry("dead-lettered", messages=(1,)))
        assert "KeyError: 'x'" in violated(found, "V").sentence

    def test_gave_up(self) -> None:
        violated(history(WROTE, entry("gave-up", text="#1 is still not acknowledged")), "V")


class TestClaimsHold:
    def test_claimed_and_there(self) -> None:
        found = history(
            WROTE, entry("crossed", rows=rows(*ITEMS)), entry("acknowledged", messages=(1,)), entry("killed")
        )
        assert verdict(found, "C") is None

    @pytest.mark.parametrize("moment", ["killed", "settled"])
    def test_claimed_and_not_there(self, moment: str) -> None:
        found = history(WROTE, entry("acknowledged", messages=(1,)), entry(moment))
        assert violated(found, "C").sentence == "run-A was acknowledged before it was in the target."

    def test_not_claimed(self) -> None:
        assert verdict(history(WROTE, entry("killed")), "C") is None

    def test_a_claim_about_a_failed_run_claims_nothing(self) -> None:
        failed = entry("wrote", runs=(view("forbidden", "failed"),))
        assert verdict(history(failed, entry("acknowledged", messages=(1,)), entry("killed")), "C") is None


class TestFailureShows:
    BROKE = entry("broke", text="read: EIO for ever")
    FAILED = entry("failed", text="read a: no")

    def test_silence(self) -> None:
        assert violated(history(self.BROKE, entry("polled"), self.FAILED, entry("returned")), "S").entries == (0, 1)

    @pytest.mark.parametrize("sign", [entry("raised"), entry("ended"), entry("crossed", changed=True)])
    def test_a_sign_in_the_same_turn(self, sign: Entry) -> None:
        assert verdict(history(self.BROKE, entry("polled"), self.FAILED, sign), "S") is None

    def test_a_sign_in_another_turn_is_none(self) -> None:
        loaded = entry("crossed", changed=True)
        violated(history(self.BROKE, entry("polled"), self.FAILED, loaded, entry("polled"), self.FAILED), "S")

    def test_words_are_a_sign(self) -> None:
        entries = (self.BROKE, entry("polled"), self.FAILED)
        assert verdict(History(entries=entries, output="run-B failed"), "S") is None

    def test_what_heals_need_not_show(self) -> None:
        assert verdict(history(entry("broke", text="read: EIO"), entry("polled"), self.FAILED), "S") is None


class TestNoLossOrLoud:
    DAMAGED = entry("damaged")

    def test_lost_and_silent(self) -> None:
        assert violated_as_loss(history(WROTE, self.DAMAGED, entry("polled"), entry("returned")))

    def test_lost_and_loud_at_every_turn(self) -> None:
        assert verdict(history(WROTE, self.DAMAGED, entry("polled"), entry("raised")), "U", told_only=False) is None

    def test_loud_once_and_then_silent(self) -> None:
        assert violated_as_loss(history(WROTE, self.DAMAGED, entry("polled"), entry("raised"), entry("polled")))

    def test_loud_and_yet_something_changed(self) -> None:
        loaded = entry("raised", rows=rows("i1"))
        assert violated_as_loss(history(WROTE, self.DAMAGED, entry("polled"), loaded, held=rows("i1")))

    def test_recovered(self) -> None:
        assert verdict(history(WROTE, self.DAMAGED, held=rows(*ITEMS)), "U", told_only=False) is None


def violated_as_loss(found: History) -> bool:
    got = verdict(found, "U", told_only=False)
    return got is not None and got.oracle == "L"


class TestTwoWorkersRace:
    """Why a run was loaded twice, where two workers were at work."""

    def twice(self, *between: Entry, second: int = 2) -> str:
        first = entry("crossed", worker=1, rows=rows("i1"))
        again = entry("crossed", worker=second, rows=rows("i1", "i1"))
        one = entry("wrote", runs=(view(items=("i1",)),))
        return violated(history(one, *between, first, again, held=rows("i1", "i1")), "D").why

    def test_who_had_begun_before(self) -> None:
        why = "At step {0} worker 1 loaded it; at step {1} worker 2, which had begun before that, loaded it again."
        assert self.twice(entry("crossed", worker=2)) == why

    def test_who_began_later(self) -> None:
        assert "nothing that was durable kept worker 2 from" in self.twice()

    def test_one_alone(self) -> None:
        assert "worker" not in self.twice(second=1)
