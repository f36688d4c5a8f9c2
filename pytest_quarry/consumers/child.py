"""What runs inside a consumer process: `start`, then one turn after another until killed.

The hooks are there before: what they need of one start only is told them at its beginning.
"""

from __future__ import annotations

import bdb
import contextlib
import ctypes
import faulthandler
import gc
import inspect
import io
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_quarry.bus.calls import AwsAnswer, AwsCall, describe
from pytest_quarry.consumers import arriving, frames, processors, unhooked, works
from pytest_quarry.consumers.at_work import children_alive
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.hooks import (
    alarms,
    aws,
    children,
    clocks,
    files,
    locks,
    models,
    names,
    no_escape,
    process_ids,
    randomness,
    servers,
    sqlite,
)
from pytest_quarry.consumers.hooks.aio import answers
from pytest_quarry.consumers.hooks.virtual_clock import VirtualClock
from pytest_quarry.consumers.link import FOR_EVER, SWITCH, Disconnected, Link
from pytest_quarry.consumers.protocol import Boundary, Call, OverHttp, Peek, Raised, Returned, Started, Unusable
from pytest_quarry.consumers.started_consumer import StartedConsumer

STACK_SIGNAL = signal.SIGUSR2
HERE = os.path.dirname(__file__) + os.sep
# Looked up here: it takes long, and each start of a consumer would do it again.
prctl = getattr(ctypes.CDLL(None), "prctl", None)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class Home:
    """What all starts of a consumer in one world have in common."""

    consumer: Consumer
    world: Any
    directories: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    temporary: str
    epoch: int
    cpu_seconds: int
    debugged: bool = False  # one of its starts is played by the test's own process


@dataclass(frozen=True, kw_only=True)
class Birth:
    """What is told a new process before it becomes the consumer."""

    output: str
    stack: str
    now: int
    seed: int
    world_seed: int
    incarnation: int
    reads: bool
    guard: float  # real seconds after which it counts as hung
    endpoint: Any = None  # of the world, where it is served
    inline: bool = False  # the test's own process is the consumer
    closer: bool = False  # what it does to files without Python is seen too
    place: int = 0  # where it sees whether a request of its own waits


@dataclass
class Hooks:
    """The hooks of this process: in place, and asleep until a start begins."""

    home: Home
    link: Link
    clock: VirtualClock
    randomness: randomness.Randomness
    ids: process_ids.ProcessIds

    def begin(self, birth: Birth, connection: socket.socket) -> None:
        """From now on this process is the consumer."""
        servers.begin()
        works.begin()
        answers.place = birth.place
        self.clock.begin(birth.now)
        self.ids.begin(birth.incarnation, Path(birth.stack).parent)
        self.randomness.begin(birth.seed)
        children.begin(birth.guard)
        self.home.world._enter_child(self.link, birth.now, birth.world_seed, birth.endpoint)
        os.register_at_fork(after_in_child=lambda: _grandchild(self.link))
        self.link.on_time = self._move
        self.link.begin(connection, birth.now, reads=birth.reads, inline=birth.inline)

    def _move(self, now: int) -> None:
        """Virtual time has passed: for clocks, and for a consumer that asks its world."""
        self.clock.set(now)
        self.home.world.now = now


def install(home: Home) -> Hooks:
    """Install the hooks in this process."""
    link = Link(home.directories)
    works.install()
    processors.install()
    clock = VirtualClock(home.epoch)
    luck, ids = randomness.Randomness(link), process_ids.ProcessIds(link)
    replacements = {
        **files.install(link),
        **sqlite.install(link, clock.seconds),
        **locks.install(link),
        **clocks.install(link, clock),
        **alarms.install(link),
        **luck.install(),
        **ids.install(),
    }
    names.swap(replacements)
    os.environ.update(home.environment)
    no_escape.shut()
    tempfile.tempdir = home.temporary
    aws.route(lambda call: _aws(link, call))
    answers.announce = lambda call: link.boundary(Boundary(describe(call), call=OverHttp()))
    return Hooks(home, link, clock, luck, ids)


def leave_test(home: Home) -> None:
    """This process is not the test's any more: its signals, output, logs and debugger."""
    models.forked()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _leave_output()
    _leave_debugger(home)


def run(hooks: Hooks, birth: Birth, connection: socket.socket) -> NoReturn:
    """Be the consumer until the world kills or stops this process. Never returns, never raises."""
    status = 70
    try:
        _detach(hooks.home, birth)
        connection = unhooked.show(connection) if birth.closer else unhooked.watch(connection)
        hooks.begin(birth, connection)
        _serve(hooks)
        status = 0
    except SystemExit as exit:
        status = 0 if exit.code is None else exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(status)


def play(home: Home, birth: Birth, connection: socket.socket) -> None:
    """Be the consumer in the test's own process, without isolation, until the world kills it; then be the test's again."""
    environment, temporary = dict(os.environ), tempfile.tempdir
    hooks = install(home)
    try:
        hooks.begin(birth, connection)
        with contextlib.suppress(Disconnected):
            _serve(hooks)
    finally:
        _release(hooks.link, hooks.clock, environment, temporary)


def _release(link: Link, clock: VirtualClock, environment: dict[str, str], temporary: str | None) -> None:
    """The hooks stay where they are and do nothing more; clocks, environment and AWS are this process's own again."""
    link.enabled = False
    clock.stop()
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = temporary
    aws.route(None)


def _detach(home: Home, birth: Birth) -> None:
    """What it writes goes to files of the world, from which the report takes it; with its parent, it dies."""
    if sys.platform == "linux" and prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # what it leaves behind stays its own, and is killed with it
    # A consumer in a busy loop never reads its link; where its parent's death sends no signal, this ends it.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = home.cpu_seconds if hard == resource.RLIM_INFINITY else min(home.cpu_seconds, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
    stack = os.open(birth.stack, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    faulthandler.register(STACK_SIGNAL, file=stack, all_threads=True)
    faulthandler.enable(stack)  # pytest's own would write past the world, to the terminal
    descriptor = os.open(birth.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _leave_output() -> None:
    """Prints and logs go to where descriptors 1 and 2 lead, not to pytest's capture."""
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)


def _leave_debugger(home: Home) -> None:
    """There is no terminal here: `breakpoint()` would wait for ever."""

    def skip(*arguments: Any, **keywords: Any) -> None:
        if not home.debugged:
            raise RuntimeError(
                "breakpoint(): a consumer's own process has no terminal. Replay a saved schedule in the test's process: "
                "pytest --quarry-replay FILE --quarry-inline"
            )

    sys.breakpointhook = skip
    pdb = sys.modules.get("pdb")
    if pdb is not None:
        pdb.set_trace = skip  # type: ignore[attr-defined]


def _grandchild(link: Link) -> None:
    """A process the consumer forked must not speak for it."""
    link.enabled = False
    link.socket.close()
    processors.leave()


def _aws(link: Link, call: AwsCall) -> AwsAnswer:
    answer: AwsAnswer = link.boundary(Boundary(describe(call), call=call))
    return answer


def _serve(hooks: Hooks) -> None:
    link = hooks.link
    if not link.inline:
        sys.setswitchinterval(SWITCH)
        gc.disable()  # it would come at another moment in each execution, and close what a consumer left open
    consumer = _start(hooks.home, link)
    if consumer is None:
        return
    _collect(link)
    message: Any = Started(consumer.takes, callable(consumer.reconcile), consumer.command, _has_company(consumer))
    while True:
        command = link.exchange(message)
        if isinstance(command, Call) and command.verb == "linger":
            message = _linger(consumer, link)
        elif isinstance(command, Call):
            message = _turn(consumer, command, link)
        elif isinstance(command, Peek):
            message = _peek(hooks.home)
        else:
            _save_coverage()
            return


def _collect(link: Link) -> None:
    """Let go of what nothing refers to: where a turn ends, and not whenever the collector would be due."""
    if not link.inline:
        gc.collect()


def _start(home: Home, link: Link) -> StartedConsumer | None:
    try:
        return StartedConsumer(home.consumer, home.consumer.start(home.world), link.boundary)
    except ConsumerError as error:
        link.exchange(Unusable(str(error)))
    except Exception as error:
        if link.inline and _quits_debugger(error):
            raise
        link.exchange(_raised(error))
    return None


def _quits_debugger(error: Exception) -> bool:
    """Whether somebody at a debugger's prompt has seen enough."""
    return isinstance(error, (bdb.BdbQuit, pytest.exit.Exception))


def _turn(consumer: StartedConsumer, command: Call, link: Link) -> Any:
    threads = threading.active_count()
    children.new_turn()
    arriving.set_returning(answers.place, False)
    try:
        value = consumer.do(command)
    except Exception as error:
        if link.inline and _quits_debugger(error):
            raise
        raised = _raised(error)
        del error
        _collect(link)
        return raised
    _collect(link)
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return Unusable(consumer.is_generator(value))
    arriving.set_returning(answers.place, True)
    begun = threading.active_count() > threads
    # Of those that were there before, who only sleeps sleeps on: a heartbeat is no work that the turn has left to it.
    link.leaves_sleepers = not begun
    left = not link.inline and children_alive()
    busy = left or consumer.tasks or (clocks.others_work(link) if begun else clocks.others_are_due(link, link.now))
    unheld = unhooked.blind and servers.may_have_been_reached()
    return Returned(_plain(value), busy, unheld, _has_company(consumer))


def _has_company(consumer: StartedConsumer) -> bool:
    """Whether the consumer lives on between its turns."""
    return threading.active_count() > 1 or consumer.tasks


def _linger(consumer: StartedConsumer, link: Link) -> Any:
    """The turn is over, and what it left to threads, tasks and other processes goes on."""
    arriving.set_returning(answers.place, False)
    children.let_finish(link)
    clocks.let_work(link, link.now if link.leaves_sleepers else FOR_EVER)
    with contextlib.suppress(Exception):
        consumer.finish_tasks(link)
    return Returned(None, company=_has_company(consumer))


def _raised(error: BaseException) -> Raised:
    stack = "".join(_own(traceback.TracebackException.from_exception(error)).format())
    try:
        words = str(error)
    except Exception:
        words = "<exception str() failed>"
    summary = f"{type(error).__name__}: {words}".splitlines()[0][:300]
    frames.let_go(error)
    return Raised(summary, stack)


def _own(told: traceback.TracebackException) -> traceback.TracebackException:
    """The same without the kit's frames, above the consumer's and in hooks below them; with all where no other is there."""
    own = [frame for frame in told.stack if not frame.filename.startswith(HERE)]
    told.stack = traceback.StackSummary.from_list(own or told.stack)
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if other is not None:
            _own(other)
    return told


def _plain(value: Any) -> Any:
    """What may cross the link: JSON's types, or a description of anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(found) for name, found in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(found) for found in value]
    return f"<{type(value).__name__}>"


def _peek(home: Home) -> Any:
    try:
        return Returned(len(list(home.consumer.rows(home.world))))
    except Exception as error:
        return _raised(error)


def _save_coverage() -> None:
    coverage = sys.modules.get("coverage")
    current = coverage.Coverage.current() if coverage is not None else None
    if current is not None:
        with contextlib.suppress(Exception):
            current.stop()
            current.save()
