"""`quarry-conformance diff`: what changed from one JSON report to the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_records import record

from pytest_quarry.cli import main
from pytest_quarry.report import machine
from pytest_quarry.report.record import Record
from pytest_quarry.report.session import Session


def write(path: Path, *records: Record) -> str:
    path.write_text(machine.text(Session(records=records)), encoding="utf-8")
    return str(path)


def test_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(
        tmp_path / "old.json",
        record("EB01"),
        record("EB03", "failed"),
        record("EB04", "known"),
        record("EB06", seconds=1.0),
        record("EB13", seconds=10.0),
        record("EB14", "failed"),
        record("EB19"),
        record("EB20"),
    )
    new = write(
        tmp_path / "new.json",
        record("EB01", "failed"),
        record("EB02", "failed"),
        record("EB03"),
        record("EB04"),
        record("EB06", seconds=2.5),
        record("EB13", seconds=10.9),
        record("EB14", "inconclusive", reason="it does nothing"),
        record("EB19", "skipped", reason="not declared"),
    )
    assert main(["diff", old, new]) == 1
    assert capsys.readouterr().out == (
        """\
newly failing: 2
  EB01 redelivery  test_orders.py::TestOrders
      run-A was loaded twice: 1 row expected, 2 found.
  EB02 redelivery  test_orders.py::TestOrders
      run-A was loaded twice: 1 row expected, 2 found.
fixed: 2
  EB03 redelivery  test_orders.py::TestOrders
  EB04 redelivery  test_orders.py::TestOrders
skipped now: 1
  EB19 redelivery  test_orders.py::TestOrders
      not declared
not in the new report: 1
  EB20 redelivery  test_orders.py::TestOrders
slower: 1
  EB06 redelivery  test_orders.py::TestOrders
      1.0 s, now 2.5 s
1 still failing
"""
    )


def test_what_failed_before_and_fails_still_is_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (write(tmp_path / name, record("EB05", "failed")) for name in ("old", "new"))
    assert main(["diff", old, new]) == 0
    assert capsys.readouterr().out == "1 still failing\n"


def test_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "same", record())
    assert main(["diff", file, file]) == 0
    assert capsys.readouterr().out == "no difference\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not whole JSON"),
        ("[]", "is no report of pytest-quarry"),
        (json.dumps({"schema": 99, "checks": []}), "is of schema 99; this pytest-quarry reads schema 1"),
        (json.dumps({"schema": 1, "checks": [{"id": "EB01"}]}), "a check in it cannot be read"),
    ],
)
def test_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str) -> None:
    good, bad = write(tmp_path / "good", record()), tmp_path / "bad"
    if text is not None:
        bad.write_text(text)
    assert main(["diff", good, str(bad)]) == 2
    assert words in capsys.readouterr().err
