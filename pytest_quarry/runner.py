"""One pytest item: conducts a check against a suite's consumer and turns the result into pytest's own outcomes."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_quarry import shards
from pytest_quarry.checks.check import Check
from pytest_quarry.checks.concurrency import in_turn
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.consumers import inline
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.kept import kept
from pytest_quarry.marking import owner
from pytest_quarry.real_time import Budget, guard_seconds
from pytest_quarry.report import story, terminal
from pytest_quarry.report.progress import Progress
from pytest_quarry.report.stream import RECORD, not_refuted
from pytest_quarry.report.width import width_of
from pytest_quarry.simulation.play import Limits
from pytest_quarry.simulation.schedule import Schedule, ScheduleError
from pytest_quarry.storage.clock import is_frozen
from pytest_quarry.storage.places import has_fake_disk

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

REPLAY_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A saved schedule, and which item of which consumer it belongs to; `parameters`: their id, of a parametrized suite."""

    check: str
    consumer: str
    parameters: str
    schedule: Schedule
    path: Path


def run_item(suite: Conformance, node: Any, check: Check) -> None:
    """Conduct a check; ends in pytest's fail or xfail where it does not pass."""
    check = _part(check, node)
    replay: Replay | None = getattr(node.config, "_quarry_replay", None)
    progress = Progress(node.config, check.title)
    result: Result | str
    try:
        conducting = conductor(suite, node.config, progress)
        if replay is not None and node.config.getoption("--quarry-inline"):
            start: int = node.config.getoption("--quarry-inline-start")
            became, record = _inline(conducting, check, replay, suite, node, start)
            setattr(node, RECORD, record)
            _end_of_replay(became, replay, node)
            return
        if replay is None:
            result = conducting.conduct(check, saved_schedules(node, check))
        else:
            result = conducting.replay(check, replay.schedule)
    except ConsumerError as error:
        result = str(error)
    finally:
        progress.close()
    if isinstance(result, str):  # outside of the except clause, whose traceback would come along
        cannot(node, check, result)
    note(result, node, suite)
    if replay is not None:
        _end_of_replay(_became(result, node), replay, node)
        return
    _conclude(suite, node, check, result)


def _part(check: Check, node: Any) -> Check:
    """Of a check that is split, what this item is to play."""
    number, count = shards.of(node)
    return (
        check if count == 1 or not check.parts else replace(check, schedules=in_turn(*check.parts[number - 1 :: count]))
    )


def cannot(node: Any, check: Check, words: str) -> NoReturn:
    """Fail an item whose suite does not work."""
    record = story.record_of_check(
        check, consumer=owner(node), item=shards.whole(node), status="inconclusive", reason=words
    )
    setattr(node, RECORD, record)
    pytest.fail(f"{check.title}: cannot be checked\n{words}", pytrace=False)


def note(result: Result, node: Any, suite: Conformance, told: story.Told | None = None) -> None:
    """Note a result on its item, for the reports."""
    told = replace(told or story.Told(), told_only=suite.kind == "event-bus" and not suite.reconciles)
    setattr(node, RECORD, story.record_of_result(result, told, consumer=owner(node), item=shards.whole(node)))


def conductor(suite: Conformance, config: Any, progress: Progress | None = None) -> Conductor:
    """What conducts the checks of a suite, within the session's budget."""
    _check_surroundings(type(suite).__name__)
    limits = Limits(seconds=guard_seconds(config))
    budget: Budget = config._quarry_budget
    is_too_late, is_over = budget.is_used_up, budget.next_share()
    watch = Progress(config, "").watch if progress is None else progress.watch
    return Conductor(
        suite._quarry_consumer(),
        seed=config.getoption("--quarry-seed") or 0,
        limits=limits,
        is_over=is_over,
        is_too_late=is_too_late,
        watch=watch,
        kept=kept(suite, config),
    )


def _check_surroundings(name: str) -> None:
    """Refuse a clock that somebody else moves, and a disk that is none: the consumer has its world's."""
    if has_fake_disk():
        raise ConsumerError(
            f"{name} runs while pyfakefs's file system is active. A consumer's files are on its world's disk, world.disk, which is a "
            "real one: leave the fixture fs, an autouse fixture's perhaps, out of this suite."
        )
    if is_frozen():
        raise ConsumerError(
            f"{name} runs while freezegun's freeze_time is active. A consumer's clock is its world's: leave freeze_time, an "
            "autouse fixture perhaps, out of this suite."
        )


def failing(result: Result, node: Any, suite: Conformance) -> tuple[str, Path | None]:
    """The failure text of a result, which is noted and its schedule saved, and the file it was saved to."""
    replay, file = _save(result, node)
    note(result, node, suite, story.Told(replay=replay, saved=_from_root(file, node) if file else None))
    return terminal.failure(result, replay=replay, width=width_of(node.config)), file


def saved_schedules(node: Any, check: Check) -> Iterator[Schedule]:
    """What failed before, of this check and consumer, and may fail again."""
    folder = Path(node.config.rootpath, node.config.getini("quarry_schedules"))
    for file in sorted(folder.glob(f"{check.id}-*.json")) if folder.is_dir() else ():
        try:
            replay = read_replay(file)
        except pytest.UsageError:
            continue  # another version's, or half written: it is only a hint
        if replay.consumer == owner(node) and replay.check == check.id:
            yield replay.schedule


def _conclude(suite: Conformance, node: Any, check: Check, result: Result) -> None:
    if result.status == "skipped":
        if node.config.getoption("--quarry-strict"):
            pytest.fail(f"{check.title} was not checked: {result.reason}", pytrace=False)
        pytest.skip(result.reason)
    if result.reason:
        node.user_properties.append(("quarry_budget", f"{check.title}: {result.reason}"))
    reason = suite.known_failures.get(check.id)
    if result.status == "passed":
        if reason is not None and result.reason:
            pytest.xfail(not_refuted(reason, result.reason))
        elif reason is not None:
            pytest.fail(
                f"{check.title} passed, but {type(suite).__name__}.known_failures expects it to fail ({reason}). Remove the "
                "entry.",
                pytrace=False,
            )
        return
    if reason is not None and result.status == "failed":
        pytest.xfail(reason)
    pytest.fail(failing(result, node, suite)[0], pytrace=False)


def _became(result: Result, node: Any) -> tuple[str, str]:
    """What became of a replayed schedule, in a word; and the failure text, where there is one."""
    if result.status == "passed":
        return f"fixed, {result.check.title} holds for this schedule", ""
    word = "still failing" if result.status == "failed" else "drifted"
    return word, terminal.failure(result, replay=None, width=width_of(node.config))


def _end_of_replay(became: tuple[str, str], replay: Replay, node: Any) -> None:
    word, text = became
    parameters = shards.parameters(node)
    name = f"{replay.path} [{parameters}]" if parameters else str(replay.path)
    node.user_properties.append(("quarry_replay", f"{name}: {word}"))
    if text:
        pytest.fail(f"{word}\n\n{text}", pytrace=False)


def _inline(
    conducting: Conductor, check: Check, replay: Replay, suite: Conformance, node: Any, start: int
) -> tuple[tuple[str, str], Any]:
    """Replay with one start of the consumer played by this process: what became of it, and its record.

    The other process, the world's, tells them.
    """
    told: Any
    try:
        result = conducting.replay(check, replay.schedule, inline=start)
        note(result, node, suite)
        told = _became(result, node), getattr(node, RECORD)
    except inline.Played as played:
        told = played.told or "The world's process ended without a word."
    except ConsumerError as error:
        told = str(error)
    except BaseException as error:
        if inline.is_world():
            inline.tell(f"The world of this replay failed: {error!r}")
        raise
    else:
        if not inline.is_world():
            never = f"; the consumer was never started {start} times, so nothing was played in this process"
            return (told[0][0] + never, told[0][1]), told[1]
    if inline.is_world():
        inline.tell(told)
    if isinstance(told, str):
        raise ConsumerError(told)
    became: tuple[tuple[str, str], Any] = told
    return became


def _save(result: Result, node: Any) -> tuple[str | None, Path | None]:
    """Save the schedule; the command that replays it, and the file."""
    if result.schedule is None or result.status != "failed":
        return None, None
    config = node.config
    options: list[str] | None = getattr(config, "_quarry_command_line", None)  # of quarry-conformance, which runs this
    folder = Path(config.rootpath, config.getini("quarry_schedules"))
    parameters = shards.parameters(node)
    whose = {"consumer": owner(node), **({"parameters": parameters} if parameters else {})}
    file = folder / f"{result.check.id}-{_fingerprint(result.schedule, [*whose.values()], options)}.json"
    data = {
        "pytest-quarry": REPLAY_VERSION,
        "check": result.check.id,
        **whose,
        **({} if options is None else {"options": options}),
        "schedule": result.schedule.to_json(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")  # names of files may be no text
    except OSError as error:
        return f"not saved: {error}", None
    module, saved = (shlex.quote(_from_here(path, node)) for path in (node.path, file))
    if options is not None:
        return f"quarry-conformance replay {saved}", file
    return " ".join(["pytest", module, *_of_the_project(config), f"--quarry-replay={saved}"]), file


def _of_the_project(config: pytest.Config) -> list[str]:
    """The options by which pytest was told which project this is, and how it is configured."""
    given = config.option
    options = [
        *(["-c", given.inifilename] if given.inifilename else []),
        *(["--rootdir", given.rootdir] if given.rootdir else []),
    ]
    options += [word for each in given.override_ini or () for word in ("-o", each)]
    return [shlex.quote(str(word)) for word in options]


def _fingerprint(schedule: Schedule, whose: list[str], options: list[str] | None) -> str:
    """Of a schedule and whom it convicts: two consumers may fail the same one."""
    whole = json.dumps([schedule.fingerprint, *whose, options])
    return hashlib.sha256(whole.encode()).hexdigest()[:8]


def _from_root(file: Path, node: Any) -> str:
    root = node.config.rootpath
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _from_here(file: Path, node: Any) -> str:
    """What of the project's is named from where pytest was run: there the command is to work."""
    config = node.config
    return os.path.relpath(file, config.invocation_params.dir) if file.is_relative_to(config.rootpath) else str(file)


def read_replay(path: Path) -> Replay:
    """A saved schedule. Raises UsageError saying what is wrong with the file."""

    def bad(words: str) -> pytest.UsageError:
        return pytest.UsageError(f"--quarry-replay {path}: {words}")

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise bad("no such file. A failing check says where its schedule was saved.") from None
    except OSError as error:
        raise bad(f"cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise bad(f"is not whole JSON ({error}). Was it cut? Run the check again to save it anew.") from None
    if not isinstance(data, dict) or "pytest-quarry" not in data:
        raise bad("is not a schedule saved by pytest-quarry.")
    if data["pytest-quarry"] != REPLAY_VERSION:
        raise bad(f"is of file version {data['pytest-quarry']!r}; this pytest-quarry reads version {REPLAY_VERSION}.")
    try:
        schedule = Schedule.from_json(data["schedule"])
        whose = {"consumer": data["consumer"], "parameters": data.get("parameters", "")}
        return Replay(check=data["check"], **whose, schedule=schedule, path=path)
    except KeyError as error:
        raise bad(f"lacks {error}.") from None
    except ScheduleError as error:
        raise bad(f"{error}.") from None
