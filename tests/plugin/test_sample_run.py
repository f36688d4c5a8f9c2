"""`sample_run`: the items of a real stored run instead of made-up ones."""

from __future__ import annotations

import pytest

from pytest_quarry.storage import Storage

SUITE = """
    from pathlib import Path
    from pytest_quarry.samples.sound_handlers import OneTransactionSuite

    class TestOrders(OneTransactionSuite):
        sample_run = Path({root!r})
        {more}
"""


def run_with(pytester: pytest.Pytester, root: str, more: str = "") -> pytest.RunResult:
    pytester.makepyfile(SUITE.format(root=root, more=more))
    return pytester.runpytest("-p", "no:randomly", "-k", "redelivery", "-q")


def test_the_consumer_is_given_the_items_of_the_run(pytester: pytest.Pytester) -> None:
    storage = Storage.on_disk(pytester.path / "real")
    for number in range(2):
        run = storage.run(f"real-{number}")
        if number:
            run.item({"sku": "REAL", "price": 7.5})
        run.complete()
    seen = 'def expected(self, run): return [self.item_key(e) for e in run.items if e.data["sku"] == "REAL"] * 1'
    run_with(pytester, str(pytester.path / "real"), seen).assert_outcomes(passed=1)


@pytest.mark.parametrize(("make", "words"), [(False, "there is no such folder"), (True, "no finished run with items")])
def test_where_there_is_none_the_suite_is_told(pytester: pytest.Pytester, make: bool, words: str) -> None:
    if make:
        Storage.on_disk(pytester.path / "real").run("real-0").leave_running()
    result = run_with(pytester, str(pytester.path / "real"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"TestOrders.sample_run is *{words}*"])
    result.stdout.no_fnmatch_line("*item_data*")
