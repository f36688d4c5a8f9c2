"""Where nothing fair can be said of a consumer: files that changed unseen, a clock that is not the world's."""

from __future__ import annotations

from dataclasses import replace

from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History


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


def of_clock(history: History, consumer: Consumer, verdict: Verdict) -> Verdict | None:
    """A violation that may be due to a server's clock, which the world does not move; None where it cannot, or need not be
    thought of."""
    if not history.asked or consumer.ignores_server_clock:
        return None
    return replace(
        verdict,
        status="inconclusive",
        oracle="",
        why=f"{verdict.why}\nBut “{history.asked[0]}” made a server look at its own clock, which the world does not move: what ends "
        "by itself there, a claim or a key with a time to live, never ends here. Take the time from the consumer's own clock; or, "
        "where nothing that it decides depends on the server's, declare ignores_server_clock = True.",
    )
