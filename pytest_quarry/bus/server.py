"""A world's AWS over HTTP on 127.0.0.1, in the test's own process: the same backends, faults and virtual time.

Each request becomes the AwsCall that botocore would have made of it, passes the gate, and is carried out as if it had
come from this process. Nothing but the standard library serves it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from pytest_quarry.bus import arrivals, own_sockets
from pytest_quarry.bus.calls import AwsAnswer, AwsCall, describe
from pytest_quarry.bus.endpoint import OPEN_PORTS, Endpoint
from pytest_quarry.bus.faults import Apply, FaultPlan, Unanswered, carry_out
from pytest_quarry.bus.gates import Gate, Guest, Peer
from pytest_quarry.bus.operations import Request, Unknown

HOST = "127.0.0.1"
ENDING = 5.0  # real seconds that threads have to end
LOOK_EVERY = 0.0005
MOST_BYTES = 1 << 30

_servers: weakref.WeakSet[EndpointServer] = weakref.WeakSet()


def planned(plan: FaultPlan) -> Gate:
    """The gate at which calls meet the faults of a plan."""
    lock = threading.Lock()

    def gate(label: str, call: AwsCall, apply: Apply) -> AwsAnswer:
        with lock:
            fault = plan.meet(label, call)
        return carry_out(fault, call, apply)

    return gate


class EndpointServer:
    """Serves from the moment it is made until it is closed. `gate` may be another at any time; `guest_at` may know who is at the
    other end of a connection.

    A gate returns the answer, or raises Unanswered to break the connection. It runs in a thread of the connection, and may
    hold the call for as long as it likes.
    """

    def __init__(self, apply: Apply, gate: Gate) -> None:
        self.gate = gate
        self.guest_at: Callable[[Peer], Guest | None] = lambda peer: None
        self._apply = apply
        self._lock = threading.Lock()
        self._busy = 0
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listener = own_sockets.listening(HOST, 128)
        self.port = self._listener.getsockname()[1]
        OPEN_PORTS.add(self.port)
        self.endpoint = Endpoint(f"http://{HOST}:{self.port}")
        self._wake, self._woken = own_sockets.pair()
        self._thread = threading.Thread(target=self._accept, name="quarry endpoint", daemon=True)
        _servers.add(self)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more: afterwards no thread of it runs, and its port is closed."""
        _servers.discard(self)
        self._wake.close()  # wakes the thread that accepts
        self._thread.join(ENDING)
        self._listener.close()
        OPEN_PORTS.discard(self.port)
        self._woken.close()
        with self._lock:
            threads = list(self._connections.values())
            for connection in self._connections:
                _shut(connection)
        for thread in threads:
            thread.join(ENDING)

    def wait_until_idle(self, seconds: float = ENDING) -> bool:
        """Wait for every request that was sent to be answered; False where that takes too long.

        When a process was killed, what it had sent still arrives: the world must not go on in the middle of it.
        """
        deadline = time.monotonic() + seconds
        while self.is_busy():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY)
        return True

    def is_busy(self, *, beside: int = 0) -> bool:
        """Whether a request, other than so many, is on its way, or its answer."""
        with self._lock:
            if self._busy > beside:
                return True
            with selectors.DefaultSelector() as selector:
                for one in (self._listener, *self._connections):
                    with contextlib.suppress(ValueError, KeyError, OSError):  # closed just now
                        selector.register(one, selectors.EVENT_READ)
                return bool(selector.select(0))

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._woken for key, _ in selector.select()):
                    return
                with self.busy(), contextlib.suppress(OSError):  # the client went away before it was accepted
                    self._serve(*own_sockets.accepted(self._listener))

    def _serve(self, connection: socket.socket, peer: Peer) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._talk, args=(connection, peer), name="quarry connection", daemon=True)
        with self._lock:
            self._connections[connection] = thread
        thread.start()

    def _talk(self, connection: socket.socket, peer: Peer) -> None:
        try:
            with contextlib.suppress(OSError):
                _Conversation(connection, peer, self)  # type: ignore[arg-type]
        finally:
            _shut(connection)
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    @contextlib.contextmanager
    def busy(self) -> Any:
        """While this lasts, a request is being answered."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def answer(self, request: Request, guest: Guest | None) -> AwsAnswer:
        """What comes back for a request. Raises Unanswered where nothing does."""
        try:
            call = arrivals.call_of(request)
            gate = self.gate if guest is None else guest.before(self.gate)
            answer = gate(describe(call), call, self._apply)
        except Unanswered:
            raise
        except Unknown as error:
            return arrivals.problem(f"{error}. This is a world's mocked AWS, and nothing else.", request.headers)
        except Exception as error:  # nobody else could hear of it
            return arrivals.problem(f"{type(error).__name__}: {error}", request.headers)
        return arrivals.with_queues_at(self.endpoint.url, call, answer)

    def is_for_it(self, call: AwsCall) -> bool:
        """Whether a call, of a boto3 client in this process, is addressed to this endpoint."""
        return call.url.startswith((self.endpoint.url + "/", self.endpoint.url + "?")) or call.url == self.endpoint.url

    def without_network(self, call: AwsCall, apply: Apply) -> AwsAnswer:
        """What the endpoint answers to such a call, whose faults were met before."""
        found = arrivals.call_of(arrivals.request_of(call))
        return arrivals.with_queues_at(self.endpoint.url, call, apply(found._replace(operation=call.operation)))

    def forget(self) -> None:
        """In a forked child: the sockets are the parent's."""
        for connection in (self._listener, self._wake, self._woken, *self._connections):
            with contextlib.suppress(OSError):
                socket.close(connection.detach())  # whatever file object of it is still around


class _Conversation(BaseHTTPRequestHandler):
    """One connection: one request after another, until the client or a fault ends it."""

    protocol_version = "HTTP/1.1"
    server: Any
    disable_nagle_algorithm = True
    _asked = False
    _guest: Guest | None = None  # known when somebody has asked

    def handle_one_request(self) -> None:
        """Read a request, answer it. At no time is it neither still to be read nor counted as one that is answered."""
        with self.server.busy():
            if self._has_read_more():
                self._handle()
                return
        self.connection.recv(1, socket.MSG_PEEK)
        with self.server.busy():
            self._handle()

    def _has_read_more(self) -> bool:
        """Whether another request came together with the last one."""
        self.connection.setblocking(False)
        try:
            return bool(self.rfile.peek(1))  # type: ignore[attr-defined]
        finally:
            self.connection.setblocking(True)

    def _handle(self) -> None:
        """Any method will do: which operation it is, is not decided here."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        with self._asking():
            if not self.parse_request():
                return
            request = Request(self.command, self.path, tuple(self.headers.items()), self._body())
            try:
                answer = self.server.answer(request, self._guest)
            except Unanswered:
                self.close_connection = True
                _shut(self.connection)
            else:
                self._send(answer)

    def _asking(self) -> contextlib.AbstractContextManager[None]:
        if not self._asked:
            self._asked, self._guest = True, self.server.guest_at(self.client_address)
        return self._guest.asking() if self._guest is not None else contextlib.nullcontext()

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline(65537).split(b";")[0] or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline(65537).strip():  # trailers
                pass
            return b"".join(parts)
        size = int(self.headers.get("Content-Length") or 0)
        if size > MOST_BYTES:
            raise OSError(f"a body of {size:,} bytes")
        return self.rfile.read(size)

    def _send(self, answer: AwsAnswer) -> None:
        """An answer whose length says more than it has was cut: what there is of it, and then a broken connection."""
        known = {name.lower(): value for name, value in answer.headers}
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        declared = known.get("content-length", "")
        length = int(declared) if declared.isdigit() else len(answer.body)
        cut = not bodiless and length > len(answer.body)
        if not bodiless and not cut:
            length = len(answer.body)
        reason = http.client.responses.get(answer.status, "")
        head = [f"HTTP/1.1 {answer.status} {reason}"]
        head += [
            f"{name}: {value}"
            for name, value in answer.headers
            if name.lower() not in ("content-length", "connection", "transfer-encoding")
        ]
        if answer.status != 204:
            head.append(f"Content-Length: {length}")
        if cut:
            self.close_connection = True
        data = "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + (b"" if bodiless else answer.body)
        self.wfile.write(data)
        if cut:
            _shut(self.connection)

    def log_message(self, format: str, *arguments: Any) -> None:
        """The history says what happened."""


def _shut(connection: socket.socket) -> None:
    """Closing is not enough where the other side, or a reader of ours, still holds the socket."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _forget_all() -> None:
    for server in list(_servers):
        server.forget()
    _servers.clear()


os.register_at_fork(after_in_child=_forget_all)
