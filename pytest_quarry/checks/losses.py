"""Why a run is not in the target: what of a history led to it."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_quarry.checks import doubts
from pytest_quarry.simulation.history import Entry, History, RunView, missing

ENDS_A_TURN = ("killed", "acknowledged", "returned", "raised", "ended", "hung")


def why(history: History, view: RunView) -> tuple[str, tuple[int, ...]]:
    """What led to it, in words with places for steps, and the entries that are those."""
    killed = [at for at, entry in enumerate(history.entries) if entry.what == "killed"]
    told = [at for at, entry in enumerate(history.entries) if _about(entry, "acknowledged", view, history)]
    dead = [at for at, entry in enumerate(history.entries) if _about(entry, "dead-lettered", view, history)]
    raised = [at for at, entry in enumerate(history.entries) if entry.what == "raised"]
    damaged = [at for at, entry in enumerate(history.entries) if entry.what == "damaged"]
    hung = [at for at, entry in enumerate(history.entries) if entry.what == "hung"]
    if damaged and not hung:
        return "After the damage at step {0} the consumer neither recovered nor said so at every turn.", (damaged[-1],)
    if hung:
        return doubts.not_back(history.entries[hung[-1]]), (hung[-1],)
    there, gone = _taken_out(history, view)
    if gone is not None:
        how = _taken_out_by(history.entries[there], history.entries[gone], history.entries[gone + 1 :])
        how = how or _older(history, view, gone) or f", and nothing put it back{_if_meant(history, view, gone)}"
        return f"It was in the target at step {{0}}; step {{1}} took it out again{how}.", (there, gone)
    if dead:
        return "Every delivery failed, so at step {0} the message went to the dead-letter queue.", (dead[-1],)
    if killed and told and told[-1] < killed[-1]:
        return "Step {0} said that it was done; the kill at step {1} showed that it was not.", (told[-1], killed[-1])
    if killed and told:
        words = (
            "What was durable at the kill at step {0} made the consumer believe that the work was done: at step {1} it "
            "acknowledged without loading the rest."
        )
        return words, (killed[-1], told[-1])
    if killed:
        words = (
            "What was durable at the kill at step {0} made the consumer believe that the work was done; nothing later made "
            "it look again."
        )
        return words, (killed[-1],)
    if told:
        return "At step {0} the consumer said that it was done, and nobody will tell it again.", (told[-1],)
    if raised:
        return "It raised at step {0}, and never made up for it.", (raised[-1],)
    return "The consumer had every turn it was owed, and never loaded it.", ()


def _taken_out(history: History, view: RunView) -> tuple[int, int | None]:
    """Where the whole run was in the target for the last time, and where some of it no longer was; None: nowhere."""
    there, gone = 0, None
    whole = False
    for at, entry in enumerate(history.entries):
        if entry.rows is None:
            continue
        was, whole = whole, not missing(view, entry.rows)
        if whole:
            there, gone = at, None
        elif was:
            gone = at
    return there, gone


def _taken_out_by(there: Entry, gone: Entry, later: Iterable[Entry]) -> str:
    if gone.what == "killed":
        return ", as it was not synced"
    ends = (entry.what for entry in later if entry.worker == gone.worker and entry.what in ENDS_A_TURN)
    if next(ends, "") == "killed":
        return ", and was killed before it was there again"
    if there.worker != gone.worker:
        return f": worker {gone.worker} wrote what it had made of an older state"
    return ""


def _older(history: History, view: RunView, gone: int) -> str:
    """Whether it made way for a run whose place it had taken."""
    came = {row.run_id for row in history.entries[gone].rows or ()}
    older = [one.run_id for one in history.views.values() if view.run_id in one.replaced_by and one.run_id in came]
    return f": {older[0]}, which is the older one, took its place" if older else ""


def _if_meant(history: History, view: RunView, gone: int) -> str:
    """What to say where another run came instead, and the suite has not said whether that is meant."""
    if any(other.replaced_by for other in history.views.values()):
        return ""
    before = {row.run_id for entry in history.entries[:gone] for row in entry.rows or ()}
    came = next((entry.rows for entry in history.entries[gone:] if entry.rows), ())
    others = {row.run_id for row in came} - before - {view.run_id}
    return f". If {min(others)} is to take its place, the suite must say so: replaces(run, other)" if others else ""


def _about(entry: Entry, what: str, view: RunView, history: History) -> bool:
    return entry.what == what and any(history.notified.get(number) == view.run_id for number in entry.messages)
