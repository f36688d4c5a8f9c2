"""`quarry-conformance replay FILE`: a saved schedule, executed again against the consumer it was saved for."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_quarry.commandline import check, pytest_process
from pytest_quarry.commandline.check import CONFORMS, INCONCLUSIVE, INTERNAL, USAGE, VIOLATES, said
from pytest_quarry.commandline.pytest_process import Ended
from pytest_quarry.commandline.settings import Settings, UsageError
from pytest_quarry.report.record import WORST


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a file says beside its schedule. `options`: those of the command line that found it; None for a suite."""

    check: str
    consumer: str
    options: tuple[str, ...] | None


def read(file: str) -> Saved:
    """What a saved schedule says of its consumer. Raises UsageError."""
    try:
        data = json.loads(Path(file).read_text(encoding="utf-8"))
        options: Any = data.get("options")
        saved = Saved(
            check=str(data["check"]),
            consumer=str(data["consumer"]),
            options=None if options is None else tuple(map(str, options)),
        )
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{file}: is no schedule saved by pytest-quarry") from None
    return saved


def of_suite(saved: Saved, file: str, pytest_options: Sequence[str]) -> int:
    """Replay against a suite, by the project's own pytest."""
    path = saved.consumer.split("::", 1)[0]
    root = _root(path, file)
    found = [path] if root is None else [str(root / path), f"--rootdir={root}"]
    return conclude(pytest_process.run([*found, f"--quarry-replay={file}", *pytest_options], {}))


def _root(path: str, file: str) -> Path | None:
    """The root of the tests that a suite's path is named from: above the file or, where that was copied, above here."""
    here = Path.cwd()
    folders = (*Path(file).resolve().parents, here, *here.parents)
    return next((folder for folder in folders if (folder / path).is_file()), None)


def of_settings(
    saved: Saved, file: str, settings: Settings, options: Sequence[str], pytest_options: Sequence[str]
) -> int:
    """Replay against the consumer of the command line. Raises UsageError, ConsumerError."""
    if saved.options:
        print(f"saved by: quarry-conformance check {shlex.join(saved.options)}")
    settings = dataclasses.replace(settings, only=())
    found = Path(file).resolve()
    return conclude(check.run(settings, options, [f"--quarry-replay={found}", *pytest_options]))


def conclude(ended: Ended) -> int:
    """The exit code for what became of it, the worst of several where a suite is of several; what decided it is printed."""
    if ended.status == 4:
        return USAGE  # pytest has said why
    if ended.interrupted:
        return said(INCONCLUSIVE, "inconclusive: it was interrupted")
    if not ended.records:
        return said(INTERNAL, f"pytest ended with status {ended.status}, and played nothing: see above")
    record = min(ended.records, key=lambda each: WORST.index(each["status"]))
    name = f"{record['id']} {record['slug']}"
    if record["unusable"]:
        return said(USAGE, "cannot be checked: see above")
    if record["status"] == "failed":
        return said(VIOLATES, f"still failing: {name}")
    if record["status"] == "passed":
        return said(CONFORMS, f"fixed: {name} holds for this schedule")
    return said(INCONCLUSIVE, f"drifted: {name}. The consumer goes another way now; run the check again")
