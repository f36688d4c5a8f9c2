"""A run written while it happens: each thing it emits reaches storage when its policy says so."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from pytest_quarry.contract.encoding import encode_line
from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.layout import Layout
from pytest_quarry.contract.records import Event
from pytest_quarry.contract.run import Run, Sidecar
from pytest_quarry.storage.flushes import Batch, Emitted, Flushes
from pytest_quarry.storage.plan import (
    SidecarFile,
    WriteCall,
    WritePlan,
    flat_key,
    flat_metrics,
    flat_sidecar,
    lode_sidecar,
    metrics_call,
    write_call,
)
from pytest_quarry.storage.stores import Store
from pytest_quarry.storage.windows import FLAT_WINDOWS, Stop, torn
from pytest_quarry.storage.writer import QuarryWriter

__all__ = ["LiveRun", "live_run"]


class LiveRun(Protocol):
    """A run in progress."""

    def add(self, one: Emitted) -> None:
        """Take what the run emits next; what is then due is written, a sidecar file at once."""
        ...

    def due(self, now: datetime) -> None:
        """Write what an interval that is over flushes."""
        ...

    def end(
        self, run: Run, last: Event | None, *, window: str | None = None, in_metrics: bool = False, twice: bool = False
    ) -> None:
        """Write what is left of ``run``, whose ``last`` event was not added yet, and its metrics.

        ``window``: the writer dies there, in the write call of that event, or ``in_metrics``. ``twice``: the last flush
        is retried whole.
        """
        ...

    def resume(self) -> None:
        """Go on after ``window``, as if the writer had not died."""
        ...


def live_run(writer: QuarryWriter, head: Run) -> LiveRun:
    """The run that ``head`` begins (who, and under which policy), in the layout of the writer."""
    return _FlatRun(writer.store, head) if writer.layout == Layout.FLAT else _LodeRun(writer, head)


class _LodeRun:
    def __init__(self, writer: QuarryWriter, head: Run) -> None:
        self._writer = writer
        self._head = head
        self._flushes = Flushes(head)
        self._calls: list[WriteCall] = []
        self._run = head

    def add(self, one: Emitted) -> None:
        self._commit(self._flushes.add(one))
        if isinstance(one, Sidecar):
            _put_sidecar(self._writer.store, lode_sidecar(self._head, one))

    def due(self, now: datetime) -> None:
        self._commit(self._flushes.due(now))

    def end(
        self, run: Run, last: Event | None, *, window: str | None = None, in_metrics: bool = False, twice: bool = False
    ) -> None:
        batches = list(self._flushes.add(last)) if last else []
        batches.extend(self._flushes.close(twice=twice))
        keep = window in ("w7", "w8")
        rest = [_without_sidecars(write_call(run, batch), keep) for batch in batches]
        calls = (*self._calls, *rest)
        of_event = max((number for number, call in enumerate(calls) if call.events), default=0)
        stop = None if window is None else Stop(window, len(calls) if in_metrics else of_event)
        metrics = None
        if run.metrics:
            metrics = metrics_call(
                run,
                late=self._flushes.late,
                writes=len(calls),
                write_failures=run.failed_writes + twice,
                storage_backend=self._writer.store.backend,
            )
            metrics = _without_sidecars(metrics, keep)
        sidecars = [sidecar for call in (*rest, metrics) if call for sidecar in call.sidecars]
        if window == "w7" and sidecars:
            self._writer.store.delete(f"{sidecars[-1].key}.meta.json")
        self._run = run
        plan = WritePlan(calls, metrics, self._flushes.late)
        self._writer.follow(run, plan, done=len(self._calls), stop=stop)

    def resume(self) -> None:
        self._writer.resume(self._run)

    def _commit(self, batches: Iterator[Batch]) -> None:
        for batch in batches:
            call = _without_sidecars(write_call(self._head, batch))
            self._writer.commit(self._head.dataset, call)
            self._calls.append(call)


class _FlatRun:
    """In the flat layout: an event type's file is written again, longer, with each flush that has some of it."""

    def __init__(self, store: Store, head: Run) -> None:
        self._store = store
        self._head = head
        self._flushes = Flushes(head)
        self._files: dict[str, bytes] = {}
        self._sidecars: list[SidecarFile] = []
        self._rest: Iterator[None] = iter(())

    def add(self, one: Emitted) -> None:
        for batch in self._flushes.add(one):
            self._store_files(self._grown(batch))
        if isinstance(one, Sidecar):
            file = flat_sidecar(self._head, one)
            _put_sidecar(self._store, file)
            self._sidecars.append(file)

    def due(self, now: datetime) -> None:
        for batch in self._flushes.due(now):
            self._store_files(self._grown(batch))

    def end(
        self, run: Run, last: Event | None, *, window: str | None = None, in_metrics: bool = False, twice: bool = False
    ) -> None:
        self._check(run, window, in_metrics)
        batches = list(self._flushes.add(last)) if last else []
        batches.extend(self._flushes.close(twice=twice))
        files = [file for batch in batches for file in self._grown(batch)]
        at = len(files) - (not in_metrics)
        if run.metrics:
            metrics = flat_metrics(run, storage_backend=self._store.backend)
            files.append((metrics.key, 0, metrics.data))
        if window == "w7":
            self._store.delete(f"{self._sidecars[-1].key}.meta.json")
        self._rest = self._steps(files, at, window)
        next(self._rest, None)

    def resume(self) -> None:
        next(self._rest, None)

    def _steps(self, files: list[tuple[str, int, bytes]], at: int, window: str | None) -> Iterator[None]:
        for number, (key, before, data) in enumerate(files):
            if window is not None and number == at:
                if window == "w1c":
                    self._store.put(key, data[:before] + torn(data[before:]))
                yield
                if window == "w7":
                    _put_sidecar(self._store, self._sidecars[-1])
            self._store.put(key, data)

    def _check(self, run: Run, window: str | None, in_metrics: bool) -> None:
        where = f"run {run.run_id!r}"
        if window is None:
            return
        if window not in FLAT_WINDOWS:
            raise ContractError(f"window {window!r} is not in the flat layout, which has {', '.join(FLAT_WINDOWS)}")
        if window in ("w7", "w8") and not self._sidecars:
            raise ContractError(f"{where}: it has no sidecar file, so never passes {window}; tell one first")
        if in_metrics and not run.metrics:
            raise ContractError(f"{where}: it writes no metrics record; start it without metrics=False")

    def _grown(self, batch: Batch) -> list[tuple[str, int, bytes]]:
        """The files a batch makes longer: key, length before, contents."""
        lines: dict[str, list[bytes]] = {}
        for record in batch.records:
            lines.setdefault(flat_key(self._head, str(record["event_type"])), []).append(encode_line(record))
        found: list[tuple[str, int, bytes]] = []
        for key, more in lines.items():
            before = self._files.get(key, b"")
            self._files[key] = before + b"".join(more)
            found.append((key, len(before), self._files[key]))
        return found

    def _store_files(self, files: list[tuple[str, int, bytes]]) -> None:
        for key, _, data in files:
            self._store.put(key, data)


def _without_sidecars(call: WriteCall, keep: bool = False) -> WriteCall:
    """The call without writing its sidecar files again: they were stored when they were told."""
    return call if keep or not call.sidecars else replace(call, sidecars=())


def _put_sidecar(store: Store, sidecar: SidecarFile) -> None:
    store.put(sidecar.key, sidecar.data)
    store.put(f"{sidecar.key}.meta.json", sidecar.meta)
