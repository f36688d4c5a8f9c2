"""What a consumer says to a server that is not the world's, a database or a service: seen, held, failed, and cut off by a kill."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from first_turn import Seen, Work, closer_or_skip, natively, schedule, see, tell

from conftest import LineServer
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers import unhooked
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.hooks import no_escape, servers
from pytest_quarry.consumers.kernel import descriptors, seccomp
from pytest_quarry.consumers.kernel.connections import Connections
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Crash, Deliver, Notify, PlannedRun, Restart, Schedule, Write
from pytest_quarry.simulation.world import World

pytestmark = closer_or_skip


def rows(server: LineServer) -> list[dict[str, str]]:
    """Each insertion."""
    return [{"run_id": line.split()[-1]} for line in server.heard if line.startswith("INSERT INTO orders")]


@pytest.fixture
def local_server(tmp_path: Path) -> Iterator[tuple[LineServer, str]]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield LineServer(listener), str(tmp_path / "s")
        listener.shutdown(socket.SHUT_RDWR)


def refuse(process: int, descriptor: int) -> int:
    """As in containers without SYS_PTRACE."""
    raise PermissionError(errno.EPERM, "pidfd_getfd")


def said(*lines: str) -> list[bytes]:
    return [f"{line}\n".encode() for line in lines]


def ask(connection: socket.socket, *lines: str) -> None:
    for line in said(*lines):
        connection.sendall(line)
        assert connection.recv(100) == b"done\n"


def closer(work: Work, **details: Any) -> Seen:
    return see(work, closer=True, **details)


def test_what_is_said_is_a_boundary(server: LineServer) -> None:
    def work(world: World) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            ask(connection, "BEGIN", "INSERT INTO orders 1", "hello", "COMMIT")

    seen = closer(work)
    assert seen.boundaries == ["server BEGIN", "server INSERT orders", "server send", "server COMMIT"]
    assert seen.history.servers == (f"127.0.0.1:{server.port}",)
    changed = [entry.text for entry in seen.turn if entry.changed and entry.what == "crossed"]
    assert changed == ["server INSERT orders", "server send", "server COMMIT"]


def test_every_call_that_sends(server: LineServer) -> None:
    def work(world: World) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            one, two = said("INSERT INTO orders 1", "INSERT INTO orders 2")
            connection.sendmsg([one[:6], one[6:]])
            connection.recv(100)
            os.write(connection.fileno(), two)
            connection.recv(100)
            os.writev(connection.fileno(), [two[:6], two[6:]])
            connection.recv(100)
            ctypes.CDLL(None).send(connection.fileno(), one, len(one), 0)
            connection.recv(100)

    assert closer(work).boundaries == ["server INSERT orders"] * 4


def test_a_server_on_a_socket_of_this_machine(local_server: tuple[LineServer, str]) -> None:
    server, path = local_server

    def work(world: World) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            ask(connection, "COMMIT")

    seen = closer(work)
    assert seen.boundaries == ["server COMMIT"]
    assert seen.history.servers == (path,)
    assert server.heard == ["COMMIT"] * 2


def test_a_program_that_it_starts_speaks_to_a_server(server: LineServer) -> None:
    def work(world: World) -> None:
        code = f"exec 3<>/dev/tcp/127.0.0.1/{server.port}; echo COMMIT >&3; read -r answer <&3"
        subprocess.run(["bash", "-c", code], check=True)

    assert closer(work).boundaries == ["start bash", "server COMMIT"]


def test_a_process_that_it_forks_speaks_to_a_server(server: LineServer) -> None:
    """Where the link to the world was, the first file that a forked process opens may be."""

    def work(world: World) -> None:
        pid = os.fork()
        if pid == 0:
            kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendmsg(said("COMMIT"))
                connection.recv(100)
            os._exit(len(kept) - 3)
        os.waitpid(pid, 0)

    assert closer(work).boundaries == ["server COMMIT"]


@pytest.mark.parametrize("reachable", [True, False])
def test_what_is_no_server(reachable: bool, server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of its own, a server of its own in its folder, datagrams, and the world's AWS."""
    if not reachable:
        monkeypatch.setattr(descriptors, "descriptor_of", refuse)

    def work(world: World) -> None:
        one, two = socket.socketpair()
        one.sendall(b"COMMIT")
        two.recv(100)
        with socket.socket(socket.AF_UNIX) as own, socket.socket(socket.AF_UNIX) as connection:
            own.bind(f"{world.tmp}/own")
            own.listen()
            connection.connect(f"{world.tmp}/own")
            connection.sendall(b"COMMIT")
        with socket.socket(type=socket.SOCK_DGRAM) as connection:
            connection.connect(("127.0.0.1", server.port))
            connection.send(b"COMMIT")
        port = int(world.endpoint.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            connection.recv(100)

    seen = closer(work)
    assert not [label for label in seen.boundaries if label.startswith("server")]
    assert seen.history.servers == (() if reachable else (f"127.0.0.1:{server.port}",))


@pytest.mark.parametrize("ignored", ["127.0.0.1:{port}", "127.*", "*:{port}"])
def test_servers_that_are_nobodys_business(ignored: str, server: LineServer) -> None:
    def work(world: World) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            ask(connection, "COMMIT")

    seen = closer(work, ignored_servers=("127.0.0.1:1", ignored.format(port=server.port)))
    assert seen.boundaries == []
    assert seen.history.servers == ()


def test_a_server_of_its_own_may_have_another_port_each_time() -> None:
    def work(world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=answer_once, args=(listener,))
            thread.start()
            with socket.create_connection(listener.getsockname()) as connection:
                ask(connection, "INSERT INTO orders run-A")
            thread.join()

    one, other = closer(work, again=False), closer(work, again=False)
    assert one.boundaries[0] == "server INSERT orders"
    assert one.history.servers != other.history.servers
    assert one.history.difference(other.history) is None


def answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(100)
        connection.sendall(b"done\n")


def test_a_file_that_is_sent_by_the_kernel(server: LineServer) -> None:
    def work(world: World) -> None:
        (world.disk / "a").write_bytes(b"COMMIT\n")
        with socket.create_connection(("127.0.0.1", server.port)) as connection, open(world.disk / "a", "rb") as file:
            connection.sendfile(file)
            connection.recv(100)

    assert closer(work).boundaries == ["open a", "write a", "server COMMIT"]


def test_waits_for_an_answer_take_real_time(server: LineServer) -> None:
    """The server takes a moment, and the consumer looks whether it has answered, with a timeout; no virtual time passes."""

    def work(world: World) -> None:
        began = time.time()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            for waiting in (selectors.DefaultSelector, selectors.SelectSelector):
                connection.sendall(b"slowly\n")
                with waiting() as selector:
                    selector.register(connection, selectors.EVENT_READ)
                    assert selector.select(0.01)
                connection.recv(100)
            connection.sendall(b"slowly\n")
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            assert poll.poll(10)
            connection.recv(100)
        tell(world, round(time.time() - began, 1))

    server.pause = 0.1
    seen = closer(work)
    assert seen.boundaries == ["server send"] * 3 + ["target INSERT"]
    assert seen.told == [0.0]


@pytest.mark.parametrize(("pause", "break_"), [(0.0, 0.2), (1.5, 0.0)])
def test_an_event_loop_waits_for_an_answer_in_real_time(pause: float, break_: float, server: LineServer) -> None:
    """It watches more than one descriptor, each connection as long as it is open; the answer comes in parts, or late."""

    async def speak() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"slowly\n")
            async with asyncio.timeout(5):
                assert await reader.readline() == b"done\n"
        writer.close()

    server.pause, server.break_ = pause, break_
    assert closer(lambda world: asyncio.run(speak()), again=False).boundaries == ["server send"] * 2


def test_an_event_loop_in_which_all_sleep_waits_for_no_answer(server: LineServer) -> None:
    """Its connection stays open, and is watched. No real time passes: neither where tasks wait for one another."""

    async def nap() -> None:
        await asyncio.sleep(60)

    async def speak() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"unanswered\n")
        await asyncio.sleep(60)
        await asyncio.gather(nap(), asyncio.create_task(nap()))
        writer.close()

    server.pause = 60
    before = time.monotonic()
    assert closer(lambda world: asyncio.run(speak()), again=False).boundaries == ["server send", "sleep", "sleep"]
    assert time.monotonic() - before < servers.ANSWER


def test_an_answer_that_never_comes_is_not_waited_for_again_and_again(
    server: LineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(world: World) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            began = time.time()
            while time.time() < began + 600:
                assert not select.select([connection], [], [], 30)[0]

    monkeypatch.setattr(servers, "ANSWER", 0.2)
    before = time.monotonic()
    assert closer(work, again=False).boundaries == ["sleep"] * 20
    assert time.monotonic() - before > servers.ANSWER


def test_nobody_answers() -> None:
    def work(world: World) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 9))

    assert closer(work).boundaries == []


@pytest.mark.parametrize(("at", "heard"), [("server BEGIN", []), ("server COMMIT", ["BEGIN", "INSERT INTO orders 1"])])
def test_it_is_killed_before_it_says_so(server: LineServer, at: str, heard: list[str]) -> None:
    def work(world: World) -> None:
        if not server.heard or server.heard[-1] == "again":
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                ask(connection, "BEGIN", "INSERT INTO orders 1", "COMMIT")

    seen = closer(work, crash=Crash(at, 1), again=False)
    assert f"killed before {at}" in seen.happenings
    assert server.heard[: len(heard)] == heard
    assert "COMMIT" not in server.heard[: len(heard) + 1]


@pytest.mark.parametrize(("reachable", "slow"), [(True, 0.2), (False, 0.01)])
def test_a_kill_waits_until_the_server_has_noticed(
    reachable: bool, slow: float, server: LineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.slow = slow
    if not reachable:
        monkeypatch.setattr(descriptors, "descriptor_of", refuse)

    def start(world: World) -> object:
        def handle(notification: Any) -> None:
            tell(world, server.gone)
            connection = socket.create_connection(("127.0.0.1", server.port))
            ask(connection, "BEGIN")
            handle.kept = connection  # type: ignore[attr-defined]

        return handle

    steps = (Write("run-A"), Notify("run-A"), Deliver((1,)), Restart(), Deliver((1,)))
    plan = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=steps)
    consumer = Consumer(name="TestConsumer", kind="event-bus", start=start, rows=lambda world: world.target.rows())
    for play in (Play(closer=True), Play()):
        server.gone = 0
        # What the server counts is the test's: a fork of it sees what it was.
        assert [row.item for row in simulate(plan, consumer, play).rows] == ["0", "1"]


@pytest.mark.parametrize("reachable", [True, False])
def test_where_it_fails_the_connection_is_broken(
    reachable: bool, server: LineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reachable:
        monkeypatch.setattr(descriptors, "descriptor_of", refuse)

    def start(world: World) -> object:
        def handle(notification: Any) -> None:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                ask(connection, "BEGIN")
                with pytest.raises(ConnectionResetError) as caught:
                    ask(connection, "COMMIT")
                tell(world, caught.value.errno, connection.recv(100).decode())

        return handle

    steps = (Write("run-A"), Notify("run-A"), Break("server COMMIT", "EIO"), Deliver((1,)))
    plan = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=steps)
    consumer = Consumer(name="TestConsumer", kind="event-bus", start=start, rows=lambda world: world.target.rows())
    history = simulate(plan, consumer, Play(closer=True))
    assert [row.item for row in history.rows] == ['""', str(errno.ECONNRESET)]
    assert server.heard == ["BEGIN"]


class Loader:
    """Inserts a run, then notes it in a file: not in one step."""

    def __init__(self, world: World, port: int, insert: str) -> None:
        self.mark, self.port, self.insert = world.disk, port, insert

    def handle(self, notification: dict[str, Any]) -> None:
        mark = self.mark / notification["run_id"]
        if notification["event_type"] == "run_completed" and not mark.exists():
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                ask(connection, f"{self.insert} {notification['run_id']}")
            mark.touch()


def loading(server: LineServer, insert: str = "INSERT INTO orders", **details: Any) -> Consumer:
    return Consumer(
        name="TestConsumer",
        kind="event-bus",
        prepare=lambda world: server.heard.clear(),
        start=lambda world: Loader(world, server.port, insert),
        rows=lambda world: rows(server),
        **details,
    )


def test_checks_look_closer_where_a_server_was_spoken_to(server: LineServer) -> None:
    result = Conductor(loading(server)).conduct(BY_ID["EB05"])
    assert result.status == "failed"
    assert result.history is not None
    assert "killed before open run-A" in [f"{entry.what} {entry.text}" for entry in result.history.entries]
    assert result.schedule is not None
    assert Conductor(loading(server)).replay(BY_ID["EB05"], result.schedule).status == "failed"


@pytest.mark.apart
def test_played_by_the_test_itself_it_is_not_held(server: LineServer) -> None:
    run = PlannedRun(run_id="run-A", items=1)
    crash = Deliver((1,), Crash("server INSERT orders", 1))
    schedule = Schedule(runs=(run,), steps=(Write("run-A"), Notify("run-A"), crash))
    result = Conductor(loading(server)).replay(BY_ID["EB05"], schedule, inline=1)
    assert result.status == "inconclusive"
    assert result.verdict is not None
    assert "never came to step 3: server INSERT orders" in result.verdict.sentence
    assert "nor is what it says to servers" in result.verdict.why


def test_rows_that_another_world_left(server: LineServer) -> None:
    consumer = replace(loading(server), prepare=lambda world: None)
    result = Conductor(consumer).conduct(BY_ID["EB01"])
    assert (result.status, result.verdict is not None) == ("inconclusive", True)
    assert result.verdict is not None
    assert (
        "TestConsumer.rows(world) returned 2 rows of run-A before the consumer had done anything"
        in result.verdict.sentence
    )
    assert "TestConsumer.prepare(world) must empty what outlives a world" in result.verdict.why


def test_a_mark_that_another_world_left(server: LineServer, tmp_path: Path) -> None:
    """Known from the second world on, or, where another session left it, from the first."""
    mark = tmp_path / "mark"

    def start(world: World) -> object:
        def handle(notification: Any) -> None:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                ask(connection, "SELECT" if mark.exists() else f"INSERT INTO orders {notification['run_id']}")
            mark.touch()

        return handle

    consumer = replace(loading(server), start=start)
    why = f"It spoke to 127.0.0.1:{server.port}: does prepare(world) empty all that is kept there?"
    mark.touch()
    first = Conductor(consumer).conduct(BY_ID["EB01"])
    assert (first.status, first.verdict is not None and why in first.verdict.why) == ("inconclusive", True)
    consumer = replace(consumer, prepare=lambda world: server.heard.clear())
    mark.unlink()
    conductor = Conductor(consumer)
    conductor.closer(lambda: conductor.stage.history(conductor.stage.loaded(conductor.stage.run("B"))))
    mark.unlink()
    second = conductor.conduct(BY_ID["EB01"])
    assert (second.status, second.verdict is not None and why in second.verdict.why) == ("inconclusive", True)


def test_a_server_that_looked_at_its_clock_may_be_why(server: LineServer) -> None:
    insert = "INSERT INTO orders now()"
    result = Conductor(loading(server, insert)).conduct(BY_ID["EB05"])
    assert result.status == "inconclusive"
    assert result.verdict is not None
    assert result.verdict.sentence == "run-A was loaded twice: 1 row expected, 2 found."
    assert "“server INSERT orders” made a server look at its own clock" in result.verdict.why
    assert "ignores_server_clock = True" in result.verdict.why
    assert result.schedule is not None
    assert Conductor(loading(server, insert)).replay(BY_ID["EB05"], result.schedule).status == "inconclusive"
    sure = Conductor(loading(server, insert, ignores_server_clock=True)).conduct(BY_ID["EB05"])
    assert sure.status == "failed"


def test_an_answer_that_is_too_late_may_be_why(server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits in an event loop gives it up in virtual time."""

    async def ask_for(run_id: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(5):
            writer.write(f"INSERT INTO orders {run_id}\n".encode())
            await reader.readline()

    def start(world: World) -> object:
        def handle(notification: Any) -> None:
            if notification["event_type"] == "run_completed":
                asyncio.run(ask_for(notification["run_id"]))
                world.target.upsert({"run_id": notification["run_id"]}, key="run_id")

        return handle

    server.pause = 0.5
    monkeypatch.setattr(servers, "ANSWER", 0.1)
    run = PlannedRun(run_id="run-A", items=1)
    schedule = Schedule(runs=(run,), steps=(Write("run-A"), Notify("run-A"), Deliver((1,))))
    for late in (True, False):
        consumer = replace(loading(server), start=start, rows=lambda world: world.target.rows())
        result = Conductor(consumer).replay(BY_ID["EB01"], schedule)
        assert result.status == ("inconclusive" if late else "passed")
        if late:
            assert result.verdict is not None
            assert f"127.0.0.1:{server.port} had not answered in 5 real seconds" in result.verdict.why
        monkeypatch.setattr(servers, "ANSWER", 5.0)


def test_a_request_that_loads_though_it_only_gets_is_a_change(server: LineServer) -> None:
    def start(world: World) -> object:
        return lambda notification: say(f"GET /load?{notification['run_id']} HTTP/1.1", "GET /health HTTP/1.1")

    def say(*lines: str) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            ask(connection, *lines)

    loads = replace(loading(server), start=start, rows=lambda world: got(server))
    history = simulate(schedule(None), loads, Play(closer=True))
    changes = [(entry.text, entry.changed) for entry in history.entries if entry.text.startswith("server")][:2]
    assert changes == [("server GET /load", True), ("server GET /health", False)]
    first = next(entry for entry in history.entries if entry.text == "server GET /load")
    assert first.rows


def got(server: LineServer) -> list[dict[str, str]]:
    return [{"run_id": line.split("?")[1].split()[0]} for line in server.heard if line.startswith("GET /load?")]


def test_native_files_and_a_server_in_one_turn(server: LineServer) -> None:
    def work(world: World) -> None:
        natively(world.disk / "a", b"x")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            ask(connection, "COMMIT")
        (world.disk / "b").write_text("y")

    assert closer(work).boundaries == ["open a", "write a", "server COMMIT", "open b", "write b"]


def test_where_the_system_shows_nothing(server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks say what they can, and what they cannot; nothing waits for what never comes."""
    monkeypatch.setattr(seccomp, "MACHINE", None)
    monkeypatch.setattr(unhooked, "POSSIBLE", False)
    for driver in servers.DRIVERS:
        monkeypatch.delitem(sys.modules, driver, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as other, no_escape.closed(None):
        socket.create_connection(other.getsockname()).close()  # the test's own
    check = BY_ID["EB01"]
    result = Conductor(loading(server)).conduct(check)
    assert (result.status, result.not_exercised) == ("passed", (unhooked.UNHELD,))
    silent = Consumer(name="Silent", kind="event-bus", start=first_to_target, rows=lambda world: world.target.rows())
    assert Conductor(silent).conduct(check).not_exercised == ()
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    assert Conductor(silent).conduct(check).not_exercised == (unhooked.UNHELD,)


def first_to_target(world: World) -> object:
    def handle(notification: Any) -> None:
        world.target.upsert({"run_id": notification["run_id"]}, key="run_id")

    return handle


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("bus", False),
        ("systemd/private", False),
        ("pulse/native", False),
        ("pipewire-0", False),
        ("wayland-1", False),
        ("gnupg/S.gpg-agent", False),
        ("devenv-3f/redis.sock", True),
        ("postgres/.s.PGSQL.5432", True),
        ("bus-of-orders.sock", True),
    ],
)
def test_of_what_is_in_a_user_s_runtime_folder_only_the_system_s_own_is_passed_over(name: str, seen: bool) -> None:
    """Development environments keep the sockets of their databases there."""
    path = f"/run/user/1000/{name}"
    assert Connections(lambda path: None)._place(path) == (path if seen else "")
