"""`--quarry-replay`: exactly the saved schedule, and what became of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from orders import BROKEN, SOUND

from pytest_quarry.runner import read_replay

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")

_found: dict[str, str] = {}


@pytest.fixture
def saved(pytester: pytest.Pytester) -> Path:
    """The schedule that convicts the broken consumer, saved by the run that found it."""
    pytester.makepyfile(test_orders=BROKEN)
    folder = pytester.path / ".quarry"
    if not _found:
        pytester.runpytest(*QUIET, "-k", "crash_duplicates").assert_outcomes(failed=1)
        _found.update((file.name, file.read_text()) for file in folder.iterdir())
    folder.mkdir(exist_ok=True)
    ((name, text),) = _found.items()
    (folder / name).write_text(text)
    return folder / name


def change(pytester: pytest.Pytester, old: str, new: str) -> None:
    source = (pytester.path / "test_orders.py").read_text()
    assert old in source
    (pytester.path / "test_orders.py").write_text(source.replace(old, new))


def replay(pytester: pytest.Pytester, file: Path | str, *options: str) -> pytest.RunResult:
    return pytester.runpytest(*QUIET, f"--quarry-replay={file}", *options)


def test_the_file_reads_like_its_story(saved: Path) -> None:
    data = json.loads(saved.read_text())
    assert {name: data[name] for name in ("check", "consumer")} == {
        "check": "EB05",
        "consumer": "test_orders.py::TestOrders",
    }
    assert [step["do"] for step in data["schedule"]["steps"]] == ["write", "notify", "deliver"]
    assert data["schedule"]["steps"][2]["crash"]["label"] == "sqlite BEGIN orders.sqlite"


def test_the_command_of_the_failure_replays_it(pytester: pytest.Pytester, saved: Path) -> None:
    result = replay(pytester, f".quarry/{saved.name}", "test_orders.py")
    result.assert_outcomes(failed=1, deselected=len(pytester.inline_genitems("test_orders.py")[0]) - 1)
    result.stdout.fnmatch_lines(["still failing", "EB05 crash-duplicates-nothing *", "*7 *KILLED*before sqlite BEGIN*"])
    result.stdout.fnmatch_lines([f"*{saved.name}: still failing"])
    assert sorted(saved.parent.iterdir()) == [saved], "a replay saves nothing"


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with-xdist"])
def test_the_command_is_of_the_project_that_was_run(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """Without its configuration pytest would find no such suite, or another root."""
    pytester.makepyfile(test_orders=BROKEN.replace("class TestOrders", "class Conforms"))
    (pytester.path / "configured").mkdir()
    (pytester.path / "configured" / "its own.ini").write_text("[pytest]\npython_functions = test_c*\n")
    options = ("-c", "configured/its own.ini", "--rootdir=.", "-o", "python_classes=Conforms Others")
    result = pytester.runpytest_subprocess(*QUIET, *options, *workers, "-k", "crash_duplicates")
    (line,) = {line for line in result.outlines if line.startswith("replay: ")}
    command = shlex.split(line.removeprefix("replay: "))
    assert command[:2] == ["pytest", "test_orders.py"]
    again = pytester.runpytest_subprocess(*command[1:])
    again.stdout.fnmatch_lines([f"*{Path(command[-1].partition('=')[2]).name}: still failing"])


def repair(pytester: pytest.Pytester) -> None:
    """The same two transactions, made harmless."""
    change(pytester, "CREATE TABLE orders (run_id, item)", "CREATE TABLE orders (run_id, item, UNIQUE (run_id, item))")
    change(pytester, "INSERT INTO orders VALUES", "INSERT OR IGNORE INTO orders VALUES")


def test_after_the_repair_it_says_fixed(pytester: pytest.Pytester, saved: Path) -> None:
    repair(pytester)
    result = replay(pytester, saved)
    result.assert_outcomes(passed=1, deselected=pytest.approx(10, abs=40))
    result.stdout.fnmatch_lines([f"*{saved.name}: fixed, EB05 crash-duplicates-nothing holds for this schedule"])


def test_a_consumer_that_goes_another_way_has_drifted(pytester: pytest.Pytester, saved: Path) -> None:
    change(pytester, '"orders.sqlite"', '"renamed.sqlite"')
    result = replay(pytester, saved)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "drifted",
            "The consumer no longer goes the way of this schedule: it never came to *sqlite BEGIN orders.sqlite*",
        ]
    )


def test_a_profile_in_addopts_does_not_matter(pytester: pytest.Pytester, saved: Path) -> None:
    replay(pytester, saved, "--quarry-profile=fuzz").stdout.fnmatch_lines([f"*{saved.name}: still failing"])


def test_under_xdist(pytester: pytest.Pytester, saved: Path) -> None:
    pytest.importorskip("xdist")
    result = pytester.runpytest_subprocess(*QUIET, "-n", "2", f"--quarry-replay={saved}")
    result.stdout.fnmatch_lines(["still failing", "run-A was loaded twice*"])
    result.stdout.fnmatch_lines(["*quarry replay*", f"*{saved.name}: still failing"])


def test_under_xdist_after_the_repair(pytester: pytest.Pytester, saved: Path) -> None:
    pytest.importorskip("xdist")
    repair(pytester)
    result = pytester.runpytest_subprocess(*QUIET, "-n", "2", f"--quarry-replay={saved}")
    result.stdout.fnmatch_lines([f"*{saved.name}: fixed, EB05*"])


def altered(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def alter(file: Path) -> None:
        data = json.loads(file.read_text())
        change(data)
        file.write_text(json.dumps(data))

    return alter


BAD = {
    "cut": (lambda file: file.write_text(file.read_text()[:60]), "is not whole JSON (*). Was it cut?*"),
    "missing": (lambda file: file.unlink(), "no such file. A failing check says where its schedule was saved."),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "cannot be read: Is a directory."),
    "binary": (lambda file: file.write_bytes(b"\xff\xfe"), "is not whole JSON*"),
    "other JSON": (lambda file: file.write_text("[1]"), "is not a schedule saved by pytest-quarry."),
    "another program's": (lambda file: file.write_text('{"check": "x"}'), "is not a schedule saved by pytest-quarry."),
    "newer": (
        altered(lambda data: data.update({"pytest-quarry": 99})),
        "is of file version 99; this pytest-quarry reads*",
    ),
    "newer schedule": (altered(lambda data: data["schedule"].update(version=99)), "it is of schedule version 99;*"),
    "no schedule": (altered(lambda data: data.pop("schedule")), "lacks 'schedule'."),
    "no check": (altered(lambda data: data.pop("check")), "lacks 'check'."),
    "empty schedule": (
        altered(lambda data: data.update(schedule={})),
        "not a schedule: it needs version, runs and steps.",
    ),
    "unknown step": (
        altered(lambda data: data["schedule"]["steps"].append({"do": "explode"})),
        "step 4 is {'do': 'explode'}; known are write, *",
    ),
    "unknown field": (
        altered(lambda data: data["schedule"]["steps"][0].update(when="now")),
        "step 1 has unknown when; known are run, *",
    ),
    "missing field": (altered(lambda data: data["schedule"]["steps"][0].pop("run")), "step 1 lacks run."),
    "unknown run": (
        altered(lambda data: data["schedule"]["steps"][0].update(run="run-Z")),
        "step 1 is about run 'run-Z'; planned are run-A.",
    ),
    "unknown message": (
        altered(lambda data: data["schedule"]["steps"][2].update(messages=[9])),
        "step 3 delivers (9,), but only 1 were accepted before it.",
    ),
    "steps no list": (altered(lambda data: data["schedule"].update(steps=5)), "*steps*"),
    "runs no list": (altered(lambda data: data["schedule"].update(runs="ab")), "runs is 'ab', not a list."),
    "messages no list": (altered(lambda data: data["schedule"]["steps"][2].update(messages=1)), "step 3*"),
    "seed no number": (altered(lambda data: data["schedule"].update(seed="x")), "*seed*"),
    "wrong type": (altered(lambda data: data["schedule"]["runs"][0].update(items="3")), "run 1*items*"),
    "unknown outcome": (altered(lambda data: data["schedule"]["runs"][0].update(outcome="great")), "run 1*outcome*"),
}


@pytest.mark.parametrize(("spoil", "words"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_used(saved: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(saved)
    with pytest.raises(pytest.UsageError) as raised:
        read_replay(saved)
    assert fnmatch(str(raised.value), f"--quarry-replay {saved}: {words}"), str(raised.value)


@pytest.mark.parametrize("name", ["missing", "unknown step", "wrong type"])
def test_it_ends_the_run_with_that_message(pytester: pytest.Pytester, saved: Path, name: str) -> None:
    spoil, words = BAD[name]
    spoil(saved)
    result = replay(pytester, saved)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --quarry-replay {saved}: {words}"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_consumer_that_is_not_collected(pytester: pytest.Pytester, saved: Path) -> None:
    pytester.makepyfile(test_orders=SOUND.replace("TestOrders", "TestRenamed"))
    result = replay(pytester, saved)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --quarry-replay *: it was saved for test_orders.py::TestOrders, check EB05, which is not among the collected "
            "tests. Collected consumers with that check: test_orders.py::TestRenamed."
        ]
    )


# One suite for two consumers; in the id of one is what separates the parts of a node id.
PARAMETRIZED = f"""
import pytest
{BROKEN}
{SOUND.partition("class TestOrders")[0].replace("class Orders", "class Repaired")}

@pytest.mark.parametrize("loader", [Orders, Repaired], ids=["bro::ken", "repaired"])
class TestBoth(TestOrders):
    @pytest.fixture(autouse=True)
    def use(self, loader):
        self.loader = loader

    def start(self, world):
        return self.loader(world)

del TestOrders
"""


def test_one_suite_for_several_consumers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=PARAMETRIZED)
    found = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    found.assert_outcomes(failed=1, passed=1, deselected=found.parseoutcomes()["deselected"])
    found.stdout.fnmatch_lines(["test_orders.py::TestBoth", "  EB05  crash-duplicates-nothing[[]bro::ken]  FAILED *"])
    (file,) = (pytester.path / ".quarry").iterdir()
    data = json.loads(file.read_text())
    assert (data["consumer"], data["parameters"]) == ("test_orders.py::TestBoth", "bro::ken")
    again = replay(pytester, file, "test_orders.py")
    again.assert_outcomes(failed=1, deselected=again.parseoutcomes()["deselected"])
    again.stdout.fnmatch_lines([f"{file} [[]bro::ken]: still failing"])


def test_parameters_that_are_no_more(pytester: pytest.Pytester) -> None:
    """Each consumer of the suite is played, and what became of each is said."""
    pytester.makepyfile(test_orders=PARAMETRIZED)
    pytester.runpytest(*QUIET, "-k", "crash_duplicates and bro")
    (file,) = (pytester.path / ".quarry").iterdir()
    change(pytester, "bro::ken", "worse")
    result = replay(pytester, file, "test_orders.py")
    result.assert_outcomes(failed=2, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines([f"{file} [[]worse]: still failing", f"{file} [[]repaired]: drifted"])


def test_where_schedules_are_saved(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    pytester.makeini("[pytest]\nquarry_schedules = found/here")
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    result.stdout.fnmatch_lines(["replay: pytest test_orders.py --quarry-replay=found/here/EB05-*.json"])
    assert len(list((pytester.path / "found" / "here").iterdir())) == 1


def test_the_command_works_where_pytest_was_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]")
    below = pytester.mkdir("tests")
    (below / "test_orders.py").write_text(BROKEN)
    monkeypatch.chdir(below)
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    (line,) = [line for line in result.outlines if line.startswith("replay: ")]
    (file,) = (pytester.path / ".quarry").iterdir()
    assert line == f"replay: pytest test_orders.py --quarry-replay=../.quarry/{file.name}"
    again = pytester.runpytest(*QUIET, *line.split()[2:])
    again.stdout.fnmatch_lines([f"*{file.name}: still failing"])


def test_a_place_that_cannot_be_written_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    (pytester.path / ".quarry").write_text("a file")
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["replay: not saved: *"])


MARKS_IN_LATIN_1 = '''
import json, os
from pytest_quarry import EventBusConformance


class TestMarks(EventBusConformance):
    """Marks runs by files whose names are no UTF-8, after it has added their rows."""

    workers = 1

    def start(self, world):
        def handle(notification):
            mark = os.path.join(os.fsencode(world.disk), f"größe-{notification['run_id']}".encode("latin-1"))
            if not os.path.exists(mark):
                with open(world.disk / "rows.jsonl", "a") as file:
                    file.write(json.dumps({"run_id": notification["run_id"]}) + "\\n")
                open(mark, "w").close()

        return handle

    def rows(self, world):
        file = world.disk / "rows.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
'''


def test_names_of_files_that_are_no_text_are_saved_and_replayed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_marks=MARKS_IN_LATIN_1)
    pytester.runpytest(*QUIET, "-k", "crash_duplicates").assert_outcomes(failed=1)
    (file,) = (pytester.path / ".quarry").iterdir()
    crash = json.loads(file.read_text())["schedule"]["steps"][2]["crash"]
    assert crash["label"] == "open gr\udcf6\udcdfe-run-A"
    replay(pytester, file, "test_marks.py").stdout.fnmatch_lines(["still failing"])


def test_the_seed_makes_other_run_ids(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    result = pytester.runpytest(*QUIET, "--quarry-seed=5", "-k", "crash_duplicates")
    result.stdout.re_match_lines([r"run-A-[0-9a-f]{6} was loaded twice.*"])


def inline(pytester: pytest.Pytester, file: Path, *options: str) -> pytest.RunResult:
    """In a process of its own, which becomes the consumer."""
    return pytester.runpytest_subprocess(*QUIET, f"--quarry-replay={file}", "--quarry-inline", *options)


def test_inline_plays_the_consumer_in_the_tests_own_process(pytester: pytest.Pytester, saved: Path) -> None:
    change(pytester, "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        SEEN.append(run_id)\n")
    change(pytester, "class Orders:\n", "SEEN = []\n\n\nclass Orders:\n")
    pytester.makeconftest(
        """
        import os, time
        from pathlib import Path

        def pytest_runtest_teardown(item):
            import test_orders
            print("seen", *test_orders.SEEN, "and the clock is real:", time.time() > 1.78e9, time.monotonic() < time.monotonic())
            print("credentials", os.environ.get("AWS_ACCESS_KEY_ID"), "files", Path(__file__).read_text().split("\\n")[0])
        """
    )
    result = inline(pytester, saved, "-s")
    result.assert_outcomes(failed=1, deselected=len(pytester.inline_genitems("test_orders.py")[0]) - 1)
    result.stdout.fnmatch_lines(
        [
            "*seen run-A and the clock is real: True True",
            "credentials None files import os, time",
            "still failing",
            "run-A was loaded twice: *",
            "*KILLED*before sqlite BEGIN*",
            f"*{saved.name}: still failing",
        ]
    )


def test_inline_plays_a_later_start(pytester: pytest.Pytester, saved: Path) -> None:
    change(pytester, "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        print('here I mark it')\n")
    for options in ([], ["--quarry-inline-start=2"]):
        result = inline(pytester, saved, "-s", *options)
        assert result.outlines.count("here I mark it") == 1, "the other start prints it in a process of its own"
        result.stdout.fnmatch_lines(["  EB05 *FAILED *"])
    result = inline(pytester, saved, "--quarry-inline-start=9")
    result.stdout.fnmatch_lines(["*: still failing; the consumer was never started 9 times, so nothing was played in*"])


def test_inline_a_breakpoint_stops_in_that_start_only(pytester: pytest.Pytester, saved: Path) -> None:
    change(pytester, "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        breakpoint()\n")
    pytester.makeconftest(
        """
        import sys

        def pytest_runtest_call(item):
            sys.breakpointhook = lambda: print("here it stops")
        """
    )
    result = inline(pytester, saved, "-s", "--quarry-inline-start=2")
    assert result.outlines.count("here it stops") == 1
    result.stdout.no_fnmatch_line("*RuntimeError: breakpoint()*")
    result.stdout.fnmatch_lines(["run-A was loaded twice: *"])


def test_inline_a_debugger_stops_in_the_consumer(pytester: pytest.Pytester, saved: Path) -> None:
    pytest.importorskip("pexpect")
    change(pytester, "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        breakpoint()\n")
    child = pytester.spawn_pytest(f"--quarry-replay={saved} --quarry-inline test_orders.py")
    child.expect(r"\(Pdb\)")
    child.sendline("p 'it is ' + run_id")
    child.expect("it is run-A")
    child.sendline("q")
    child.expect("Quitting debugger")
    child.wait()


def test_a_breakpoint_elsewhere_says_where_it_works(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_orders=BROKEN.replace(
            "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        breakpoint()\n"
        )
    )
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    result.stdout.fnmatch_lines(
        ["*RuntimeError: breakpoint(): a consumer's own process has no terminal. Replay *--quarry-inline*"]
    )


@pytest.mark.parametrize(
    "options", [["--quarry-inline"], ["--quarry-replay=x.json", "--quarry-inline", "--quarry-inline-start=0"]]
)
def test_inline_needs_a_schedule(pytester: pytest.Pytester, options: list[str]) -> None:
    result = pytester.runpytest(*QUIET, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --quarry-inline plays one start of the consumer, *it needs --quarry-replay FILE*"]
    )
