"""What a program says to a server on this machine is held, as what it does to files is."""

from __future__ import annotations

from programs import bash, first_turn, play, python, texts

from conftest import LineServer
from pytest_quarry.simulation.schedule import Break, Crash, Poll


def speaks(port: int, *lines: str) -> str:
    """In bash: each line is answered before the next is said."""
    said = "".join(f"echo '{line}' >&3; read -r answer <&3 || exit 7; " for line in lines)
    return f"exec 3<>/dev/tcp/127.0.0.1/{port}; {said}"


def test_each_message_is_a_boundary(server: LineServer) -> None:
    history = play(bash(speaks(server.port, "BEGIN", "INSERT INTO orders", "COMMIT") + "echo > a"))
    assert first_turn(history) == ["server BEGIN", "server INSERT orders", "server COMMIT", "open a", "write a"]
    assert history.servers == (f"127.0.0.1:{server.port}",)


def test_it_is_killed_before_it_says_so(server: LineServer) -> None:
    code = "[ -e a ] && exit; echo > a; " + speaks(server.port, "BEGIN", "COMMIT")
    history = play(bash(code), Poll(Crash("server COMMIT", 1)))
    assert texts(history, "killed")[0] == "before server COMMIT"
    assert server.heard == ["BEGIN"]


def test_where_it_fails_the_connection_is_broken(server: LineServer) -> None:
    history = play(bash(speaks(server.port, "BEGIN", "COMMIT")), Break("server COMMIT", "EIO"), Poll())
    assert texts(history, "failed")[0] == "server COMMIT: Connection reset by peer"
    assert texts(history, "raised")[0].startswith("exit status 7")
    assert server.heard[:1] == ["BEGIN"]
    assert server.heard[1] != "COMMIT"


def test_its_aws_is_no_server(server: LineServer) -> None:
    code = "import boto3; boto3.client('sqs').list_queues()"
    history = play(python(code))
    assert first_turn(history) == ["sqs.ListQueues"]
    assert history.servers == ()
