"""Quarry's writing, step by step: it can be stopped in every window of the commit protocol, and go on from there."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from weakref import WeakKeyDictionary

from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.layout import Layout, latest_path, manifest_path
from pytest_quarry.contract.run import FlushMode, Outcome, Policy, Run
from pytest_quarry.storage.plan import (
    FlatPlan,
    SidecarFile,
    WriteCall,
    WritePlan,
    metrics_call,
    plan_flat,
    plan_run,
)
from pytest_quarry.storage.pointer import Pointer, SnapshotConflict
from pytest_quarry.storage.stores import Store
from pytest_quarry.storage.windows import FLAT_WINDOWS, REVERSED, Stop, torn

__all__ = ["QuarryWriter", "SnapshotConflict"]

# Writers of one store share the ids, as a clock may stand still.
_USED: WeakKeyDictionary[Store, set[int]] = WeakKeyDictionary()

_Steps = Iterator[tuple[int, str]]


class QuarryWriter:
    """Writes runs as Quarry does, into ``store``; ``clock`` gives nanoseconds since 1970.

    A snapshot's id is the clock at the start of its write call, or the next free number; ids go backwards where the
    clock does.
    """

    def __init__(self, store: Store, *, clock: Callable[[], int], layout: Layout | str = Layout.LODE) -> None:
        self.store = store
        self.layout = choose(Layout, layout, "layout")
        self._clock = clock
        self._used = _USED.setdefault(store, set())
        self._pointer = Pointer(store)
        self._paused: dict[tuple[str, str], _Steps] = {}

    def write(self, run: Run, *, stop: Stop | None = None, flush_twice: bool = False) -> None:
        """Write the whole life of a run: its flushes as its policy has them, and its metrics; or up to ``stop``.

        A writer that stopped has died, unless `resume` is called. ``flush_twice``: the buffered policy's flush is
        retried whole. Raises ContractError for a stop this run never reaches, a run that is paused, a policy that
        repeats nothing; SnapshotConflict, once the run has ended as a policy_failure, when other writers were faster
        four times.
        """
        self.follow(run, _planned(_Same(run), self.layout, flush_twice, self.store.backend), stop=stop)

    def follow(self, run: Run, plan: WritePlan | FlatPlan, *, done: int = 0, stop: Stop | None = None) -> None:
        """Write the rest of a run's plan, of which the first ``done`` calls are written; or up to ``stop``."""
        where = run.dataset, run.run_id
        if where in self._paused:
            raise ContractError(f"run {run.run_id!r} is half written; resume it, or write it with another writer")
        at = None if stop is None else self._place(run, plan, stop, done)
        self._go(where, self._steps(run, plan, at, done), at)

    def steps(self, run: Run) -> Iterator[tuple[int, str]]:
        """Write a run step by step: each ``next`` goes on to the next place where another writer can be faster.

        From now on this writer has others around it. Raises SnapshotConflict as `write` does.
        """
        self._pointer.crowded = True
        return self._steps(run, _planned(_Same(run), self.layout, False, self.store.backend), None, 0)

    def commit(self, dataset: str, call: WriteCall) -> None:
        """Make one write call, whole."""
        try:
            for _ in self._commit(dataset, call, 0, None):
                pass
        except BaseException:
            self._pointer.forget(dataset)
            raise

    def resume(self, run: Run) -> None:
        """Go on with a run that `write` stopped, to its end. Raises ContractError if it is not paused."""
        where = run.dataset, run.run_id
        steps = self._paused.pop(where, None)
        if steps is None:
            raise ContractError(f"run {run.run_id!r} is not paused; only a run stopped by write can be resumed")
        self._go(where, steps, None)

    def paused(self, run: Run) -> bool:
        """Whether this writer stopped in the middle of the run."""
        return (run.dataset, run.run_id) in self._paused

    def _go(self, where: tuple[str, str], steps: _Steps, at: tuple[int, str] | None) -> None:
        try:
            for step in steps:
                if step == at:
                    self._paused[where] = steps
                    break
        except BaseException:
            self._pointer.forget(where[0])
            raise
        if at is not None:
            # The head may now name a snapshot that never gets a manifest.
            self._pointer.forget(where[0])

    def _steps(self, run: Run, plan: WritePlan | FlatPlan, at: tuple[int, str] | None, done: int) -> _Steps:
        return self._flat_steps(plan, at) if isinstance(plan, FlatPlan) else self._lode_steps(run, plan, at, done)

    def _place(self, run: Run, plan: WritePlan | FlatPlan, stop: Stop, done: int) -> tuple[int, str]:
        calls = plan.calls
        number = stop.flush + len(calls) if stop.flush < 0 else stop.flush
        last = len(calls) - (plan.metrics is None)
        if not 0 <= number <= last:
            raise ContractError(f"run {run.run_id!r}: no write call {stop.flush}; it makes {len(calls)}, and metrics")
        if number < done:
            raise ContractError(f"run {run.run_id!r}: write call {number} is done; the next one is {done}")
        if self.layout == Layout.FLAT and stop.window not in FLAT_WINDOWS:
            raise ContractError(
                f"window {stop.window!r} is not in the flat layout, which has {', '.join(FLAT_WINDOWS)}"
            )
        everything = [*calls, *([plan.metrics] if plan.metrics else [])]
        with_files = [index for index, call in enumerate(everything) if call.sidecars]
        if stop.window in ("w7", "w8") and number not in with_files:
            raise ContractError(
                f"run {run.run_id!r}: call {number} writes no sidecar file, so never passes {stop.window}; "
                f"the calls that do: {with_files}"
            )
        if stop.window == "w9" and number == len(calls):
            raise ContractError(f"run {run.run_id!r}: w9 is about a flush of events, call {number} is the metrics'")
        return number, stop.window

    def _lode_steps(self, run: Run, plan: WritePlan, at: tuple[int, str] | None, done: int) -> _Steps:
        for number, call in enumerate(plan.calls[done:], start=done):
            window = at[1] if at is not None and at[0] == number else None
            try:
                yield from self._commit(run.dataset, call, number, window)
            except SnapshotConflict as conflict:
                conflict.ended = yield from self._fail(run, plan, number)
                raise
            if window == "w9":
                self._pointer.forget(run.dataset)
                yield from self._fail(run, plan, number)
                return
        if plan.metrics is not None:
            number = len(plan.calls)
            # Best effort: the run has ended, with or without them.
            with suppress(SnapshotConflict):
                yield from self._commit(run.dataset, plan.metrics, number, at[1] if at and at[0] == number else None)

    def _fail(self, run: Run, plan: WritePlan, number: int) -> Generator[tuple[int, str], None, Run]:
        """What Quarry still does when call ``number`` failed: the metrics, and while closing its last flush.

        The run as it then ended. Neither of the two is tried again if it meets a conflict.
        """
        calls = plan.calls
        buffered = run.policy == Policy.BUFFERED
        received = len(run.events) if buffered else sum(call.events for call in calls[: number + 1])
        stored = sum(call.events for call in calls[:number])
        if run.metrics:
            record = metrics_call(
                run,
                late=plan.late if buffered else (),
                writes=number,
                received=None if buffered else received,
                persisted=stored,
                write_failures=max(run.write_failures, 1),
                failed=True,
                storage_backend=self.store.backend,
            )
            with suppress(SnapshotConflict):
                yield from self._commit(run.dataset, record, number, None)
        yield number, "w9"
        with suppress(SnapshotConflict):
            for index in _retried(run, calls, number):
                yield from self._commit(run.dataset, calls[index], number, None)
                stored += calls[index].events if index >= number else 0
        return _failed(run, received, stored)

    def _commit(self, dataset: str, call: WriteCall, number: int, window: str | None) -> _Steps:
        """One write call. Yields each window as its state is reached; the torn ones only where they are wanted."""
        store = self.store
        yield number, "before"
        if call.sidecars:
            yield from self._put_sidecars(call.sidecars, number)
        now = self._clock()
        snapshot = self._snapshot_id(dataset, now, call.parts[0].segments)
        yield from self._put_data(call, snapshot, number, window)
        if window == "w2":
            stray = store.interrupt_swap(latest_path(dataset), snapshot.encode())
            yield number, "w2"
            if stray is not None:
                store.delete(stray)
        parent = yield from self._pointer.swap(dataset, snapshot, (number, "swap"))
        yield number, "w3"
        if window == "w9":
            return
        manifest = call.manifest(snapshot, _rfc3339(now), parent)
        yield from self._put_manifest(manifest_path(snapshot, dataset=dataset), manifest, number, window)
        yield number, "w5"
        yield from self._put_copies(call, snapshot, manifest, number, window)

    def _put_data(self, call: WriteCall, snapshot: str, number: int, window: str | None) -> _Steps:
        second = min(1, len(call.parts) - 1)
        for index, part in enumerate(call.parts):
            key = f"{part.segments}{snapshot}/data/data"
            if window == "w1c" and index == second:
                self.store.put_new(key, torn(part.data))
                yield number, "w1c"
                self.store.put(key, part.data)
            else:
                self.store.put_new(key, part.data)
            if not index:
                yield number, "w1b"
        yield number, "w1"

    def _put_manifest(self, key: str, manifest: bytes, number: int, window: str | None) -> _Steps:
        if window in ("w4", "w4b"):
            self.store.put(key, torn(manifest) if window == "w4" else b"")
            yield number, window
        elif self._pointer.crowded:
            # A file is there before its contents are; an object of S3 comes whole.
            if self.store.backend == "fs":
                self.store.put(key, b"")
            yield number, "half"
        self.store.put(key, manifest)

    def _put_copies(self, call: WriteCall, snapshot: str, manifest: bytes, number: int, window: str | None) -> _Steps:
        parts, name = (call.parts[::-1], "w6r") if window in REVERSED else (call.parts, "w6")
        second = min(1, len(parts) - 1)
        for index, part in enumerate(parts):
            key = f"{part.segments}{snapshot}/manifest.json"
            if window in ("w6b", "w6br") and index == second:
                self.store.put(key, torn(manifest))
                yield number, window
            self.store.put(key, manifest)
            if not index:
                yield number, name

    def _put_sidecars(self, sidecars: tuple[SidecarFile, ...], number: int) -> _Steps:
        for sidecar in sidecars:
            self.store.put(sidecar.key, sidecar.data)
            yield number, "w7"
            self.store.put(f"{sidecar.key}.meta.json", sidecar.meta)
        yield number, "w8"

    def _snapshot_id(self, dataset: str, now: int, segments: str) -> str:
        exists, number = self.store.exists, now
        while (
            number in self._used
            or exists(manifest_path(number, dataset=dataset))
            or exists(f"{segments}{number}/data/data")
        ):
            number += 1
        self._used.add(number)
        return str(number)

    def _flat_steps(self, plan: FlatPlan, at: tuple[int, str] | None) -> _Steps:
        files = plan.calls if plan.metrics is None else (*plan.calls, plan.metrics)
        for number, file in enumerate(files):
            yield number, "before"
            if file.sidecars:
                yield from self._put_sidecars(file.sidecars, number)
            if at == (number, "w1c"):
                self.store.put(file.key, torn(file.data))
                yield number, "w1c"
            self.store.put(file.key, file.data)


class _Same:
    """A run as a cache key: equal to itself only, since payloads cannot be hashed."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __hash__(self) -> int:
        return id(self.run)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.run is self.run


_Key = tuple[_Same, Layout, bool, str]
_PLANS: dict[_Key, WritePlan | FlatPlan] = {}
MOST_PLANS = 1024
KEPT_BYTES = 1 << 20  # of one plan: a run with a line of 16 MiB is planned anew each time


def _planned(same: _Same, layout: Layout, flush_twice: bool, backend: str) -> WritePlan | FlatPlan:
    # Worlds write the same runs thousands of times; encoding them is most of the work.
    key = (same, layout, flush_twice, backend)
    plan = _PLANS.get(key)
    if plan is None:
        make = plan_flat if layout == Layout.FLAT else plan_run
        plan = make(same.run, flush_twice=flush_twice, storage_backend=backend)
        if len(_PLANS) >= MOST_PLANS:
            _PLANS.clear()
        if _size(plan) <= KEPT_BYTES:
            _PLANS[key] = plan
    return plan


def _size(plan: WritePlan | FlatPlan) -> int:
    if isinstance(plan, FlatPlan):
        return sum(len(file.data) for file in plan.calls)
    return sum(len(part.data) for call in plan.calls for part in call.parts)


def _retried(run: Run, calls: tuple[WriteCall, ...], number: int) -> tuple[int, ...]:
    """The numbers of the calls the policy makes again while closing, after call ``number`` failed."""
    if run.policy == Policy.STRICT:
        return ()
    same_flush = [index for index, call in enumerate(calls) if call.flush == calls[number].flush]
    everything = run.policy == Policy.BUFFERED and run.flush_mode == FlushMode.AT_LEAST_ONCE
    return tuple(index for index in same_flush if everything or index >= number)


def _failed(run: Run, received: int, stored: int) -> Run:
    """The run as it ended after a write failed: so many events were received, so many of them are stored."""
    return replace(
        run,
        outcome=Outcome.POLICY_FAILURE,
        events=run.events[:stored],
        dropped=run.dropped_by_type,
        lost=received - stored,
        write_failures=max(run.write_failures, 1),
    )


def _rfc3339(nanoseconds: int) -> str:
    """A time as Go's RFC 3339 with up to nine digits, trailing zeros cut."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = _second(seconds)
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else f"{text}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
