"""The page in a real browser: drawn, stepped through by keys, silent, alone, readable on a phone, quick with 500 failures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, opened
from made_records import failure, hostile, one_of_each, record, steps

from pytest_quarry.report import html
from pytest_quarry.report.record import Message, Record
from pytest_quarry.report.session import Session

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
FAILED = '.check[data-status="failed"]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def written(folder: Path, *records: Record) -> Path:
    file = folder / "page.html"
    file.write_text(html.page(Session(records=records, created="2026-02-02T08:00:00+00:00")), encoding="utf-8")
    return file


def current(page: Any) -> str:
    return str(page.locator('[aria-current="step"] .n').inner_text())


def test_a_failure_is_drawn_and_begins_at_the_first_wrong_effect(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, written(tmp_path, *one_of_each()))
    page = found.page
    page.locator(f"{FAILED} .steps").wait_for()
    assert page.locator(f"{FAILED} .step").count() == 6
    assert current(page) == "6"
    assert page.locator(".step.here .g").inner_text().startswith("+1 row of run-A")
    assert page.locator(".timeline svg[role=img]").first.get_attribute("aria-label").startswith("Timeline of 6 steps")
    assert page.locator(".lanes").inner_text().split("\n") == ["world", "consumer", "checkpoint", "target"]
    assert page.locator(".timeline .halo").count() == 1
    assert page.get_by_text("first wrong effect", exact=True).count() >= 1
    assert "killed" in page.locator(".legend").inner_text()
    assert "delivered again" in page.locator(".legend").inner_text()
    assert page.locator("table tr.wrong td").all_inner_texts() == ["run-A", "e-1", "1", "2 ▲"]
    assert found.errors == []
    assert len(found.requests) == 1


def test_keys_buttons_and_the_drawing_step_through_it(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each())).page
    page.locator('[aria-current="step"]').focus()
    for key, step in (
        ("Home", "1"),
        ("ArrowRight", "2"),
        ("ArrowDown", "3"),
        ("ArrowLeft", "2"),
        ("End", "6"),
        ("ArrowRight", "6"),
    ):
        page.keyboard.press(key)
        assert current(page) == step, key
        assert page.evaluate("document.activeElement.querySelector('.n').textContent") == step
    page.get_by_role("button", name="Step back").click()
    assert current(page) == "5"
    assert page.get_by_text("Step 5 of 6").is_visible()
    page.get_by_role("button", name="Go to the first wrong effect").click()
    assert current(page) == "6"
    assert page.get_by_role("button", name="Step forward").is_disabled()
    drawing = page.locator(".timeline svg[role=img]")
    drawing.click(position={"x": drawing.bounding_box()["width"] * 0.25, "y": 60}, force=True)
    assert current(page) == "2"


def test_details_of_a_step_and_the_storage_then(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each())).page
    page.locator(".step").nth(2).click()
    detail = page.locator(".detail").inner_text()
    assert "open orders.sqlite" in detail, "the quiet operation before it"
    assert "Storage at this step: 2 files" in detail
    assert "manifest.json" in detail


def test_on_a_phone_the_details_stand_below_their_step(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each()), **PHONE).page
    page.locator(".step").nth(1).click()
    assert page.locator("li:has([aria-current=step]) > .detail").count() == 1
    assert page.locator(".detail").count() == 1
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator(".player > .detail").wait_for()
    assert current(page) == "2"


def test_a_long_history_scrolls_to_the_step_in_its_drawing_alone(browser: Any, tmp_path: Path) -> None:
    long = record("EB05", "failed", failure=failure(steps=steps(150)))
    page = opened(browser, written(tmp_path, long), **PHONE).page
    page.locator(".steps").wait_for()
    drawing = page.locator(".drawing")
    assert drawing.evaluate("(one) => one.scrollWidth / one.clientWidth") > 5
    assert drawing.evaluate("(one) => one.scrollLeft") > 1000, "it begins at the first wrong effect"
    page.locator('[aria-current="step"]').focus()
    page.keyboard.press("Home")
    assert drawing.evaluate("(one) => one.scrollLeft") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".tick").all_text_contents()[:3] == ["1", "10", "20"]


def test_a_story_says_what_its_check_states_and_where_to_read_on(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each())).page
    story = page.locator(f"{FAILED} .story").inner_text()
    assert "EB05 states: A notification delivered again loads nothing again." in story
    assert "quarry-conformance explain EB05" in story


def test_a_publisher_has_a_topic_in_place_of_a_target(browser: Any, tmp_path: Path) -> None:
    told = tuple(
        replace(step, what="published", message=Message(topic="t", text="{}", attributes={"run_id": "run-A"}))
        if step.here
        else step
        for step in steps(6)
    )
    page = opened(browser, written(tmp_path, record("PB02", "failed", failure=failure(steps=told)))).page
    page.locator(".steps").wait_for()
    assert page.locator(".lanes").inner_text().split("\n")[-1] == "topic"
    assert page.locator(".columns .g").inner_text() == "topic"
    assert "the topic accepts a message" in page.locator(".legend").inner_text()
    assert "run_id: run-A" in page.locator(".detail").inner_text()


def test_it_can_be_used_with_the_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    records = [record(f"EB{number:02}", "failed") for number in range(1, 6)]
    page = opened(browser, written(tmp_path, *records)).page
    assert page.locator(".steps").count() == 0, "many failures are not opened by themselves"
    for _ in range(3):  # the link to the checks, one filter, the first failure
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".steps").wait_for()
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.textContent"))
    assert {"◀ Back", "step here", "detail", "Copy"} <= {
        name.replace("step is-effect here", "step here") for name in reached
    }


def test_what_a_screen_reader_meets(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each())).page
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, summary, svg[role=img]')]"
        ".filter((one) => !(one.innerText || one.getAttribute('aria-label') || one.labels?.[0]?.innerText)).length"
    )
    assert unnamed == 0
    assert page.locator("ol.steps").first.get_attribute("aria-label") == "Steps"
    assert page.locator("[role=status]").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))")
    assert all(after - before <= 2 for before, after in itertools.pairwise(levels)), levels


CONTRAST = """() => {
  const seen = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (one) => { for (let at = one; at; at = at.parentElement) { const c = seen(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) || !one.checkVisibility() || one.closest("svg,script,style,noscript") || one.disabled) continue;
    const [a, b] = [light(seen(getComputedStyle(one).color)), light(ground(one))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push(`${one.className} ${one.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_by_day_and_by_night(browser: Any, tmp_path: Path, scheme: str) -> None:
    page = opened(browser, written(tmp_path, *one_of_each()), color_scheme=scheme, reduced_motion="reduce").page
    page.locator(".steps").first.wait_for()
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == "rgb(251, 250, 247)") == (scheme == "light")


@pytest.mark.parametrize(
    "context", [PHONE, {"viewport": {"width": 800, "height": 600}}, {}], ids=["phone", "tablet", "desktop"]
)
def test_nothing_scrolls_sideways(browser: Any, tmp_path: Path, context: dict[str, Any]) -> None:
    long = record("EB05", "failed", failure=failure(steps=steps(60), replay="pytest " + "x" * 300, sentence="y" * 200))
    page = opened(browser, written(tmp_path, long, hostile()), **context).page
    page.locator(".steps").first.wait_for()
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    small = page.evaluate(
        "[...document.querySelectorAll('button, summary, .count')].filter((one) => one.checkVisibility() && "
        "one.getBoundingClientRect().height < 24).length"
    )
    assert small == 0, "everything is large enough for a finger"


def test_hostile_texts_run_nothing_and_are_shown(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, written(tmp_path, hostile()))
    page = found.page
    page.locator(".steps").wait_for()
    for number in range(page.locator(".step").count()):
        page.locator(".step").nth(number).click()
    for more in page.locator(".more > summary").all():
        more.click()
    assert page.evaluate("window.hacked") is None
    assert page.locator(".check img, .check script").count() == 0
    assert "<script>window.hacked=1</script>" in page.locator(".detail").inner_text()
    assert "\\u202eright-to-left" in page.locator(".replay code").inner_text()
    seen = page.evaluate("document.body.innerText")
    assert not set("\u202e\u2066\x07\x1b\x00") & set(seen)
    assert found.errors == []
    assert len(found.requests) == 1


def test_500_failures_stay_usable(browser: Any, tmp_path: Path) -> None:
    one = failure(steps=steps(120))
    records = [
        record("EB05", "failed", failure=one, item=f"t.py::T::test_{n}", consumer=f"t.py::T{n // 40}")
        for n in range(500)
    ]
    file = written(tmp_path, *records)
    began = time.monotonic()
    found = opened(browser, file)
    page = found.page
    assert page.evaluate("document.querySelectorAll('*').length") < 12_000, "nothing is drawn before it is opened"
    page.locator("details[data-failure]").nth(400).locator("summary").first.click()
    page.locator(".steps").wait_for()
    assert time.monotonic() - began < 30
    took = page.evaluate(
        "() => { const all = [...document.querySelectorAll('details[data-failure]')]; const from = performance.now();"
        " all[10].open = true; all[10].scrollIntoView(); return performance.now() - from; }"
    )
    assert took < 2000
    page.locator('input[value="failed"]').uncheck()
    assert page.locator(".consumer:visible").count() == 0
    assert found.errors == []


def test_what_is_closed_is_drawn_no_more(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, record("EB05", "failed"))).page
    page.locator(".steps").wait_for()
    page.locator("summary").first.click()
    page.wait_for_function("!document.querySelector('.steps')")
    page.locator("summary").first.click()
    page.locator(".steps").wait_for()


def test_the_command_is_copied(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, record("EB05", "failed"))).page
    page.get_by_role("button", name="Copy").click()
    page.wait_for_function("document.getElementById('said').textContent !== ''")
    chosen = page.evaluate("getSelection().toString()")
    assert page.locator("#said").inner_text() == "Copied" or chosen == failure().replay


def test_filters_hide_what_is_not_wanted(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, written(tmp_path, *one_of_each())).page
    page.locator('input[value="passed"]').uncheck()
    assert page.locator(".check:visible").count() == 4
    page.locator('input[value="passed"]').check()
    assert page.locator(".check:visible").count() == 5
