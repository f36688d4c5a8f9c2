"""What each oracle says, whole: the sentence, why, the steps it names, the place of the wrong effect, and the run."""

from __future__ import annotations

from typing import Any

import pytest
from test_oracles import ITEMS, WROTE, entry, history, rows, verdict, view

from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.simulation.history import Entry, History

KILLED, RAISED, SETTLED = entry("killed"), entry("raised", text="ValueError: no"), entry("settled")
ACKNOWLEDGED, DEAD = entry("acknowledged", messages=(1,)), entry("dead-lettered", messages=(1,))
LOST = "run-A was lost: 3 rows expected, none found."


def said(found: History, oracle: str, *, told_only: bool = True) -> Verdict:
    got = verdict(found, oracle, told_only=told_only)
    assert got is not None
    return got


def whole(oracle: str, sentence: str, why: str, *entries: int, run_id: str | None = "run-A") -> Verdict:
    here = entries[-1] if entries else None
    return Verdict(
        status="violated", oracle=oracle, sentence=sentence, why=why, entries=entries, here=here, run_id=run_id
    )


@pytest.mark.parametrize(
    ("entries", "why", "named"),
    [
        ([], "The consumer had every turn it was owed, and never loaded it.", ()),
        ([RAISED, RAISED, RAISED], "It raised at step {0}, and never made up for it.", (3,)),
        (
            [RAISED, ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED],
            "At step {0} the consumer said that it was done, and nobody will tell it again.",
            (4,),
        ),
        (
            [KILLED, KILLED, KILLED],
            "What was durable at the kill at step {0} made the consumer believe that the work was done; nothing later made "
            "it look again.",
            (3,),
        ),
        (
            [KILLED, KILLED, KILLED, ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED],
            "What was durable at the kill at step {0} made the consumer believe that the work was done: at step {1} it "
            "acknowledged without loading the rest.",
            (3, 6),
        ),
        (
            [ACKNOWLEDGED, ACKNOWLEDGED, KILLED, KILLED],
            "Step {0} said that it was done; the kill at step {1} showed that it was not.",
            (2, 4),
        ),
        (
            [KILLED, DEAD, DEAD],
            "Every delivery failed, so at step {0} the message went to the dead-letter queue.",
            (3,),
        ),
        (
            [entry("damaged"), entry("damaged"), DEAD],
            "After the damage at step {0} the consumer neither recovered nor said so at every turn.",
            (2,),
        ),
    ],
)
def test_why_a_run_was_lost(entries: list[Entry], why: str, named: tuple[int, ...]) -> None:
    assert said(history(WROTE, *entries), "L") == whole("L", LOST, why, *named)


def test_what_is_said_of_other_runs_explains_nothing() -> None:
    other = entry("acknowledged", messages=(2,))
    assert said(history(WROTE, other), "L").why == "The consumer had every turn it was owed, and never loaded it."


def grew(*items: str, worker: int = 0, run_id: str = "run-A") -> Entry:
    return entry("crossed", rows=rows(*items, run_id=run_id), worker=worker)


class TestTwice:
    def test_in_one_go(self) -> None:
        found = history(WROTE, grew(*ITEMS, *ITEMS), held=rows(*ITEMS, *ITEMS))
        sentence = "run-A was loaded twice: 3 rows expected, 6 found."
        assert said(found, "D") == whole("D", sentence, "The rows came in one go, twice over.", 1)

    def test_with_nothing_between(self) -> None:
        found = history(WROTE, grew("i1"), grew("i1", "i2"), grew("i1", "i2", "i1"), held=rows("i1", "i2", "i1"))
        why = "Step {0} had loaded it, and at step {1} nothing kept the consumer from loading it again."
        sentence = "run-A was loaded in part twice: 2 rows expected, 3 found."
        assert said(found, "D") == whole("D", sentence, why, 1, 3)

    @pytest.mark.parametrize(
        ("entries", "named"),
        [
            ([KILLED, grew("i1", "i1"), KILLED], (1, 2, 3)),
            ([KILLED, KILLED, grew("i1", "i1")], (1, 3, 4)),
            ([KILLED, grew("i1", "i1"), KILLED, grew("i1", "i1", "i1")], (1, 4, 5)),
        ],
    )
    def test_a_kill_between(self, entries: list[Entry], named: tuple[int, ...]) -> None:
        wrote = entry("wrote", runs=(view(items=("i1",)),))
        got = said(history(wrote, grew("i1"), *entries, held=rows("i1", "i1")), "D")
        why = (
            "What step {0} loaded was durable; whatever should have told so was not when the consumer was killed at step "
            "{1}. So at step {2} nothing kept it from loading again."
        )
        assert got == whole("D", "run-A was loaded twice: 1 row expected, 2 found.", why, *named)

    def test_killed_where_the_rows_became_durable(self) -> None:
        killed_at_the_commit = entry("killed", rows=rows("i1"))
        got = said(history(WROTE, killed_at_the_commit, grew("i1", "i1"), held=rows("i1", "i1")), "D")
        assert got.entries == (1, 1, 2)

    def test_a_kill_that_comes_with_the_last_growth_is_not_between(self) -> None:
        found = history(WROTE, grew("i1"), entry("killed", rows=rows("i1", "i1")), held=rows("i1", "i1"))
        assert said(found, "D").entries == (1, 2)

    def test_rows_that_stay_are_no_growth(self) -> None:
        found = history(WROTE, grew("i1"), grew("i1"), grew("i1", "i1"), grew("i1", "i1"), held=rows("i1", "i1"))
        assert said(found, "D").entries == (1, 3)

    def test_a_run_that_is_fine_hides_no_other(self) -> None:
        both = entry("wrote", runs=(view(), view(run_id="run-B")))
        found = history(both, held=(*rows(*ITEMS), *rows("i1", "i1", run_id="run-B")))
        assert said(found, "D").run_id == "run-B"

    def test_two_workers(self) -> None:
        def raced(*entries: Entry) -> tuple[str, tuple[int, ...]]:
            got = said(history(WROTE, *entries, held=rows("i1", "i1")), "D")
            return got.why, got.entries

        later = "At step {0} worker 1 loaded it, and at step {1} nothing that was durable kept worker 2 from loading it again."
        before = "At step {0} worker 1 loaded it; at step {1} worker 2, which had begun before that, loaded it again."
        one, two = grew("i1", worker=1), grew("i1", "i1", worker=2)
        assert raced(one, two) == (later, (1, 2))
        assert raced(entry("crossed", worker=1), one, two) == (later, (2, 3))
        assert raced(entry("started", worker=2), one, two) == (later, (2, 3))
        assert raced(entry("crossed", worker=2), one, two) == (before, (2, 3))
        assert raced(one, entry("crossed", worker=2), two) == (later, (1, 3))
        unmarked = raced(one, entry("crossed", rows=rows("i1", "i1")), two)
        assert ("worker" in unmarked[0], unmarked[1]) == (False, (1, 2))
        assert "worker" not in raced(grew("i1"), grew("i1", "i1", worker=1))[0]


class TestPremature:
    WHY = "At step {0} the target held what no finished, committed and eligible run accounts for."

    def test_a_run_that_is_none(self) -> None:
        got = said(history(WROTE, grew("i1", run_id="run-Z")), "P")
        sentence = "run-Z is in the target, but no run of that id exists."
        assert got == whole("P", sentence, self.WHY, 1, run_id="run-Z")

    def test_an_item_that_is_none(self) -> None:
        got = said(history(WROTE, grew("i9")), "P")
        assert got == whole("P", "run-A has no item 'i9', but the target holds one.", self.WHY, 1)

    @pytest.mark.parametrize(
        ("state", "words"), [("finished", "finished but not one this consumer wants"), ("unheard-of", "unheard-of")]
    )
    def test_what_the_consumer_does_not_want(self, state: str, words: str) -> None:
        got = said(history(entry("wrote", runs=(view("forbidden", state),)), grew("i1")), "P")
        assert got == whole("P", f"run-A was loaded although it is {words}.", self.WHY, 1)


class TestLoud:
    """U: after damage an error at every turn is enough, if nothing was changed."""

    @staticmethod
    def judged(*entries: Entry, told_only: bool = False) -> Verdict | None:
        return verdict(history(WROTE, *entries, told=False), "U", told_only=told_only)

    @pytest.mark.parametrize("turn", ["polled", "delivered"])
    @pytest.mark.parametrize("error", ["raised", "ended"])
    def test_an_error_at_every_turn(self, turn: Any, error: Any) -> None:
        damaged = entry("damaged")
        assert self.judged(damaged, entry(turn), entry(error)) is None
        assert self.judged(entry(error), damaged, entry(turn)) is not None
        assert self.judged(damaged, entry(turn), entry(error), entry(turn)) is not None
        assert self.judged(damaged, entry(turn), entry(error), grew("i1")) is not None
        assert self.judged(entry(turn), damaged, entry(turn), entry(error)) is None

    def test_being_started_is_no_turn(self) -> None:
        assert self.judged(entry("damaged"), entry("started"), entry("polled"), RAISED) is None

    def test_without_damage_an_error_excuses_nothing(self) -> None:
        assert self.judged(entry("polled"), RAISED) is not None

    def test_what_nobody_told_is_not_due(self) -> None:
        assert self.judged(entry("damaged"), entry("polled"), told_only=True) is None


class TestQuiet:
    """S: a failure that lasts shows."""

    BROKE, POLLED, FAILED = entry("broke", text="reads fail for ever"), entry("polled"), entry("failed")
    WHY = "From step {0} on it met an error each time; at step {1} it neither raised nor printed nor changed anything."

    @pytest.mark.parametrize("turn", ["polled", "delivered"])
    def test_a_turn_that_meets_it_and_says_nothing(self, turn: Any) -> None:
        got = said(history(WROTE, self.BROKE, entry(turn), self.FAILED), "S")
        sentence = "A run cannot be loaded, and the consumer says nothing of it."
        assert got == whole("S", sentence, self.WHY, 1, 2, run_id=None)

    @pytest.mark.parametrize("shows", [RAISED, entry("ended"), entry("crossed", changed=True)])
    def test_a_turn_in_which_it_shows(self, shows: Entry) -> None:
        assert verdict(history(self.BROKE, self.POLLED, self.FAILED, shows), "S") is None

    def test_every_turn_counts(self) -> None:
        loud = (self.POLLED, self.FAILED, RAISED)
        assert said(history(self.BROKE, *loud, self.POLLED, self.FAILED), "S").entries == (0, 4)

    def test_a_turn_that_does_not_meet_it(self) -> None:
        assert verdict(history(self.BROKE, self.POLLED, entry("crossed")), "S") is None
        assert verdict(history(self.POLLED, self.BROKE, self.FAILED), "S") is None
        assert verdict(history(entry("broke", text="once"), self.POLLED, self.FAILED), "S") is None


class TestUnsettled:
    def test_hung(self) -> None:
        got = said(history(WROTE, entry("hung", text="silent for 10 s")), "V")
        words = "The consumer does not settle: silent for 10 s."
        assert got == whole("V", words, "It was killed at step {0}.", 1, run_id=None)

    def test_gave_up(self) -> None:
        got = said(history(entry("gave-up", text="its queue is not empty")), "V")
        words, why = (
            "The consumer does not settle: its queue is not empty.",
            "It had every turn it was owed before step {0}.",
        )
        assert got == whole("V", words, why, 0, run_id=None)

    def test_a_deadlock_and_its_last_error(self) -> None:
        got = said(history(RAISED, entry("gave-up", text="a deadlock")), "V")
        words = "The consumer does not settle: a deadlock (it raised ValueError: no)."
        assert got == whole("V", words, "At step {0} neither can go on.", 1, run_id=None)

    def test_a_sound_message_that_died(self) -> None:
        got = said(history(WROTE, DEAD), "V")
        words = "The message about run-A is sound, and ended in the dead-letter queue."
        assert got == whole("V", words, "Every delivery before step {0} failed.", 1, run_id=None)
        assert verdict(history(WROTE, entry("dead-lettered", messages=(2,))), "V") is None


class TestClaims:
    @pytest.mark.parametrize("end", [KILLED, SETTLED])
    def test_acknowledged_too_early(self, end: Entry) -> None:
        got = said(history(WROTE, ACKNOWLEDGED, end, grew(*ITEMS)), "C")
        words = "run-A was acknowledged before it was in the target."
        why = "Step {0} acknowledged it; at step {1} the target still lacked rows of it."
        assert got == whole("C", words, why, 1, 2)

    def test_only_kills_and_the_end_count(self) -> None:
        assert verdict(history(WROTE, ACKNOWLEDGED, entry("crossed"), grew(*ITEMS), SETTLED), "C") is None
