"""Settings as a consumer under test: a command, a Lambda behind a shim, or a reference to Python."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pytest_quarry.commandline.settings import ROWS, Settings, UsageError, option
from pytest_quarry.consumers import rows
from pytest_quarry.consumers.command import OF_RUN, OF_WORLD, Command, CommandKind, fill

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
        return None
    if given == "lambda_":
        from pytest_quarry.shims import words_for

        if is_reference(text) and not text.rpartition(":")[0].endswith((".js", ".py", ".ts", ".mjs", ".cjs", ".mts")):
            return None
        argv = words_for(text, folder)
    elif is_reference(text):
        return None
    else:
        argv = words_in(text, folder)
    return Command(
        argv=argv or text,
        kind=KINDS[given],
        cwd=str(folder_named(settings, "working_directory", folder) or ""),
        environment=settings.environment,
        timeout=settings.timeout or None,
        stop=settings.stop_signal,
        prints=bool(settings.rows_from_stdout),
        network=settings.network,
    )


def words_in(text: str, folder: Path) -> list[str]:
    """The words of a command line, those that name files of the project in full; none where it cannot be split."""
    try:
        return [in_folder(word, folder) for word in shlex.split(text)]
    except ValueError:
        return []  # Command says why


def folder_named(settings: Settings, name: str, folder: Path) -> Path | None:
    """A folder of the project that a setting names; None where it names none. Raises UsageError where there is no such."""
    text = getattr(settings, name)
    if text and not (folder / text).is_dir():
        raise UsageError(f"{option(name)} {text!r}: there is no such folder in {folder}")
    return folder / text if text else None


def in_folder(word: str, folder: Path) -> str:
    """A word that names a file of the project, where the command will run in another folder."""
    path = folder / word
    return str(path) if "{" not in word and word not in (".", "..") and path.is_file() else word


def start(settings: Settings) -> Callable[[Any], Any]:
    """What `start(world)` is for a reference to Python. Raises UsageError where it leads nowhere.

    With an environment the module is imported in the consumer's process, once that is set: modules read it as they load.
    """
    given = settings.given
    text = getattr(settings, given)
    found = None if settings.environment else resolved(text, option(given))

    def started(world: Any) -> Any:
        from pytest_quarry.consumers.outside import surroundings

        places = surroundings.values(world, world.endpoint) if settings.environment else {}
        os.environ.update({name: fill(value, places) for name, value in settings.environment})
        return _started(found if found is not None else resolved(text, option(given)), given, world)

    return started


def _started(found: Any, given: str, world: Any) -> Any:
    if list(_parameters(found)) == ["world"]:
        return found(world)
    if inspect.isclass(found):
        return found()
    return _polling(found) if given == "poller" else _working(found) if given == "worker" else found


def check_reference(settings: Settings) -> None:
    """Raise UsageError where the consumer's reference leads nowhere, in an environment like the one it will have."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="quarry-environment-") as folder:
        places = {**dict.fromkeys((*OF_WORLD, *OF_RUN), "x"), "disk": folder, "storage_root": folder}
        os.environ.update({name: fill(value, places) for name, value in settings.environment})
        try:
            resolved(getattr(settings, settings.given), option(settings.given))
        finally:
            os.environ.clear()
            os.environ.update(before)


def _parameters(found: Any) -> Any:
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):
        return ()


def _polling(function: Any) -> Any:
    return type("Poller", (), {"poll": staticmethod(function)})()


def _working(function: Any) -> Any:
    return type("Worker", (), {"run_once": staticmethod(function)})()


def resolved(text: str, where: str) -> Any:
    """What `module:name` leads to, imported from the folder that this runs in. Raises UsageError."""
    if not is_reference(text):
        raise UsageError(f"{where} {text!r} is no Python reference, module:name")
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module does as it loads
        words = f"{type(error).__name__}: {error}"
        raise UsageError(f"{where} {text!r}: {module} cannot be imported from {os.getcwd()}: {words}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            public = ", ".join(sorted(each for each in vars(found) if not each.startswith("_"))) or "nothing"
            raise UsageError(f"{where} {text!r}: there is no {part!r} in it; it has {public}")
        found = getattr(found, part)
    return found


def rows_of(settings: Settings, program: Command | None, folder: Path) -> rows.Rows | None:
    """What `rows(world)` is; None for publishers, which have none. Raises UsageError, ConsumerError."""
    found = [name for name in ROWS if getattr(settings, name)]
    if settings.publisher:
        if found:
            raise UsageError(f"{option(found[0])} is given for a publisher, which has no target")
        return None
    if len(found) != 1:
        what = f"{' and '.join(map(option, found))} are both given" if found else "what its target holds is not given"
        raise UsageError(f"{what}: name one of {', '.join(map(option, ROWS))}")
    (name,) = found
    text = getattr(settings, name)
    if name == "rows_from_stdout":
        if program is None:
            raise UsageError("--rows-from-stdout is for commands; give a Python reference one of the others")
        return rows.from_stdout(text)
    if name == "rows_from_sqlite":
        return rows.from_sqlite(text)
    if name == "rows_from_jsonl":
        return rows.from_jsonl(text)
    if name == "rows_from_command":
        return rows.from_command(words_in(text, folder) or text)
    function = resolved(text, option(name))
    if not callable(function):
        raise UsageError(f"--rows {text!r} is {type(function).__name__}, and no function that takes the world")
    return cast("rows.Rows", function)
