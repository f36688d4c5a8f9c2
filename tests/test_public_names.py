"""What users import, and the command they run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_quarry
from pytest_quarry.checks.catalogue import CATALOGUE
from pytest_quarry.cli import main
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Poll, Schedule
from pytest_quarry.simulation.world import World

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", pytest_quarry.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pytest_quarry, name) is not None
    assert name in dir(pytest_quarry)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Nothing'; it has .*EventBusConformance"):
        getattr(pytest_quarry, "Nothing")  # noqa: B009 - as a misspelt import would


@pytest.mark.parametrize("module", ["pytest_quarry", "pytest_quarry.cli"])
def test_importing_the_package_imports_nothing_heavy(module: str) -> None:
    heavy = ("boto3", "botocore", "moto", "hypothesis", "pyfakefs", "jinja2", "time_machine", "pytest")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_readme_lists_the_catalogue() -> None:
    listed = re.findall(r"^\| ([A-Z]{2}\d\d) \| ([a-z-]+) \|.*\| (\w+) \|$", README.read_text(), re.MULTILINE)
    assert listed == [(check.id, check.slug, check.severity) for check in CATALOGUE]


def test_the_list_of_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [check.id for check in CATALOGUE]


@pytest.mark.parametrize("arguments", [[], ["nonsense"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: quarry-conformance" in capsys.readouterr().err


def test_prepare_may_write_runs_of_its_own() -> None:
    seen: list[str] = []

    class Looks:
        def poll(self) -> None:
            return None

    def prepare(world: World) -> None:
        run = world.storage.run("run-before", source="shop")
        run.item({"sku": "A-1"})
        run.complete()
        seen.extend(stored.run_id for stored in world.stored)

    consumer = Consumer(
        name="Looks", kind="poller", prepare=prepare, start=lambda world: Looks(), rows=lambda world: []
    )
    simulate(Schedule(runs=(), steps=(Poll(),)), consumer)
    assert seen == ["run-before"]
