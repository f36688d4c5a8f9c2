"""Ids that look alike are told apart where a person reads them."""

from __future__ import annotations

import pytest

from pytest_quarry.report.shown import shown


@pytest.mark.parametrize("text", ["run-\u00e9", "\u0939\u093f\u0928\u094d\u0926\u0940", "plain", "日本"])
def test_texts_in_one_form_stay_as_they_are(text: str) -> None:
    assert shown(text) == text


def test_an_accent_beside_its_letter_is_spelt_out() -> None:
    assert shown("run-e\u0301") == "run-e\\u0301"


def test_what_turns_a_line_around_is_spelt_out() -> None:
    assert shown("run\u202e1\n") == "run\\u202e1\\n"
