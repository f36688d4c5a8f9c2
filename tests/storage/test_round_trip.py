"""Any run, written by the writer and read by the reader, is the same run; nothing ever leaves the root."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_runs import calm, check_same, names, run_of, writer

import pytest_quarry.storage
from pytest_quarry.contract import ContractError, Outcome, Run, Sidecar
from pytest_quarry.storage import WINDOWS, FileStore, MemoryStore, Stop, read_runs
from pytest_quarry.strategies import runs, values

STATES = {
    Outcome.SUCCESS: "finished",
    Outcome.SCRIPT_ERROR: "failed",
    Outcome.EXECUTOR_CRASH: "crashed",
    Outcome.POLICY_FAILURE: "failed",
    Outcome.VERSION_MISMATCH: "failed",
}
ENDS: dict[str | None, str] = {"run_complete": "finished", "run_error": "failed"}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
DATA = st.dictionaries(st.text(max_size=4), values.json_values | NUMBERS | st.lists(NUMBERS), max_size=3)
EVERY = runs(ids="hostile", max_items=4, max_others=4, data=DATA)


def contents(store: MemoryStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


@given(run=EVERY)
@calm
def test_a_run_written_is_the_run_read(run: Run) -> None:
    store = MemoryStore()
    writer(store).write(run)
    (stored,) = read_runs(store)
    check_same(stored, run)
    ended = None if run.terminal is None else str(run.terminal.type)
    told = run.metrics or ended is not None
    assert stored.state == (ENDS.get(ended, STATES[run.outcome]) if told else "running")
    # That its policy failed at the very end is in the metrics only; after a run_error only what was lost tells it.
    if run.metrics and not (ended == "run_error" and not run.lost):
        assert stored.outcome == str(run.outcome)
    else:
        assert stored.outcome == {"run_complete": "success", "run_error": "script_error"}.get(str(ended))
    calls = [sidecar for sidecar in run.sidecars if sidecar.after_seq < (run.events[-1].seq if run.events else 0)]
    listed = {one.name: one.data for one in stored.sidecars}
    assert all(listed[one.name] == one.data for one in (run.sidecars if run.metrics else calls))


@given(run=EVERY)
@settings(calm, max_examples=60)
def test_on_disk_too_and_inside_the_root(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("outer")
    root = outer / "a" / "b" / "root"
    writer(FileStore(root)).write(run)
    memory = MemoryStore()
    writer(memory).write(run)
    mine = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {key: mine[key] for key in mine if not key.endswith("/latest.lock")} == contents(memory)
    assert all(path.is_relative_to(root) for path in outer.rglob("*") if path.is_file())
    (stored,) = read_runs(root)
    check_same(stored, run)


@given(run=EVERY)
@calm
def test_the_flat_layout_holds_the_same_run(run: Run) -> None:
    store = MemoryStore()
    writer(store, layout="flat").write(run)
    (stored,) = read_runs(store, layout="flat")
    check_same(stored, run, flat=True)
    assert {one.name: one.data for one in stored.sidecars} == {one.name: one.data for one in run.sidecars}
    assert not any("segments" in key or "datasets" in key for key in store.list(""))


@given(
    first=runs(run_id="one", ids="hostile"),
    second=runs(run_id="two", ids="hostile"),
    third=runs(run_id="x/../../y", ids="hostile"),
)
@settings(calm, max_examples=40)
def test_runs_stay_apart(first: Run, second: Run, third: Run) -> None:
    store = MemoryStore()
    pen = writer(store)
    for run in (first, second, third):
        pen.write(run)
    stored = {run.run_id: run for run in read_runs(store)}
    assert set(stored) == {"one", "two", "x/../../y"}
    for run in (first, second, third):
        check_same(stored[run.run_id], run)


@given(run=EVERY, window=st.sampled_from([name for name in WINDOWS if name != "w9"]), data=st.data())
@settings(calm, max_examples=200)
def test_stopped_and_resumed_is_as_if_never_stopped(run: Run, window: str, data: st.DataObject) -> None:
    whole, store = MemoryStore(), MemoryStore()
    writer(whole).write(run)
    calls = sum(key.startswith(f"datasets/{run.dataset}/segments/") for key in whole.list(""))
    assume(calls)
    stop = Stop(window, data.draw(st.integers(0, calls - 1)))
    pen = writer(store)
    refused = ""
    try:
        pen.write(run, stop=stop)
    except ContractError as error:
        refused = str(error)
    if refused:
        assert "no sidecar file" in refused
        assert contents(store) == {}
        return
    assert pen.paused(run)
    for left in read_runs(store):
        assert left.run_id == run.run_id
        assert {event.event_id for event in left.events} <= {event.event_id for event in run.events}
    pen.resume(run)
    assert contents(store) == contents(whole)


@given(run=runs(ids="hostile", policies=["buffered"]).filter(lambda run: run.flush_mode != "two_phase"))
@calm
def test_a_repeated_flush_stores_each_event_twice_and_reads_as_once(run: Run) -> None:
    assume(run.events)
    store = MemoryStore()
    writer(store).write(run, flush_twice=True)
    lines = [line for key in store.list("") if key.endswith("/data/data") for line in store.get(key).splitlines()]
    kinds = Counter(line for line in lines if b'"record_kind":"event"' in line or b'"artifact_event"' in line)
    assert len(kinds) == len(run.events)
    assert set(kinds.values()) == {2}
    (stored,) = read_runs(store)
    check_same(stored, run)


@given(source=names, category=names, run_id=names, name=st.text(max_size=6), dataset=st.text(max_size=6))
@settings(calm, max_examples=300)
def test_hostile_names_are_refused_or_stay_inside(
    source: str, category: str, run_id: str, name: str, dataset: str
) -> None:
    try:
        run = run_of(
            run_id,
            source=source,
            category=category,
            dataset=dataset or "quarry",
            sidecars=(Sidecar(name=name, data=b"x"),),
        )
    except ContractError:
        return
    store = MemoryStore()
    writer(store).write(run)
    base = f"datasets/{run.dataset}/"
    for key in store.list(""):
        assert key.startswith((f"{base}partitions/", f"{base}segments/", f"{base}latest"))
        assert ".." not in key.split("/")
    assert [one.data for one in next(read_runs(store)).sidecars] == [b"x"]


def test_the_reader_shares_no_code_with_the_writer() -> None:
    folder = Path(pytest_quarry.storage.__file__).parent
    allowed = {f"pytest_quarry.storage.{name}" for name in ("stored", "survey", "sources")}
    for name in ("reader.py", "survey.py", "stored.py", "sources.py"):
        tree = ast.parse((folder / name).read_text())
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert {module for module in used if module and module.startswith("pytest_quarry")} <= allowed


def test_reading_holds_one_run_at_a_time() -> None:
    class Watched(MemoryStore):
        read: list[str]

        def get(self, key: str) -> bytes:
            if key.endswith("/data/data"):
                self.read.append(key)
            return super().get(key)

    store = Watched()
    store.read = []
    pen = writer(store)
    for number in range(5):
        pen.write(run_of(f"run-{number}"))
    found: Iterator[object] = read_runs(store)
    next(found)
    assert store.read
    assert all("run_id=run-0/" in key for key in store.read)
