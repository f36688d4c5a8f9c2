"""Fake Quarry storage, told run by run: what the fixture `quarry_storage` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.layout import Layout
from pytest_quarry.contract.notification import minimal as minimal_of
from pytest_quarry.contract.notification import run_completed
from pytest_quarry.contract.rules import check_start, check_text
from pytest_quarry.contract.run import Outcome, Run
from pytest_quarry.storage.clock import VirtualClock, moment, on_day
from pytest_quarry.storage.late import LateStore
from pytest_quarry.storage.listing import listing
from pytest_quarry.storage.made import interleave, plain_run
from pytest_quarry.storage.moto import MotoStore
from pytest_quarry.storage.reader import read_runs
from pytest_quarry.storage.recorded import recorded_runs
from pytest_quarry.storage.run_fields import FIELDS, RunFields, seconds_off
from pytest_quarry.storage.stored import StoredRun
from pytest_quarry.storage.stores import FileStore, MemoryStore, Store, StoreError
from pytest_quarry.storage.telling import RunStory
from pytest_quarry.storage.windows import Stop
from pytest_quarry.storage.writer import QuarryWriter

__all__ = ["Storage"]


class Storage:
    """Quarry's storage, filled by telling what ran.

    ``store`` keeps the files; ``clock`` gives nanoseconds since 1970 (a new `VirtualClock` if absent); ``layout`` is
    ``lode`` or ``flat``. `on_disk`, `in_moto` and `in_memory` make the store too, with file times on the same clock.
    """

    def __init__(self, store: Store, *, clock: Callable[[], int] | None = None, layout: Layout | str = "lode") -> None:
        if not callable(getattr(store, "put", None)):
            raise TypeError(
                f"Storage({store!r}): it takes a store; Storage.on_disk(folder), .in_moto(bucket) and .in_memory() make one"
            )
        self._start(_Clock(clock or VirtualClock()), store, layout)

    def _start(self, clock: _Clock, store: Store, layout: Layout | str) -> None:
        self.store = store
        self.layout = choose(Layout, layout, "layout")
        self._clock = clock
        self._written = LateStore(store, clock)
        self._running: list[RunStory] = []
        self._ids: set[tuple[str, str]] = set()
        self._made = 0
        if isinstance(clock.base, VirtualClock):
            clock.base.watch(self._flush_due)

    @classmethod
    def on_disk(
        cls, root: Path | str, *, clock: Callable[[], int] | None = None, layout: Layout | str = "lode"
    ) -> Storage:
        """Storage in a folder, which is made at once."""
        skewed = _Clock(clock or VirtualClock())
        Path(root).mkdir(parents=True, exist_ok=True)
        return cls._of(skewed, FileStore(root, clock=skewed), layout)

    @classmethod
    def in_moto(
        cls,
        bucket: str,
        prefix: str = "",
        *,
        clock: Callable[[], int] | None = None,
        layout: Layout | str = "lode",
    ) -> Storage:
        """Storage in a bucket that this process's moto has, below ``prefix``."""
        skewed = _Clock(clock or VirtualClock())
        return cls._of(skewed, MotoStore(bucket, prefix, clock=skewed), layout)

    @classmethod
    def in_memory(cls, *, clock: Callable[[], int] | None = None, layout: Layout | str = "lode") -> Storage:
        """Storage in memory, for code that reads through a `Store`."""
        return cls._of(_Clock(clock or VirtualClock()), MemoryStore(), layout)

    @classmethod
    def _of(cls, clock: _Clock, store: Store, layout: Layout | str) -> Storage:
        storage = cls.__new__(cls)
        storage._start(clock, store, layout)
        return storage

    def __repr__(self) -> str:
        return f"<Quarry storage {self.url}, layout {self.layout!s}>"

    # Where it is.

    @property
    def url(self) -> str:
        """The root as notifications name it: ``file:///…`` or ``s3://bucket[/prefix]``."""
        return self.store.url

    @property
    def root(self) -> Path:
        """The root folder. Raises StoreError where storage is in no folder."""
        root = getattr(self.store, "root", None)
        if root is None:
            raise StoreError(f"storage is at {self.url}, in no folder; root is for fs and fakefs, url is for all")
        return Path(root)

    @property
    def bucket(self) -> str:
        """The bucket. Raises StoreError where storage is not in S3."""
        return self._s3("bucket")

    @property
    def prefix(self) -> str:
        """The prefix in the bucket, without slashes at its ends. Raises StoreError where storage is not in S3."""
        return self._s3("prefix")

    # What ran.

    def run(self, run_id: str, **fields: Unpack[RunFields]) -> RunStory:
        """Begin a run: ``source`` (``shop``), ``category``, ``day``, ``policy`` … as in `Run`.

        Raises ContractError for a field that does not exist, a value it cannot have, and a run id told before.
        """
        check_text(run_id, "run_id")
        dataset = fields.get("dataset", "quarry")
        self._check_free((dataset, run_id))
        story = RunStory(self, run_id, **fields)
        self._ids.add((dataset, run_id))
        self._running.append(story)
        return story

    def runs(
        self,
        count: int,
        *,
        items: int = 3,
        outcome: Outcome | str = Outcome.SUCCESS,
        name: str = "run",
        interleaved: bool = False,
        seed: int = 0,
        **fields: Unpack[RunFields],
    ) -> list[Run]:
        """Write many whole runs at once: ids ``run-0001`` …, those that are free, items whose data are ``{"n": 1}`` ….

        ``interleaved``: all of them at the same time, each by a writer of its own, in an order ``seed`` decides; those
        that fail on a conflict end as a policy_failure, and are given so.
        """
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise ContractError(f"{', '.join(unknown)} unknown; a run takes {', '.join(FIELDS)}")
        for what, number in (("count", count), ("items", items)):
            if type(number) is not int or number < 0:
                raise ContractError(f"runs: {what} is {number!r}; it must be a whole number, 0 or more")
        check_text(name, "runs: name")
        chosen = choose(Outcome, outcome, "outcome")
        skew = seconds_off(fields.pop("clock_off", 0.0))
        values: dict[str, Any] = dict(fields)
        with self._as(skew):
            started = values.pop("started_at", None) or on_day(values.get("day"), moment(self._clock()))
            check_start(started, "runs")
            made: list[Run] = []
            for _ in range(count):
                run_id = self._next_id(name, values.get("dataset", "quarry"))
                made.append(plain_run(run_id, items=items, started_at=started, outcome=chosen, **values))
            if interleaved:
                made = self._interleave(made, seed)
            else:
                writer = self._writer()
                for run in made:
                    writer.write(run)
        self._ids.update((run.dataset, run.run_id) for run in made)
        return made

    def write(self, run: Run, *, stop: Stop | None = None, flush_twice: bool = False) -> None:
        """Write a whole run that was made elsewhere, by `pytest_quarry.strategies` for one; or up to ``stop``.

        Raises ContractError for a run id told before.
        """
        _check_run(run, "write()")
        self._check_free((run.dataset, run.run_id))
        self._writer().write(run, stop=stop, flush_twice=flush_twice)
        self._ids.add((run.dataset, run.run_id))

    def interleave(self, runs: Iterable[Run], *, seed: int = 0) -> tuple[str, ...]:
        """Write whole runs at the same time: forks, ids out of order, conflicts; ids of those that failed on one.

        Such a run ends as a policy_failure: what it wrote before, its metrics unless they meet a conflict too, and what
        its policy flushes again while closing. Raises ContractError for a run id told before, or given twice.
        """
        if not isinstance(runs, Iterable):
            raise TypeError(f"interleave() got {runs!r:.100}; it takes several runs, in a list")
        runs = tuple(runs)
        for run in runs:
            _check_run(run, "interleave()")
        self._check_free(*((run.dataset, run.run_id) for run in runs))
        self._ids.update((run.dataset, run.run_id) for run in runs)
        ended = self._interleave(runs, seed)
        return tuple(run.run_id for run, before in zip(ended, runs, strict=True) if run is not before)

    def from_recorded(self, path: Path | str, *, new_ids: bool = False) -> list[Run]:
        """Write the runs of a real storage root, or of one run's folder in it, here; with ``new_ids``, as new runs.

        Raises StoreError if there are no runs, or one that is too damaged to be written again, or that is here already.
        """
        found = recorded_runs(Path(path), self._ids if new_ids else None)
        again = sorted(run.run_id for run in found if (run.dataset, run.run_id) in self._ids)
        if again:
            raise StoreError(
                f"{path}: {', '.join(again[:10])} here already; give new_ids=True to write them as new runs"
            )
        writer = self._writer()
        for run in found:
            try:
                writer.write(run)
            except ContractError as error:
                # A number too large for Python is infinite to it, for one.
                raise StoreError(f"{path}: cannot be written again: {error}") from error
        self._ids.update((run.dataset, run.run_id) for run in found)
        return found

    # When it is seen.

    def lag(self, *, seed: int | None = None) -> None:
        """From now on what is written is not there for readers: a listing that lags, a copy that is still on its way.

        `show` lets it appear file by file, in the order it was written or, with ``seed``, in any other. Files have the time
        they were written at. The writer sees its own files.
        """
        if seed is not None and type(seed) is not int:
            raise TypeError(f"lag(seed={seed!r}): a whole number, or None for the order in which files were written")
        self._written.lag(seed)

    def show(self, most: int | None = None) -> tuple[str, ...]:
        """Let ``most`` of the files that `lag` holds back appear, or all of them; their keys, in the order they appeared."""
        if most is not None and (type(most) is not int or most < 0):
            raise ValueError(f"show({most!r}): a number of files, 0 or more; without one all appear")
        return self._written.show(most)

    def catch_up(self) -> tuple[str, ...]:
        """Let all appear that `lag` holds back, and hold back nothing any more; the keys that appeared."""
        return self._written.catch_up()

    # What is there, and what is said of it.

    def read(self) -> list[StoredRun]:
        """What a careful reader sees now: every run with its state, its items and what is damaged."""
        return list(read_runs(self.store, layout=self.layout))

    def tree(self, *, most: int = 400) -> str:
        """A readable listing, for failure texts: ``most`` files of it."""
        if type(most) is not int or most < 0:
            raise ValueError(f"tree(most={most!r}): a number of files, 0 or more")
        return listing(self.store, most=most)

    def notification(self, run: RunStory | Run, *, minimal: bool = False) -> dict[str, Any]:
        """The ``run_completed`` message of a run that is over; ``minimal``: as in Quarry's integration guide.

        Raises ContractError for a run that is running, or with which Quarry died: nobody is notified of it.
        """
        if isinstance(run, RunStory):
            if not run.notified:
                raise ContractError(f"{run!r}: nobody is notified of it; Quarry notifies once a run has ended")
            run = run.value
        _check_run(run, "notification()")
        at = moment(self._clock())
        build = minimal_of if minimal else run_completed
        return build(run, root_url=self.url, timestamp=at, layout=self.layout)

    # Within.

    def _s3(self, name: str) -> str:
        value = getattr(self.store, name, None)
        if value is None:
            raise StoreError(f"storage is at {self.url}, not in S3; {name} is for s3, url is for all")
        return str(value)

    def _check_free(self, *ids: tuple[str, str]) -> None:
        """Refuse ids, each of a dataset and a run, that are taken: Quarry never writes two runs into one folder."""
        seen: set[tuple[str, str]] = set()
        for one in ids:
            if one in self._ids or one in seen:
                raise ContractError(f"run {one[1]!r} was told already; run ids are unique, a retry has another")
            seen.add(one)

    def _next_id(self, name: str, dataset: str) -> str:
        """The next of the ids `name-0001` … that no run has."""
        while True:
            self._made += 1
            run_id = f"{name}-{self._made:04d}"
            if (dataset, run_id) not in self._ids:
                return run_id

    def _interleave(self, runs: Sequence[Run], seed: int) -> list[Run]:
        return interleave([self._writer() for _ in runs], runs, seed=seed)

    def _writer(self) -> QuarryWriter:
        return QuarryWriter(self._written, clock=self._clock, layout=self.layout)

    @contextmanager
    def _as(self, clock_off: float) -> Iterator[None]:
        """As a writer whose clock is so many seconds off."""
        before, self._clock.off = self._clock.off, round(clock_off * 1_000_000_000)
        try:
            yield
        finally:
            self._clock.off = before

    def _flush_due(self) -> None:
        for story in tuple(self._running):
            story._due()

    def _over(self, story: RunStory) -> None:
        self._running.remove(story)


def _check_run(run: object, where: str) -> None:
    if not isinstance(run, Run):
        raise TypeError(
            f"{where} got {run!r}"[:200]
            + "; it takes a Run: of run(…), of its complete() or value, or of pytest_quarry.strategies"
        )


class _Clock:
    """A clock, read by a writer that may be off."""

    def __init__(self, base: Callable[[], int]) -> None:
        if not callable(base):
            raise TypeError(f"clock is {base!r}; it must be a function that gives nanoseconds since 1970")
        self.base = base
        self.off = 0

    def __call__(self) -> int:
        now = self.base()
        if not isinstance(now, int):
            raise TypeError(
                f"the clock gave {now!r}; it must give nanoseconds since 1970, a whole number: time.time_ns does"
            )
        return now + self.off
