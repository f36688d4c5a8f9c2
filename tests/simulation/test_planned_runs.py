"""Planned runs: what is written of them, and what of stored ones a consumer must, may and may not load."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
from loaders import loader

from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.contract import Artifact, Outcome, Policy, Run, number_events
from pytest_quarry.simulation import planned
from pytest_quarry.simulation.history import RunView
from pytest_quarry.simulation.planned import build, unless_broken
from pytest_quarry.simulation.schedule import PlannedRun
from pytest_quarry.storage import StoredEvent, StoredRun

POLICIES: tuple[Literal["buffered", "strict"], ...] = ("buffered", "strict")
DATA = {0: {"sku": "sku-0", "price": 0}, 1: {"sku": "sku-1", "price": 1}, 5: {"sku": "sku-5", "price": 5}}


def item(number: int, **other: Any) -> tuple[str, dict[str, Any]]:
    return "item", {"item_type": "product", "data": DATA[number], **other}


def bodies(run: Run) -> list[tuple[str, Mapping[str, Any] | None]]:
    return [(str(event.type), event.payload) for event in run.events]


class TestBuilt:
    def test_a_plain_run(self) -> None:
        run = build(PlannedRun(run_id="run-1", items=2), loader())
        told = [item(0), item(1), ("run_complete", {"summary": {"items": 2}})]
        start = datetime.datetime(2026, 2, 2, 7, tzinfo=datetime.UTC)
        assert run == Run(
            run_id="run-1",
            source="shop",
            category="products",
            day="2026-02-02",
            events=number_events("run-1", told, started_at=start),
        )

    def test_an_odd_run_of_the_buffered_policy_has_a_gap_where_a_log_was_dropped(self) -> None:
        odd, strict = (
            build(PlannedRun(run_id="run-1", items=2, odd=True, policy=policy), loader()) for policy in POLICIES
        )
        assert [event.seq for event in odd.events][:3] == [1, 3, 4]
        assert odd.dropped_by_type == {"log": 1}
        assert odd.event_count == len(odd.events) + 1
        assert bodies(odd) == bodies(strict)
        assert not strict.dropped_by_type

    def test_all_that_is_planned(self) -> None:
        planned = PlannedRun(
            run_id="run-1",
            source="zoo",
            category="animals",
            day="2026-03-04",
            starts="23:59:59",
            items=1,
            first_item=5,
            policy="streaming",
            outcome="script_error",
            job_id="job-7",
            attempt=2,
            parent_run_id="run-0",
            logs=2,
            artifacts="committed",
            odd=True,
        )
        told: list[tuple[str, Mapping[str, Any] | None]] = [
            item(5, added_in="0.14", note="one\u0085two\u2028three"),
            ("log", None),
            ("item_rejected", {"reason": "no price"}),
            (
                "artifact",
                {"artifact_id": "page-1", "name": "page.html", "content_type": "text/html", "size_bytes": 0},
            ),
            ("log", {"level": "info", "message": "page 0"}),
            ("log", {"level": "info", "message": "page 1"}),
            ("run_error", {"error_type": "TypeError", "message": "selector not found"}),
        ]
        names: dict[str, Any] = {"job_id": "job-7", "attempt": 2, "parent_run_id": "run-0"}
        start = datetime.datetime(2026, 3, 4, 23, 59, 59, tzinfo=datetime.UTC)
        assert build(planned, loader()) == Run(
            run_id="run-1",
            source="zoo",
            category="animals",
            day="2026-03-04",
            policy=Policy.STREAMING,
            outcome=Outcome.SCRIPT_ERROR,
            events=number_events("run-1", told, started_at=start, **names),
            artifacts=(Artifact(artifact_id="page-1", chunks=(b"<html>", b"</html>")),),
            **names,
        )

    def test_one_that_skipped_itself(self) -> None:
        run = build(PlannedRun(run_id="run-1", items=0, skipped=True), loader())
        assert bodies(run) == [("run_complete", {"summary": {"skipped": True, "reason": "nothing new"}})]

    @pytest.mark.parametrize("outcome", ["executor_crash", "policy_failure", "version_mismatch"])
    def test_one_that_never_came_to_its_end(
        self, outcome: Literal["executor_crash", "policy_failure", "version_mismatch"]
    ) -> None:
        run = build(PlannedRun(run_id="run-1", items=1, outcome=outcome), loader())
        assert (run.outcome, bodies(run)) == (outcome, [item(0)])

    def test_an_orphan_is_an_artifact_that_nothing_commits(self) -> None:
        run = build(PlannedRun(run_id="run-1", items=0, artifacts="orphan"), loader())
        assert [artifact.artifact_id for artifact in run.artifacts] == ["page-1"]
        assert [kind for kind, _ in bodies(run)] == ["run_complete"]

    def test_the_first_item_is_made_larger(self) -> None:
        run = build(PlannedRun(run_id="run-1", items=2, blob=3), loader())
        data = [event.payload["data"] for event in run.events[:2] if event.payload is not None]
        assert data == [{**DATA[0], "blob": "xxx"}, DATA[1]]
        second = build(PlannedRun(run_id="run-1", items=1, first_item=5, blob=2), loader()).events[0].payload
        assert second is not None
        assert second["data"] == {**DATA[5], "blob": "xx"}

    def test_event_ids_of_every_run_alike(self) -> None:
        run = build(PlannedRun(run_id="run-1", items=1, plain_event_ids=True), loader())
        assert [event.event_id for event in run.events] == ["ev-0001", "ev-0002"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (7, "TestLoader.item_data(0) returned int. Return the item's data as a mapping."),
            ({"a": {1}}, "TestLoader.item_data(0) returned what Quarry could not store: "),
            (KeyError("a"), "TestLoader.item_data(0) raised KeyError: 'a'. Return the data as a mapping."),
        ],
    )
    def test_data_that_cannot_be(self, data: Any, words: str) -> None:
        def item_data(number: int) -> Any:
            if isinstance(data, Exception):
                raise data
            return data

        with pytest.raises(ConsumerError, match=f"^{re.escape(words)}"):
            build(PlannedRun(run_id="run-1"), loader(item_data=item_data))


def event(seq: int, kind: str = "item") -> StoredEvent:
    return StoredEvent(
        event_id=f"ev-{seq}",
        run_id="run-1",
        seq=seq,
        type=kind,
        ts="2026-02-02T07:00:00.000Z",
        payload={"data": {"sku": f"sku-{seq}"}},
        attempt=1,
        job_id=None,
        parent_run_id=None,
        contract_version="0.13.4",
    )


STORED = StoredRun(
    run_id="run-1",
    source="shop",
    category="products",
    day="2026-02-02",
    dataset="quarry",
    state="finished",
    outcome="success",
    attempt=1,
    job_id=None,
    parent_run_id=None,
    policy="strict",
    events=(event(1), event(2), event(3, "run_complete")),
    artifacts=(),
    sidecars=(),
    metrics=None,
    complete_partitions=True,
    damage=(),
)


FAILED = (*STORED.events[:2], event(3, "run_error"))


def view(run: StoredRun, consumer: Consumer) -> RunView:
    return planned.view(run, consumer)


class TestViews:
    """What of stored runs must be loaded (due), may be (optional), and may not (forbidden)."""

    def test_a_finished_run_is_due(self) -> None:
        found = view(STORED, loader())
        assert found == RunView(run_id="run-1", standing="due", state="finished", items=("ev-1", "ev-2"))

    @pytest.mark.parametrize(
        ("fields", "skipping", "loading"),
        [
            ({"complete_partitions": False}, "optional", "optional"),
            ({"outcome": "policy_failure"}, "optional", "optional"),
            ({"state": "running", "outcome": None}, "forbidden", "forbidden"),
            ({"state": "uncommitted", "outcome": None}, "forbidden", "forbidden"),
            ({"state": "failed", "outcome": "script_error", "events": FAILED}, "forbidden", "due"),
            ({"state": "failed", "outcome": "version_mismatch", "events": FAILED[:2]}, "forbidden", "optional"),
            ({"state": "crashed", "outcome": "executor_crash"}, "forbidden", "optional"),
        ],
    )
    def test_the_standing_of_a_run(self, fields: dict[str, Any], skipping: str, loading: str) -> None:
        run = replace(STORED, **fields)
        assert view(run, loader()).standing == skipping
        assert view(run, loader(failed_runs="load")).standing == loading
        assert view(run, loader()).state == run.state

    @pytest.mark.parametrize(
        ("fields", "standing"),
        [({}, "due"), ({"source": "shop-us"}, "forbidden"), ({"category": "default-2"}, "forbidden")],
    )
    def test_one_that_a_consumer_does_not_want(self, fields: dict[str, str], standing: str) -> None:
        run = replace(STORED, **fields)
        assert view(run, loader(only_sources=True, only_categories=True)).standing == standing
        assert view(run, loader()).standing == "due"

    def test_items_are_named_as_the_suite_names_them(self) -> None:
        found = view(STORED, loader(item_key=lambda event: event.data["sku"]))
        assert found.items == ("sku-1", "sku-2")

    def test_what_is_expected_is_the_suites_to_say(self) -> None:
        found = view(STORED, loader(expected=lambda run: [run.run_id, 7]))
        assert (found.standing, found.items) == ("due", ("run-1", "7"))
        nothing = view(STORED, loader(expected=lambda run: None))
        assert (nothing.standing, nothing.items) == ("forbidden", ("ev-1", "ev-2"))
        running = view(replace(STORED, state="running"), loader(expected=lambda run: ["a"]))
        assert (running.standing, running.items) == ("forbidden", ("ev-1", "ev-2"))
        maybe = view(replace(STORED, complete_partitions=False), loader(expected=lambda run: ["a"]))
        assert (maybe.standing, maybe.items) == ("optional", ("a",))

    @pytest.mark.parametrize(
        ("hook", "words"),
        [
            (
                "expected",
                "TestLoader.expected(run) raised KeyError: 'sku'. It gets a run with run_id, source, items, artifacts and state. "
                "Return the keys of its items, or None where it is not to be loaded.",
            ),
            (
                "item_key",
                "TestLoader.item_key(event) raised KeyError: 'sku'. It gets an item event with event_id, seq, payload and data; "
                "here data is {'sku': 'sku-1'}. Return what rows(world) calls item.",
            ),
        ],
    )
    def test_a_hook_that_raises(self, hook: str, words: str) -> None:
        def raises(argument: Any) -> Any:
            raise KeyError("sku")

        with pytest.raises(ConsumerError, match=f"^{re.escape(words)}$"):
            view(STORED, loader(**{hook: raises}))

    def test_a_run_whose_files_cannot_be_read_need_not_be_loaded(self) -> None:
        found = view(STORED, loader())
        assert unless_broken(found, ()) is unless_broken(found, ("run-2",)) is found
        broken = unless_broken(found, ("run-2", "read storage/run_id=run-1"))
        assert broken == replace(found, standing="optional", readable=False)
