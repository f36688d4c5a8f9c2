"""A long table of steps in short: what repeats itself is told once, nothing that is spoken of is left out."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.report import terminal
from pytest_quarry.report.in_short import MOST_LINES, Again, LeftOut, Line, in_short
from pytest_quarry.samples import SAMPLES


def told(*worlds: str, here: int | None = None, named: Collection[int] = (), target: str = "") -> list[str]:
    """Each line as its number and what is said in it."""
    lines = [Line(float(at), world=world, target=target) for at, world in enumerate(worlds)]
    found = []
    for number, part in in_short(lines, here, named):
        match part:
            case Line():
                found.append(f"{number} {part.world}")
            case Again():
                found.append(f"{number}-{part.last} again {part.times}{' waits' if part.waits else ''} {part.until:g}")
            case LeftOut():
                found.append(f"{number} left out {part.lines}")
    return found


def test_what_comes_again_and_again_is_told_once() -> None:
    assert told("a", *["b", "c"] * 4, "d") == ["1 a", "2 b", "3 c", "4-9 again 3 8", "10 d"]
    assert told(*"bbbb") == ["1 b", "2-4 again 3 3"]


def test_what_comes_once_more_is_told() -> None:
    assert told("a", "b", "a", "b", "c") == ["1 a", "2 b", "3 a", "4 b", "5 c"]


def test_waits_may_differ() -> None:
    worlds = [words for seconds in (31, 31, 60, 300) for words in (f"waits {seconds} s", "polls")]
    assert told(*worlds) == ["1 waits 31 s", "2 polls", "3-8 again 3 waits 7"]
    assert told(*["waits 31 s", "polls"] * 3) == ["1 waits 31 s", "2 polls", "3-6 again 2 5"]


def test_a_change_of_the_target_is_always_told() -> None:
    assert told(*"aaaa", target="+1 row") == ["1 a", "2 a", "3 a", "4 a"]


@pytest.mark.parametrize("kept", [{"here": 4}, {"named": [4]}])
def test_what_is_spoken_of_is_told(kept: dict[str, int]) -> None:
    assert told(*"aaaaaaa", **kept) == ["1 a", "2-3 again 2 2", "4 a", "5-7 again 3 6"]  # type: ignore[arg-type]


def test_of_what_is_still_too_long_the_middle_is_left_out() -> None:
    worlds = [f"{number}" for number in range(200)]
    assert len(told(*worlds[:MOST_LINES])) == MOST_LINES
    found = told(*worlds, here=100, named=[60])
    assert len(found) <= MOST_LINES
    assert {"1 0", "200 199", "100 99", "60 59"} <= set(found)
    hidden = sum(int(words.rpartition(" ")[2]) for words in found if "left out" in words)
    assert hidden + sum("left out" not in words for words in found) == 200


@pytest.fixture(scope="module")
def claimed() -> Result:
    (sample,) = (sample for sample in SAMPLES if sample.name == "lambda-claims-for-ever")
    return Conductor(sample.suite()().consumer()).conduct(BY_ID["EB07"])


def test_a_message_that_is_delivered_ten_times(claimed: Result) -> None:
    text = terminal.failure(claimed, replay=None)
    lines = text.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(lines) < 20
    assert sum("the same 8 times more, with other waits, up to step" in line for line in lines) == 1
    (here,) = (line for line in lines if "◀ here" in line)
    assert f"at step {here.split()[0]} the message went to the dead-letter queue" in text


@pytest.mark.parametrize("width", [40, 60, 66])
def test_in_a_narrow_terminal(claimed: Result, width: int) -> None:
    table = terminal.failure(claimed, replay=None, width=width).partition("\n\n")[2].partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= width
    assert "the same 8 times more, with other waits, up to step" in " ".join(table.split())
