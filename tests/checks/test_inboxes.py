"""An acknowledgement before the rows are there is a loss, or an inbox that lasts: the consumer has to say so."""

from __future__ import annotations

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.samples.broken_background import LoadsInAThreadSuite
from pytest_quarry.samples.inboxes import WorksItsInboxOffSuite

CRASHES = BY_ID["EB04"]


class UndeclaredSuite(WorksItsInboxOffSuite):
    durable_inbox = False


class DeclaredInVainSuite(LoadsInAThreadSuite):
    durable_inbox = True


def test_who_loads_it_later_without_being_told_again_is_asked() -> None:
    result = Conductor(UndeclaredSuite().consumer()).conduct(CRASHES)
    assert result.status == "inconclusive"
    assert result.verdict is not None
    assert result.verdict.sentence.endswith("was acknowledged before it was in the target.")
    assert "declare durable_inbox = True" in result.verdict.why


def test_who_says_so_is_held_to_what_it_loads_in_the_end() -> None:
    assert Conductor(WorksItsInboxOffSuite().consumer()).conduct(CRASHES).status == "passed"


def test_who_says_so_and_has_none_loses_it() -> None:
    result = Conductor(DeclaredInVainSuite().consumer()).conduct(CRASHES)
    assert result.status == "failed"
    assert result.verdict is not None
    assert "was lost" in result.verdict.sentence
