"""Rows from outside: what each way of reading a target gives, and what is said where it cannot be read."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from consumers_of_orders import SQLITE, check

from pytest_quarry.consumers import rows
from pytest_quarry.consumers.consumer import ConsumerError, RowsError

POLLER = """
import json, pathlib, sqlite3, sys

root, disk = map(pathlib.Path, sys.argv[1:])
for end in sorted(root.glob("source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl")):
    run_id = json.loads(end.read_text())["run_id"]
    marker = disk / f"{run_id}.done"
    if not marker.exists():
        print(f"loading run {run_id} [{run_id}-1] of {end}")
        marker.touch()
"""


@pytest.fixture
def world(tmp_path: Path) -> Any:
    """What of a world the functions here look at; rows from a command need more, and get a real one."""
    for name in ("disk", "printed", "storage"):
        (tmp_path / name).mkdir()
    return SimpleNamespace(
        root=tmp_path, disk=tmp_path / "disk", printed=tmp_path / "printed", storage_root=tmp_path / "storage"
    )


def test_what_a_command_prints(world: Any) -> None:
    read = rows.from_stdout(r"^run (?P<run_id>\S+)(?: item (?P<item>\d+))?$")
    assert read(world) == [], "it has not printed yet"
    (world.printed / "stdout").write_bytes(b"run A item 1\nskipping run B\nrun A item 2\n\xff\nrun C\n")
    assert read(world) == [{"run_id": "A", "item": "1"}, {"run_id": "A", "item": "2"}, {"run_id": "C"}]


def test_a_query(world: Any) -> None:
    read = rows.from_sqlite("orders.sqlite:SELECT run_id, item FROM orders ORDER BY item")
    assert read(world) == [], "there is no file yet"
    database = sqlite3.connect(world.disk / "orders.sqlite")
    assert read(world) == [], "there is no table yet"
    database.execute("CREATE TABLE orders (run_id, item)")
    with database:
        database.execute("INSERT INTO orders VALUES ('A', 1), ('A', NULL)")
    assert read(world) == [{"run_id": "A", "item": None}, {"run_id": "A", "item": 1}]
    place = "{storage_root}/../disk/orders.sqlite:SELECT 'a:b' AS run_id"
    assert rows.from_sqlite(place)(world) == [{"run_id": "a:b"}]
    database.close()


WRITES = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
database.execute("PRAGMA cache_size = 1")  # what is not committed goes to the file too
database.execute("CREATE TABLE orders (run_id, item)")
database.commit()
database.execute("INSERT INTO orders VALUES ('A', 1)")
database.commit()
database.executemany("INSERT INTO orders VALUES ('B', ?)", [("x" * 5000,) for _ in range(100)])
print("inside", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_query_sees_what_is_committed_and_changes_nothing(world: Any, mode: str) -> None:
    words = [sys.executable, "-c", WRITES, str(world.disk / "orders.sqlite"), mode]
    read = rows.from_sqlite("orders.sqlite:SELECT run_id, item FROM orders")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "inside\n"
        before = contents(world.disk)
        assert read(world) == [{"run_id": "A", "item": 1}], "inside a transaction"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    assert read(world) == [{"run_id": "A", "item": 1}], "after a crash in it"
    assert contents(world.disk) == before
    assert sorted(path.name for path in world.root.iterdir()) == ["disk", "printed", "storage"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


BAD_QUERIES = {
    "no such column": ("orders.sqlite:SELECT price FROM orders", "no such column: price"),
    "no SQL": ("orders.sqlite:SELEC run_id", 'near "SELEC": syntax error'),
    "two statements": ("orders.sqlite:SELECT 1; SELECT 2", "You can only execute one statement at a time."),
    "no database": ("orders.txt:SELECT run_id FROM orders", "file is not a database"),
    "a folder": ("folder:SELECT run_id FROM orders", "[Errno 21] Is a directory: *"),
}


@pytest.mark.parametrize(("place", "why"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_query_that_fails(world: Any, place: str, why: str) -> None:
    with sqlite3.connect(world.disk / "orders.sqlite") as database:
        database.execute("CREATE TABLE orders (run_id, item)")
    database.close()
    (world.disk / "orders.txt").write_text("no database at all\n" * 100)
    (world.disk / "folder").mkdir()
    with pytest.raises(RowsError) as raised:
        rows.from_sqlite(place)(world)
    wanted = f"rows from sqlite: {place!r} cannot be read: {why}".replace("[", "[[]")
    pytest.LineMatcher([str(raised.value)]).fnmatch_lines([wanted])


def test_files_of_json_lines(world: Any) -> None:
    read = rows.from_jsonl("{disk}/**/*.jsonl")
    assert read(world) == [], "there is no file yet"
    (world.disk / "deep" / "er").mkdir(parents=True)
    (world.disk / "b.jsonl").write_text('{"run_id": "B"}\n\n{"run_id": "C", "item": 2}\n{"run_id": "cut')
    (world.disk / "deep" / "er" / "a.jsonl").write_text('{"run_id": "A", "item": 1}\n{"run_{"run_id": "torn"}\n')
    (world.disk / "deep.jsonl").mkdir()
    (world.disk / "c.txt").write_text('{"run_id": "D"}\n')
    assert read(world) == [{"run_id": "B"}, {"run_id": "C", "item": 2}, {"run_id": "A", "item": 1}]


def test_files_that_are_not_json_lines(world: Any) -> None:
    (world.disk / "a.jsonl").write_text("run_id,item\nA,1\n")
    with pytest.raises(
        RowsError, match=r"rows from jsonl: 'a.jsonl' has 2 lines, and none is a JSON object: b'run_id,it"
    ):
        rows.from_jsonl("*.jsonl")(world)


def test_a_command_that_prints(quarry_world: Any) -> None:
    rows_of = rows.from_command(["sh", "-c", "cat $0/rows $1", "{disk}", "/dev/null"])
    (quarry_world.disk / "rows").write_text('{"run_id": "A", "item": 1}\n\n{"run_id": "B"}')
    assert rows_of(quarry_world) == [{"run_id": "A", "item": 1}, {"run_id": "B"}], "the last line has no end"


def test_a_command_reaches_the_world(quarry_world: Any) -> None:
    program = (
        "import boto3, json, sys; queues = boto3.client('sqs').list_queues()['QueueUrls']; "
        "print(json.dumps({'run_id': str(sys.argv[1] in queues)}))"
    )
    read = rows.from_command([sys.executable, "-c", program, "{queue_url}"])
    assert read(quarry_world) == [{"run_id": "True"}]


BAD_COMMANDS = {
    "no such program": (["no-such-program"], ConsumerError, "cannot be run: there is no program 'no-such-program'"),
    "not executable": (["/etc/passwd"], ConsumerError, "cannot be run: Permission denied"),
    "fails": (
        ["sh", "-c", "echo first >&2; echo the table is locked >&2; exit 3"],
        RowsError,
        "ended with status 3: the table is locked. Where there is no target yet, print nothing",
    ),
    "no JSON": (["echo", "A,1"], RowsError, "printed b'A,1', which is no JSON object. Print one per line, with run_id"),
    "no object": (["echo", "[1]"], RowsError, "printed b'[1]', which is no JSON object. *"),
    "does not end": (
        ["sh", "-c", "sleep 60 & sleep 60"],
        ConsumerError,
        "did not end within 0.5 s. It must print the rows*",
    ),
}


@pytest.mark.parametrize(("words", "kind", "why"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_a_command_that_cannot_tell(
    words: list[str], kind: type[Exception], why: str, quarry_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SECONDS", 0.5)
    with pytest.raises(kind) as raised:
        rows.from_command(words)(quarry_world)
    pytest.LineMatcher([str(raised.value)]).fnmatch_lines([f"rows from command: * {why}".replace("[", "[[]")])


def test_nothing_of_a_command_is_left(quarry_world: Any) -> None:
    words = ["sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $! > pid"]
    assert rows.from_command(words)(quarry_world) == []
    pid = int((quarry_world.disk / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:  # until init reaps it
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# Through the command line: each way once.


def test_check_with_rows_from_jsonl(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--handler", "orders:Lines", "--rows-from-jsonl", "*.jsonl", "--only", "EB03")
    assert code == 0, said


def test_check_with_rows_from_a_script_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "rows.sh").write_text("cat *.jsonl 2> /dev/null || true\n")
    rows_from = ("--rows-from-command", "bash rows.sh")
    code, said = check(tmp_path, "--handler", "orders:Lines", *rows_from, "--only", "EB03")
    assert code == 0, said


def test_check_with_rows_in_python(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--handler", "orders:Forgetful", "--rows", "orders:rows", "--only", "EB03")
    assert code == 1, said


def test_check_with_rows_from_stdout(tmp_path: Path) -> None:
    (tmp_path / "poll.py").write_text(POLLER)
    words = f"{sys.executable} poll.py {{storage_root}} {{disk}}"
    pattern = ("--rows-from-stdout", r"loading run (?P<run_id>\S+)", "--layout", "flat")
    code, said = check(tmp_path, "--poller", words, *pattern, "--only", "PO01")
    assert code == 0, said


def test_check_with_a_query_that_fails(tmp_path: Path) -> None:
    query = ("--rows-from-sqlite", "orders.sqlite:SELECT sku FROM orders")
    code, said = check(tmp_path, "--handler", "orders:Sound", *query)
    assert code == 2
    assert "rows from sqlite: 'orders.sqlite:SELECT sku FROM orders' cannot be read: no such column: sku" in said
    assert said.count(": cannot be checked\nrows from sqlite") == 1, "each of the other checks would say the same"


def test_check_with_a_query_that_finds_nothing(tmp_path: Path) -> None:
    query = ("--rows-from-sqlite", "orders.sqlite:SELECT run_id FROM others")
    code, said = check(tmp_path, "--handler", "orders:Sound", *query)
    assert code == 3
    assert "It did change things, but TestHandler.rows(world) returned no rows. Does rows read the same file" in said
    assert said.count("did nothing where something was due") <= 3


def test_a_reference_finds_its_environment_as_it_loads(tmp_path: Path) -> None:
    (tmp_path / "module_with_settings.py").write_text(
        "import os, sqlite3\nimport orders\n\n"
        "TABLE = os.environ['ORDERS']\n\n"
        "class Loader(orders.Sound):\n"
        "    def __init__(self, world):\n"
        "        assert TABLE == str(world.disk / 'orders.sqlite'), TABLE\n"
        "        super().__init__(world)\n"
    )
    words = ("--handler", "module_with_settings:Loader", *SQLITE, "--env", "ORDERS={disk}/orders.sqlite")
    code, said = check(tmp_path, *words, "--only", "EB03")
    assert code == 0, said
