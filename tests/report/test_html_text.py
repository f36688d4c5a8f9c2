"""The page as text: one file, nothing fetched, nothing of a consumer's as markup."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser

import pytest
from made_records import HOSTILE, hostile, one_of_each, record

from pytest_quarry.report import html
from pytest_quarry.report.record import plain
from pytest_quarry.report.session import Session


class Elements(HTMLParser):
    """What a browser makes of a page: elements, attributes, the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def page(*records: object) -> str:
    return html.page(Session(records=tuple(records), created="2026-02-02T08:00:00+00:00"))  # type: ignore[arg-type]


def test_hostile_texts_add_no_element_and_no_attribute() -> None:
    calm, nasty = Elements(page(record("EB05", "failed", reason="x", not_exercised=("y",)))), Elements(page(hostile()))
    shape = [(tag, sorted(attributes)) for tag, attributes in calm.tags]
    assert [(tag, sorted(attributes)) for tag, attributes in nasty.tags] == shape
    assert not any(name.startswith("on") for _, attributes in nasty.tags for name in attributes)


def test_the_data_comes_through_as_it_was() -> None:
    bad = hostile()
    data, _ = Elements(page(bad)).scripts
    (found,) = json.loads(data)
    wanted = plain({**asdict(bad.failure), "check": {"id": bad.id, "states": bad.states, "docs": bad.docs}})
    usual = re.search(r"const USUAL = (\{.*?\});", html._asset("page.js"), re.DOTALL)
    assert usual is not None
    left_out = json.loads(re.sub(r"(\w+):", r'"\1":', usual[1]))
    assert {**found, "steps": [{**left_out, **step} for step in found["steps"]]} == wanted
    assert not re.search(r"[<>&\u2028\u2029]", data)


@pytest.mark.parametrize("text", HOSTILE)
def test_every_hostile_text_in_a_script(text: str) -> None:
    found = html.in_script({"text": text})
    assert not re.search(r"[<>&\u2028\u2029]", found)
    found.encode()
    assert json.loads(found) == plain({"text": text})


def test_nothing_unseen_is_left_in_the_summary() -> None:
    text = page(hostile())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text.partition('id="data">')[0])
    text.encode("utf-8")


def test_nothing_is_fetched() -> None:
    text = page(*one_of_each())
    found = Elements(text)
    assert not [tag for tag, _ in found.tags if tag in ("link", "img", "iframe", "object", "embed", "base")]
    assert not [attributes for _, attributes in found.tags if {"src", "srcset", "style"} & set(attributes)]
    assert all(attributes["href"] == "#checks" for _, attributes in found.tags if "href" in attributes)
    assert "url(" not in text
    assert "@import" not in text
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_summary_needs_no_script() -> None:
    text = page(*one_of_each())
    for words in (
        "Does not conform",
        "<b>EB05</b> crash-duplicates-nothing",
        "run-A was loaded twice",
        "ticket 7",
        "Not exercised: writes of a child program",
        "it does not declare reconciles = True",
    ):
        assert words in text


def test_one_row_for_each_check_and_one_story_for_each_failure() -> None:
    text = page(*one_of_each())
    assert text.count('<li class="check"') == 5
    assert re.findall(r'data-failure="(\d+)"', text) == ["1", "2"]


def test_an_empty_session_says_so() -> None:
    assert "<h1>No check ran</h1>" in page()
