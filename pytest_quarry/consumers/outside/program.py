"""A consumer that is a program: it speaks to its world as a forked consumer does, seen through requests and system calls.

Whatever it asks of the endpoint, and whatever system call may change a file of the world, waits for leave.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections import deque
from pathlib import Path
from typing import Any

from pytest_quarry.consumers.arriving import Request
from pytest_quarry.consumers.child import Birth, Home
from pytest_quarry.consumers.command import Command, CommandKind, fill
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.consumers.kernel.connections import hang_up
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.kernel.made_up import MadeUp
from pytest_quarry.consumers.kernel.seccomp import Called, Listener
from pytest_quarry.consumers.kernel.syscalls import Seen
from pytest_quarry.consumers.outside import surroundings, verdicts
from pytest_quarry.consumers.outside.address import Address
from pytest_quarry.consumers.outside.clock import WITHOUT, ProgramClock
from pytest_quarry.consumers.outside.events import Events
from pytest_quarry.consumers.outside.given import Given
from pytest_quarry.consumers.outside.group import MOST_FILE, Group
from pytest_quarry.consumers.outside.shim import Shim
from pytest_quarry.consumers.process import FLOOD_BYTES, LOOK_EVERY, Hung
from pytest_quarry.consumers.protocol import Boundary, Call, Peek, Raised, Returned, Started, Tear, Torn, Unusable
from pytest_quarry.consumers.side_by_side import Processes

TAKES: dict[CommandKind, str] = {"poller": "nothing", "worker": "queue", "publisher": "run", "lambda": "lambda"}
MOST_WRITTEN = MOST_FILE  # by all that it runs in one turn
STOPPING = 5.0  # real seconds without a sign of life that a worker has after its stop signal
CONTENDED = 2.5  # and that one has which may wait for a lock of another worker's
IDLE_RECEIVES = 2
PRINTED = "stdout"


class _Exited:
    def __init__(self, status: int) -> None:
        self.status = status


class CommandProcess:
    """The program: none between two turns of a poller or publisher, one that goes on of a worker or Lambda."""

    def __init__(self, command: Command, home: Home, birth: Birth, made_up: MadeUp, *, guard_seconds: float) -> None:
        self._command, self._home, self._birth, self._made_up = command, home, birth, made_up
        self._world = home.world
        self._kind: CommandKind = command.kind or kind_for(home.consumer.kind)
        self._guard = command.timeout or guard_seconds
        self._events = Events()
        self._said: deque[Any] = deque()
        self._address: Address | None = None
        self._group: Group | None = None
        self._processes: Processes | None = None
        self._listener: Listener | None = None
        self._seen: Seen | None = None
        self._given: Given | None = None
        self._shim: Shim | None = None
        self._waiting: Request | Deed | None = None  # for the answer to the boundary that was received last
        self._again: Boundary | None = None
        self._held: tuple[Request, Any] | None = None
        self._idle = self._written = self._turns = 0
        self._ending = False  # it was asked to end
        self._clock = ProgramClock()
        self._real_time = False  # some of it had real time
        self.blind = False  # its system calls cannot be seen
        self._out, self._err = self._output_files()
        self._told, self._shown = "", {file: verdicts.size(file) for file in (self._out, self._err)}
        if self._kind == "lambda":
            self._begin(None)
        else:
            self._said.append(Started(TAKES[self._kind], False))

    def _output_files(self) -> tuple[Path, Path]:
        out, err = Path(self._birth.output), Path(self._birth.output).with_suffix(".err")
        if self._command.prints:
            self._world.printed.mkdir(exist_ok=True)
            out = self._world.printed / PRINTED
            out.touch()
        return out, err

    @property
    def not_exercised(self) -> tuple[str, ...]:
        """What could not be reached, and why."""
        found = []
        if self.blind:
            found.append(verdicts.BLIND)
        if self.blind or self._real_time or (self._given is not None and self._given.real_time):
            found.append(WITHOUT)
        return tuple(found)

    @property
    def servers(self) -> tuple[str, ...]:
        """Those it reached in this turn that are not the world's."""
        return () if self._seen is None else tuple(self._seen.connections.places)

    def remarks(self) -> list[str]:
        """What it did that the world did not let it do, since last asked."""
        if self._seen is None:
            return []
        found, self._seen.elsewhere = self._seen.elsewhere, []
        return [f"connect {place}: refused, only this machine can be reached" for place in dict.fromkeys(found)]

    def receive(self, *, contended: bool = False) -> Any:
        """The next boundary, or how the turn ended; raises Hung when neither comes, and sooner where another worker stands still
        (`contended`)."""
        if self._said:
            return self._said.popleft()
        if self._again is not None:
            boundary, self._again = self._again, None
            return boundary
        patience = min(self._guard, STOPPING if self._ending else CONTENDED if contended else self._guard)
        slice_seconds = min(LOOK_EVERY, patience)
        looks = float(math.ceil(patience / slice_seconds))
        while True:
            self._check_for_floods()
            event = self._events.next(slice_seconds, self._processes, self._world.now)
            if event is None:
                looks -= self._group.share(slice_seconds) if self._group is not None else 1
                if looks <= 0 and self._ending:
                    return Returned(None)
                if looks <= 0:
                    at_work = self._group is not None and self._group.at_work
                    raise Hung.unseen(self._guard, self.stack(), at_work=at_work)
                continue
            if isinstance(event, (Request, Deed)):
                self._waiting = event
                return self._made_up.hidden(event.boundary.as_seen())
            if isinstance(event, _Exited):
                if self._address is not None and self._address.busy:
                    self._events.put(event)  # what it sent before it ended comes first
                    continue
                return self._over(event.status)
            return self._of_shim(event)

    def _check_for_floods(self) -> None:
        for file in (self._out, self._err):
            if file.exists() and file.stat().st_size > FLOOD_BYTES:
                raise Hung(f"it wrote more than {FLOOD_BYTES >> 20} MiB to its output", self.stack())
        if self._written > MOST_WRITTEN:
            raise Hung(f"it wrote more than {MOST_WRITTEN >> 20} MiB to files", self.stack())

    def _of_shim(self, event: Any) -> Any:
        assert self._shim is not None
        message = self._shim.understood(event)
        if isinstance(message, Unusable):
            self._end()
        return message

    def _over(self, status: int) -> Any:
        """The program has ended by itself."""
        tail, asked = verdicts.last_line(self._err), self._ending
        ended = self._end()
        if ended and self._kind in ("poller", "publisher"):
            self._told += f"[quarry] it left {ended} process{'es' if ended > 1 else ''} behind: killed\n"
        if self._kind == "lambda":
            return Raised(verdicts.exit_words(status, tail), "")
        if status == 0 or asked:
            return Returned(None)
        return Raised(verdicts.exit_words(status, tail), "")

    def send(self, message: Any) -> None:
        """The world's answer to the boundary, or the next turn."""
        if isinstance(message, Call):
            self._take_turn(message)
        elif isinstance(message, Peek):
            self._said.append(Returned(None))
        elif self._waiting is not None:
            self._clock.tell(message.now)
            waiting, self._waiting = self._waiting, None
            self._clock.goes_on(waiting.called.tid if isinstance(waiting, Deed) else None)
            self._answer(waiting, message)

    def _answer(self, waiting: Request | Deed, message: Any) -> None:
        self._written += waiting.boundary.size or 0
        if isinstance(waiting, Deed):
            self._again = waiting.answer(message)
            if self._again is not None:
                self._waiting = waiting
            elif isinstance(message, Tear):
                self._said.append(Torn())
            return
        if self._kind == "worker" and verdicts.is_receive(waiting.boundary):
            self._idle = 0 if verdicts.found_messages(message) else self._idle + 1
            if self._idle >= IDLE_RECEIVES:
                self._held = waiting, message  # it stands still here until there is something to do
                self._said.append(Returned(None))
                return
        waiting.answer(message)

    def _take_turn(self, call: Call) -> None:
        if call.now is not None:
            self._clock.tell(call.now)
        self._idle = 0
        if self._kind == "lambda":
            if self._group is None:
                self._begin(None)
            assert self._shim is not None
            self._shim.invoke(call.argument)
        elif self._kind == "worker":
            if self._group is None:
                self._begin(None)
            elif self._held is not None:
                (request, message), self._held = self._held, None
                request.answer(message)
        else:
            self._begin(call)

    def ask_to_end(self) -> str:
        """Send a worker its stop signal, whose name is returned; nothing, where there is nobody to be asked."""
        if self._kind != "worker" or self._group is None:
            return ""
        self._ending = True
        self._group.signal(self._command.stop_signal)
        if self._held is not None:
            (request, message), self._held = self._held, None
            request.answer(message)
        return self._command.stop_signal.name

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs."""
        return self._group is None

    def _begin(self, call: Call | None) -> None:
        """Start the program. Where it cannot be, that is the next message."""
        try:
            self._start(call)
        except ConsumerError as error:
            self._end()
            self._said.append(Unusable(str(error)))
        except OSError as error:
            self._end()
            words = f"the command {self._command.shown!r} cannot be run: {error.strerror or error}"
            self._said.append(Unusable(words + verdicts.hint(error)))

    def _start(self, call: Call | None) -> None:
        world, command = self._world, self._command
        self._events = Events()  # whoever spoke before is gone
        if self._address is None:
            self._address = Address(world.aws, self._heard)
        places = surroundings.values(world, self._address.endpoint)
        if self._kind == "publisher" and call is not None:
            places |= surroundings.of_run(call.argument.values)
        words = tuple(fill(word, places) for word in command.words)
        self._clock.tell(world.now)
        environment = surroundings.environment(command, places, world, self._address.endpoint, seed=self._birth.seed)
        folder = fill(command.cwd, places) or str(world.disk)
        if not Path(folder).is_dir():
            raise ConsumerError(
                f"the command {command.shown!r} cannot be run: its working directory {folder} is not there"
            )
        program = surroundings.program(command, words, environment, folder)
        self._listener = listener = Listener(
            lambda called: self._hear(called, listener, given, seen), reads=self._birth.reads
        )
        self._given = given = Given(listener, self._clock, seed=self._luck())
        self._seen = seen = Seen(
            listener,
            self._name_of,
            self._made_up,
            until=self._clock.until,
            reads=self._birth.reads,
            network=command.network,
            ignored=self._home.consumer.ignored_servers,
        )
        if self._kind == "lambda":
            self._shim = Shim(self._events.put)
            environment |= self._shim.environment()
        try:
            events = self._events
            self._group = Group(
                words,
                program=program,
                folder=folder,
                environment=environment,
                output=self._out,
                errors=self._err,
                in_child=listener.in_child,
                ended=lambda status: events.put(_Exited(status)),
                descriptors=self._shim.theirs if self._shim is not None else (),
            )
            self._processes = Processes(self._group.pid, self._is_about_to_be_heard)
        finally:
            self.blind = not listener.works()
            if self._shim is not None:
                self._shim.started()

    def _luck(self) -> int:
        """Another seed for each turn of each process: the same one twice would give the same ids twice."""
        self._turns += 1
        return self._birth.seed * 1_009 + self._turns

    def _is_about_to_be_heard(self) -> bool:
        return (self._listener is not None and self._listener.busy) or (
            self._address is not None and self._address.busy
        )

    def _heard(self, request: Request) -> None:
        self._events.put(request)

    def _hear(self, called: Called, listener: Listener, given: Given, seen: Seen) -> None:
        """In the listener's thread: a system call waits."""
        error = seen.refused(called)
        if error:
            listener.answer(called, error=error)
        elif not given.answers(called):
            deed = seen.deed(called)
            if deed is None:
                listener.go_on(called)
            else:
                self._events.put(deed)

    def _name_of(self, path: str) -> str | None:
        for directory, name in (*self._home.directories, (str(self._world.printed), "printed")):
            if path.startswith(directory) and path[len(directory) : len(directory) + 1] in ("/", ""):
                return name + path[len(directory) :]
        return None

    def _end(self) -> int:
        """End the program and all that it started; how many had left its group."""
        held = []
        if self._seen is not None and self._group is not None and self._seen.connections.places:
            held = self._seen.connections.hold(self._group.processes())
        group, self._group, self._processes = self._group, None, None
        listener, self._listener = self._listener, None
        left = 0
        if group is not None:
            left = group.kill(listener.all_gone if listener is not None and not self.blind else lambda seconds: False)
        if listener is not None:
            listener.close()
        hang_up(held)
        if self._given is not None:
            self._real_time |= self._given.real_time
            self._given = None
        if self._shim is not None:
            self._shim.close()
            self._shim = None
        if self._address is not None:
            self._address.drop()
        self._waiting = self._again = self._held = None
        self._ending = False
        self._told = self.output()
        self._shown = {file: verdicts.size(file) for file in (self._out, self._err)}
        return left

    def end_at_once(self) -> None:
        """SIGKILL, from whatever thread; `kill` is still to come."""
        group = self._group
        for process in group.processes() if group is not None else ():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL to all of it: afterwards nothing of it runs."""
        self._end()
        if self._address is not None:
            self._address.close()
            self._address = None

    def stop(self) -> None:
        """End it at the end of the world."""
        self.kill()

    def output(self) -> str:
        """What it has printed so far, turn by turn: in each, what is not an error first."""
        return self._told[-verdicts.MOST_OUTPUT :] + self._untold()

    def _untold(self) -> str:
        """What it has printed in this turn."""
        return "".join(verdicts.tail(file, self._shown[file]) for file in (self._out, self._err))

    def stack(self) -> str:
        """What runs of it."""
        return self._group.tree() if self._group is not None else ""


def kind_for(kind: str) -> CommandKind:
    """What a command is where it does not say so."""
    found: dict[str, CommandKind] = {"poller": "poller", "publisher": "publisher", "event-bus": "worker"}
    return found[kind]
