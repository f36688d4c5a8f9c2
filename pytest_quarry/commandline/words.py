"""`quarry-conformance explain` and `boundaries`: what a check is about, and what of a consumer the kit sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_quarry.commandline.settings import Settings, UsageError


def explain(check_id: str, modules: Sequence[str]) -> str:
    """The page of a check, of those in these modules too. Raises UsageError for an id that is none, CheckError."""
    from pytest_quarry.checks import own
    from pytest_quarry.checks.production import checks_by_id
    from pytest_quarry.explain import explanation

    own.load(modules)

    known = checks_by_id()
    check = known.get(check_id.upper()) or next((each for each in known.values() if each.slug == check_id), None)
    if check is None:
        raise UsageError(f"{check_id!r} is no check; there are {', '.join(known)}")
    return explanation(check)


def boundaries(settings: Settings) -> str:
    """The operations of the undisturbed consumer at which it can be stopped, in order, and what cannot be seen."""
    from pytest_quarry.checks.stage import Stage
    from pytest_quarry.commandline.suite import made
    from pytest_quarry.simulation.run import simulate

    consumer = made(settings, Path.cwd())().consumer()
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    history = stage.history(stage.loaded(stage.run("A")))
    lines = ["One run is written and loaded; a * marks what changed something durable.", ""]
    for entry in history.entries:
        if entry.what in ("crossed", "returned"):
            lines.append(f"{'*' if entry.changed or entry.rows is not None else ' '} {entry.text}")
        elif entry.what in ("polled", "delivered", "asked", "settling", "raised", "hung", "failed"):
            lines.append(f"— {entry.what} {entry.text}")
    lines += ["", f"rows at the end: {len(history.rows)}", *(f"not seen: {name}" for name in history.unexplained)]
    lines += [f"not exercised: {words}" for words in history.not_exercised]
    return "\n".join(lines)
