"""Checks and oracles of a team's own: registered by decorators, in a conftest.py, a module, or behind an entry point."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from pytest_quarry.checks import catalogue, oracles
from pytest_quarry.checks.check import Check, CheckRaised, Severity, place_of
from pytest_quarry.checks.stage import NotApplicable, Stage
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import ConsumerError, Kind
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Break, Damage, Deliver, Overlap, Poll, Publish, Schedule, ScheduleError

GROUP = "pytest_quarry.checks"
OURS = ("EB", "PO", "RD", "PB", "FUZZ")
ID = re.compile(r"([A-Z]{2,16})[0-9]{2,4}")
WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

TURNS: dict[Kind, tuple[type, ...]] = {
    "event-bus": (Deliver, Overlap),
    "poller": (Poll, Overlap),
    "publisher": (Publish,),
}

Schedules = Callable[[Stage], Iterable[Schedule]]
Judgement = Callable[[History], Iterable[Verdict] | None]


class CheckError(ValueError):
    """A check or an oracle of a team's own that cannot be; the words say which part, and what would do."""


def check(
    id: str,
    *,
    slug: str,
    states: str,
    severity: Severity,
    kinds: Sequence[Kind],
    oracles: Sequence[str],
    disturbance: str = "",
    fix: str = "",
    docs: str = "",
) -> Callable[[Schedules], Schedules]:
    """Make a function that yields schedules a check of your own: an item of every suite of its kinds, in every report.

    `id` is letters of yours and digits, ACME01; EB, PO, RD, PB and FUZZ are taken. `slug` names the item: quiet-hours is
    test_quiet_hours. `oracles` are names of the kit's ("L", "D", …) and of yours, which must be defined before. `states`
    and `fix` are sentences, `disturbance` what the world does, `docs` an address. Raises CheckError.
    """

    def register(schedules: Schedules) -> Schedules:
        made = Check(
            id=id,
            slug=slug,
            states=states,
            disturbance=disturbance,
            oracles=tuple(oracles) if isinstance(oracles, (tuple, list)) else oracles,
            severity=severity,
            kinds=tuple(kinds) if isinstance(kinds, (tuple, list)) else kinds,  # type: ignore[arg-type]
            schedules=_guarded(id, schedules),
            fix=fix,
            own=place_of(schedules),
            docs=docs,
        )
        _check_words(made)
        _check_kinds(made)
        _check_oracles(made)
        _check_clashes(made)
        catalogue.OWN[id] = made
        return schedules

    return register


def oracle(name: str) -> Callable[[Judgement], Judgement]:
    """Make a function of a History that yields a Verdict for each violation an oracle that checks of your own can name.

    One that raises makes the check inconclusive, never passed. Raises CheckError where the name cannot be, or is taken.
    """
    if not isinstance(name, str) or not WORDS.fullmatch(name):
        raise CheckError(f"oracle {name!r}: a name is lower-case words with hyphens: invoice-totals")

    def register(judgement: Judgement) -> Judgement:
        place = place_of(judgement)
        if name in _PLACES and _PLACES[name] != place:
            raise CheckError(f"oracle {name!r} in {place}: there is one of that name in {_PLACES[name]}")

        def judged(history: History, told_only: bool) -> Iterator[Verdict]:
            found = judgement(history)
            if found is not None and not isinstance(found, Iterable):
                raise TypeError(f"it returned {found!r:.80}; it yields a Verdict for each violation")
            for verdict in found or ():
                yield replace(_sound(verdict, history), oracle=name)

        _PLACES[name] = place
        oracles.ORACLES[name] = judged
        return judgement

    return register


_PLACES: dict[str, str] = {}  # where each oracle is defined: a module imported twice replaces its own


def load(modules: Iterable[str] = ()) -> None:
    """Import what registers checks: the installed entry points of the group `pytest_quarry.checks`, and these modules.

    Modules are looked for in the working directory too. Raises CheckError for what cannot be imported.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for point in _installed():
        _imported(point.module, f"entry point {point.name} = {point.value} of {_distribution(point)}")
    for module in modules:
        _imported(module, f"the checks of module {module}")


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"


def _imported(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except CheckError as error:
        raise CheckError(f"{what}: {error}") from None
    except Exception as error:
        raise CheckError(f"{what}: cannot be imported: {type(error).__name__}: {error}") from error


def _guarded(check_id: str, schedules: Schedules) -> Callable[[Stage], Iterator[Schedule]]:
    """The schedules, with what goes wrong in the team's own code told from what goes wrong in the consumer."""

    def guarded(stage: Stage) -> Iterator[Schedule]:
        place, schedule = place_of(schedules), None
        disturbed: list[Schedule] = []
        try:
            for schedule in schedules(stage):
                if not isinstance(schedule, Schedule):
                    raise CheckRaised(f"{check_id} yielded {schedule!r:.80}, which is no Schedule", place)
                _check_steps(check_id, schedule, place)
                _check_turns(check_id, schedule, stage, place)
                yield schedule
                if _disturbances(schedule):
                    disturbed.append(schedule)
            if schedule is None:  # a green check for ever
                raise CheckRaised(f'{check_id} yielded no schedule, and raised no NotApplicable("why")', place)
            _check_met(check_id, disturbed, stage, place)
        except (NotApplicable, ConsumerError, CheckRaised):
            raise
        except Exception as error:
            raise CheckRaised.of(f"The schedules of {check_id}", error) from error

    return guarded


def _check_steps(check_id: str, schedule: Schedule, place: str) -> None:
    """What is no step, or has a value that it cannot have, would do nothing, and pass."""
    try:
        schedule.check()
    except ScheduleError as error:
        raise CheckRaised(f"{check_id} yielded a schedule that cannot be: {error}", place) from None


def _disturbances(schedule: Schedule) -> int:
    """How many crashes, breaks, switches and damages a schedule has: each comes, or is told to be unreached."""
    found = 0
    for step in schedule.steps:
        found += isinstance(step, (Break, Damage)) + (getattr(step, "crash", None) is not None)
        found += len(step.switches) if isinstance(step, Overlap) else 0
    return found


def _check_met(check_id: str, disturbed: Iterable[Schedule], stage: Stage, place: str) -> None:
    """A label that is misspelt never comes: where no schedule disturbs, the check would pass for ever."""
    unreached: tuple[str, ...] = ()
    for schedule in disturbed:
        missed = stage.history(schedule).unreached
        if len(missed) < _disturbances(schedule):
            return
        unreached = unreached or missed
    if unreached:
        words = f'{unreached[0]}; where a consumer has no such operation, raise NotApplicable("why")'
        raise CheckRaised(f"{check_id} disturbed nothing: no schedule came to {words}", place)


def _check_turns(check_id: str, schedule: Schedule, stage: Stage, place: str) -> None:
    """A turn that a consumer of this kind never takes would disturb nothing, and pass."""
    kind = stage.consumer.kind
    for step in schedule.steps:
        if isinstance(step, (Deliver, Poll, Publish, Overlap)) and not isinstance(step, TURNS[kind]):
            name, turns = type(step).__name__, ", ".join(each.__name__ for each in TURNS[kind])
            words = f"{check_id} has a step {name} for a consumer of kind {kind}, whose turns are {turns}"
            raise CheckRaised(words, place)


def _sound(verdict: Any, history: History) -> Verdict:
    """A verdict that reports can show. Raises TypeError or ValueError, which makes the check inconclusive."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"it yielded {verdict!r:.80}, which is no Verdict")
    last = len(history.entries) - 1
    for at in (*verdict.entries, *([] if verdict.here is None else [verdict.here])):
        if not 0 <= at <= last:
            raise ValueError(f"its verdict names entry {at}; the history has entries 0 to {last}")
    verdict.why.format(*verdict.entries)
    return verdict


def _bad(made: Check, words: str) -> CheckError:
    return CheckError(f"check {made.id!r} in {made.own}: {words}")


def _check_words(made: Check) -> None:
    found = ID.fullmatch(made.id) if isinstance(made.id, str) else None
    if found is None:
        raise _bad(made, "an id is two or more capital letters of yours and two to four digits: ACME01")
    if found[1] in OURS:
        raise _bad(made, f"ids of {found[1]} are the kit's own; take other letters than {', '.join(OURS)}: ACME01")
    if not isinstance(made.slug, str) or not WORDS.fullmatch(made.slug):
        raise _bad(made, f"slug {made.slug!r} must be lower-case words with hyphens: quiet-hours")
    if not isinstance(made.states, str) or not made.states.strip():
        raise _bad(made, f"states {made.states!r} must be a sentence: what holds for a consumer that passes")
    if made.severity not in get_args(Severity):
        raise _bad(made, f"severity {made.severity!r} must be one of {', '.join(get_args(Severity))}")


def _check_kinds(made: Check) -> None:
    known = get_args(Kind)
    if not isinstance(made.kinds, tuple) or not made.kinds or any(kind not in known for kind in made.kinds):
        raise _bad(made, f"kinds {made.kinds!r} must be a tuple of {', '.join(map(repr, known))}, at least one")


def _check_oracles(made: Check) -> None:
    if not isinstance(made.oracles, tuple) or not made.oracles:
        raise _bad(made, f'oracles {made.oracles!r} must be a tuple of names, at least one: ("L", "D")')
    unknown = [name for name in made.oracles if name not in oracles.ORACLES]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise _bad(made, f"no oracle {names}; there are {', '.join(oracles.ORACLES)}. Define yours above, by @oracle.")
    silent = [name for name in made.oracles if not any(_looks_at(name, kind) for kind in made.kinds)]
    without = [kind for kind in made.kinds if not any(_looks_at(name, kind) for name in made.oracles)]
    if silent or without:
        names, kinds = ", ".join(map(repr, silent or made.oracles)), ", ".join(without or made.kinds)
        raise _bad(
            made,
            f"oracles {names} say nothing of {kinds}: L D P V C U S look at targets, and B T J N O A at what publishers announce",
        )


def _looks_at(name: str, kind: Kind) -> bool:
    """Whether an oracle can say anything of a kind of consumer; one of the team's own may, of any."""
    return name in _PLACES or (name in oracles.OF_TARGETS) == (kind != "publisher")


def _check_clashes(made: Check) -> None:
    known = catalogue.OWN.get(made.id)
    if known is not None and known.own != made.own:
        raise _bad(made, f"there is a check of that id in {known.own}")
    for other in (*catalogue.CATALOGUE, *catalogue.OWN.values()):
        if other.test_name == made.test_name and other.id != made.id and set(other.kinds) & set(made.kinds):
            raise _bad(made, f"slug {made.slug!r} is that of {other.id}; its items would share a name")
    if made.test_name == "test_fuzz":
        raise _bad(made, "slug 'fuzz' is that of FUZZ; its items would share a name")
