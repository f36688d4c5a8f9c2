"""A pytest plugin for `mutants.py`: instead of the tests once, those that reach a mutant for each mutant, in a forked process.

The tests are collected once. First those run that killed most of the mutants before, then the quick ones, until one fails. mutmut
itself begins pytest anew for each mutant, which takes longer than most of these tests.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

ORDERS = "QUARRY_MUTANTS"  # names the file that says which mutants to run, and where their results go
KILLED, SURVIVED, NO_TEST, TOO_LONG = "killed", "survived", "no test reaches it", "too long"


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the mutants that were ordered, and keep what became of each."""
    orders = json.loads(Path(os.environ[ORDERS]).read_text())
    results_file = Path(orders["results"])
    results: dict[str, str] = json.loads(results_file.read_text()) if results_file.exists() else {}
    found = {item.nodeid: item for item in session.items}
    seconds = {test: orders["seconds"].get(test, 0.0) for test in found}
    kills: Counter[str] = Counter()
    for number, name in enumerate(orders["mutants"], 1):
        reach = [test for test in orders["tests"].get(name.rpartition("__mutmut_")[0], ()) if test in found]
        spent = 0.0
        chosen: list[str] = []
        for test in sorted(reach, key=lambda test: (not test.startswith(tuple(orders["first"])), seconds[test], test)):
            spent += seconds[test]
            if chosen and spent > orders["most_seconds"]:
                break
            chosen.append(test)
        chosen.sort(key=lambda test: -kills[test])
        results[name], killer = _run(name, [found[test] for test in chosen], orders["patience"] + 3 * spent)
        kills.update(filter(None, [killer]))
        results_file.write_text(json.dumps(results, indent=1, ensure_ascii=False))
        print(f"{number}/{len(orders['mutants'])} {name.rpartition('.')[2]}: {results[name]}", flush=True)
    return True


def _run(name: str, items: list[Any], most: float) -> tuple[str, str]:
    """What became of a mutant, and the test that killed it."""
    if not items:
        return NO_TEST, ""
    with tempfile.NamedTemporaryFile("r+", encoding="utf-8") as now:
        became = _forked(name, items, most, now.name)
        return became, now.read() if became == KILLED else ""


def _forked(name: str, items: list[Any], most: float, now: str) -> str:
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        from mutmut.mutation.trampoline import set_mutant_under_test

        set_mutant_under_test(name)
        try:
            failed = any(_fails(item, now) for item in items)
        except BaseException:
            failed = True
        os._exit(1 if failed else 0)
    end = time.monotonic() + most
    while time.monotonic() < end:
        over, status = os.waitpid(child, os.WNOHANG)
        if over:
            return SURVIVED if status == 0 else KILLED
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TOO_LONG


def _fails(item: Any, now: str) -> bool:
    Path(now).write_text(item.nodeid, encoding="utf-8")
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
