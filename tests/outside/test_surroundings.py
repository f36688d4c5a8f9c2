"""What a program finds around it: an AWS that is the world's, folders that are the world's, and no way out."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from programs import bash, kept, play, python, texts

from pytest_quarry.bus import names
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Poll, Schedule

TELL = "import json, os, sys; json.dump({'environment': dict(os.environ), 'cwd': os.getcwd(), 'words': sys.argv[1:]}, open(os.environ['HOME'] + '/told', 'w'))"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a program is told, while the developer's own environment is full of traps."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "DATABASE_URL", "PYTHONSTARTUP", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "the developer's own")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a real key")
    places = ("{storage_root}", "{bucket}", "{prefix}", "{queue_url}", "{topic_arn}", "{disk}", "{{}} {other}")
    command = python(TELL, *places, environment={"MINE": "in {disk}", "LANG": "C"})
    play(command, **kept(tmp_path))
    found: dict[str, object] = json.loads((tmp_path / "told").read_text())
    return found


def test_the_environment(told: dict[str, dict[str, str]]) -> None:
    found = told["environment"]
    endpoint = found["AWS_ENDPOINT_URL"]
    assert endpoint.startswith("http://127.0.0.1:")
    for service in ("S3", "SQS", "SNS", "DYNAMODB", "STS", "SECRETSMANAGER"):
        assert found[f"AWS_ENDPOINT_URL_{service}"] == endpoint
    assert found["AWS_ACCESS_KEY_ID"] == found["AWS_SECRET_ACCESS_KEY"] == "testing"
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert found["AWS_EC2_METADATA_DISABLED"] == "true"
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        assert found[proxy] == NOWHERE
    assert found["NO_PROXY"] == "127.0.0.1,localhost"
    assert found["PATH"] == os.environ["PATH"]
    assert not {"AWS_PROFILE", "DATABASE_URL", "PYTHONSTARTUP", "LD_LIBRARY_PATH"} & set(found)
    assert found["LANG"] == "C"


def test_the_folders(told: dict[str, object]) -> None:
    environment = told["environment"]
    assert isinstance(environment, dict)
    disk = environment["HOME"]
    assert environment["MINE"] == f"in {disk}"
    assert told["cwd"] == disk
    world = os.path.dirname(disk)
    assert environment["TMPDIR"] == f"{world}/tmp"
    assert not os.path.exists(world)


def test_its_words(told: dict[str, list[str]]) -> None:
    root, bucket, prefix, queue, topic, disk, braces = told["words"]
    assert root == os.path.dirname(disk) + "/storage"
    assert (bucket, prefix) == (names.BUCKET, names.PREFIX)
    assert queue.startswith("http://127.0.0.1:")
    assert queue.endswith("/quarry-runs-consumer")
    assert topic.startswith("arn:aws:sns:")
    assert braces == "{{}} {other}"


def test_a_working_directory_of_its_own(tmp_path: Path) -> None:
    history = play(Command(argv=["pwd"], cwd=str(tmp_path)))
    assert history.output.splitlines()[0] == str(tmp_path)
    assert history.by_a_program


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.7', 80), timeout=3)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('192.0.2.7', 80))",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'?'], [], 0, ('192.0.2.7', 80))",
    ],
    ids=["a connection", "a datagram", "a datagram in parts"],
)
def test_other_machines_are_out_of_reach_and_said_so(code: str) -> None:
    history = play(python(code))
    assert texts(history, "failed")[0] == "connect 192.0.2.7:80: refused, only this machine can be reached"
    assert "ConnectionRefusedError" in texts(history, "raised")[0]


def test_ipv6_too() -> None:
    history = play(python("import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::7', 443))"))
    assert texts(history, "failed")[0].startswith("connect [2001:db8::7]:443: refused")


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        history = play(python(f"import socket; socket.create_connection(('127.0.0.1', {port})).close()"))
    assert not texts(history, "failed")
    assert not texts(history, "raised")


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(
        ConsumerError, match=r"\{run_id\} in '\{run_id\}' has no value here: it is known only to publish"
    ):
        play(Command(argv=["true", "{run_id}"]))
    with pytest.raises(ConsumerError, match=r"\{storage_root\} .* has no value here: storage is on S3: use \{bucket\}"):
        play(Command(argv=["true", "{storage_root}"]), storage="s3")


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"argv": "poll {storage_rot}"}, r"\{storage_rot\} .* is unknown: did you mean \{storage_root\}\?"),
        ({"argv": "poll 'x"}, "cannot be split into words"),
        ({"argv": []}, "names no program"),
        ({"argv": "x", "kind": "pollr"}, "'pollr' is no kind of command; there are poller, worker"),
        ({"argv": "x", "stop": "SIGNAL"}, "stop is 'SIGNAL', which is no signal"),
        ({"argv": "x", "timeout": 0}, "timeout is 0; it must be a number of seconds above 0"),
        ({"argv": "x", "environment": {"A": "{queue_ulr}"}}, r"did you mean \{queue_url\}"),
    ],
)
def test_a_command_that_cannot_be_is_refused_when_it_is_made(details: dict[str, object], words: str) -> None:
    with pytest.raises(ConsumerError, match=words):
        Command(**details)  # type: ignore[arg-type]


def test_random_bytes_are_the_same_each_time_and_others_in_each_turn() -> None:
    code = 'head -c 8 /dev/urandom > /dev/null; mktemp -u XXXXXXXXXX; "$1" -c "import uuid; print(uuid.uuid4())"'
    first, second = (play(bash(code, python("").words[0])).output.split() for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)


def test_a_program_that_start_returns_takes_its_turns() -> None:
    program = Consumer(name="Program", kind="poller", start=lambda world: bash("echo a turn"), rows=lambda world: [])
    history = simulate(Schedule(runs=(), steps=(Poll(),)), program)
    assert history.by_a_program
    assert history.output == "a turn\n" * len(texts(history, "polled"))
    assert texts(history, "returned") == ["return"] * len(texts(history, "polled"))
