"""One isolated universe: storage, disk, target, clock, mocked AWS. Fresh for every schedule."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_quarry.bus import names
from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.endpoint import OPEN_PORTS
from pytest_quarry.bus.faults import SLOW, SLOW_SECONDS, Apply, FaultPlan, carry_out
from pytest_quarry.bus.topology import Topology, chosen
from pytest_quarry.consumers import keeper
from pytest_quarry.consumers.arriving import socket_of
from pytest_quarry.consumers.kernel.made_up import MadeUp
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.protocol import Boundary, EndpointCall
from pytest_quarry.simulation.disk import DiskWatch
from pytest_quarry.simulation.noted import Noted
from pytest_quarry.simulation.target import Target
from pytest_quarry.storage import FileStore, QuarryWriter, Storage, StoredRun, read_runs

if TYPE_CHECKING:
    from pytest_quarry.bus.aws import MockedAws
    from pytest_quarry.bus.endpoint import Endpoint
    from pytest_quarry.bus.gates import Guest, Peer
    from pytest_quarry.bus.queue import Queue
    from pytest_quarry.bus.server import EndpointServer
    from pytest_quarry.consumers.process import ConsumerProcess
    from pytest_quarry.storage.moto import MotoStore

SECOND = 1_000_000
# Virtual time starts here in every world: a Monday morning, UTC.
EPOCH = int(datetime.datetime(2026, 2, 2, 8, tzinfo=datetime.UTC).timestamp()) * SECOND
DIRECTORIES = ("disk", "storage", "tmp")


class World:
    """What a consumer under test lives in.

    `disk` survives crashes and is empty at first. `storage_root` is Quarry's storage root, written by the world;
    with storage on S3 it is `bucket` and `prefix`. `queue_url` and `topic_arn` name what else the mocked AWS holds. `target` is a target the world
    keeps. In hooks that run in the consumer's process every operation that could outlive it is a boundary;
    `boundary` names one more.
    """

    def __init__(
        self,
        base: Path,
        *,
        layout: Literal["lode", "flat"] = "lode",
        storage: Literal["fs", "s3"] = "fs",
        seed: int = 0,
        topology: Topology | None = None,
    ) -> None:
        self.root = base / "world"
        self.disk = self.root / "disk"
        self.storage_root = self.root / "storage"
        self.tmp = self.root / "tmp"
        self.outputs = base / "outputs"
        self.printed = self.root / "printed"  # what a program whose prints are its target has printed
        self.layout = layout
        self.seed = seed
        self.now = EPOCH
        self.target = Target()
        self.topology = chosen(topology)
        self.topic_arn, self.queue_url = self.topology.topic_arn, self.topology.queue_url
        self.dead_letter_url = self.topology.dead_letter_url
        self.bucket, self.prefix = names.BUCKET, names.PREFIX
        self._aws: MockedAws | None = None
        self.on_aws: Callable[[AwsCall, AwsAnswer], None] | None = None
        self.faults = FaultPlan()
        self.on_fault: Callable[[str, str], None] | None = None  # a call over HTTP met one
        self._server: EndpointServer | None = None
        self._served: Endpoint | None = None
        self._moving = threading.RLock()
        self._births = threading.Lock()
        self._askers: list[ConsumerProcess] = []
        self._link: Link | None = None
        self._make_directories()
        self.watch = DiskWatch({"disk": self.disk, "tmp": self.tmp, "printed": self.printed})
        self.made_up = MadeUp()
        self.storage_watch = DiskWatch({"storage": self.storage_root})
        self._writing_clock = 0
        self._store: FileStore | MotoStore = FileStore(self.storage_root, clock=self._writing_time)
        if storage == "s3":
            from pytest_quarry.storage.moto import MotoStore

            self._open_aws()
            self._store = MotoStore(self.bucket, self.prefix, clock=self._writing_time)
        self._noted = Noted(self._store)
        self._writers: dict[int, QuarryWriter] = {}

    def boundary(self, name: str, *files: str | os.PathLike[str]) -> None:
        """In the consumer: a point at which a crash may come, named by the team that knows what is there.

        `files` are paths below `disk` that something changes unseen, a C library for one. From here on the kit takes the
        team's word for where: it looks for no other crash points in them, nor in what begins with their names, as a
        journal beside a file does, or what is in a folder. Raises ValueError for paths elsewhere.
        """
        if self._link is not None:
            own = tuple(self._own_name(self._link, name, file) for file in files)
            self._link.boundary(Boundary(f"boundary {name}", own=own))

    def _own_name(self, link: Link, name: str, file: str | os.PathLike[str]) -> str:
        found = link.name_of(file)
        if found is None or not found.startswith(("disk/", "tmp/")):
            raise ValueError(
                f"world.boundary({name!r}, …): {os.fspath(file)!r} is not below world.disk, {str(self.disk)!r}"
            )
        return found

    @functools.cached_property
    def storage(self) -> Storage:
        """This world's storage as the fixture `quarry_storage` gives it: for runs that `prepare` wants to be there."""
        return Storage(self._store, clock=lambda: self.now * 1000, layout=self.layout)

    @property
    def stored(self) -> Iterator[StoredRun]:
        """The runs an independent reader finds in storage now."""
        return read_runs(self._store, layout=self.layout)

    def stored_of(self, run_id: str) -> Iterator[StoredRun]:
        """What that reader finds in the files that writers have written of one run: the same, without reading all others."""
        return read_runs(self._noted.part(run_id), layout=self.layout)

    @functools.cached_property
    def bus(self) -> Bus:
        """This world's bus as the fixture `quarry_bus` gives it."""
        return Bus(self)

    @property
    def mocked(self) -> MockedAws:
        """This world's AWS."""
        return self._open_aws()

    @property
    def has_aws(self) -> bool:
        """Whether anything was asked of its AWS."""
        return self._aws is not None

    @property
    def queue(self) -> Queue:
        """The queue of this world's AWS."""
        return self._open_aws().queue

    def put(self, message_id: str, body: str, attributes: Any, *, sent: int) -> None:
        """A message that was published at `sent` (µs) arrives in the queue."""
        self._open_aws().put(message_id, body, attributes, sent)

    def expire(self) -> None:
        """Messages whose visibility timeout is over are received by somebody else, who dies of them."""
        if self._aws is not None:
            self._aws.expire(self.now)

    def bucket_keys(self) -> frozenset[str]:
        """The keys of all objects in its bucket now."""
        return frozenset(self._open_aws().keys(self.bucket))

    def storage_keys(self) -> frozenset[str]:
        """The keys of all that Quarry's storage holds now."""
        return frozenset(self._store.list(""))

    def path_of(self, shown: str) -> Path:
        """Where a file is that labels name: on the consumer's disk, or among what Quarry stores."""
        return self.root / shown if shown.startswith("storage/") else self.disk / shown

    def litter(self, key: str, content: bytes) -> None:
        """Put somebody else's file into storage."""
        self._store.put(key, content)

    @property
    def time(self) -> float:
        """Virtual seconds since this world began."""
        return (self.now - EPOCH) / SECOND

    @property
    def storage_url(self) -> str:
        """The storage root as notifications name it."""
        return self._store.url

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        with self._moving:
            self.now += round(seconds * SECOND)

    def writer(self, clock: int, run_id: str) -> QuarryWriter:
        """The writer whose clock is off by so many seconds, to write of one run."""
        self._writing_clock = clock
        self._noted.of(run_id)
        if clock not in self._writers:
            self._writers[clock] = QuarryWriter(self._noted, clock=self._writing_time, layout=self.layout)
        return self._writers[clock]

    def _writing_time(self) -> int:
        """Nanoseconds since the epoch, on the clock of the writer that is at work: also its files' mtime."""
        return (self.now + self._writing_clock * SECOND) * 1000

    def aws(self, call: AwsCall) -> AwsAnswer:
        """Apply an AWS call to this world's mocked AWS; calls of several threads wait for each other."""
        with self._moving:
            if self._server is not None and self._server.is_for_it(call):
                return self._server.without_network(call, self.aws)
            answer, took = self._open_aws().apply(call, self.now)
            self.now += took
            if self.on_aws is not None:
                self.on_aws(call, answer)
            return answer

    @property
    def endpoint(self) -> Endpoint:
        """Where this world's AWS is reached over HTTP, on this machine: by other programs, and by clients that are not
        botocore's own. Served from the first time somebody asks until the world is closed."""
        if self._served is not None:
            return self._served
        if self._link is not None:
            found: Endpoint = self._link.boundary(Boundary("world.endpoint", call=EndpointCall()))
            self._served = found
            OPEN_PORTS.add(int(found.url.rpartition(":")[2]))
            return found
        from pytest_quarry.bus.server import EndpointServer

        self._server = EndpointServer(self.aws, self._gate)
        self._server.guest_at = self._guest_at
        self._served = self._server.endpoint
        return self._served

    @property
    def served(self) -> Endpoint | None:
        """The endpoint, if somebody has asked for it."""
        return self._served

    def wait_for_endpoint(self) -> None:
        """Wait until what a process that is gone had sent to the endpoint is carried out."""
        if self._server is not None:
            self._server.wait_until_idle()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Meanwhile its AWS carries nothing out, for whatever thread."""
        with self._moving:
            yield

    def born(self, begin: Callable[[], ConsumerProcess]) -> ConsumerProcess:
        """Begin a consumer's process: what it sends to the endpoint, from its first moment on, is known as its own."""
        with self._births:
            process = begin()
            process.arriving.is_answering = self._is_answering
            self._askers.append(process)
        return process

    def gone(self, process: object) -> None:
        """That process is dead."""
        with self._births:
            self._askers = [other for other in self._askers if other is not process]

    def _is_answering(self) -> bool:
        """Whether something at the endpoint is on its way, but for what waits for this world."""
        waiting = sum(len(process.arriving) for process in self._askers)
        return self._server is not None and self._server.is_busy(beside=waiting)

    def _guest_at(self, peer: Peer) -> Guest | None:
        """Requests of a consumer are boundaries: they wait in another gate before this world's own."""
        with self._births:
            found = socket_of(peer, self._server.port) if self._server is not None and self._askers else ""
            askers = [process for process in self._askers if found and process.has_open(found)]
        return askers[0].arriving if askers else None

    def _gate(self, label: str, call: AwsCall, apply: Apply) -> AwsAnswer:
        """Calls over HTTP meet the faults that are in force."""
        with self._moving:
            fault = self.faults.meet(label, call)
            if fault is not None and self.on_fault is not None:
                self.on_fault(label, fault.error)
            if fault is not None and fault.error == SLOW:
                self.advance(SLOW_SECONDS)
                self.expire()
        return carry_out(fault, call, apply)

    def _open_aws(self) -> MockedAws:
        if self._aws is None:
            from pytest_quarry.bus.aws import MockedAws

            self._aws = MockedAws(seed=self.seed, now=self.now, topology=self.topology)
        return self._aws

    @property
    def versions(self) -> tuple[int, int]:
        """Count what changed in the target and in AWS."""
        return self.target.version, self._aws.version if self._aws is not None else 0

    def _enter_child(self, link: Link, now: int, seed: int, endpoint: Endpoint | None) -> None:
        """In a consumer's process: this world is reached through the link from now on."""
        self._link, self.now, self.seed, self._served = link, now, seed, endpoint
        self.target._link = link.boundary

    def _make_directories(self) -> None:
        for directory in (self.root, self.outputs):
            keeper.remove_tree(directory)
            directory.mkdir(parents=True)
        for name in DIRECTORIES:
            (self.root / name).mkdir()

    def close(self) -> None:
        """Remove everything this world wrote, and answer nobody any more."""
        server, self._server, self._served = self._server, None, None
        if server is not None:
            server.close()
        if self._aws is not None:
            self._aws.close()
        keeper.remove_tree(self.root)
        keeper.remove_tree(self.outputs)
