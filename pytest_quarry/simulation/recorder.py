"""Writes a history while a world runs: durable states, the target's rows, changes that no boundary explains."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sqlite3.dbapi2
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pytest_quarry.bus.delivery import Mailbox
from pytest_quarry.consumers.consumer import Consumer, ConsumerError, RowsError
from pytest_quarry.consumers.protocol import Boundary, Sleep
from pytest_quarry.consumers.unhooked import METADATA, without_luck
from pytest_quarry.simulation import places, reading
from pytest_quarry.simulation.history import Entry, Happening, History, Row
from pytest_quarry.simulation.world import World

STUCK = 5.0  # real seconds that `rows` has while the consumer stands still, where there are servers …
MOST_WAITED = 30.0  # … and in one world for all that it could not read then: it waited for a lock
# Where `rows` keeps a connection to SQLite, these are in use; else the last that closes a database removes them.
SHARED = ("-wal", "-shm")


class Recorder:
    """The history of one execution, in the making.

    The effect of a boundary shows only when the process comes back: its entry stays open until then.
    """

    def __init__(self, world: World, consumer: Consumer, mailbox: Mailbox) -> None:
        self.entries: list[Entry] = []
        self.step = 0
        self.incarnation = 0
        self.incarnations = 0
        self.worker = 0
        self.unexplained: set[str] = set()
        self.unreached: list[str] = []
        self.not_exercised: dict[str, None] = {}
        self.blind = False  # what the consumer does to files cannot be seen, only its result
        self.processes: list[Callable[[], None]] = []  # each kills one that may keep what `rows` waits for
        self.servers: dict[str, None] = {}  # that it reached, and the world does not keep
        self.asked: dict[str, None] = {}  # what it said to them that made them look at their clock
        self.room = sys.maxsize  # the fewest bytes that were left where the world is
        self.unanswered: dict[
            str, None
        ] = {}  # of them, those that it gave up, in virtual time, before they had answered
        self._world, self._consumer, self._mailbox = world, consumer, mailbox
        self._explained: tuple[str, ...] = ()
        self._below = True
        self._families: set[str] = set()
        self._waited = 0.0  # real seconds, for rows that could not be read
        self._storage_watched = False
        self._own: set[str] = set()
        self._states: dict[Any, int] = {}
        self._disk_state = 0
        self._said = 0  # to servers: whether it changed anything there, only they know
        self.rows: tuple[Row, ...] = ()
        self._requested = False  # from a service, which may have done more than to answer: its rows tell
        self._observed_state = -1
        self._world.watch.look(world.now)
        self.state = self._number()
        self._world.on_fault = lambda label, error: self.record("failed", f"{label}: {error}, at the endpoint")

    def record(self, what: Happening, text: str = "", **details: Any) -> None:
        """Add an entry; it is closed by the next `look`."""
        entry = Entry(
            time=self._world.time,
            what=what,
            text=text,
            incarnation=self.incarnation,
            worker=self.worker,
            state=self.state,
            step=self.step,
            **details,
        )
        self.entries.append(entry)
        self.room = min(self.room, places.free(self._world.root))

    def expect(self, paths: tuple[str, ...], own: tuple[str, ...] = (), *, below: bool = True) -> None:
        """The boundary that was just granted may change these files, and what is `below` them; for what begins with one of `own`
        the team answers."""
        self._own.update(own)
        self._below = below
        # Of two workers one may rename what the other has open: all that they named meanwhile is theirs.
        self._explained = tuple({*self._explained, *paths}) if self.worker else paths
        if len(paths) > 1 and paths[1].endswith("-journal"):
            self._families.update(paths)
        if not self._storage_watched and any(path.startswith("storage") for path in paths):
            self._world.storage_watch.look(self._world.now)
            self._storage_watched = True

    def told(self, boundary: Boundary) -> None:
        """What was just granted is about metadata, or for a server to hear, or ends the wait for one."""
        verb = boundary.label.partition(" ")[0]
        if verb in METADATA:
            for watch in (self._world.watch, self._world.storage_watch):
                watch.look_at_metadata(boundary.paths, times=verb == "utime")
        if isinstance(boundary.call, Sleep) and boundary.call.unanswered:
            self.unanswered[boundary.call.unanswered] = None
        if boundary.said is not None:
            self._said += boundary.said.changes
            self._requested = boundary.said.words.startswith("GET ")
            if boundary.said.clock:
                self.asked[boundary.label] = None

    def look(self, *, observe: bool = True, thorough: bool = False) -> None:
        """See what the last entry changed: close it with the durable state, and the rows where they may differ."""
        changed = self._world.watch.look(self._world.now, thorough=thorough)
        if self._storage_watched:
            changed |= self._world.storage_watch.look(self._world.now)
        if changed:
            self.unexplained.update(name for name in changed if not self._is_explained(name))
            self._disk_state = self._fingerprint()
        before, self.state = self.state, self._number()
        requested, self._requested = self._requested and observe, False
        if requested:
            self._observed_state = -1
        if not self.entries or (self.state == before and self.state == self._observed_state):
            return
        rows = self._observe() if observe else None
        if requested and rows is not None:
            self._said += 1
            self.state = self._observed_state = self._number()
        last = self.entries[-1]
        changed_it, seen = last.changed or self.state != before, last.rows if rows is None else rows
        self.entries[-1] = replace(last, state=self.state, changed=changed_it, rows=seen)

    def storage_written(self) -> None:
        """The world itself wrote storage: nothing of that is the consumer's doing."""
        if self._storage_watched:
            self._world.storage_watch.look(self._world.now)
            self._disk_state = self._fingerprint()
            self.state = self._number()

    def _fingerprint(self) -> int:
        return hash((self._world.watch.fingerprint, self._world.storage_watch.fingerprint))

    def restored(self) -> None:
        """The world itself changed the disk (a new process, a kill): nothing of that is the consumer's doing."""
        self._explained = ()
        self._families.clear()

    def _is_explained(self, name: str) -> bool:
        name = without_luck(name)
        return (
            self.blind
            or self._world.watch.is_special(name)
            or name in self._families
            or name.startswith(tuple(self._own))
            or any(self._covers(path, name) for path in self._explained)
        )

    def _covers(self, path: str, name: str) -> bool:
        """Whether what changes `path` changes `name`: itself, what is below it, another name of the same file."""
        below = self._below and name.startswith(path + "/")
        return name == path or below or self._world.watch.are_one(name, path)

    def _number(self) -> int:
        key = (self._disk_state, self._world.versions, self._mailbox.state, self._said)
        return self._states.setdefault(key, len(self._states))

    def _observe(self) -> tuple[Row, ...] | None:
        """The rows now, if they differ from the last that were seen; None too where they cannot be read now."""
        if self.state == self._observed_state:
            return None
        began = _idle()
        try:
            with _impatient_sqlite(), self._released():
                rows = self._read()
        except RowsError:
            return None
        except ConsumerError:
            raise
        except Exception as error:  # a table not made yet, a database locked by the transaction that is under way
            self._waited += _idle() - began
            if self._waited > MOST_WAITED:
                raise ConsumerError(
                    f"{self._consumer.name}.rows(world) waited {self._waited:.0f} s in all, where the consumer stood still in the middle of a "
                    f"turn, to raise {type(error).__name__}: {error}. It waits for a lock that the consumer holds. Let it not wait, by "
                    "sqlite3.connect(…, timeout=0) for one; rows that cannot be read now are read later."
                ) from None
            return None
        self._observed_state = self.state
        if rows == self.rows:
            return None
        self.rows = rows
        return rows

    @contextlib.contextmanager
    def _released(self) -> Iterator[None]:
        """Where the consumer stands in a transaction of a server's, `rows` may wait for its locks, and it for us."""
        if not self.servers:
            yield
            return
        gone = threading.Event()

        def release() -> None:
            gone.set()
            for kill in self.processes:
                kill()

        timer = threading.Timer(STUCK, release)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            if gone.is_set():
                raise ConsumerError(
                    f"{self._consumer.name}.rows(world) did not come back in {STUCK:g} s, while the consumer stood still in the middle "
                    "of a turn: on its server it waits for a lock that the consumer holds. Let it not wait, by SET lock_timeout in "
                    "Postgres or lock_wait_timeout in MySQL; rows that cannot be read now are read later."
                )

    def final_rows(self) -> tuple[Row, ...]:
        """The rows at the end; a hook that raises now is an error of the suite."""
        try:
            return self._read()
        except ConsumerError:
            raise
        except Exception as error:
            raise ConsumerError(
                f"{self._consumer.name}.rows(world) raised {type(error).__name__}: {error}{_where(error, self._consumer.rows)}. It must read what the target "
                "holds whenever it is asked, also when nothing has been loaded: create tables in prepare(world) or "
                "start(world), and return [] where there is no target yet." + self._doubt()
            ) from error

    def _doubt(self) -> str:
        if self.room < places.MB:
            return f" The file system that the world is on was full, which may be why. {places.HOW_TO_HAVE_ROOM}"
        killed = [entry.text for entry in self.entries if entry.what == "killed"]
        if not killed:
            return ""
        return f" Here the consumer had been killed {killed[-1]}: where that leaves what nobody can read, return what can still be read."

    def _read(self) -> tuple[Row, ...]:
        before = self._world.watch.names
        try:
            return tuple(sorted(reading.rows_of(self._consumer, self._world), key=_order))
        finally:
            self._world.watch.look(self._world.now)
            for name in sorted(self._world.watch.names - before):  # a folder goes with all that is in it
                if not name.endswith(SHARED):
                    _remove(self._world.root / name)
            self._world.watch.look(self._world.now)

    def read_or_none(self) -> tuple[Row, ...] | None:
        """The rows now; None where the hook raises."""
        try:
            return self._read()
        except Exception:
            return None

    def history(self, **details: Any) -> History:
        """What happened, finished."""
        return History(
            entries=tuple(self.entries),
            unexplained=tuple(sorted(self.unexplained)),
            unreached=tuple(self.unreached),
            not_exercised=tuple(self.not_exercised),
            servers=tuple(self.servers),
            asked=tuple(self.asked),
            room=self.room,
            unanswered=tuple(self.unanswered),
            **details,
        )


def _idle() -> float:
    """Real seconds so far in which this thread waited: it did not work, and not for want of a processor."""
    return time.monotonic() - time.thread_time() - _held_up()


def _held_up() -> float:
    """Seconds so far in which this thread was ready to work, and a busy machine did not let it (Linux: proc(5), schedstat)."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as counted:
            return int(counted.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _where(error: BaseException, rows: Any) -> str:
    """The line of the suite's that raised it."""
    code = getattr(getattr(rows, "__func__", rows), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    return f" ({os.path.basename(mine[-1].filename)}:{mine[-1].lineno})" if mine else ""


def _order(row: Row) -> tuple[str, str]:
    return row.run_id, row.item or ""


@contextlib.contextmanager
def _impatient_sqlite() -> Iterator[None]:
    """While a consumer stands inside a transaction, its target must not be waited for."""
    real_connect = sqlite3.connect

    def connect(*arguments: Any, **keywords: Any) -> Any:
        if len(arguments) < 2:
            keywords["timeout"] = 0
        return real_connect(*arguments, **keywords)

    sqlite3.connect = sqlite3.dbapi2.connect = connect
    try:
        yield
    finally:
        sqlite3.connect = sqlite3.dbapi2.connect = real_connect


def _remove(path: Any) -> None:
    """What `rows` made (SQLite makes the file it opens) would change what the consumer finds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
