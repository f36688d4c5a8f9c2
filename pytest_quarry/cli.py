"""`quarry-conformance`: the kit from the command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CONFORMS, VIOLATES, USAGE, INTERNAL = 0, 1, 2, 4

DEMO = '''"""Written by `quarry-conformance demo`: a consumer with a mistake, and its repaired twin."""

from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders


class TestBroken(BrokenOrders):
    """Loads the rows in one transaction and marks the run in the next."""


class TestRepaired(RepairedOrders):
    """Loads and marks in one transaction."""
'''


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 conforms, 1 violates, 2 usage, 4 internal."""
    parser = argparse.ArgumentParser(
        prog="quarry-conformance", description="Conformance checks for consumers of Quarry's runs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="convict a broken sample step by step, and clear its repaired twin")
    commands.add_parser("list", help="list the checks with their ids")
    chosen = parser.parse_args(arguments)
    return {"demo": demo, "list": list_checks}[chosen.command]()


def list_checks() -> int:
    """Print the catalogue."""
    from pytest_quarry.checks.catalogue import listing

    print(listing())
    return CONFORMS


def demo() -> int:
    """Run the suites of a broken and of a repaired sample; 0 when the one is convicted and the other cleared."""
    import pytest

    with tempfile.TemporaryDirectory(prefix="quarry-demo-") as folder:
        file = Path(folder, "test_orders.py")
        file.write_text(DEMO, encoding="utf-8")
        print("A consumer with a common mistake: it loads the rows in one transaction and marks the run in the next.\n")
        broken = _run(file, "TestBroken")
        print("\nThe same consumer, repaired: it loads and marks in one transaction.\n")
        repaired = _run(file, "TestRepaired")
    if broken == pytest.ExitCode.TESTS_FAILED and repaired == pytest.ExitCode.OK:
        print("\nThe broken consumer was convicted, its repaired twin was cleared.")
        return CONFORMS
    print(f"\nUnexpected: the broken consumer ended with {broken}, the repaired one with {repaired}.", file=sys.stderr)
    return INTERNAL


def _run(file: Path, suite: str) -> int:
    """pytest in a process of its own: the user's own configuration must not reach the demo."""
    command = [sys.executable, "-m", "pytest", f"{file.name}::{suite}", "--rootdir", ".", "-c", "/dev/null"]
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:random_order"]
    sys.stdout.flush()
    return subprocess.run([*command, *options], cwd=file.parent, check=False).returncode
