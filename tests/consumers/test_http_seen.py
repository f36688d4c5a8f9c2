"""What a consumer asks of the world's endpoint by a client of its own, or through a program that it starts: each request waits
for the world, as a call of boto3 does."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from first_turn import Seen, consumer, crashes, schedule, see, tell

from pytest_quarry.bus.server import EndpointServer
from pytest_quarry.consumers import arriving
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Crash, Deliver, Overlap, Switch
from pytest_quarry.simulation.world import World

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose a connection is")
pytestmark = linux
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260202/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}
PUT = "s3.PutObject quarry-storage/"


def ask(world: World, method: str, key: str, body: bytes | None = None, *, over: Any = None) -> int:
    """One request, on a connection of its own, or on one that is there; the status of its answer."""
    connection = over or http.client.HTTPConnection(urlsplit(world.endpoint.url).netloc, timeout=20)
    try:
        connection.request(method, f"/{world.bucket}/{key}", body, SIGNED)
        answer = connection.getresponse()
        answer.read()
        return int(answer.status)
    finally:
        if over is None:
            connection.close()


def rows(world: World) -> list[dict[str, Any]]:
    """What was told, and the bucket."""
    found = boto3.client("s3").list_objects_v2(Bucket=world.bucket).get("Contents", [])
    return [*world.target.rows(), *({"run_id": one["Key"], "item": str(one["Size"])} for one in found)]


def see_it(work: Callable[[World], Any], crash: Crash | None = None, **details: Any) -> Seen:
    """A turn, with the bucket as the target."""
    return see(work, crash=crash, **{"rows": rows, **details})


def load(world: World) -> None:
    """Looks, then puts twice, on one connection."""
    connection = http.client.HTTPConnection(urlsplit(world.endpoint.url).netloc)
    tell(world, ask(world, "HEAD", "one", over=connection))
    ask(world, "PUT", "one", b"1", over=connection)
    ask(world, "PUT", "two", b"22", over=connection)


def aws(seen: Seen) -> list[str]:
    """The boundaries that are calls."""
    return [label for label in seen.boundaries if label.startswith(("s3.", "sqs."))]


def test_each_request_is_a_boundary_with_the_label_of_its_call() -> None:
    seen = see_it(load)
    assert aws(seen) == ["s3.HeadObject quarry-storage/one", f"{PUT}one", f"{PUT}two"]
    assert (seen.told, seen.files) == ([404], {"one": "1", "two": "2"})
    changed = {entry.text: entry.changed for entry in seen.turn if entry.what == "crossed"}
    assert [changed[label] for label in aws(seen)] == [False, True, True]
    assert see_it(load).history == seen.history


def test_a_kill_before_a_request_keeps_it_from_happening() -> None:
    found = {entry.text: see_it(load, crash).files for entry, crash in crashes(see_it(load))}
    assert found[f"{PUT}one"] == {}
    assert found[f"{PUT}two"] == {"one": "1"}


def test_what_a_program_that_it_starts_asks_for_too() -> None:
    code = f"""if True:
        import os, urllib.request
        for key in ("one", "two"):
            request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/quarry-storage/" + key, b"1", {SIGNED | {"Content-Type": "text/plain"}!r}, method="PUT")
            urllib.request.urlopen(request).read()
    """

    def work(world: World) -> None:
        subprocess.run([sys.executable, "-c", code], env=world.endpoint.environment(), check=True)

    seen = see_it(work)
    assert aws(seen) == [f"{PUT}one", f"{PUT}two"]
    seen = see_it(work, Crash(f"{PUT}two", 1))
    assert seen.files == {"one": "1"}


def test_of_what_threads_ask_at_once_the_order_is_no_luck() -> None:
    def work(world: World) -> None:
        def put(name: str) -> None:
            for number in range(3):
                ask(world, "PUT", f"{name}/{number}", b"1")

        tell(world, bool(world.endpoint))
        threads = [threading.Thread(target=put, args=(name,)) for name in "dbca"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seen = see_it(work)
    assert all(see_it(work, again=False).history == seen.history for _ in range(5))
    assert aws(seen) == [f"{PUT}{name}/{number}" for name in "abcd" for number in range(3)]


def with_step(step: Any) -> History:
    plan = schedule(None)
    plan = replace(plan, steps=(*plan.steps[:-1], step, plan.steps[-1]))
    return simulate(plan, consumer(load, rows=rows))


def drawn_natively() -> str:
    """A UUID as a library in Rust draws it: of the system, and not by Python."""
    data = ctypes.create_string_buffer(16)
    assert ctypes.CDLL(None).getrandom(data, 16, 0) == 16
    return str(uuid.UUID(bytes=data.raw, version=4))


def test_a_name_that_a_library_draws_is_no_difference() -> None:
    def work(world: World) -> None:
        ask(world, "PUT", f"part-{drawn_natively()}.parquet", b"1")
        ask(world, "PUT", "mark", b"1")

    no_names = lambda world: [{"run_id": str(len(rows(world)))}]  # noqa: E731
    seen = see_it(work, rows=no_names)
    assert aws(seen) == [f"{PUT}part-RANDOM.parquet", f"{PUT}mark"]
    killed = see_it(work, Crash(f"{PUT}part-RANDOM.parquet", 1), rows=no_names)
    assert not killed.history.unreached


def test_a_refusal_reaches_it() -> None:
    history = with_step(Break("s3.PutObject", "503", times=1))
    assert [entry.text for entry in history.entries if entry.what == "failed"] == [f"{PUT}one: AWS answers 503"]
    assert {row.run_id for row in history.rows} == {"told", "two"}
    assert not history.unreached


@pytest.mark.parametrize(("error", "done"), [("reset", False), ("timeout", False), ("lost", True)])
def test_a_connection_that_breaks(error: str, done: bool) -> None:
    history = with_step(Break("s3.PutObject", error, times=1))
    (raised,) = [entry.text for entry in history.entries if entry.what == "raised"]
    assert raised.startswith(("RemoteDisconnected", "ConnectionResetError"))
    assert {row.run_id for row in history.rows} == ({"told", "one"} if done else {"told"})


def test_rows_may_ask_over_http_too() -> None:
    def listed(world: World) -> list[dict[str, Any]]:
        return [*world.target.rows(), {"run_id": "HEAD two", "item": str(ask(world, "HEAD", "two"))}]

    seen = see_it(load, rows=listed)
    assert aws(seen) == ["s3.HeadObject quarry-storage/one", f"{PUT}one", f"{PUT}two"]
    assert seen.files == {"HEAD two": "200"}


def test_prepare_and_its_programs_wait_for_nobody() -> None:
    code = "import os, urllib.request; urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/quarry-storage?list-type=2')"

    def prepare(world: World) -> None:
        ask(world, "PUT", "before", b"1")
        subprocess.run([sys.executable, "-c", code], env=world.endpoint.environment(), check=False)

    seen = see_it(load, prepare=prepare)
    assert seen.files == {"before": "1", "one": "1", "two": "2"}
    assert f"{PUT}before" not in seen.boundaries


def test_what_boto3_asks_at_that_address_is_one_boundary() -> None:
    def work(world: World) -> None:
        boto3.client("s3", endpoint_url=world.endpoint.url).put_object(Bucket=world.bucket, Key="one", Body=b"1")
        ask(world, "PUT", "two", b"22")

    assert aws(see_it(work)) == [f"{PUT}one", f"{PUT}two"]


def test_of_aiobotocore_and_another_client_each_call_is_one_boundary() -> None:
    aio = pytest.importorskip("aiobotocore.session")

    async def put(world: World) -> None:
        async with aio.get_session().create_client("s3", endpoint_url=world.endpoint.url) as s3:
            await s3.put_object(Bucket=world.bucket, Key="one", Body=b"1")

    def work(world: World) -> None:
        for _ in range(2):
            asyncio.run(put(world))
            ask(world, "PUT", "one", b"1")

    assert aws(see_it(work)) == [f"{PUT}one"] * 4


async def put_within_5_s(world: World, key: str) -> None:
    """An event loop's own deadline, in virtual time."""
    place = urlsplit(world.endpoint.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"PUT /{world.bucket}/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: {SIGNED['Authorization']}\r\nContent-Length: 1\r\n\r\n1"
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    tell(world, line.decode().split()[1])
    writer.close()
    await asyncio.sleep(3600)


def test_while_an_answer_is_on_its_way_no_virtual_time_passes() -> None:
    def slow(world: World) -> list[dict[str, Any]]:
        time.sleep(0.3)  # as long as the world takes to look, the consumer stands still at its request
        return rows(world)

    def work(world: World) -> None:
        ask(world, "PUT", "before", b"1")
        asyncio.run(put_within_5_s(world, "one"))

    seen = see_it(work, rows=slow, again=False)
    assert seen.told == ["200"]
    assert aws(seen) == [f"{PUT}before", f"{PUT}one"]


def test_of_two_workers_one_stands_still_at_its_request_while_the_other_works() -> None:
    def work(world: World) -> None:
        asyncio.run(put_within_5_s(world, "one"))

    plan = schedule(None)
    overlap = Overlap((1,), (1,), switches=(Switch(f"{PUT}one", 1),))
    plan = replace(plan, steps=(*[step for step in plan.steps if not isinstance(step, Deliver)], overlap))
    history = simulate(plan, consumer(work, rows=rows))
    assert not history.unreached
    crossed = [(entry.worker, entry.text) for entry in history.entries if entry.text == f"{PUT}one"]
    assert crossed == [(2, f"{PUT}one"), (1, f"{PUT}one")]
    assert simulate(plan, consumer(work, rows=rows)) == history


def test_what_a_thread_asks_after_its_turn_is_still_carried_out() -> None:
    def work(world: World) -> None:
        def later() -> None:
            for key in ("one", "two", "three"):
                ask(world, "PUT", key, b"1")

        assert world.endpoint
        threading.Thread(target=later, daemon=True).start()

    seen = see_it(work)
    assert seen.files == {"one": "1", "two": "1", "three": "1"}


def test_who_asks_without_end_keeps_nobody_from_returning() -> None:
    def work(world: World) -> None:
        def ask_for_ever() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:
                    ask(world, "HEAD", "nothing")

        assert world.endpoint
        threading.Thread(target=ask_for_ever, daemon=True).start()
        tell(world, 1, 2, 3)

    seen = see_it(work, again=False)
    assert seen.told == [1, 2, 3]
    assert seen.happenings[-2:] == ["returned return", "acknowledged run-A (#1)"]


def test_what_is_left_to_a_thread_can_be_lost_with_its_process() -> None:
    """It returns before its upload is done: who kills it then loses the run, and is told so."""

    def work(world: World) -> None:
        assert world.endpoint
        threading.Thread(target=ask, args=(world, "PUT", "one", b"1")).start()

    seen = see_it(work, again=False)
    done = [entry.what for entry in seen.turn if entry.what == "returned" or entry.text == f"{PUT}one"]
    assert done == ["returned", "crossed"]
    assert see_it(work, Crash("return", 1), again=False).files == {}


def test_a_worker_that_is_killed_while_its_threads_ask_leaves_nobody_waiting() -> None:
    def work(world: World) -> None:
        assert world.endpoint
        threads = [threading.Thread(target=ask, args=(world, "PUT", name, b"1")) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seen = see_it(work, Crash(f"{PUT}b", 1))
    assert seen.files == {"a": "1"}


def test_no_place_is_kept_by_the_dead() -> None:
    before = len(arriving._free)
    for _ in range(3):
        see_it(load)
    assert len(arriving._free) == before
    assert not any(bytes(arriving._counts[:]))


def test_a_connection_of_nobody_s_is_the_world_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not tell whose it is, requests are carried out at once, as ever."""
    monkeypatch.setattr("pytest_quarry.simulation.world.socket_of", lambda peer, port: "")
    seen = see_it(load)
    assert aws(seen) == []
    assert seen.files == {"one": "1", "two": "2"}


def test_a_client_that_comes_by_ipv6_is_known() -> None:
    """Java's sockets do: such an address holds one of IPv4."""
    server = EndpointServer(lambda call: None, lambda *_: None)  # type: ignore[arg-type, return-value]
    try:
        with socket.socket(socket.AF_INET6) as client:
            client.connect(("::ffff:127.0.0.1", server.port))
            found = arriving.socket_of(("127.0.0.1", client.getsockname()[1]), server.port)
            assert found == f"socket:[{os.fstat(client.fileno()).st_ino}]"
            assert arriving.have_open(os.getpid(), found)
        assert not arriving.have_open(os.getpid(), found)
    finally:
        server.close()


def test_looked_at_closer_nothing_of_it_changes() -> None:
    plan = schedule(None)
    one = consumer(load, rows=rows)
    assert simulate(plan, one, Play(closer=True)) == simulate(plan, one)
