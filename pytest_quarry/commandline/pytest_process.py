"""pytest in a process of its own, with the gate in it: the checks run there, and what became of each comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What the process is told in its environment: of a consumer, with which options, and where to write down what became of it.
SETTINGS = "QUARRY_CONFORMANCE_SETTINGS"
COMMAND_LINE = "QUARRY_CONFORMANCE_COMMAND_LINE"
RESULTS = "QUARRY_CONFORMANCE_RESULTS"
REFUSED = "refused"  # the one thing it writes down where there is no suite to run
PATIENCE = 5.0  # real seconds that pytest has to end by itself after an interrupt that it got too


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How pytest ended. `status`: its exit status. `records`: what became of each check, as the gate wrote it down, by number.

    `refused`: what is wrong with the settings, where that kept it from beginning.
    """

    status: int
    records: tuple[Any, ...]
    interrupted: bool = False
    refused: str = ""


def run(words: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run pytest with these words."""
    with tempfile.TemporaryDirectory(prefix="quarry-check-") as folder:
        results = Path(folder, "results.jsonl")
        # Drawn examples that failed are saved as schedules; what else Hypothesis keeps is not for the user's folder.
        own = {"HYPOTHESIS_STORAGE_DIRECTORY": folder, RESULTS: str(results)}
        sys.stdout.flush()
        command = [sys.executable, "-m", "pytest", "-p", "pytest_quarry.commandline.gate", *words]
        with _terminated(), subprocess.Popen(command, env={**os.environ, **own, **environment}) as process:
            interrupted = _wait(process)
        found = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        # In the order of the catalogue, which is not that in which they are played.
        records = tuple(sorted(map(json.loads, found), key=lambda record: record.get("place", 0)))
        refused = next((record[REFUSED] for record in records if REFUSED in record), "")
        return Ended(status=process.returncode, records=records, interrupted=interrupted, refused=refused)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Whether an interrupt ended it. At a terminal pytest gets that too; elsewhere it is passed on."""
    interrupted = False
    while True:
        try:
            process.wait(PATIENCE if interrupted else None)
            return interrupted
        except KeyboardInterrupt:
            interrupted = True
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        except SystemExit:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            raise


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """A request to end, as CI makes when a job is cancelled, is an exception here, so that pytest can be ended first."""

    def ended(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there are signals met
        yield
        return
    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
