"""What machines read: JSON by its schema, SARIF, badges, annotations."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import pytest
from made_records import HOSTILE, failure, hostile, one_of_each, record

from pytest_quarry.checks.catalogue import CATALOGUE
from pytest_quarry.checks.fuzzing import FUZZ
from pytest_quarry.report import badge, github, machine, sarif
from pytest_quarry.report.record import Record
from pytest_quarry.report.session import Session, not_run


def session(*records: Record, **details: Any) -> Session:
    return Session(records=records or tuple(one_of_each()), created="2026-02-02T08:00:00+00:00", **details)


def valid(data: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(machine.schema())
    jsonschema.Draft202012Validator(machine.schema()).validate(data)


class TestJson:
    def test_it_is_valid_by_its_schema(self) -> None:
        valid(json.loads(machine.text(session())))

    def test_hostile_texts_are_valid_and_come_through(self) -> None:
        data = json.loads(machine.text(session(hostile())).encode())
        valid(data)
        (check,) = data["checks"]
        for text in HOSTILE:
            assert text.replace("\ud800", "\\ud800") in check["reason"]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda data: data.pop("profile"),
            lambda data: data["checks"][0].update(status="fine"),
            lambda data: data["checks"][0].update(more=1),
            lambda data: data["checks"][1]["failure"]["steps"][0].update(mark="?"),
            lambda data: data["checks"][1]["failure"].pop("sentence"),
            lambda data: data.update(schema=2),
        ],
    )
    def test_the_schema_refuses_what_is_wrong(self, spoil: Any) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        data = machine.document(session())
        spoil(data)
        with pytest.raises(jsonschema.ValidationError):
            valid(data)

    def test_its_checks_say_what_a_gate_asks_for(self) -> None:
        data = machine.document(session())
        assert [(check["id"], check["status"]) for check in data["checks"]] == [
            ("EB01", "passed"),
            ("EB05", "failed"),
            ("EB06", "known"),
            ("EB07", "inconclusive"),
            ("EB19", "skipped"),
        ]
        wanted = {"id", "slug", "status", "severity", "schedules", "executions", "seconds", "not_exercised", "failure"}
        assert all(wanted <= set(check) for check in data["checks"])
        assert data["conforms"] is False
        assert data["counts"] == {"passed": 1, "failed": 1, "known": 1, "inconclusive": 1, "skipped": 1}

    def test_records_come_back_from_it(self) -> None:
        records = one_of_each()
        assert [Record.from_json(data) for data in json.loads(json.dumps([r.to_json() for r in records]))] == records


class TestNotRun:
    def test_it_counts_the_checks_of_the_kind_and_the_profile(self) -> None:
        poller = [check.id for check in (*CATALOGUE, FUZZ) if "poller" in check.kinds]
        everything = [record(check_id) for check_id in poller]
        assert not_run(everything, "full") == 0
        assert not_run(everything[1:], "full") == 1
        critical = [record(check.id) for check in CATALOGUE if "poller" in check.kinds and check.severity == "critical"]
        assert not_run(critical, "core") == 0
        assert not_run(critical, "full") == len(poller) - len(critical)
        assert not_run([record("FUZZ")], "fuzz") == 0

    def test_each_consumer_counts_and_ids_of_another_installation_do_not(self) -> None:
        critical = [check for check in CATALOGUE if check.severity == "critical" and "event-bus" in check.kinds]
        two = [record("EB01", consumer="a"), record("EB01", consumer="b")]
        assert not_run(two, "core") == 2 * (len(critical) - 1)
        assert not_run([record("ACME01")], "core") == 0


class TestSarif:
    def test_a_result_for_each_check_that_did_not_pass(self) -> None:
        (run,) = sarif.document(session())["runs"]
        rules = run["tool"]["driver"]["rules"]
        assert [rule["id"] for rule in rules] == ["EB01", "EB05", "EB06", "EB07", "EB19"]
        assert "Load and mark in one transaction" in rules[1]["help"]["text"]
        results = {result["ruleId"]: result for result in run["results"]}
        assert set(results) == {"EB05", "EB06", "EB07"}
        assert results["EB05"]["level"] == "error"
        assert results["EB05"]["ruleIndex"] == 1
        assert results["EB05"]["message"]["text"].startswith("run-A was loaded twice: 1 row expected, 2 found.\n")
        assert results["EB06"]["suppressions"] == [{"kind": "inSource", "justification": "ticket 7"}]
        location = results["EB05"]["locations"][0]["physicalLocation"]["artifactLocation"]
        assert location == {"uri": "test_orders.py"}

    def test_hostile_texts(self) -> None:
        found = json.loads(sarif.text(session(hostile())).encode())
        (result,) = found["runs"][0]["results"]
        assert "\x1b" not in result["message"]["text"]
        assert " " not in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


class TestBadge:
    @pytest.mark.parametrize(
        ("records", "words", "colour"),
        [
            ((record(),), "full 1: conforms", "good"),
            ((record(), record("EB19", "skipped")), "full 1: conforms, 1 skipped", "good"),
            ((record(), record("EB06", "known")), "full 1: conforms, 1 known", "partly"),
            ((record(reason="the budget ended after 3 schedules"),), "full 1: conforms, budget ended", "partly"),
            ((record(), record("EB05", "failed")), "full 1: does not conform", "bad"),
            ((record("EB07", "inconclusive"),), "full 1: does not conform", "bad"),
        ],
    )
    def test_it_says_what_was_tried(self, records: tuple[Record, ...], words: str, colour: str) -> None:
        found = json.loads(badge.endpoint(session(*records)))
        assert found["schemaVersion"] == 1
        assert (found["message"], found["color"]) == (words, badge.COLOURS[colour])

    def test_checks_that_were_not_run_are_no_part_of_the_promise(self) -> None:
        found = json.loads(badge.endpoint(session(record(), not_run=30)))
        assert (found["message"], found["color"]) == ("full 1: conforms, 30 not run", badge.COLOURS["partly"])

    def test_nothing_is_no_success(self) -> None:
        empty = Session(records=())
        assert badge.message(empty) == "no checks ran"
        assert not empty.conforms

    def test_the_image_says_the_same(self) -> None:
        root = ElementTree.fromstring(badge.svg(session(record(), profile="core", catalogue=3)))
        assert root.get("aria-label") == "quarry: core 3: conforms"
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert texts == ["quarry", "core 3: conforms"]


class TestGithub:
    def test_an_annotation_for_each_check_that_did_not_pass(self) -> None:
        found = list(github.commands(one_of_each()))
        assert [line.partition(" ")[0] for line in found] == ["::error", "::warning", "::error"]
        assert found[0].startswith(
            "::error file=test_orders.py,title=EB05 crash-duplicates-nothing (critical) failed::run-A was"
        )
        assert "%0Areplay: pytest test_orders.py" in found[0]
        assert found[1].count("known: ticket 7") == 1

    def test_no_text_ends_a_command_or_begins_another(self) -> None:
        nasty = "x\n::set-output name=a::b,c:d%"
        bad = replace(record("EB05", "failed", item=f"{nasty}::T::t"), failure=failure(sentence=nasty, replay=nasty))
        (line,) = github.commands([bad])
        assert "\n" not in line
        properties = line.removeprefix("::error file=").partition(",title=")[0]
        assert properties == "x\\n"
        assert "%25" in line
