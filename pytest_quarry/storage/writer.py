"""Quarry's writing, step by step: it can be stopped in every window of the commit protocol, and go on from there."""

from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from weakref import WeakKeyDictionary

from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.layout import Layout, latest_path, manifest_path
from pytest_quarry.contract.run import FlushMode, Policy, Run
from pytest_quarry.storage.plan import (
    FlatPlan,
    SidecarFile,
    WriteCall,
    WritePlan,
    metrics_call,
    plan_flat,
    plan_run,
)
from pytest_quarry.storage.stores import NoSuchKey, Store, StoreError
from pytest_quarry.storage.windows import FLAT_WINDOWS, Stop, torn

__all__ = ["QuarryWriter", "SnapshotConflict"]

_CONFLICT_RETRIES = 3


class SnapshotConflict(StoreError):
    """Other writers swapped ``latest`` each time this one tried; its data stays behind, uncommitted."""


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
        self._heads: dict[str, str] = {}
        self._paused: dict[tuple[str, str], _Steps] = {}

    def write(self, run: Run, *, stop: Stop | None = None, flush_twice: bool = False) -> None:
        """Write the whole life of a run: its flushes as its policy has them, and its metrics; or up to ``stop``.

        A writer that stopped has died, unless `resume` is called. ``flush_twice``: the buffered policy's flush is
        retried whole. Raises ContractError for a stop this run never reaches, a run that is paused, a policy that
        repeats nothing; SnapshotConflict when other writers were faster four times.
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
        """Write a run step by step: each ``next`` goes on to the next place where another writer can be faster."""
        return self._steps(run, _planned(_Same(run), self.layout, False, self.store.backend), None, 0)

    def commit(self, dataset: str, call: WriteCall) -> None:
        """Make one write call, whole."""
        try:
            for _ in self._commit(dataset, call, 0, None):
                pass
        except BaseException:
            self._heads.pop(dataset, None)
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
            self._heads.pop(where[0], None)
            raise
        if at is not None:
            # The head may now name a snapshot that never gets a manifest.
            self._heads.pop(where[0], None)

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
            yield from self._commit(run.dataset, call, number, window)
            if window == "w9":
                yield from self._fail(run, plan, number)
                return
        if plan.metrics is not None:
            number = len(plan.calls)
            yield from self._commit(run.dataset, plan.metrics, number, at[1] if at and at[0] == number else None)

    def _fail(self, run: Run, plan: WritePlan, number: int) -> _Steps:
        self._heads.pop(run.dataset, None)
        calls = plan.calls
        if run.metrics:
            buffered = run.policy == Policy.BUFFERED
            record = metrics_call(
                run,
                late=plan.late if buffered else (),
                writes=number,
                received=None if buffered else sum(call.events for call in calls[: number + 1]),
                persisted=sum(call.events for call in calls[:number]),
                write_failures=max(run.write_failures, 1),
                failed=True,
                storage_backend=self.store.backend,
            )
            for _ in self._commit(run.dataset, record, number, None):
                pass
        yield number, "w9"
        for call in _retried(run, calls, number):
            for _ in self._commit(run.dataset, call, number, None):
                pass

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
        parent = yield from self._swap(dataset, snapshot, number)
        yield number, "w3"
        if window == "w9":
            return
        canonical = manifest_path(snapshot, dataset=dataset)
        manifest = call.manifest(snapshot, _rfc3339(now), parent)
        if window in ("w4", "w4b"):
            store.put(canonical, torn(manifest) if window == "w4" else b"")
            yield number, window
        store.put(canonical, manifest)
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

    def _put_copies(self, call: WriteCall, snapshot: str, manifest: bytes, number: int, window: str | None) -> _Steps:
        second = min(1, len(call.parts) - 1)
        for index, part in enumerate(call.parts):
            key = f"{part.segments}{snapshot}/manifest.json"
            if window == "w6b" and index == second:
                self.store.put(key, torn(manifest))
                yield number, "w6b"
            self.store.put(key, manifest)
            if not index:
                yield number, "w6"

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

    def _swap(self, dataset: str, snapshot: str, number: int) -> Generator[tuple[int, str], None, str | None]:
        """Point ``latest`` at the snapshot; the parent it then has."""
        key, new = latest_path(dataset), snapshot.encode()
        head = self._heads.get(dataset)
        if head is not None and self.store.swap(key, head.encode(), new):
            self._heads[dataset] = snapshot
            return head
        for _ in range(1 + _CONFLICT_RETRIES):
            present, parent = self._head(dataset)
            yield number, "swap"
            if self.store.swap(key, present, new):
                self._heads[dataset] = snapshot
                return parent
        raise SnapshotConflict(f"{key}: swapped by others {1 + _CONFLICT_RETRIES} times; snapshot {snapshot} gives up")

    def _head(self, dataset: str) -> tuple[bytes | None, str | None]:
        """What ``latest`` holds, and the snapshot to call parent: its own, or the newest one where it has none."""
        try:
            present = self.store.get(latest_path(dataset))
        except NoSuchKey:
            return None, None
        name = present.decode(errors="replace")
        if name.isdecimal() and self.store.exists(manifest_path(name, dataset=dataset)):
            return present, name
        keys = self.store.list(f"datasets/{dataset}/segments/")
        ids = [key.split("/")[-2] for key in keys if key.endswith("/manifest.json")]
        return present, max(ids, key=lambda one: (len(one), one), default=None)

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


def _retried(run: Run, calls: tuple[WriteCall, ...], number: int) -> tuple[WriteCall, ...]:
    """The calls the policy makes again while closing, after call ``number`` failed."""
    if run.policy == Policy.STRICT:
        return ()
    same_flush = [index for index, call in enumerate(calls) if call.flush == calls[number].flush]
    everything = run.policy == Policy.BUFFERED and run.flush_mode == FlushMode.AT_LEAST_ONCE
    return tuple(calls[index] for index in same_flush if everything or index >= number)


def _rfc3339(nanoseconds: int) -> str:
    """A time as Go's RFC 3339 with up to nine digits, trailing zeros cut."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = _second(seconds)
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else f"{text}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
