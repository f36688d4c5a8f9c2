"""The oracles: no loss, no duplicate, nothing premature, it settles, what is claimed is there.

Each looks at a history and at nothing else. A row belongs to a run by `run_id` and to an item by `item`; where rows
name no item, the run as a whole counts as one effect.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pytest_quarry.checks import losses, publishing_oracles
from pytest_quarry.checks.check import CheckRaised
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.simulation.history import History, Row, RunView, missing

Oracle = Callable[[History, bool], Iterator[Verdict]]


def judge(history: History, oracles: Iterable[str], *, told_only: bool) -> Verdict | None:
    """The first violation that the named oracles find; else the first doubt; None when all hold.

    An oracle that raises is a doubt: nothing is known, and nothing is passed. `told_only`: only runs the consumer was
    notified of are due (it neither polls nor reconciles). A publisher, of whose runs the history knows the truth, has no
    target: the oracles that look at one say nothing of it.
    """
    doubt: Verdict | None = None
    for name in oracles:
        if history.truths and name in OF_TARGETS:
            continue
        try:
            for verdict in ORACLES[name](history, told_only):
                if verdict.status == "violated":
                    return verdict
                doubt = doubt or verdict
        except Exception as error:
            doubt = doubt or CheckRaised.of(f"The oracle {name}", error).verdict(name)
    return doubt


def due(history: History, told_only: bool) -> dict[str, RunView]:
    """The runs whose every item must be in the target once the world has settled."""
    told = set(history.notified.values())
    return {
        run_id: view
        for run_id, view in history.views.items()
        if view.standing == "due" and (run_id in told or not told_only)
    }


def no_loss(history: History, told_only: bool) -> Iterator[Verdict]:
    """L: every item of every finished eligible run is in the target; an optional run is there whole or not at all."""
    for view in due(history, told_only).values():
        lost = missing(view, history.rows)
        if lost:
            yield _lost(history, view, lost)
    for view in history.views.values():
        lost = missing(view, history.rows)
        if view.standing == "optional" and lost and len(lost) < len(view.items):
            yield _lost(history, view, lost)


def _named(run_id: str) -> str:
    """A run's id in a sentence: quoted where its end would not be seen."""
    return run_id if run_id == run_id.strip() else repr(run_id)


def _lost(history: History, view: RunView, lost: list[str]) -> Verdict:
    found = len(view.items) - len(lost)
    what = "was lost" if not found else "was loaded only in part"
    rows = f"{_count(len(view.items), 'row')} expected, {found or 'none'} found"
    why, entries = losses.why(history, view)
    return Verdict(
        status="violated",
        oracle="L",
        sentence=f"{_named(view.run_id)} {what}: {rows}.",
        why=why,
        entries=entries,
        here=entries[-1] if entries else None,
        run_id=view.run_id,
    )


def no_duplicate(history: History, told_only: bool) -> Iterator[Verdict]:
    """D: no row is in the target twice, and no run beside the one that takes its place."""
    yield from _beside_its_successor(history)
    counts = Counter(history.rows)
    for view in history.views.values():
        extra = sum(count - 1 for row, count in counts.items() if row.run_id == view.run_id)
        if not extra:
            continue
        mine = sum(1 for row in history.rows if row.run_id == view.run_id)
        times = (
            "twice"
            if mine == 2 * (mine - extra)
            else "more than once"
            if mine - extra == len(view.items)
            else "in part twice"
        )
        grew = _growths(history, view.run_id)
        killed = [at for at, entry in enumerate(history.entries) if entry.what == "killed"]
        why, entries = _why_raced(history, grew) or _why_twice(grew, killed)
        yield Verdict(
            status="violated",
            oracle="D",
            sentence=f"{_named(view.run_id)} was loaded {times}: {_count(mine - extra, 'row')} expected, {mine} found.",
            why=why,
            entries=entries,
            here=entries[-1] if entries else None,
            run_id=view.run_id,
        )


def _beside_its_successor(history: History) -> Iterator[Verdict]:
    there = {row.run_id for row in history.rows}
    pairs = [(view.run_id, other) for view in history.views.values() for other in view.replaced_by]
    for one, other in pairs:
        if one in there and other in there:
            grew = sorted({*_growths(history, one)[-1:], *_growths(history, other)[-1:]})
            yield Verdict(
                status="violated",
                oracle="D",
                sentence=f"{one} is in the target beside {other}, which takes its place.",
                why="One came at step {0}, the other at step {1}." if len(grew) > 1 else "Both came in one go.",
                entries=tuple(grew),
                here=grew[-1] if grew else None,
                run_id=one,
            )


def _growths(history: History, run_id: str) -> list[int]:
    """The entries at which the target gained rows of a run."""
    found, last = [], 0
    for at, entry in enumerate(history.entries):
        if entry.rows is None:
            continue
        now = sum(1 for row in entry.rows if row.run_id == run_id)
        if now > last:
            found.append(at)
        last = now
    return found


def _why_raced(history: History, grew: list[int]) -> tuple[str, tuple[int, ...]] | None:
    """Why two workers at once both loaded it; None where they did not."""
    workers = [history.entries[at].worker for at in grew]
    again = next((at for at, worker in zip(grew, workers, strict=True) if worker not in (0, workers[0])), None)
    if again is None or not workers[0]:
        return None
    one, other = workers[0], 3 - workers[0]
    before = any(entry.worker == other and entry.what == "crossed" for entry in history.entries[: grew[0]])
    if before:
        words = f"At step {{0}} worker {one} loaded it; at step {{1}} worker {other}, which had begun before that, loaded it again."
    else:
        words = f"At step {{0}} worker {one} loaded it, and at step {{1}} nothing that was durable kept worker {other} from loading it again."
    return words, (grew[0], again)


def _why_twice(grew: list[int], killed: list[int]) -> tuple[str, tuple[int, ...]]:
    if len(grew) < 2:
        return "The rows came in one go, twice over.", tuple(grew)
    between = [at for at in killed if grew[0] <= at < grew[-1]]
    if between:
        words = (
            "What step {0} loaded was durable; whatever should have told so was not when the consumer was killed at step "
            "{1}. So at step {2} nothing kept it from loading again."
        )
        return words, (grew[0], between[-1], grew[-1])
    return "Step {0} had loaded it, and at step {1} nothing kept the consumer from loading it again.", (
        grew[0],
        grew[-1],
    )


def nothing_premature(history: History, told_only: bool) -> Iterator[Verdict]:
    """P: at no moment a row of a run that is unfinished, uncommitted, failed (where those are skipped) or unknown."""
    views: dict[str, RunView] = {}
    for at, entry in enumerate(history.entries):
        views.update((view.run_id, view) for view in entry.runs)
        for row in entry.rows or ():
            view = views.get(row.run_id)
            if view is None:
                yield _phantom(at, row, f"{_named(row.run_id)} is in the target, but no run of that id exists.")
            elif view.standing == "forbidden":
                yield _phantom(at, row, f"{_named(row.run_id)} was loaded although it is {_state(view)}.")
            elif row.item is not None and row.item not in view.items:
                yield _phantom(at, row, f"{_named(row.run_id)} has no item {row.item!r}, but the target holds one.")


def _phantom(at: int, row: Row, sentence: str) -> Verdict:
    return Verdict(
        status="violated",
        oracle="P",
        sentence=sentence,
        why="At step {0} the target held what no finished, committed and eligible run accounts for.",
        entries=(at,),
        here=at,
        run_id=row.run_id,
    )


def _state(view: RunView) -> str:
    return view.unwanted or {
        "running": "still running",
        "uncommitted": "not committed",
        "failed": "a failed run",
        "crashed": "a crashed run",
        "finished": "finished but not one this consumer wants",
    }.get(view.state, view.state)


def no_loss_or_loud(history: History, told_only: bool) -> Iterator[Verdict]:
    """U: no loss; or, after damage to what the consumer notes for itself, an error at every turn and nothing changed."""
    damaged = [at for at, entry in enumerate(history.entries) if entry.what == "damaged"]
    if damaged:
        later = history.entries[damaged[0] + 1 :]
        turns = sum(entry.what in ("polled", "delivered") for entry in later)
        errors = sum(entry.what in ("raised", "ended") for entry in later)
        if errors and errors >= turns and all(entry.rows is None for entry in later):
            return
    yield from no_loss(history, told_only)


def failure_shows(history: History, told_only: bool) -> Iterator[Verdict]:
    """S: a failure that lasts shows: the consumer prints or logs, or raises or changes something in each turn it meets it."""
    broke = [at for at, entry in enumerate(history.entries) if entry.what == "broke" and "for ever" in entry.text]
    if not broke or history.output.strip():
        return
    turns = [at for at, entry in enumerate(history.entries) if entry.what in ("polled", "delivered")]
    for start, end in itertools.pairwise([*turns, len(history.entries)]):
        turn = history.entries[start:end]
        met = start > broke[0] and any(entry.what == "failed" for entry in turn)
        if met and not any(entry.what in ("raised", "ended") or entry.changed for entry in turn):
            yield Verdict(
                status="violated",
                oracle="S",
                sentence="A run cannot be loaded, and the consumer says nothing of it.",
                why="From step {0} on it met an error each time; at step {1} it neither raised nor printed nor changed "
                "anything.",
                entries=(broke[0], start),
                here=start,
            )
            return


def settles(history: History, told_only: bool) -> Iterator[Verdict]:
    """V: it settles within a bounded number of turns, and no good message is in the dead-letter queue."""
    for at, entry in enumerate(history.entries):
        if entry.what == "hung":
            yield _unsettled(at, "The consumer does not settle: " + entry.text + ".", "It was killed at step {0}.")
        elif entry.what == "gave-up":
            sentence = f"The consumer does not settle: {entry.text}{_last_error(history)}."
            stuck = "a deadlock" in entry.text
            why = "At step {0} neither can go on." if stuck else "It had every turn it was owed before step {0}."
            yield _unsettled(at, sentence, why)
        elif entry.what == "dead-lettered":
            run = history.notified.get(entry.messages[0], "")
            view = history.views.get(run)
            if view is not None and view.readable:
                sentence = (
                    f"The message about {run} is sound, and ended in the dead-letter queue{_last_error(history)}."
                )
                yield _unsettled(at, sentence, "Every delivery before step {0} failed.")


def _last_error(history: History) -> str:
    errors = [entry.text for entry in history.entries if entry.what == "raised"]
    return f" (it raised {errors[-1]})" if errors else ""


def _unsettled(at: int, sentence: str, why: str) -> Verdict:
    return Verdict(status="violated", oracle="V", sentence=sentence, why=why, entries=(at,), here=at)


def claims_hold(history: History, told_only: bool) -> Iterator[Verdict]:
    """C: at every crash, and at the end, what was acknowledged is in the target."""
    views: dict[str, RunView] = {}
    rows: tuple[Row, ...] = ()
    claimed: dict[str, int] = {}
    for at, entry in enumerate(history.entries):
        views.update((view.run_id, view) for view in entry.runs)
        rows = rows if entry.rows is None else entry.rows
        if entry.what == "acknowledged":
            claimed.update((history.notified[n], at) for n in entry.messages if n in history.notified)
        if entry.what not in ("killed", "settled"):
            continue
        for run_id, since in claimed.items():
            view = views.get(run_id)
            if view is not None and view.standing == "due" and missing(view, rows):
                yield Verdict(
                    status="violated",
                    oracle="C",
                    sentence=f"{_named(run_id)} was acknowledged before it was in the target.",
                    why="Step {0} acknowledged it; at step {1} the target still lacked rows of it.",
                    entries=(since, at),
                    here=at,
                    run_id=run_id,
                )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


OF_TARGETS = frozenset("LDPVCUS")
ORACLES: dict[str, Oracle] = {
    "L": no_loss,
    "D": no_duplicate,
    "P": nothing_premature,
    "V": settles,
    "C": claims_hold,
    "U": no_loss_or_loud,
    "S": failure_shows,
    "B": publishing_oracles.not_before,
    "T": publishing_oracles.truth,
    "J": publishing_oracles.intact,
    "N": publishing_oracles.announced,
    "O": publishing_oracles.outcome,
    "A": publishing_oracles.attributes,
}
