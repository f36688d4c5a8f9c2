"""What a program says to a server on this machine is held, as what it does to files is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from programs import bash, first_turn, play, python, texts

from pytest_quarry.simulation.schedule import Break, Crash, Poll


@dataclass
class Server:
    """Hears lines, and answers each."""

    listener: socket.socket
    heard: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        found: int = self.listener.getsockname()[1]
        return found

    def answer(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                try:
                    for line in lines:
                        self.heard.append(line.decode().strip())
                        connection.sendall(b"done\n")
                except OSError:
                    pass


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        threading.Thread(target=server.answer, daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)


def speaks(port: int, *lines: str) -> str:
    """In bash: each line is answered before the next is said."""
    said = "".join(f"echo '{line}' >&3; read -r answer <&3 || exit 7; " for line in lines)
    return f"exec 3<>/dev/tcp/127.0.0.1/{port}; {said}"


def test_each_message_is_a_boundary(server: Server) -> None:
    history = play(bash(speaks(server.port, "BEGIN", "INSERT INTO orders", "COMMIT") + "echo > a"))
    assert first_turn(history) == ["server BEGIN", "server INSERT orders", "server COMMIT", "open a", "write a"]
    assert history.servers == (f"127.0.0.1:{server.port}",)


def test_it_is_killed_before_it_says_so(server: Server) -> None:
    code = "[ -e a ] && exit; echo > a; " + speaks(server.port, "BEGIN", "COMMIT")
    history = play(bash(code), Poll(Crash("server COMMIT", 1)))
    assert texts(history, "killed")[0] == "before server COMMIT"
    assert server.heard == ["BEGIN"]


def test_where_it_fails_the_connection_is_broken(server: Server) -> None:
    history = play(bash(speaks(server.port, "BEGIN", "COMMIT")), Break("server COMMIT", "EIO"), Poll())
    assert texts(history, "failed")[0] == "server COMMIT: Connection reset by peer"
    assert texts(history, "raised")[0].startswith("exit status 7")
    assert server.heard[:1] == ["BEGIN"]
    assert server.heard[1] != "COMMIT"


def test_its_aws_is_no_server(server: Server) -> None:
    code = "import boto3; boto3.client('sqs').list_queues()"
    history = play(python(code))
    assert first_turn(history) == ["sqs.ListQueues"]
    assert history.servers == ()
