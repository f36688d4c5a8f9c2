"""Consumers that no schedule repeats: said so, at which step and what differs, by a check and by `test_fuzz` alike."""

from __future__ import annotations

import pytest
from orders import SOUND

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
BEGINS = "        run_id = notification"

# What each does before it loads. Randomness and clocks that Python offers are the world's, so these go round them.
STRANGE = {
    "random": (
        "        luck = open('/proc/sys/kernel/random/uuid').read()\n"
        "        (self.root.parent / 'disk' / f'try-{luck[:8]}').write_text('x')\n",
        "They differ at step 5: “crossed open try-*” in one, “crossed open try-*” in the other.",
    ),
    "the wall clock": (
        "        import ctypes\n"
        "        span = (ctypes.c_long * 2)()\n"
        "        ctypes.CDLL(None).clock_gettime(0, span)\n"
        "        (self.root.parent / 'disk' / f'at-{span[1]}').write_text('x')\n",
        "They differ at step 5: “crossed open at-*” in one, “crossed open at-*” in the other.",
    ),
    "a thread it leaks": (
        "        import threading\n"
        "        seen = []\n"
        "        def count():\n"
        "            for _ in range(20_000_000):\n"
        "                seen.append(0)\n"
        "        threading.Thread(target=count, daemon=True).start()\n"
        "        while len(seen) < 1_000: pass\n"
        "        (self.root.parent / 'disk' / f'counted-{len(seen)}').write_text('x')\n",
        "They differ at step 5: “crossed open counted-*” in one, “crossed open counted-*” in the other.",
    ),
}


@pytest.mark.parametrize(("work", "differs"), STRANGE.values(), ids=STRANGE)
def test_what_differs_is_said_and_nothing_is_judged(pytester: pytest.Pytester, work: str, differs: str) -> None:
    pytester.makepyfile(test_orders=SOUND.replace(BEGINS, work + BEGINS))
    result = pytester.runpytest(*QUIET, "-k", "restart or fuzz")
    result.assert_outcomes(failed=2, deselected=result.parseoutcomes()["deselected"])
    for head in ("EB03 restart *inconclusive", "FUZZ fuzz *inconclusive"):
        result.stdout.fnmatch_lines(
            [head, "The consumer is not deterministic: two executions of one schedule differ.", differs]
        )


def test_a_module_that_rows_imports_too_is_no_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(draws="import uuid\nNAME = str(uuid.uuid4())")  # what a consumer draws later is another then
    work = "        import draws, uuid\n        (self.root.parent / 'disk' / str(uuid.uuid4())).touch()\n"
    source = SOUND.replace(BEGINS, work + BEGINS).replace(
        "    def rows(self, world):\n", "    def rows(self, world):\n        import draws\n"
    )
    pytester.makepyfile(test_orders=source)
    pytester.runpytest(*QUIET, "-k", "restart or crash_loses").assert_outcomes(passed=2, deselected=29)
