"""docs/detection.md and docs/soundness.md name exactly the registered samples, and nobody got away or was accused."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_quarry.samples import SAMPLES

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run: python benchmarks/samples.py (with --write it measures nothing)"


def rows(page: str) -> list[list[str]]:
    """The lines of a page's table, as cells."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def test_the_table_of_broken_samples() -> None:
    listed = [(name, what, re.findall(r"\[(\w+)\]", check)[0]) for name, what, check, *_ in rows("detection.md")]
    broken = [sample for sample in SAMPLES if not sample.sound]
    assert listed == [(sample.name, sample.what, check) for sample in broken for check in sample.caught_by], AGAIN
    assert len({name for name, *_ in listed}) >= 60


def test_every_broken_sample_that_was_measured_was_convicted() -> None:
    measured = [row for row in rows("detection.md") if row[4] != "not measured"]
    assert len({name for name, *_ in measured}) >= 60
    for name, _, check, _, schedules, until_found, in_all, steps in measured:
        assert int(schedules) >= 1, f"{name} {check}"
        assert 1 <= int(until_found) <= int(in_all), f"{name} {check}"
        assert int(steps) >= 1, f"{name} {check}"


def test_the_table_of_sound_samples() -> None:
    sound = [sample for sample in SAMPLES if sample.sound]
    assert [(name, what) for name, what, *_ in rows("soundness.md")] == [(each.name, each.what) for each in sound], (
        AGAIN
    )
    assert len(sound) >= 20
    assert {sample.suite().kind for sample in sound if not sample.missing} == {"event-bus", "poller", "publisher"}


def test_no_sound_sample_was_accused() -> None:
    for name, _, _, *measured in rows("soundness.md"):
        if not measured[0].startswith("not measured"):
            assert measured[-1] == "0", name
