"""`test_fuzz`: drawn schedules, what is kept of those that fail, shards, and a database that several processes share."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from orders import BROKEN, SOUND

pytestmark = pytest.mark.usefixtures("all_plugins")  # that of Hypothesis is one
QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q", "--quarry-profile=fuzz")
# Each delivery loads: found after a few examples.
WORSE = BROKEN.replace(".fetchone():", ".fetchone() and False:").replace(
    "INSERT INTO marks", "INSERT OR IGNORE INTO marks"
)
# What these tests say of Hypothesis; the suites' own examples would take too long here.
PROFILE = """
from hypothesis import Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

settings.register_profile("few", {settings})
settings.load_profile("few")
"""

# As a team marks it.
OVERRIDE = """

    @pytest.mark.filterwarnings("default")
    def test_fuzz(self):
        super().test_fuzz()
"""
either = pytest.mark.parametrize("override", ["", OVERRIDE], ids=["inherited", "overridden"])


def configure(pytester: pytest.Pytester, source: str, settings: str) -> None:
    pytester.makepyfile(test_orders=f"import pytest\n{source}")
    pytester.makeconftest(PROFILE.format(settings=settings))


def saved(pytester: pytest.Pytester) -> list[str]:
    return sorted(file.name for file in (pytester.path / ".quarry").glob("FUZZ-*.json"))


def schedules(result: pytest.RunResult) -> int:
    """How many were played, as the line at the end says."""
    found = re.search(r"([\d,]+) schedules? ·", result.stdout.str())
    assert found is not None
    return int(found[1].replace(",", ""))


@either
def test_a_failure_is_found_made_small_saved_and_played_first(pytester: pytest.Pytester, override: str) -> None:
    configure(pytester, WORSE + override, "max_examples=100, database=None")
    first = pytester.runpytest(*QUIET, "--quarry-seed=1")
    first.assert_outcomes(failed=1, deselected=first.parseoutcomes()["deselected"])
    first.stdout.fnmatch_lines(
        [
            "FUZZ fuzz *critical",
            "* was loaded twice: 1 row expected, 2 found.",
            "*◀ here",
            "schedule * of those that Hypothesis drew; * execution*",
            "replay: pytest test_orders.py --quarry-replay=.quarry/FUZZ-*.json",
        ]
    )
    assert schedules(first) > 1
    (file,) = saved(pytester)
    again = pytester.runpytest(*QUIET, "--quarry-seed=2")
    again.stdout.fnmatch_lines(["* was loaded twice: 1 row expected, 2 found."])
    assert (schedules(again), saved(pytester)) == (1, [file])
    replayed = pytester.runpytest(*QUIET, f"--quarry-replay=.quarry/{file}")
    replayed.stdout.fnmatch_lines([f"*.quarry/{file}: still failing"])
    pytester.makepyfile(test_orders=f"import pytest\n{SOUND}{override}")
    fixed = pytester.runpytest(*QUIET, f"--quarry-replay=.quarry/{file}")
    fixed.stdout.fnmatch_lines([f"*.quarry/{file}: fixed, *"])
    assert schedules(fixed) == 1


def test_a_suite_that_is_a_test_case_too(pytester: pytest.Pytester) -> None:
    worse, sound = (
        "import unittest\n" + source.replace("(EventBusConformance)", "(EventBusConformance, unittest.TestCase)")
        for source in (WORSE, SOUND)
    )
    configure(pytester, worse, "max_examples=100, database=None")
    first = pytester.runpytest(*QUIET, "--quarry-seed=1")
    first.assert_outcomes(failed=1, deselected=first.parseoutcomes()["deselected"])
    (file,) = saved(pytester)
    again = pytester.runpytest(*QUIET, "--quarry-seed=2")
    assert (schedules(again), saved(pytester)) == (1, [file])
    replayed = pytester.runpytest(*QUIET, f"--quarry-replay=.quarry/{file}")
    replayed.stdout.fnmatch_lines([f"*.quarry/{file}: still failing"])
    configure(pytester, sound, "max_examples=3, database=None")
    fixed = pytester.runpytest(*QUIET, f"--quarry-replay=.quarry/{file}")
    fixed.assert_outcomes(passed=1, deselected=fixed.parseoutcomes()["deselected"])
    fixed.stdout.fnmatch_lines([f"*.quarry/{file}: fixed, *"])
    assert schedules(pytester.runpytest(*QUIET)) == 3


@either
def test_what_a_mended_consumer_no_longer_comes_to_is_passed_over(pytester: pytest.Pytester, override: str) -> None:
    configure(pytester, WORSE + override, "max_examples=100, database=None")
    pytester.runpytest(*QUIET, "--quarry-seed=1").assert_outcomes(failed=1, deselected=30)
    (file,) = (pytester.path / ".quarry").iterdir()
    data = json.loads(file.read_text())
    delivery = next(step for step in data["schedule"]["steps"] if step["do"] == "deliver")
    delivery["crash"] = {"label": "*", "occurrence": 99}
    file.write_text(json.dumps(data))
    configure(pytester, SOUND + override, "max_examples=3, database=None")
    result = pytester.runpytest(*QUIET)
    result.assert_outcomes(passed=1, deselected=30)
    assert schedules(result) == 3


@either
def test_a_seed_draws_the_same_again(pytester: pytest.Pytester, override: str) -> None:
    watched = SOUND.replace(
        "        return Orders(world)",
        '        open("starts", "a").write(str(world.now) + "\\n"); return Orders(world)',
    ).replace("start(self, world):", "start(self, world):\n")
    configure(pytester, watched + override, "max_examples=5, database=None")
    found = []
    for seed in (3, 3, 4):
        (pytester.path / "starts").unlink(missing_ok=True)
        pytester.runpytest(*QUIET, f"--quarry-seed={seed}").assert_outcomes(passed=1, deselected=30)
        found.append((pytester.path / "starts").read_text())
    assert found[0] == found[1] != found[2]


@either
def test_a_budget_is_used_up_and_not_exceeded_by_much(pytester: pytest.Pytester, override: str) -> None:
    configure(pytester, SOUND + override, "max_examples=1")
    result = pytester.runpytest(*QUIET, "--quarry-budget=3")
    result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
    assert schedules(result) > 1


def test_xdist_splits_the_examples_among_shards(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed; the extra `dev` has it")
    configure(pytester, SOUND, "max_examples=5, database=None")
    result = pytester.runpytest(*QUIET, "-n2", "-v")
    assert result.parseoutcomes()["passed"] == 2
    assert schedules(result) == 6  # three each
    listed = pytester.runpytest(*QUIET, "--collect-only").stdout.str()
    assert "TestOrders::test_fuzz" in listed
    assert "-of-" not in listed


def test_what_is_made_ready_before_it_is_called_is_ready_for_all_it_plays(pytester: pytest.Pytester) -> None:
    ready = OVERRIDE.replace("super()", "self.is_ready = True\n        super()")
    source = SOUND.replace("        return Orders(world)", "        assert self.is_ready\n        return Orders(world)")
    configure(pytester, source + ready, "max_examples=3, database=None")
    result = pytester.runpytest(*QUIET)
    assert (result.parseoutcomes()["passed"], schedules(result)) == (1, 3)


def test_an_override_in_a_shared_base_holds_for_its_suites(pytester: pytest.Pytester) -> None:
    skipped = OVERRIDE.replace('filterwarnings("default")', 'skip(reason="too long")')
    configure(
        pytester, f"{SOUND}{skipped}\n\nclass TestEurope(TestOrders):\n    pass\n", "max_examples=1, database=None"
    )
    result = pytester.runpytest(*QUIET)
    assert result.parseoutcomes()["skipped"] == 2


def test_what_one_process_found_another_finds_at_once_in_a_shared_database(pytester: pytest.Pytester) -> None:
    shared = f'database=DirectoryBasedExampleDatabase("{pytester.path / "shared"}")'
    configure(pytester, WORSE, f"max_examples=100, {shared}")
    pytester.runpytest_subprocess(*QUIET).stdout.fnmatch_lines(["* was loaded twice: 1 row expected, 2 found."])
    for file in (pytester.path / ".quarry").iterdir():
        file.unlink()  # as on another machine
    pytester.makeconftest(PROFILE.format(settings=f"phases=[Phase.reuse], {shared}"))
    other = pytester.runpytest_subprocess(*QUIET)
    other.stdout.fnmatch_lines(["* was loaded twice: 1 row expected, 2 found."])
    pytester.makeconftest(PROFILE.format(settings="phases=[Phase.reuse], database=None"))
    for file in (pytester.path / ".quarry").iterdir():
        file.unlink()
    pytester.runpytest_subprocess(*QUIET).stdout.no_fnmatch_line("*was loaded twice*")


def test_an_instance_that_no_fixture_has_seen(pytester: pytest.Pytester) -> None:
    """HypoFuzz makes one of its own."""
    other = "\n    def test_other(self):\n        type(self)().test_fuzz()\n"
    configure(pytester, WORSE + other, "max_examples=100, database=None")
    result = pytester.runpytest("-q", "-p", "no:random_order", "-k", "test_other")
    result.stdout.fnmatch_lines(["*was loaded twice*"])


def test_a_known_failure_is_expected_where_it_is_found(pytester: pytest.Pytester) -> None:
    configure(pytester, WORSE + '\n    known_failures = {"FUZZ": "ticket 7"}\n', "max_examples=100, database=None")
    result = pytester.runpytest(*QUIET, "-rx", "--quarry-seed=1")
    assert result.parseoutcomes()["xfailed"] == 1
    result.stdout.fnmatch_lines(["XFAIL * ticket 7"])


def test_a_known_failure_is_no_excuse_for_what_is_inconclusive(pytester: pytest.Pytester) -> None:
    nothing = WORSE.replace("def handle(self, notification):", "def handle(self, notification):\n        return")
    configure(pytester, nothing + '\n    known_failures = {"FUZZ": "ticket 7"}\n', "max_examples=3, database=None")
    result = pytester.runpytest(*QUIET)
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["FUZZ fuzz *inconclusive", "The consumer did nothing where something was due*"])


@pytest.mark.parametrize("profile", ["nightly", "fleet", "laptop"])
def test_the_profiles_of_the_page_on_fuzzing(pytester: pytest.Pytester, profile: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fuzzing.md").read_text(encoding="utf-8")
    (block,) = (found for found in re.findall("```python\n(.*?)```", page, re.DOTALL) if f'"{profile}"' in found)
    pytester.makepyfile(test_orders=SOUND)
    pytester.makeconftest(block)
    result = pytester.runpytest_subprocess(*QUIET, f"--hypothesis-profile={profile}", "--collect-only")
    result.stdout.fnmatch_lines(["test_orders.py::TestOrders::test_fuzz"])
