"""`quarry-conformance`: the kit from the command line."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest_quarry
from pytest_quarry.commandline import check, explain, options, own_checks, replay, settings
from pytest_quarry.commandline.check import CONFORMS, INCONCLUSIVE, INTERNAL, USAGE
from pytest_quarry.commandline.settings import UsageError
from pytest_quarry.consumers.consumer import ConsumerError

DEMO = '''"""Written by `quarry-conformance demo`: a consumer with a mistake, and its repaired twin."""

from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders


class TestBroken(BrokenOrders):
    """Loads the rows in one transaction and marks the run in the next."""


class TestRepaired(RepairedOrders):
    """Loads and marks in one transaction."""
'''


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 conforms, 1 violates, 2 usage, 3 inconclusive, 4 internal."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    parser = _parser()
    chosen = parser.parse_args(given[:at])
    for_pytest = given[at + 1 :]
    if for_pytest and chosen.command not in ("check", "replay"):
        parser.error("options for pytest, after --, are for check and replay")
    try:
        ended = _run_command(chosen, given[1:at], for_pytest)
        sys.stdout.flush()
        return ended
    except (UsageError, ConsumerError) as error:
        print(f"quarry-conformance {chosen.command}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # `quarry-conformance list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CONFORMS


def _open_closed_streams() -> None:
    """A stream that is closed (`>&-`) leads nowhere, in pytest's process too; else the next file opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115  # for as long as we live
            os.dup2(stream.fileno(), number)
            os.set_inheritable(number, True)
            setattr(sys, name, stream)


def _run_command(chosen: argparse.Namespace, options_given: list[str], for_pytest: list[str]) -> int:
    if chosen.command == "demo":
        return demo()
    if chosen.command == "list":
        return list_checks(chosen.checks)
    if chosen.command == "diff":
        from pytest_quarry.report import diff

        return diff.run(chosen.old, chosen.new)
    if chosen.command == "explain":
        print(explain.explain(chosen.check, chosen.checks))
        return CONFORMS
    if chosen.command == "replay":
        return _replay(chosen, options_given, for_pytest)
    found = options.chosen(chosen, settings.read(Path.cwd(), chosen.config))
    if chosen.command == "boundaries":
        from pytest_quarry.commandline.boundaries import boundaries

        text, did = boundaries(found)
        print(text)
        return CONFORMS if did else INCONCLUSIVE
    return check.check(found, options_given, for_pytest)


def _replay(chosen: argparse.Namespace, options_given: list[str], for_pytest: list[str]) -> int:
    """The options that the schedule was found with, and over them those of now."""
    saved = replay.read(chosen.file)
    if saved.options is None:
        return replay.of_suite(saved, chosen.file, for_pytest)
    then = _parser().parse_args(["check", *saved.options])
    found = settings.read(Path.cwd(), chosen.config or then.config)
    found = options.chosen(chosen, options.chosen(then, found))
    return replay.of_settings(saved, chosen.file, found, saved.options, for_pytest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quarry-conformance", description="Conformance checks for consumers of Quarry's runs."
    )
    parser.add_argument("--version", action="version", version=f"pytest-quarry {pytest_quarry.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="convict a broken sample step by step, and clear its repaired twin")
    listed = commands.add_parser("list", help="list the checks with their ids")
    explained = commands.add_parser(
        "explain", help="say what a check states, what the world does, what the usual fix is"
    )
    explained.add_argument("check", metavar="ID", help="EB05, or crash-duplicates-nothing")
    for command in (listed, explained):
        command.add_argument("--checks", type=options.names, metavar="MODULES", default=(), help=options.HELP["checks"])
    compared = commands.add_parser(
        "diff",
        help="say what fails now, what is fixed, what became slower",
        epilog="The exit code is 0 where nothing is newly failing, 1 where something is, 2 where a file is no report.",
    )
    compared.add_argument("old", metavar="OLD.json", help="a report written by pytest --quarry-report json:FILE")
    compared.add_argument("new", metavar="NEW.json", help="a later one")
    after = "Options for pytest come after --: quarry-conformance check … -- -x -n 2"
    options.add(commands.add_parser("check", help="check a consumer, in any language", epilog=after))
    options.add(commands.add_parser("boundaries", help="show at which operations a consumer can be stopped"))
    replayed = commands.add_parser("replay", help="execute a saved schedule again", epilog=after)
    replayed.add_argument("file", metavar="FILE", help="as a failing check saved it, in .quarry/")
    options.add(replayed)
    return parser


def list_checks(modules: Sequence[str]) -> int:
    """Print the catalogue, and the checks of these modules."""
    from pytest_quarry.checks.catalogue import listing

    own_checks.load(modules)
    print(listing())
    return CONFORMS


def demo() -> int:
    """Run the suites of a broken and of a repaired sample; 0 when the one is convicted and the other cleared."""
    with tempfile.TemporaryDirectory(prefix="quarry-demo-") as folder:
        file = Path(folder, "test_orders.py")
        file.write_text(DEMO, encoding="utf-8")
        print("A consumer with a common mistake: it loads the rows in one transaction and marks the run in the next.\n")
        broken = _run(file, "TestBroken")
        print("\nThe same consumer, repaired: it loads and marks in one transaction.\n")
        repaired = _run(file, "TestRepaired")
    convicted, unsure = broken.get("failed", 0), broken.get("inconclusive", 0)
    if convicted and not unsure and repaired.keys() <= {"passed", "skipped"} and repaired.get("passed"):
        print("\nThe broken consumer was convicted, its repaired twin was cleared.")
        return CONFORMS
    print(
        f"\nUnexpected: the checks of the broken consumer: {broken}, of the repaired one: {repaired}.", file=sys.stderr
    )
    return INTERNAL


def _run(file: Path, suite: str) -> dict[str, int]:
    """pytest in a process of its own: the user's own configuration must not reach the demo. How many checks ended how."""
    report = file.with_name(f"{suite}.json")
    command = [sys.executable, "-m", "pytest", f"{file.name}::{suite}", "--rootdir", ".", "-c", "/dev/null"]
    options = [
        "-q",
        "--no-header",
        "--quarry-profile=core",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:random_order",
    ]
    sys.stdout.flush()
    subprocess.run([*command, *options, f"--quarry-report=json:{report}"], cwd=file.parent, check=False)
    checks = json.loads(report.read_text(encoding="utf-8"))["checks"] if report.exists() else []
    return dict(Counter(check["status"] for check in checks))
