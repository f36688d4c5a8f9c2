"""Two histories of one schedule are compared: a consumer that does not do the same twice is told where, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_quarry.simulation.history import Difference, Entry, History, Publication, Row, RunView

WROTE = Entry(time=0.0, what="wrote", text="run-42")
CROSSED = Entry(time=1.0, what="crossed", text="write orders", size=7)
RETURNED = Entry(time=2.0, what="returned")


def history(*entries: Entry, by_a_program: bool = False, rows: tuple[Row, ...] = ()) -> History:
    return History(entries=entries, rows=rows, by_a_program=by_a_program)


def message(text: str, *attributes: tuple[str, str, str], topic: str = "arn:ours", state: str = "finished") -> Entry:
    told = Publication(topic=topic, ours=True, text=text, attributes=attributes, states=(("run-42", state),))
    return Entry(time=1.0, what="published", published=told)


def how(one: Entry, other: Entry) -> str:
    """In what two entries at one place differ: both stand after one that is equal."""
    difference = history(WROTE, one, RETURNED).difference(history(WROTE, other, RETURNED))
    assert difference is not None
    assert difference.at == 1
    return difference.how


def test_what_is_equal_has_no_difference() -> None:
    assert history(WROTE, CROSSED).difference(history(WROTE, replace(CROSSED))) is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(CROSSED, text="write stock"), "“crossed write orders” in one, “crossed write stock” in the other"),
        (RETURNED, "“crossed write orders” in one, “returned” in the other"),
        (replace(CROSSED, size=9), "“crossed write orders” is of 7 bytes in one, of 9 in the other"),
        (replace(CROSSED, size=None), "“crossed write orders” is of 7 bytes in one, of 0 in the other"),
        (
            replace(CROSSED, rows=(Row("run-42"), Row("run-43"))),
            "after “crossed write orders” the target holds 0 rows in one, 2 in the other",
        ),
        (
            replace(CROSSED, time=1.25),
            "“crossed write orders” comes 1 s after the beginning in one, 1.25 s in the other",
        ),
        (
            replace(CROSSED, state=3),
            "“crossed write orders” leaves something else behind in one than in the other: on disk, in AWS or in the target",
        ),
    ],
)
def test_how_two_entries_differ(other: Entry, words: str) -> None:
    assert how(CROSSED, other) == words


def test_whose_size_and_whose_time_is_whose() -> None:
    unsized = replace(CROSSED, size=None)
    assert how(unsized, CROSSED) == "“crossed write orders” is of 0 bytes in one, of 7 in the other"
    later = replace(CROSSED, time=1.25)
    assert how(later, CROSSED) == "“crossed write orders” comes 1.25 s after the beginning in one, 1 s in the other"


def test_rows_that_differ_and_are_as_many() -> None:
    one, other = (replace(CROSSED, rows=(Row("run-42", item),)) for item in "ab")
    assert how(one, other) == "after “crossed write orders” the target holds other rows in one than in the other"
    fewer = replace(CROSSED, rows=())
    assert how(one, fewer) == "after “crossed write orders” the target holds 1 rows in one, 0 in the other"


class TestMessages:
    """Two messages of a publisher."""

    def test_short_texts_are_told_whole(self) -> None:
        words = 'the message of “published” has “{"id": 1}” in one, “{"id": 2}” in the other'
        assert how(message('{"id": 1}'), message('{"id": 2}')) == words

    def test_long_texts_are_told_from_a_little_before_they_part(self) -> None:
        one, other = ("a" * 100 + "b" * 20 + sign * 50 for sign in "xy")
        words = f"has “{'b' * 20 + 'x' * 20}” in one, “{'b' * 20 + 'y' * 20}” in the other"
        assert how(message(one), message(other)) == f"the message of “published” {words}"

    def test_one_that_goes_on(self) -> None:
        words = f"has “{'a' * 20}” in one, “{'a' * 20}bc” in the other"
        assert how(message("a" * 30), message("a" * 30 + "bc")) == f"the message of “published” {words}"

    def test_only_one_that_is_a_message(self) -> None:
        plain = replace(message("a"), published=None)
        words = "“published” leaves something else behind in one than in the other: on disk, in AWS or in the target"
        assert how(message("a"), plain) == how(plain, message("a")) == words

    def test_the_attributes(self) -> None:
        one, other = (message("a", ("type", "String", value)) for value in ("run_completed", "run_failed"))
        words = "has “type (String): run_completed” in one, “type (String): run_failed” in the other"
        assert how(one, other) == f"the attributes of “published” {words}"

    def test_all_attributes_are_looked_at(self) -> None:
        one, other = (message("a", ("a", "N", "1"), ("b", "N", value)) for value in "23")
        words = "has “a (N): 1, b (N): 2” in one, “a (N): 1, b (N): 3” in the other"
        assert how(one, other) == f"the attributes of “published” {words}"

    def test_the_topic(self) -> None:
        words = "the topic of “published” has “arn:ours” in one, “arn:theirs” in the other"
        assert how(message("a"), message("a", topic="arn:theirs")) == words

    def test_when_it_was_sent(self) -> None:
        words = "storage at “published” has “run-42 finished” in one, “run-42 running” in the other"
        assert how(message("a"), message("a", state="running")) == words

    def test_what_else_was_there(self) -> None:
        states = (("run-1", "failed"), ("run-2", "running"))
        one, other = (
            replace(message("a").published or pytest.fail("it is"), states=states[:count]) for count in (1, 2)
        )
        words = "storage at “published” has “run-1 failed” in one, “run-1 failed, run-2 running” in the other"
        assert how(replace(message("a"), published=one), replace(message("a"), published=other)) == words


class TestLengths:
    """One goes on where the other ends."""

    def test_the_longer_is_told(self) -> None:
        words = "after that only one of them goes on, with “crossed write orders”"
        short, long = history(WROTE), history(WROTE, CROSSED, RETURNED)
        assert short.difference(long) == long.difference(short) == Difference(0, words)

    def test_the_rows_at_the_end(self) -> None:
        one, other = history(WROTE, CROSSED), history(WROTE, CROSSED, rows=(Row("run-42"),))
        assert one.difference(other) == Difference(1, "the rows at the end differ")


class TestTimesOfPrograms:
    """A program's clock goes on by itself: the times that it tells are not compared."""

    TIMES = ("2026-02-02T07:00:00", "2026-02-02T07:00:00.123", "2026-02-02T07:00:01,5", "1770015600", "1770015600123.5")

    @pytest.mark.parametrize("time", TIMES)
    def test_in_texts_and_attributes(self, time: str) -> None:
        one = message('{"at": "2026-02-02T06:59:59"}', ("at", "String", "1770015599"))
        other = message(f'{{"at": "{time}"}}', ("at", "String", time))
        mine, theirs = history(WROTE, one, by_a_program=True), history(WROTE, other, by_a_program=True)
        assert mine.difference(theirs) is None
        assert history(WROTE, one).difference(history(WROTE, other)) is not None
        assert mine.difference(history(WROTE, other)) is not None

    @pytest.mark.parametrize("number", ["2770015600", "177001560", "17700156001"])
    def test_other_numbers_are_compared(self, number: str) -> None:
        one, other = message("order 1770015600"), message(f"order {number}")
        mine, theirs = history(one, by_a_program=True), history(other, by_a_program=True)
        assert mine.difference(theirs) is not None

    def test_all_else_is_compared(self) -> None:
        for one, other in (
            (message("at 1770015600: a"), message("at 1770015601: b")),
            (message("a", ("at", "String", "1")), message("a", ("at", "String", "2"))),
            (message("a", ("at", "String", "1")), message("a", ("at", "Number", "1"))),
            (message("a", ("at", "String", "1")), message("a", ("on", "String", "1"))),
        ):
            mine, theirs = history(CROSSED, one, by_a_program=True), history(CROSSED, other, by_a_program=True)
            difference = mine.difference(theirs)
            assert difference is not None
            assert difference.at == 1


def test_the_last_view_of_a_run_counts() -> None:
    first, last = (RunView(run_id="run-42", standing="due", state=state, items=()) for state in ("running", "finished"))
    other = RunView(run_id="run-43", standing="forbidden", state="failed", items=())
    seen = history(replace(WROTE, runs=(first, other)), CROSSED, replace(WROTE, runs=(last,)))
    assert seen.views == {"run-42": last, "run-43": other}
