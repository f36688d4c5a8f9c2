"""The pages of the checks: one for each, and what they show is what the kit says now."""

from __future__ import annotations

import re

import pytest

from pytest_quarry import docs, explain
from pytest_quarry.checks.production import checks_by_id

CHECKS = checks_by_id()
# Their samples are quick; the rest of the pages are written by `python -m pytest_quarry.docs` and read as they are.
PLAYED_AGAIN = ("EB03", "EB17", "PO05", "RD01", "PB06")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {file.stem: file.read_text(encoding="utf-8") for file in docs.FOLDER.glob("*.md")}


def test_every_check_has_a_page_and_no_page_is_left_over(pages: dict[str, str]) -> None:
    assert set(pages) == {"README", *CHECKS}
    assert pages["README"] == docs.index()


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_page_says_what_the_catalogue_and_the_samples_say(pages: dict[str, str], check_id: str) -> None:
    made = explain.page(CHECKS[check_id], ("", ""))
    words = f"the page of {check_id} is not what the code says; run: python -m pytest_quarry.docs {check_id}"
    assert explain.without_reports(pages[check_id]) == explain.without_reports(made), words


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_page_has_the_parts_a_reader_looks_for(pages: dict[str, str], check_id: str) -> None:
    headings = re.findall("^## (.*)$", pages[check_id], re.MULTILINE)
    assert headings[:3] == ["Why this happens in production", "What the world does", "The usual fix"]
    assert [heading.partition(":")[0] for heading in headings[3:]] == [
        "A consumer that fails it",
        "The same, done right",
    ]
    failed, passed = re.findall(f"{explain.BEGIN}(.*?){explain.END}", pages[check_id], re.DOTALL)
    assert f"{CHECKS[check_id].title} " in failed
    assert re.search("was the first to fail|of those that Hypothesis drew", failed)
    assert re.fullmatch(r"\s*It passes: [\d,]+ schedules?\.\s*", passed)


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_page_names_no_folder_of_the_machine_it_was_made_on(pages: dict[str, str], check_id: str) -> None:
    assert not re.search(r'File "/|File "[A-Z]:', pages[check_id])


@pytest.mark.parametrize("check_id", PLAYED_AGAIN)
def test_a_report_is_what_the_kit_prints(pages: dict[str, str], check_id: str) -> None:
    made = explain.page(CHECKS[check_id], docs.reports(CHECKS[check_id]))
    assert uncounted(pages[check_id]) == uncounted(made)


def uncounted(page: str) -> str:
    """Without the executions that making a schedule smaller took: each improvement there changes them all."""
    return re.sub(r"\d+ executions", "… executions", page)
