"""A run told as it happens and the same run written whole leave the same in storage, but for ids and times."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import calm, payloads, run_of

from pytest_quarry.contract import ContractError
from pytest_quarry.storage import FLAT_WINDOWS, WINDOWS, RunStory, Storage, VirtualClock
from pytest_quarry.storage.flushes import batches

steps = st.lists(
    st.one_of(
        st.tuples(st.just("item"), payloads.filter(lambda one: one is not None)),
        st.tuples(st.just("log"), st.text(max_size=4)),
        st.tuples(st.just("artifact"), st.binary(max_size=9)),
        st.tuples(st.just("orphan"), st.binary(max_size=9)),
        st.tuples(st.just("sidecar"), st.binary(max_size=9)),
        st.tuples(st.just("wait"), st.integers(1, 9)),
    ),
    max_size=8,
)
policies = st.sampled_from(
    [
        {"policy": "strict"},
        {"policy": "streaming"},
        {"policy": "streaming", "flush_count": 3, "flush_interval": 5},
        {"policy": "streaming", "flush_count": None, "flush_interval": 5},
        {"policy": "buffered"},
        {"policy": "buffered", "flush_mode": "chunks_first"},
        {"policy": "buffered", "flush_mode": "two_phase"},
    ]
)


def tell(run: RunStory, clock: VirtualClock, script: list[tuple[str, Any]]) -> None:
    for number, (what, value) in enumerate(script):
        if what == "item":
            run.item(value)
        elif what == "log":
            run.log(value)
        elif what == "sidecar":
            run.sidecar(f"{number}.bin", value)
        elif what == "wait":
            clock.advance(value)
        else:
            run.artifact(f"{number}.bin", value, chunk_bytes=4, committed=what == "artifact")


def lines(storage: Storage) -> dict[str, list[bytes]]:
    """Data lines and sidecar files by key, snapshot ids left out."""
    found: dict[str, list[bytes]] = {}
    for key in storage.store.list(""):
        if "/data" in key or "/files/" in key:
            found.setdefault(re.sub(r"/segments/\d+/", "/", key), []).append(storage.store.get(key))
    if storage.layout == "flat":
        # Chunks come before the events of their flush, or in the order they were sent.
        return {key: sorted(b"".join(data).splitlines()) for key, data in found.items()}
    return found


@pytest.mark.parametrize("layout", ["lode", "flat"])
@given(script=steps, fields=policies)
@settings(calm, max_examples=60)
def test_told_live_is_as_written_whole(layout: str, script: list[tuple[str, Any]], fields: dict[str, Any]) -> None:
    clock = VirtualClock()
    live, whole = Storage.in_memory(clock=clock, layout=layout), Storage.in_memory(layout=layout)
    run = live.run("run-1", **fields)
    tell(run, clock, script)
    value = run.complete()
    whole.write(value)
    # A tick may fall between two artifacts, which carry no time: then only the flushes differ.
    if layout == "flat" or not fields.get("flush_interval"):
        assert lines(live) == lines(whole)
    (one,), (two,) = live.read(), whole.read()
    assert (one.events, one.artifacts, one.damage) == (two.events, two.artifacts, ())
    assert {(each.name, each.data) for each in one.sidecars} == {(each.name, each.data) for each in two.sidecars}


@given(script=steps, fields=policies, window=st.sampled_from([name for name in WINDOWS if name != "w9"]))
@settings(calm, max_examples=80)
def test_crashed_and_resumed_is_as_if_nothing_happened(
    script: list[tuple[str, Any]], fields: dict[str, Any], window: str
) -> None:
    for layout in ("lode", "flat") if window in FLAT_WINDOWS else ("lode",):
        clock, other = VirtualClock(), VirtualClock()
        crashed, whole = Storage.in_memory(clock=clock, layout=layout), Storage.in_memory(clock=other, layout=layout)
        one, two = crashed.run("run-1", day="2026-02-02", **fields), whole.run("run-1", day="2026-02-02", **fields)
        tell(one, clock, script)
        tell(two, other, script)
        refused = ""
        try:
            one.crash(window=window)
        except ContractError as error:
            refused = str(error)
        if refused:
            assert "no sidecar file" in refused
            return
        for stored in crashed.read():
            assert {event.seq for event in stored.events} <= {event.seq for event in one.value.events}
        one.resume()
        two.complete()
        (mine,), (theirs,) = crashed.read(), whole.read()
        assert [event.payload for event in mine.events] == [event.payload for event in theirs.events]
        assert mine.artifacts == theirs.artifacts
        assert {(each.name, each.data) for each in mine.sidecars} == {
            (each.name, each.data) for each in theirs.sidecars
        }
        assert mine.damage == theirs.damage == ()


def test_ticks_lie_between_events() -> None:
    run = run_of(items=9, policy="streaming", flush_count=None, flush_interval=1)
    # An event every quarter of a second, the first a quarter after the start; ticks at every whole second.
    found, _ = batches(run)
    assert [batch.events for batch in found] == [3, 4, 3]
    both, _ = batches(run_of(items=9, policy="streaming", flush_count=3, flush_interval=1))
    assert [batch.events for batch in both] == [3, 3, 1, 3]
