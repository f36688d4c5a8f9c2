"""Names of files that tell the number of a process: without it in labels, and nothing else is without its digits."""

from __future__ import annotations

import pytest

from pytest_quarry.consumers.kernel.made_up import Numbered

HASH = "b07965bbc32898681b838d023c8b1314bd501badd0c8b1314c8b7c8b23c8b001"


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("open part-1314", "open part-PID"),
        ("open tmp1314", "open tmpPID"),
        ("rename out/1314.part → out/a.jsonl", "rename out/PID.part → out/a.jsonl"),
        ("open part-7", "open part-PID"),
        ("open part-23-7.tmp", "open part-23-PID.tmp"),
        ("open part-01314", "open part-01314"),
        ("open part-13140", "open part-13140"),
        (f"open {HASH}.part", f"open {HASH}.part"),
        ("open run-A/day=2026-02-02", "open run-A/day=2026-02-02"),
    ],
)
def test_the_number_of_the_process_whose_call_it_is(label: str, shown: str) -> None:
    assert Numbered().hidden(label, frozenset([1314, 7])) == shown


def test_who_comes_later_removes_what_a_process_left() -> None:
    names = Numbered()
    assert names.hidden("open part-1314", frozenset([1314])) == "open part-PID"
    assert names.hidden("unlink part-1314", frozenset([1400])) == "unlink part-PID"
    assert names.hidden("unlink part-1315", frozenset([1400])) == "unlink part-1315"
