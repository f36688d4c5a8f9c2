"""What every test of the project shares."""

import glob
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]
os.environ["COLUMNS"] = "110"  # texts fit the terminal's width, and the tests compare them


def pytest_collection_finish() -> None:
    """The pytests that tests start load the plugins they are about: finding all that are installed takes them as long again."""
    os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this pytest and its workers, which have read it by now
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ["PYTEST_PLUGINS"] = "pytest_quarry.plugin,xdist.plugin"
    os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"  # trio's, which is here for one test, imports all of trio


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow-tests", metavar="K/N", help="of the tests in tests/slow.txt, the K-th of N shares alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--slow-tests` all tests run. Neighbours of a parametrized function come into different shares."""
    if not (share := config.getoption("slow_tests")):
        return
    number, _, of = share.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise pytest.UsageError(f"--slow-tests {share}: what it takes is K/N, as 1/6: K from 1 to N")
    slow = set((Path(__file__).parent / "tests/slow.txt").read_text().split())
    ordered = sorted(item.nodeid for item in items if _dotted(item.nodeid) in slow)
    left_out = set(ordered) - set(ordered[int(number) - 1 :: int(of)])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


def _dotted(nodeid: str) -> str:
    return nodeid.partition("[")[0].replace(".py::", ".").replace("::", ".").replace("/", ".")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "apart: runs in a process of its own, since it takes much memory and keeps it")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Every consumer is forked from the process of its test: what has grown is slow to fork for all tests after it."""
    if pyfuncitem.get_closest_marker("apart") is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    receive, send = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=_apart, args=(pyfuncitem.obj, arguments, send))
    process.start()
    send.close()
    try:
        told = receive.recv()
    except EOFError:
        told = "nothing was told"
    process.join()
    receive.close()
    if told is not None or process.exitcode != 0:
        pytest.fail(f"in a process of its own, which ended with {process.exitcode}: {told}", pytrace=False)
    return True


def _apart(test: Callable[..., None], arguments: dict[str, object], send: Connection) -> None:
    try:
        test(**arguments)
    except BaseException:
        send.send(traceback.format_exc())
    else:
        send.send(None)


@pytest.fixture(autouse=True)
def _same_profile() -> Iterator[None]:
    """The profile of Hypothesis that a pytest in this process loads is not that of the tests after it."""
    before = settings.get_current_profile_name()
    yield
    if settings.get_current_profile_name() != before:
        settings.load_profile(before)


class LineServer:
    """Answers each line that it hears with one, after a `pause`, and after a `break_` its end. Who hangs up is noticed after
    `slow` seconds."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.slow, self.pause, self.break_ = listener, 0.0, 0.0, 0.0
        self.heard: list[str] = []
        self.gone = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        found: int = self.listener.getsockname()[1]
        return found

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self.heard.append(line.decode().strip())
                    time.sleep(self.pause)
                    answer = b"done\n"
                    if self.break_:
                        connection.sendall(answer[:2])
                        time.sleep(self.break_)
                        answer = answer[2:]
                    connection.sendall(answer)
            except OSError:
                pass
            time.sleep(self.slow)
            self.gone += 1


@pytest.fixture
def server() -> Iterator[LineServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield LineServer(listener)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A Postgres server of this session's own; how to reach it."""
    found = [*filter(None, [shutil.which("initdb")]), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
    if not found or importlib.util.find_spec("psycopg") is None:
        pytest.skip("needs a Postgres server and psycopg, and one of them is not installed")
    # It refuses to be root's. Where this process is killed, it ends too.
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]
    another = nobody if os.getuid() == 0 else []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="quarry-postgres-", dir="/tmp") as folder:
        if another:
            shutil.chown(folder, "nobody")
        options = ["--auth=trust", "--no-sync", "--username=tests", "--encoding=UTF8", "--locale=C"]
        subprocess.run([*another, found[-1], *options, f"{folder}/data"], check=True, capture_output=True)
        program = f"{os.path.dirname(found[-1])}/postgres"
        # Without autovacuum it starts no process of its own in the middle of a test that counts them.
        settings = ["-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off", "-c", "autovacuum=off"]
        server = subprocess.Popen([*another, program, "-D", f"{folder}/data", *settings], stderr=subprocess.DEVNULL)
        try:
            _await_port(port)
            yield f"postgresql://tests@127.0.0.1:{port}/postgres"
        finally:
            os.kill(int(Path(folder, "data/postmaster.pid").read_text().split()[0]), signal.SIGINT)
            server.wait()


def _await_port(port: int) -> None:
    import psycopg

    for _ in range(200):
        try:
            psycopg.connect(f"postgresql://tests@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the Postgres server does not answer at port {port}")


@pytest.fixture
def all_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pytests that the test starts load all plugins that are installed, as they do for users."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
