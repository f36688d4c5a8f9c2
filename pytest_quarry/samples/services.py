"""Handlers whose target is a service of their team's, over HTTP; the suite runs one like it on this machine."""

from __future__ import annotations

import functools
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class ServiceLoader:
    """Sends the items of successful runs to the service; how is up to `load`."""

    def __init__(self, port: int, storage: Storage) -> None:
        self.port = port
        self.storage = storage

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") == "run_completed" and notification.get("outcome") == "success":
            items = self.storage.items(self.storage.announced(notification["storage_path"]))
            self.load(notification["run_id"], items)

    def load(self, run_id: str, items: list[Item]) -> None:
        """Load one run."""
        raise NotImplementedError

    def ask(self, method: str, path: str, row: dict[str, Any] | None = None) -> int:
        """One request; the status of its answer. Raises OSError, HTTPException, RuntimeError where the service is out of order."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, json.dumps(row) if row is not None else None)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status >= 500:
            raise RuntimeError(f"{method} {path}: the service answers {status}")
        return status


class PutsRows(ServiceLoader):
    """Puts each row under a key of its own: a second time changes nothing."""

    def load(self, run_id: str, items: list[Item]) -> None:
        for item in items:
            key = f"/rows/{quote(run_id, safe='')}/{quote(item.event_id, safe='')}"
            self.ask("PUT", key, {"run_id": run_id, "item": item.event_id})


class PostsRows(ServiceLoader):
    """Asks whether the run is there, posts its rows one by one, then says that it is."""

    def load(self, run_id: str, items: list[Item]) -> None:
        mark = f"/runs/{quote(run_id, safe='')}"
        if self.ask("GET", mark) == 200:
            return
        for item in items:
            self.ask("POST", "/rows", {"run_id": run_id, "item": item.event_id})
        self.ask("PUT", mark, {})


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a consumer that was killed in the middle of a request


class Service:
    """What a test has in place of the real service: rows in memory, over HTTP on 127.0.0.1."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        service = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.end(200 if self.path in service.kept else 404)

            def do_PUT(self) -> None:
                self.keep(self.path)

            def do_POST(self) -> None:
                self.keep(f"{self.path}/{len(service.kept)}")

            def keep(self, key: str) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) == size:  # else who sent it was killed
                    service.kept[key] = json.loads(body)
                    self.end(200)

            def end(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Answers)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="sample service", daemon=True).start()


@functools.cache
def service() -> Service:
    """One for all tests of this process."""
    return Service()


class PutsRowsSuite(EventBusConformance):
    """Rows under their keys."""

    loader: type[ServiceLoader] = PutsRows

    def prepare(self, world: World) -> None:
        service().kept.clear()

    def start(self, world: World) -> Any:
        return self.loader(service().port, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [row for path, row in list(service().kept.items()) if path.startswith("/rows")]


class PostsRowsSuite(PutsRowsSuite):
    """Rows one by one, then the mark."""

    loader = PostsRows
