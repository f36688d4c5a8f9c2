"""What the kit knows of a consumer under test: its hooks, its kind and what it declares about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_quarry.consumers.command import Command

Kind = Literal["event-bus", "poller", "publisher"]


class ConsumerError(Exception):
    """The consumer or its suite cannot be tested as it is; the words name class, hook and remedy."""


class RowsError(ConsumerError):
    """What the target holds cannot be read now. Before the end that is no error: the target may not be there yet."""


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A consumer under test. Hooks take the world; they are the suite's methods of the same names."""

    name: str
    kind: Kind
    start: Callable[[Any], Any]
    rows: Callable[[Any], Iterable[Mapping[str, Any]]]
    prepare: Callable[[Any], None] = lambda world: None
    item_data: Callable[[int], Mapping[str, Any]] = lambda n: {"sku": f"sku-{n}", "price": n}
    item_key: Callable[[Any], Any] = lambda event: event.event_id
    expected: Callable[[Any], Iterable[Any] | None] | None = None
    replaces: Callable[[Any, Any], Any] | None = None  # whether the target holds one run in the place of another
    sources: tuple[str, ...] = ("shop", "shop-eu")
    categories: tuple[str, ...] = ("products", "default")
    only_sources: bool = False  # it wants the runs of these sources, and of no other
    only_categories: bool = False
    storage: Literal["fs", "s3"] = "fs"
    layout: Literal["lode", "flat"] = "lode"
    failed_runs: Literal["skip", "load"] = "skip"
    workers: int = 2
    reconciles: bool = False
    durable_inbox: bool = False  # acknowledges what it has written down, and loads it later, after a restart too
    raw_delivery: bool = False
    filter_policy: str = ""  # JSON
    fifo: bool = False
    batch_size: int = 10
    reports_batch_item_failures: bool | None = None
    ignored_servers: tuple[str, ...] = ()  # what is said to them is nobody's business: host:port, or a path
    ignores_server_clock: bool = False  # nothing that it decides depends on the clock of a server
    wraps_run: bool = False  # publish(run) executes the run itself
    command: Command | None = None  # the program that is the consumer: then `start` is not called
