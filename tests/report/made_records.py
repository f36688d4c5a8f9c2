"""Records made by hand: one of each status, and one in which every text is hostile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_quarry.report.record import Failure, Message, Record, RowCount, Step

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=1>",
    "<!--<script>",
    "]]>",
    "\"'`&amp;&lt;",
    "javascript:window.hacked=1",
    "\u202eright-to-left\u2066",
    "bell\x07 escape\x1b[31m nul\x00 next\x85",
    "line\u2028separator",
    "lone\ud800surrogate",
    "{{data}} ${x} %s",
    "☃ é 漢字 🦆",
)


def steps(count: int = 4) -> tuple[Step, ...]:
    """A delivery, a kill between quiet operations, and a wrong effect at the last step but one."""
    found = [
        Step(
            number=1,
            time=1,
            what="wrote",
            text="run-A finished",
            world="writes run-A finished",
            added=("datasets/x/data", "datasets/x/manifest.json"),
        ),
        Step(number=2, time=2, what="delivered", text="run-A (#1)", world="delivers run-A (#1)"),
        Step(number=None, time=2.001, what="crossed", text="open orders.sqlite"),
        Step(
            number=3,
            time=2.002,
            what="killed",
            text="before COMMIT",
            world="KILLED",
            consumer="before COMMIT",
            mark="crash",
        ),
    ]
    for number in range(4, count + 1):
        again = {"what": "delivered", "text": "run-A (#1)", "world": "delivers run-A (#1)", "mark": "duplicate"}
        effect = {
            "what": "crossed",
            "text": "COMMIT",
            "consumer": "COMMIT",
            "target": "+1 row of run-A",
            "mark": "effect",
        }
        last = number == count
        found.append(
            Step(
                number=number,
                time=number,
                changed=last,
                here=last,
                gained=(("run-A", "e-1"),) if last else (),
                **(effect if last else again),
            )
        )  # type: ignore[arg-type]
    return tuple(found)


def failure(**details: Any) -> Failure:
    """Why EB05 failed."""
    values: dict[str, Any] = {
        "sentence": "run-A was loaded twice: 1 row expected, 2 found.",
        "why": "What step 2 loaded was durable; at step 4 nothing told so.",
        "fix": "Load and mark in one transaction.",
        "oracle": "D",
        "run_id": "run-A",
        "text": "EB05 crash-duplicates-nothing   critical\n …",
        "replay": "pytest test_orders.py --quarry-replay=.quarry/EB05-1.json",
        "saved": ".quarry/EB05-1.json",
        "schedule": {"version": 1, "runs": [], "steps": []},
        "steps": steps(6),
        "steps_left_out": 0,
        "rows": (RowCount(run_id="run-A", item="e-1", expected=1, found=2),),
        "rows_left_out": 0,
        "output": "loading run-A\n",
        "stack": "",
    }
    return Failure(**{**values, **details})


def record(check_id: str = "EB01", status: str = "passed", **details: Any) -> Record:
    """A record of a check; a failed one has a failure."""
    values: dict[str, Any] = {
        "id": check_id,
        "slug": {"EB05": "crash-duplicates-nothing"}.get(check_id, "redelivery"),
        "states": "A notification delivered again loads nothing again.",
        "severity": "critical",
        "status": status,
        "consumer": "test_orders.py::TestOrders",
        "item": f"test_orders.py::TestOrders::test_{check_id}",
        "schedules": 4,
        "executions": 6,
        "seconds": 0.5,
        "docs": f"checks/{check_id}",
        "failure": failure() if status in ("failed", "known") else None,
    }
    return Record(**{**values, **details})


def one_of_each() -> list[Record]:
    """A record of each status."""
    return [
        record("EB01"),
        record("EB05", "failed", not_exercised=("writes of a child program",)),
        record("EB06", "known", reason="ticket 7"),
        record("EB07", "inconclusive", reason="cannot be checked: rows() raised ValueError"),
        record("EB19", "skipped", reason="it does not declare reconciles = True", schedules=0, severity="high"),
    ]


def hostile() -> Record:
    """A failure in which every text is one that a page or a parser might trip over."""
    every = " ".join(HOSTILE)
    message = Message(topic=every, text=every, attributes={every: every})
    bad = tuple(
        replace(
            step,
            text=every,
            world=every if step.number else "",
            consumer=every,
            target=every,
            gained=((every, every),),
            lost=((every, None),),
            added=(f"{every}/{step.time}",),
            message=message,
        )
        for step in steps(6)
    )
    found = failure(
        sentence=every,
        why=every,
        fix=every,
        run_id=every,
        text=every,
        replay=every,
        saved=every,
        schedule={every: every},
        steps=bad,
        rows=tuple(RowCount(run_id=text, item=text, expected=1, found=0) for text in HOSTILE),
        output=every,
        stack=every,
    )
    return record(
        "EB05",
        "failed",
        failure=found,
        consumer=every,
        item=f"{every}.py::T::t",
        reason=every,
        not_exercised=HOSTILE,
        states=every,
    )
