"""SQLite: every statement is a boundary before it takes effect, whoever executes it; its clock is the world's."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from sqlite3 import connect
from typing import Any

import pytest
from first_turn import Seen, Work, closer_or_skip, crashes, see, tell

from pytest_quarry.simulation.schedule import Break, Crash
from pytest_quarry.simulation.world import World


def rows(world: World) -> list[dict[str, Any]]:
    """What the table `loaded` holds."""
    found = world.target.rows()
    if not (world.disk / "t.db").exists():
        return found
    connection = connect(world.disk / "t.db", timeout=0)
    try:
        stored = connection.execute("SELECT n FROM loaded ORDER BY n").fetchall()
    except sqlite3.OperationalError:
        return found
    finally:
        connection.close()
    return [*found, *({"run_id": "stored", "item": json.dumps(n)} for (n,) in stored)]


def table(world: World) -> None:
    """Made before the consumer is started."""
    connection = connect(world.disk / "t.db")
    connection.execute("CREATE TABLE loaded (n INTEGER, at TEXT DEFAULT CURRENT_TIMESTAMP)")
    connection.close()


def see_sqlite(work: Work, crash: Crash | None = None, **details: Any) -> Seen:
    return see(work, crash=crash, rows=rows, **{"prepare": table, **details})


def stored(seen: Seen) -> list[int]:
    """The numbers in the table at the end."""
    return [json.loads(row.item or "") for row in seen.history.rows if row.run_id == "stored"]


def statements(seen: Seen) -> str:
    return ", ".join(
        label.removeprefix("sqlite ").removesuffix(" t.db") for label in seen.boundaries if "sqlite" in label
    )


def implicit(world: World) -> None:
    connection = connect(world.disk / "t.db")
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.commit()
    connection.execute("UPDATE loaded SET n = 2")
    connection.rollback()
    connection.execute("DELETE FROM loaded WHERE n = 7")
    connection.commit()
    connection.close()


def many(world: World) -> None:
    connection = connect(world.disk / "t.db")
    connection.cursor().executemany("INSERT OR IGNORE INTO loaded (n) VALUES (?)", [(1,), (2,), (3,)])
    connection.commit()


def attached(world: World, name: str = "other.db") -> None:
    """One transaction over two files; SQLite makes a third, under a name of luck, until it is committed."""
    connection = connect(world.disk / "t.db", isolation_level=None)
    connection.execute("ATTACH ? AS other", [str(world.disk / name)])
    connection.execute("CREATE TABLE other.marks (n)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.execute("INSERT INTO other.marks VALUES (1)")
    connection.execute("COMMIT")
    connection.close()


def script(world: World) -> None:
    connect(world.disk / "t.db").executescript(
        "BEGIN; INSERT INTO loaded (n) VALUES (1); COMMIT; -- a comment\nCREATE TABLE IF NOT EXISTS other (x);"
    )


def context(world: World) -> None:
    with connect(world.disk / "t.db") as connection:
        connection.execute("INSERT INTO loaded (n) VALUES (1)")
    with contextlib.suppress(ZeroDivisionError), connection:
        connection.execute("INSERT INTO loaded (n) VALUES (2)")
        raise ZeroDivisionError


def autocommit(world: World) -> None:
    connection = connect(str(world.disk / "t.db"), isolation_level=None)
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO loaded (n) VALUES (2)")
    connection.execute("END")


def wal(world: World) -> None:
    connection = connect(world.disk / "t.db")
    assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("INSERT INTO loaded (n) VALUES (2)")
    connection.commit()
    connection.close()


def uri(world: World) -> None:
    connection = sqlite3.connect(f"file:{world.disk}/t.db?mode=rw", uri=True)
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.commit()


def positional(world: World) -> None:
    connection = connect(str(world.disk / "t.db"), 5.0, 0, "IMMEDIATE", True, sqlite3.Connection, 128, False)
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.commit()


def commented(world: World) -> None:
    connection = connect(world.disk / "t.db")
    connection.execute("-- what is new\n/* and\nmore */ INSERT INTO loaded (n) VALUES (1)")
    connection.commit()


def nested(world: World) -> None:
    connection = connect(world.disk / "t.db")
    connection.executemany("INSERT INTO loaded (n) VALUES (?)", [(1,), (2,)])
    for (n,) in connection.execute("SELECT n FROM loaded WHERE n < 3"):
        connection.execute("INSERT INTO loaded (n) VALUES (?)", (n + 10,))
    connection.commit()


def triggers(world: World) -> None:
    connection = connect(world.disk / "t.db", isolation_level=None)
    connection.execute("CREATE TABLE copied (n)")
    connection.execute("CREATE TRIGGER copy AFTER INSERT ON loaded BEGIN INSERT INTO copied VALUES (new.n); END")
    connection.execute("INSERT INTO loaded (n) VALUES (1)")


def savepoints(world: World) -> None:
    connection = connect(world.disk / "t.db", isolation_level=None)
    connection.execute("SAVEPOINT batch")
    connection.execute("INSERT INTO loaded (n) VALUES (1)")
    connection.execute("RELEASE batch")


SEEN = {
    implicit: "connect, BEGIN, INSERT loaded, COMMIT, BEGIN, UPDATE loaded, ROLLBACK, BEGIN, DELETE loaded, COMMIT",
    many: "connect, BEGIN, INSERT loaded, INSERT loaded, INSERT loaded, COMMIT",
    script: "connect, BEGIN, INSERT loaded, COMMIT, CREATE other",
    context: "connect, BEGIN, INSERT loaded, COMMIT, BEGIN, INSERT loaded, ROLLBACK",
    autocommit: "connect, INSERT loaded, BEGIN, INSERT loaded, END",
    wal: "connect, PRAGMA, BEGIN, INSERT loaded, COMMIT, PRAGMA, BEGIN, INSERT loaded, COMMIT",
    uri: "connect, BEGIN, INSERT loaded, COMMIT",
    positional: "connect, BEGIN, INSERT loaded, COMMIT",
    commented: "connect, BEGIN, INSERT loaded, COMMIT",
    nested: "connect, BEGIN, INSERT loaded, INSERT loaded, SELECT, INSERT loaded, INSERT loaded, COMMIT",
    savepoints: "connect, SAVEPOINT, INSERT loaded, RELEASE",
}


@pytest.mark.parametrize("closer", [False, True], ids=["by hooks", "closer"])
@pytest.mark.parametrize("work", SEEN, ids=lambda work: work.__name__)
def test_each_statement_is_one_boundary(work: Work, closer: bool) -> None:
    seen = see_sqlite(work, closer=closer)
    assert statements(seen) == SEEN[work]
    assert not [label for label in seen.boundaries if not label.startswith("sqlite ")]
    assert seen.history.unexplained == ()


@pytest.mark.parametrize("work", [*SEEN, triggers], ids=lambda work: work.__name__)
def test_a_kill_keeps_what_was_committed_before_it(work: Work) -> None:
    """At each boundary: what another process reads there is what the restarted consumer finds after a kill there."""
    seen = see_sqlite(work)
    for entry, crash in crashes(seen):
        at = seen.history.entries.index(entry)
        known = [other.rows for other in seen.history.entries[:at] if other.rows is not None]
        assert see_sqlite(work, crash).history.rows == (known[-1] if known else ()), crash


@pytest.mark.parametrize(
    ("crash", "left"),
    [
        (Crash("sqlite INSERT loaded t.db"), []),
        (Crash("sqlite COMMIT t.db"), []),
        (Crash("sqlite UPDATE loaded t.db"), [1]),
        (None, [1]),
    ],
    ids=str,
)
def test_a_transaction_is_there_whole_or_not_at_all(crash: Crash | None, left: list[int]) -> None:
    assert stored(see_sqlite(implicit, crash)) == left


def test_making_the_file_is_a_boundary() -> None:
    def work(world: World) -> None:
        connect(world.disk / "new.db").execute("CREATE TABLE t (x)")

    assert see(work).boundaries == ["sqlite connect new.db", "sqlite CREATE t new.db"]
    assert see(work, crash=Crash("sqlite connect new.db")).files == {}


def test_a_backup_is_a_boundary() -> None:
    def work(world: World) -> None:
        copy = connect(world.disk / "copy.db")
        connect(world.disk / "t.db").backup(copy)
        tell(world, copy.execute("SELECT name FROM sqlite_master").fetchall())

    seen = see_sqlite(work)
    assert "sqlite BACKUP copy.db" in seen.boundaries
    assert seen.told == [[["loaded"]]]


def test_databases_in_memory_and_elsewhere_are_no_boundary(tmp_path: Any) -> None:
    def work(world: World) -> None:
        for database in (":memory:", "", tmp_path / "t.db", "file::memory:?cache=shared"):
            connection = connect(database, uri=True)
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
            connection.close()

    assert see(work).boundaries == []


class Own(sqlite3.Connection):
    """A team's own factory."""

    def __init__(self, database: str, **keywords: Any) -> None:
        super().__init__(database, timeout=3, **keywords)
        self.row_factory = sqlite3.Row

    def numbers(self) -> list[int]:
        return [row["n"] for row in self.execute("SELECT n FROM loaded")]


def test_connections_are_those_the_consumer_asked_for() -> None:
    def work(world: World) -> None:
        traced: list[str] = []
        connection = connect(world.disk / "t.db", factory=Own)
        assert isinstance(connection, Own)
        assert type(connection).__name__ == "Own"
        connection.set_trace_callback(traced.append)
        connection.execute("INSERT INTO loaded (n) VALUES (?)", (7,))
        connection.set_trace_callback(None)
        connection.commit()
        assert connection.numbers() == [7]
        assert traced == ["BEGIN ", "INSERT INTO loaded (n) VALUES (7)"]
        plain = connect(world.disk / "t.db", detect_types=sqlite3.PARSE_DECLTYPES, cached_statements=5)
        assert isinstance(plain, sqlite3.Connection)
        assert plain.isolation_level == ""
        assert plain.execute("SELECT n FROM loaded").fetchall() == [(7,)]
        with pytest.raises(sqlite3.IntegrityError):
            plain.executescript("CREATE TABLE one (n UNIQUE); INSERT INTO one VALUES (1); INSERT INTO one VALUES (1);")
        with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
            plain.execute("SELECT * FROM absent")
        plain.close()
        with pytest.raises(sqlite3.ProgrammingError):
            plain.execute("SELECT 1")

    assert see_sqlite(work).history.unexplained == ()


CLOCK = """SELECT CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_TIME, datetime('now'), datetime('now', '+1 day'), datetime(),
date('now', 'start of month'), time('now'), strftime('%s', 'now'), strftime('%Y'), julianday('now') > 2461073.8,
datetime(0, 'unixepoch'), datetime('2020-01-01'), strftime('%H', '2020-01-01 17:00'), date(NULL)"""


def test_time_in_sql_is_virtual() -> None:
    def work(world: World) -> None:
        for database in (world.disk / "t.db", ":memory:"):
            tell(world, connect(database).execute(CLOCK).fetchone())

    now, today, clock = "2026-02-02 08:00:02", "2026-02-02", "08:00:02"
    expected = [now, today, clock, now, "2026-02-03 08:00:02", now, "2026-02-01", clock, "1770019202", "2026", 1]
    told = see_sqlite(work).told
    assert told == [[*expected, "1970-01-01 00:00:00", "2020-01-01 00:00:00", "17", None]] * 2


SUBSECONDS = """SELECT unixepoch('subsec') - 1770019202, datetime('subsecond'), strftime('%s', 'SUBSEC'), date('subsec', '+1 day'),
julianday('subsec') > 2461073.8, unixepoch('2020-01-01 00:00:00.25', 'subsec')"""


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 42), reason="this SQLite knows no subsec")
def test_subseconds_in_sql_are_virtual() -> None:
    def work(world: World) -> None:
        tell(world, connect(world.disk / "t.db").execute(SUBSECONDS).fetchone())

    part, *others = see_sqlite(work).told[0]
    assert 0 < part < 1
    assert others == [f"2026-02-02 08:00:{2 + part:06.3f}", f"{1770019202 + part:.3f}", "2026-02-03", 1, 1577836800.25]


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 43), reason="this SQLite has no timediff")
def test_differences_of_times_in_sql_are_virtual() -> None:
    def work(world: World) -> None:
        query = "SELECT timediff('now', '2026-02-01 08:00'), timediff('2026-02-03', 'subsec'), timediff('now', NULL)"
        tell(world, connect(world.disk / "t.db").execute(query).fetchone())

    since, until, none = see_sqlite(work).told[0]
    assert since.startswith("+0000-00-01 00:00:02.")
    assert until.startswith("+0000-00-00 15:59:57.")
    assert none is None


def test_default_current_timestamp_is_virtual() -> None:
    def work(world: World) -> None:
        import time

        connection = connect(world.disk / "t.db")
        connection.execute("INSERT INTO loaded (n) VALUES (1)")
        time.sleep(3600)
        connection.execute("INSERT INTO loaded (n) VALUES (2)")
        connection.execute("CREATE TABLE checked (day TEXT, CHECK (date(day) IS NOT NULL))")
        connection.execute("CREATE INDEX by_day ON checked (date(day))")
        connection.execute("INSERT INTO checked VALUES ('2026-01-01')")
        connection.commit()
        tell(world, connection.execute("SELECT at FROM loaded ORDER BY n").fetchall())

    assert see_sqlite(work).told == [[["2026-02-02 08:00:02"], ["2026-02-02 09:00:02"]]]


def core(world: World) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(f"sqlite:///{world.disk}/t.db")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO loaded (n) VALUES (:n)"), [{"n": 1}, {"n": 2}])
    with contextlib.suppress(ZeroDivisionError), engine.begin() as connection:
        connection.execute(text("INSERT INTO loaded (n) VALUES (3)"))
        raise ZeroDivisionError
    with engine.connect() as connection:
        assert [n for (n,) in connection.execute(text("SELECT n FROM loaded"))] == [1, 2]
    engine.dispose()


def orm(world: World) -> None:
    from sqlalchemy import Column, Integer, create_engine
    from sqlalchemy.orm import Session, declarative_base

    class Loaded(declarative_base()):
        __tablename__ = "loaded"
        n = Column(Integer, primary_key=True)

    engine = create_engine(f"sqlite:///{world.disk}/t.db")
    with Session(engine) as session:
        session.add_all([Loaded(n=1), Loaded(n=2)])
        session.flush()
        session.commit()
        session.merge(Loaded(n=2))
        session.commit()
    engine.dispose()


def test_sqlalchemy_core() -> None:
    pytest.importorskip("sqlalchemy")
    seen = see_sqlite(core)
    assert stored(seen) == [1, 2]
    assert "BEGIN, INSERT loaded, INSERT loaded, COMMIT, BEGIN, INSERT loaded, ROLLBACK" in statements(seen)
    assert stored(see_sqlite(core, Crash("sqlite COMMIT t.db"))) == []
    assert stored(see_sqlite(core, Crash("sqlite ROLLBACK t.db"))) == [1, 2]


def test_sqlalchemy_orm() -> None:
    pytest.importorskip("sqlalchemy")
    seen = see_sqlite(orm)
    assert stored(seen) == [1, 2]
    assert stored(see_sqlite(orm, Crash("sqlite COMMIT t.db"))) == []
    assert stored(see_sqlite(orm, Crash("return"))) == [1, 2]


def fails_at(label: str, error: str, work: Work) -> list[Any]:
    """What the consumer tells when a statement fails."""
    return see_sqlite(work, fault=Break(f"sqlite {label} ", error, times=1)).told


def ending(words: str, mode: str) -> Work:
    """Whether the transaction goes on when these words, which commit it, fail."""

    def work(world: World) -> None:
        connection = connect(world.disk / "t.db", isolation_level=None)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO loaded (n) VALUES (1)")
        try:
            connection.execute(words) if words.isupper() else getattr(connection, words)()
        except sqlite3.OperationalError as error:
            tell(world, [str(error), getattr(error, "sqlite_errorname", ""), connection.in_transaction])
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")

    return work


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("words", ["COMMIT", "END", "commit"])
def test_a_disk_that_fails_ends_the_transaction(words: str, mode: str) -> None:
    """As SQLite does when the disk fails under a COMMIT: what it had is taken back, and another may begin."""
    assert fails_at(words.upper(), "EIO", ending(words, mode)) == [["disk I/O error", "SQLITE_IOERR", False]]


def test_a_full_disk_is_told_as_sqlite_does() -> None:
    told = fails_at("COMMIT", "ENOSPC", ending("COMMIT", "wal"))
    assert told == [["database or disk is full", "SQLITE_FULL", False]]


def test_a_database_that_cannot_be_opened_is_told_as_sqlite_does() -> None:
    def work(world: World) -> None:
        try:
            connect(world.disk / "t.db")
        except sqlite3.OperationalError as error:
            tell(world, [str(error), getattr(error, "sqlite_errorname", "")])

    assert fails_at("connect", "EIO", work) == [["unable to open database file", "SQLITE_CANTOPEN"]]


@closer_or_skip
@pytest.mark.parametrize("name", ["other.db", "t.db.marks", "t.db-marks"])
def test_a_transaction_over_two_files_is_explained(name: str) -> None:
    seen = see_sqlite(lambda world: attached(world, name), closer=True)
    assert seen.history.unexplained == ()
    assert f"write {name}" in seen.boundaries
