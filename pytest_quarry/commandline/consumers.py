"""Settings as a consumer under test: a command, a Lambda behind a shim, or a reference to Python."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_quarry.commandline.settings import ROWS, Settings, UsageError, option
from pytest_quarry.consumers import rows
from pytest_quarry.consumers.command import Command, CommandKind, fill
from pytest_quarry.consumers.consumer import ConsumerError

REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
KINDS: dict[str, CommandKind] = {
    "poller": "poller",
    "worker": "worker",
    "publisher": "publisher",
    "lambda_": "lambda",
}


def is_reference(text: str) -> bool:
    """Whether it is `module:name`, and not a command line."""
    return REFERENCE.fullmatch(text) is not None and not text.startswith(tuple("./"))


def command(settings: Settings, folder: Path) -> Command | None:
    """The program to run; None where the consumer is Python in this process. Raises UsageError, ConsumerError."""
    given = settings.given
    text = getattr(settings, given)
    if given == "handler":
        if not is_reference(text):
            raise UsageError(f"--handler {text!r} is no Python reference, module:name")
        return None
    if given == "lambda_":
        from pytest_quarry.shims import words_for

        if is_reference(text) and not text.rpartition(":")[0].endswith((".js", ".py", ".ts", ".mjs", ".cjs", ".mts")):
            return None
        argv = words_for(text, folder)
    elif is_reference(text):
        return None
    else:
        argv = [in_folder(word, folder) for word in shlex.split(text)] if _splits(text) else []
    return Command(
        argv=argv or text,
        kind=KINDS[given],
        cwd=str(folder / settings.working_directory) if settings.working_directory else "",
        environment=settings.environment,
        timeout=settings.timeout or None,
        stop=settings.stop_signal,
        prints=bool(settings.rows_from_stdout),
        network=settings.network,
    )


def _splits(text: str) -> bool:
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False  # Command says why


def in_folder(word: str, folder: Path) -> str:
    """A word that names a file of the project, where the command will run in another folder."""
    path = folder / word
    return str(path) if "{" not in word and word not in (".", "..") and path.is_file() else word


def start(settings: Settings) -> Callable[[Any], Any]:
    """What `start(world)` is for a reference to Python. Raises UsageError where it leads nowhere."""
    given = settings.given
    text = getattr(settings, given)
    found = _resolved(text, option(given))

    def started(world: Any) -> Any:
        from pytest_quarry.consumers.outside import surroundings

        places = surroundings.values(world, world.endpoint) if settings.environment else {}
        os.environ.update({name: fill(value, places) for name, value in settings.environment})
        if inspect.isclass(found):
            return found()
        if list(_parameters(found)) == ["world"]:
            return found(world)
        return _polling(found) if given == "poller" else _working(found) if given == "worker" else found

    return started


def _parameters(found: Any) -> Any:
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):
        return ()


def _polling(function: Any) -> Any:
    return type("Poller", (), {"poll": staticmethod(function)})()


def _working(function: Any) -> Any:
    return type("Worker", (), {"run_once": staticmethod(function)})()


def _resolved(text: str, where: str) -> Any:
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{where} {text!r}: {module} cannot be imported from {os.getcwd()}: {error}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            public = ", ".join(sorted(each for each in vars(found) if not each.startswith("_"))) or "nothing"
            raise UsageError(f"{where} {text!r}: there is no {part!r} in it; it has {public}")
        found = getattr(found, part)
    return found


def rows_of(settings: Settings, program: Command | None) -> rows.Rows | None:
    """What `rows(world)` is; None for publishers, which have none. Raises UsageError, ConsumerError."""
    found = [name for name in ROWS if getattr(settings, name)]
    if settings.publisher:
        if found:
            raise UsageError(f"{option(found[0])} is given for a publisher, which has no target")
        return None
    if len(found) != 1:
        what = f"{' and '.join(map(option, found))} are both given" if found else "what its target holds is not given"
        raise UsageError(f"{what}: name one of {', '.join(map(option, ROWS))}")
    if found[0] == "rows_from_stdout" and program is None:
        raise UsageError("--rows-from-stdout is for commands; give a Python reference one of the others")
    try:
        return {
            "rows_from_stdout": rows.from_stdout,
            "rows_from_sqlite": rows.from_sqlite,
            "rows_from_jsonl": rows.from_jsonl,
            "rows_from_command": rows.from_command,
        }[found[0]](getattr(settings, found[0]))
    except ConsumerError as error:
        raise UsageError(str(error)) from None
