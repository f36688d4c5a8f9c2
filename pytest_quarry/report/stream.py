"""The stream of records in a pytest session: attached to reports where checks run, collected where reports are written.

A record travels as plain data in the test's report, so that it comes through pytest-xdist and does without a terminal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_quarry import marking, shards
from pytest_quarry.report.record import Record, merged
from pytest_quarry.report.targets import Target

RECORD = "_quarry_record"  # of an item: what its run noted


def attach(item: pytest.Item, check_id: str, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Give a report its record, once it is known how the item ended; and JUnit's properties."""
    if report.when == "setup":
        found = [each for each in _properties(check_id) if each not in item.user_properties]  # it may be run again
        item.user_properties += found
        report.user_properties += found
    if report.when == "call" or (report.when == "setup" and not report.passed):
        record = getattr(item, RECORD, None) or _unknown(item, check_id, report)
        _still_expected(record, call, report)
        ended = _ended(record, report)
        report.quarry = replace(ended, seconds=round(call.duration, 3)).to_json()  # type: ignore[attr-defined]
        # Sent along, or xdist's controller, which plays nothing, would load all checks to look it up.
        report.quarry_place = place_of(check_id)  # type: ignore[attr-defined]
        _in_one_line(report, ended)


def not_refuted(expected: str, cut_short: str) -> str:
    """Why a check that is expected to fail, and was cut short before it did, is no pass; `expected` is the reason given for it."""
    said = f"{cut_short}, none of which failed: nothing can be said of it"
    return f"{expected}; {said}" if expected else said


def _still_expected(record: Record, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """A mark that expects a failure is not refuted by a pass that the budget cut short: what fails may come later."""
    strict = report.failed and call.excinfo is None  # nothing was raised, and that is what is wrong
    unexpected = strict or (report.passed and hasattr(report, "wasxfail"))
    if not unexpected or record.status != "passed" or not record.reason:
        return
    expected = str(report.longrepr).removeprefix("[XPASS(strict)] ") if strict else report.wasxfail
    report.outcome, report.longrepr = "skipped", None
    report.wasxfail = not_refuted(expected, record.reason)


def _in_one_line(report: pytest.TestReport, record: Record) -> None:
    """pytest's last lines, which in CI are not cut to the width, and JUnit's message: the sentence, not the whole text again."""
    crash = getattr(report.longrepr, "reprcrash", None)
    words = record.failure.sentence if record.failure is not None else record.reason
    if crash is not None and words and record.id in crash.message.partition("\n")[0]:
        crash.message = f"{record.id} {record.slug}: {words.splitlines()[0]}"


def _properties(check_id: str) -> list[tuple[str, object]]:
    check = _check(check_id)
    found = [("quarry_check", check.title), ("quarry_severity", check.severity), ("quarry_docs", check.page)]
    return [(name, value) for name, value in found if value]


def _check(check_id: str) -> Any:
    from pytest_quarry.checks.production import checks_by_id

    return checks_by_id()[check_id]


def place_of(check_id: str) -> int:
    """Where a check stands among all there are; the drawn schedules stand last."""
    from pytest_quarry.checks.production import checks_by_id

    return list(checks_by_id()).index(check_id)


def _unknown(item: pytest.Item, check_id: str, report: pytest.TestReport) -> Record:
    """The record of an item that never came to its check; an override that passes without it has shown nothing."""
    from pytest_quarry.report.story import record_of_check

    owner, override = marking.owner(item), marking.override(item)
    found = record_of_check(_check(check_id), consumer=owner, item=shards.whole(item), status="inconclusive")
    if override and report.passed:
        return replace(found, status="skipped", reason=f"{override}, which overrides the check, checked nothing")
    return found


def _ended(record: Record, report: pytest.TestReport) -> Record:
    """The record as pytest's own outcome has it: marks of the team's may have the last word."""
    xfail = getattr(report, "wasxfail", None)
    if report.skipped:
        reason = str(xfail).removeprefix("reason: ") if xfail is not None else _skipped(report)
        return replace(record, status="known" if xfail is not None else "skipped", reason=reason)
    if report.passed:
        if record.status in ("passed", "skipped"):
            return record
        # An override of the team's may catch what the check raised.
        return replace(record, status="known" if record.failure is not None or record.reason else "passed")
    if record.status in ("passed", "skipped"):  # it should have failed, or must not be left out
        return replace(record, status="failed", reason=str(report.longrepr))
    if not record.reason and record.failure is None:
        where = "before the check: " if report.when == "setup" else ""
        return replace(record, reason=where + _last_line(str(report.longrepr)))
    return record


def _skipped(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _last_line(text: str) -> str:
    errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return errors[0] if errors else text.strip().rpartition("\n")[2]


class Stream:
    """Collects the records of a session, and has the wanted reports written at its end."""

    def __init__(self, config: pytest.Config, targets: list[Target]) -> None:
        self._config, self._targets = config, targets
        self._found: dict[str, Any] = {}
        self._places: dict[str, int] = {}
        self._died: dict[str, str] = {}
        self._unwritten: list[str] = []

    @property
    def records(self) -> list[Record]:
        """Every record so far, by consumer, in the catalogue's order."""
        found = [Record.from_json(data) for data in self._found.values()]
        died = [self._of_the_dead(nodeid, words, found) for nodeid, words in self._died.items()]
        records = merged([*found, *(record for record in died if record is not None)])
        return sorted(records, key=lambda record: (record.consumer, self._places[record.id], record.item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, "quarry", None)
        if data is not None:
            self._found[report.nodeid] = data
            self._places[data["id"]] = report.quarry_place
        elif report.failed and report.when not in ("setup", "call", "teardown"):  # xdist's, of a worker that is gone
            self._died[report.nodeid] = str(report.longrepr)

    def _of_the_dead(self, nodeid: str, words: str, found: list[Record]) -> Record | None:
        """The record of a check whose process died in it, and noted nothing: its name is known, and who else is checked so."""
        from pytest_quarry.checks.production import checks_by_id
        from pytest_quarry.report.story import record_of_check

        checks, whole = checks_by_id(), shards.whole_name(nodeid)
        consumer, _, name = whole.partition("[")[0].rpartition("::")
        kinds = [
            set(checks[record.id].kinds) for record in found if record.consumer == consumer and record.id in checks
        ]
        named = [check for check in checks.values() if check.test_name == name]
        check = next((check for check in named if all(each & set(check.kinds) for each in kinds)), None)
        if check is None or nodeid in self._found:
            return None
        self._places[check.id] = place_of(check.id)
        return record_of_check(check, consumer=consumer, item=whole, status="inconclusive", reason=words)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._targets or self._config.getoption("collectonly", False):
            return
        from pytest_quarry.report.session import session_of

        seen = session_of(self._config, self.records)
        for target in self._targets:
            try:
                target.write(seen)
            except OSError as error:
                self._unwritten.append(f"--quarry-report {target.given}: cannot be written: {error.strerror or error}")
        if self._unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._found or self._died:
            from pytest_quarry.report import summary

            summary.write(terminalreporter, self.records)
            if summary.in_actions():
                from pytest_quarry.report import github
                from pytest_quarry.report.session import below_checkout

                github.write(terminalreporter, self.records, below_checkout(self._config.rootpath))
        for words in self._unwritten:
            terminalreporter.line(words, red=True)
