"""Where nothing fair can be said of a consumer: what changed unseen, or elsewhere; a clock that is not the world's."""

from __future__ import annotations

import itertools
from dataclasses import replace

from pytest_quarry.checks.verdict import Verdict, plain
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.kernel.said import SEND
from pytest_quarry.consumers.protocol import ANSWER, AT_WORK, TO_SERVER, UNSEEN
from pytest_quarry.simulation.history import Entry, History, missing
from pytest_quarry.simulation.places import HOW_TO_HAVE_ROOM, MB

PATIENCE = "If it is only slow, give it more real seconds, by --quarry-guard or quarry_guard."
ROOM = 64 * MB  # left, with less of which one file of a check may be too large
OF_WHAT_LACKS = frozenset("LVUSN")  # oracles that look for what more time might have brought


def of_files(history: History) -> Verdict:
    """Files changed, and nothing that was seen had changed them."""
    files = ", ".join(history.unexplained[:5])
    return Verdict(
        status="inconclusive",
        oracle="",
        sentence=f"{files} changed, and no operation the kit can see explains it: crash points there were not tried.",
        why="Memory maps write unseen; and child programs and C libraries, where the system does not show their calls. Keep "
        'durable state in files, SQLite or AWS; or say where such a file changes, with world.boundary("…", file) before each '
        "place; or keep scratch files elsewhere.",
    )


def of_leftovers(history: History, consumer: Consumer) -> Verdict | None:
    """Rows were there before the consumer had done anything: those of another world."""
    for at, entry in enumerate(history.entries):
        if entry.what in ("crossed", "delivered", "polled", "raised"):
            return None
        rows = [row for row in entry.rows or () if row.run_id in history.views]
        if entry.what == "started" and rows:
            return Verdict(
                status="inconclusive",
                oracle="",
                sentence=f"The target is not empty when a world begins: {consumer.name}.rows(world) returned "
                f"{len(rows)} row{'s' * (len(rows) > 1)} of {rows[0].run_id} before the consumer had done "
                "anything.",
                why=f"Each schedule is played in a new world. {consumer.name}.prepare(world) must empty what outlives a world: "
                f"tables on a server, and the marks of what was loaded there.",
                entries=(at,),
            )
    return None


def of_place(history: History, consumer: Consumer) -> Verdict | None:
    """Rows came, and nothing that the consumer did was seen to bring them: where it keeps them, nobody looks."""
    if history.servers or history.not_exercised or consumer.ignored_servers:
        return None
    numbered = enumerate(history.entries)
    turns = list(itertools.dropwhile(lambda each: each[1].what not in ("delivered", "polled"), numbered))
    # What a worker does to its queue brings no rows.
    if any(entry.changed and entry.what == "crossed" and not entry.text.startswith("sqs.") for _, entry in turns):
        return None
    at, rows = next(((at, len(entry.rows)) for at, entry in turns if entry.rows), (0, 0))
    if not rows:
        return None
    return _out_of_sight(
        f"{_rows(rows)} came, and the consumer did nothing that the kit saw.",
        "It was killed nowhere within its turns, so nothing is known of its crashes",
        consumer,
        at,
    )


def of_what_outlived(history: History, again: History, consumer: Consumer) -> Verdict | None:
    """Rows were there in a new world too: whatever the consumer was seen to do, this is not what brought them."""
    if again.servers or again.not_exercised or not again.outlived:
        return None
    theirs, rows = set(again.outlived), len(again.outlived)
    at = next((at for at, entry in enumerate(history.entries) if theirs.intersection(entry.rows or ())), None)
    came = "" if at is None else ": they came by step {0}"
    return _out_of_sight(
        f"{_rows(rows)} came, and {'are' if rows > 1 else 'is'} there when the world is gone.",
        f"What brings them is not seen, so the consumer is killed nowhere on the way to them{came}",
        consumer,
        at,
    )


def _out_of_sight(sentence: str, why: str, consumer: Consumer, at: int | None) -> Verdict:
    return Verdict(
        status="inconclusive",
        oracle="",
        sentence=f"The target is out of sight: {sentence}",
        why=f"{why}. Let it keep what it loads, and its marks, below world.disk, in AWS, in world.target or on a server: "
        f"{consumer.name}.start(world) gets the world. Another folder, pytest's tmp_path for one, is not watched; nor is a connection "
        "that was made before start, and that the consumer goes on with: close it in prepare(world), or make it in start.",
        entries=() if at is None else (at,),
    )


def _rows(number: int) -> str:
    return f"{number} row{'s' * (number > 1)}"


def of_servers(history: History) -> str:
    """What to look at where it spoke to servers."""
    if not history.servers:
        return ""
    late = f" {_late(history)}" if history.unanswered else ""
    return f" It spoke to {', '.join(history.servers[:3])}: does prepare(world) empty all that is kept there?{late}"


def of_clock(history: History, consumer: Consumer, verdict: Verdict) -> Verdict | None:
    """A violation that may be due to a server's clock, which the world does not move; None where it cannot, or need not be
    thought of."""
    if not history.asked or consumer.ignores_server_clock:
        return None
    label = history.asked[0]
    looked = f"“{label}” made a server look at its own clock"
    if label == TO_SERVER + SEND:
        looked = (
            f"what “{label}” says cannot be read, over TLS for one, and may have made a server look at its own clock"
        )
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        why=f"{verdict.why}\nBut {looked}, which the world does not move: what ends by itself there, a claim or a key with a time to "
        "live, never ends here. Take the time from the consumer's own clock; or, where nothing that it decides depends on the server's, declare ignores_server_clock = True.",
    )


def of_answers(history: History, verdict: Verdict) -> Verdict | None:
    """A violation that a server's answer might have mended, which was given up in virtual time before it had come."""
    if not history.unanswered or verdict.oracle not in OF_WHAT_LACKS:
        return None
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        why=f"{verdict.why}\n{_late(history)}",
    )


def _late(history: History) -> str:
    return (
        f"{history.unanswered[0]} had not answered in {ANSWER:g} real seconds, and then the consumer's timeouts pass in virtual time, at "
        "once. Let it answer sooner in the test."
    )


def of_patience(history: History, verdict: Verdict) -> Verdict | None:
    """A violation that more real time might have mended: the guard ended the consumer, and it was given no further turn."""
    ended = _ended_by_the_guard(history)
    if not ended or verdict.oracle not in OF_WHAT_LACKS:
        return None
    at = ended[-1]
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        sentence=f"The consumer did not come back: {history.entries[at].text}.",
        why=f"It was ended at step {{0}}, and given no further turn, so what is missing then may be no fault of its own. {PATIENCE}",
        entries=(at,),
        here=at,
    )


def of_inbox(history: History, verdict: Verdict) -> Verdict | None:
    """An acknowledgement before the rows were there, of a run that the consumer loaded all the same, and was not told of again."""
    if verdict.oracle != "C" or verdict.here is None:
        return None
    view = history.views.get(verdict.run_id or "")
    later = history.entries[verdict.here + 1 :]
    told = any(entry.what == "delivered" and verdict.run_id in _runs(history, entry) for entry in later)
    if view is None or told or missing(view, history.rows):
        return None
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        why=f"{verdict.why} It was loaded later, though nobody told of it again: what was acknowledged had been written down.\nIf the "
        "consumer means that, and keeps an inbox of its own that it works off after a restart too, declare durable_inbox = True.",
    )


def _runs(history: History, entry: Entry) -> set[str]:
    return {history.notified[number] for number in entry.messages if number in history.notified}


def of_room(history: History, verdict: Verdict) -> Verdict | None:
    """A violation that may be due to a full file system: that of the kit's worlds, not one that a schedule filled."""
    if history.room >= ROOM:
        return None
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        sentence=f"Nothing can be said: the file system that the world is on had {history.room // MB} MB left.",
        why=f"{verdict.sentence} But what failed for want of room is no fault of the consumer's. {HOW_TO_HAVE_ROOM}",
        entries=(),
    )


def stands_still(history: History) -> bool:
    """Whether the guard ended it, and nothing of it was at work then."""
    return any(not history.entries[at].text.endswith(AT_WORK) for at in _ended_by_the_guard(history))


def not_back(entry: Entry) -> str:
    """How a `why` begins of a consumer that did not come back at step {0}."""
    patience = f" {PATIENCE}" if UNSEEN in entry.text else ""
    return f"At step {{0}} it did not come back: {plain(entry.text)}. It was ended there, and given no further turn.{patience}"


def _ended_by_the_guard(history: History) -> list[int]:
    return [at for at, entry in enumerate(history.entries) if entry.what == "hung" and UNSEEN in entry.text]
