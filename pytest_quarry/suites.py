"""The classes users subclass: one pytest item per check, in every way an ordinary test."""

from __future__ import annotations

import difflib
import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from pytest_quarry.checks.catalogue import OWN, by_id, of_kind, soonest_first
from pytest_quarry.checks.check import Check
from pytest_quarry.checks.fuzzing import FUZZ
from pytest_quarry.checks.sampled import sample_data
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer, ConsumerError, Kind
from pytest_quarry.fuzz import fuzz_item
from pytest_quarry.runner import run_item

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class Conformance:
    """What the suites have in common: the hooks and the declarations of a consumer.

    Override `start` and `rows`; the rest only where a consumer needs it. `start`, and every turn, run in a process of the
    consumer's own; `prepare` and `rows` run in the test's process.
    """

    kind: ClassVar[Kind]

    sample_run: str | Path | None = None
    sources: tuple[str, ...] = ("shop", "shop-eu")
    categories: tuple[str, ...] = ("products", "default")
    storage: Literal["fs", "s3"] = "fs"
    layout: Literal["lode", "flat"] = "lode"
    failed_runs: Literal["skip", "load"] = "skip"
    workers: int = 2
    reconciles: bool = False
    durable_inbox: bool = False
    raw_delivery: bool = False
    filter_policy: Mapping[str, Any] = {}
    fifo: bool = False
    batch_size: int = 10
    reports_batch_item_failures: bool | None = None
    ignored_servers: tuple[str, ...] = ()
    ignores_server_clock: bool = False
    wraps_run: bool = False
    command: Command | None = None
    known_failures: Mapping[str, str] = {}
    _quarry_latest: ClassVar[Any]  # the instance whose fixtures were set up last

    def start(self, world: World) -> Any:
        """Return the consumer, ready to take turns: called at the start, and again after every crash."""
        raise NotImplementedError

    def rows(self, world: World) -> Iterable[Mapping[str, Any]]:
        """What the target holds, every row, as mappings with `run_id` and, where it can, `item`.

        Without an override: the rows of `world.target`.
        """
        return world.target.rows()

    def prepare(self, world: World) -> None:
        """Make tables, buckets, whatever the consumer expects to be there: once per world, before the first start."""

    def item_data(self, n: int) -> Mapping[str, Any]:
        """The `data` of the n-th item, in the shape this consumer parses.

        Without an override: that of the items of the run stored at `sample_run`, over and over; else a small record.
        """
        if self.sample_run is not None:
            return sample_data(type(self).__name__, str(self.sample_run), n)
        return {"sku": f"sku-{n}", "price": n}

    def item_key(self, event: Any) -> Any:
        """What `rows` calls `item` for an item event (with event_id, seq, payload, data)."""
        return event.event_id

    def expected(self, run: Any) -> Iterable[Any] | None:
        """The keys of a run's items, if it is eligible; None where it is not. For consumers that filter or transform."""
        return [self.item_key(event) for event in run.items]

    def replaces(self, run: Any, other: Any) -> bool:
        """Whether the target holds `run` in the place of `other`, once both are loaded: where the newest run of a kind counts."""
        return False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for attribute, meant in _misspelt(cls) if cls.__module__ != __name__ else ():
            warnings.warn(
                f"{cls.__name__}.{attribute} is nothing that pytest-quarry looks at. Did you mean {meant}? Begin the name with an "
                "underscore where it is your own.",
                pytest.PytestWarning,
                stacklevel=2,
            )
        for check in soonest_first(cls.kind) if cls.__module__ == __name__ else ():
            setattr(cls, check.test_name, _item(check))
        inherited = getattr(cls, "test_fuzz", None)
        is_ours = "test_fuzz" not in vars(cls) and (inherited is None or hasattr(inherited, "quarry_made"))
        if getattr(cls, "kind", None) in FUZZ.kinds and is_ours:
            cls.test_fuzz = fuzz_item()  # type: ignore[attr-defined]  # Hypothesis wants one for each class

    @pytest.fixture(autouse=True)
    def _quarry_request(self, request: pytest.FixtureRequest) -> None:
        self._quarry_node = request.node
        type(self)._quarry_latest = self

    def _quarry_consumer(self) -> Consumer:
        """The same as `consumer()`, also where a suite has something else under such a name, which it is told."""
        for name in ("kind", "consumer"):
            ours = (
                vars(base)[name] for base in type(self).__mro__ if base.__module__ == __name__ and name in vars(base)
            )
            if inspect.getattr_static(self, name) is not next(ours):
                raise ConsumerError(
                    f"{type(self).__name__}.{name} hides what every suite has under that name. Call it something else, my_{name} for "
                    "one; for another kind of consumer derive from EventBusConformance, PollerConformance or PublisherConformance."
                )
        return self.consumer()

    def consumer(self) -> Consumer:
        """This suite's hooks and declarations as a value. Raises ConsumerError naming what is wrong with them."""
        name = type(self).__name__
        if not self._declares("start") and self.command is None:
            raise ConsumerError(
                f"{name} has no start(world). Add it: it returns the consumer, at the start and again after every crash."
            )
        _check_declarations(self, name)
        return Consumer(
            name=name,
            kind=self.kind,
            start=self.start,
            rows=self.rows,
            prepare=self.prepare,
            item_data=self.item_data,
            item_key=self.item_key,
            expected=self.expected if self._declares("expected") else None,
            replaces=self.replaces if self._declares("replaces") else None,
            sources=tuple(self.sources),
            categories=tuple(self.categories),
            only_sources=self._declares("sources"),
            only_categories=self._declares("categories"),
            storage=self.storage,
            layout=self.layout,
            failed_runs=self.failed_runs,
            workers=self.workers,
            reconciles=self.reconciles,
            durable_inbox=self.durable_inbox,
            raw_delivery=self.raw_delivery,
            filter_policy=json.dumps(self.filter_policy) if self.filter_policy else "",
            fifo=self.fifo,
            batch_size=self.batch_size,
            reports_batch_item_failures=self.reports_batch_item_failures,
            ignored_servers=tuple(self.ignored_servers),
            ignores_server_clock=self.ignores_server_clock,
            wraps_run=self.wraps_run,
            command=None if self._declares("start") else self.command,
        )

    def _declares(self, attribute: str) -> bool:
        """Whether this suite has an attribute of its own: in its class, in one that it is derived from, or set by a fixture."""
        own = (vars(base) for base in type(self).__mro__ if base.__module__ != __name__)
        return any(attribute in found for found in (vars(self), *own))


def _misspelt(suite: type[Conformance]) -> Iterator[tuple[str, str]]:
    """What a class defines under nearly the name of a hook or a declaration, and with such a value."""
    known = [name for name in vars(Conformance) if not name.startswith("_")]
    for name, value in vars(suite).items():
        if not name.startswith(("_", "test")) and name != "kind" and not hasattr(Conformance, name):
            for meant in difflib.get_close_matches(name, known, 1, cutoff=0.85):
                fits = _RULES[meant][0](value) if meant in _RULES else inspect.isfunction(value)
                if fits:
                    yield name, meant


def add_own_checks() -> None:
    """Give the suites an item for each of a team's own checks that has none yet."""
    for suite in (EventBusConformance, PollerConformance, PublisherConformance):
        for check in OWN.values():
            if suite.kind in check.kinds and _checked_by(suite, check.test_name) != check:
                setattr(suite, check.test_name, _item(check))


def _checked_by(suite: type[Conformance], name: str) -> Check | None:
    return getattr(getattr(suite, name, None), "quarry_check", None)


def _item(check: Check) -> Callable[[Conformance], None]:
    def test(self: Conformance) -> None:
        run_item(self, self._quarry_node, check)

    test.quarry_check = check  # type: ignore[attr-defined]
    test.__name__ = check.test_name
    test.__doc__ = check.states
    return pytest.mark.quarry(id=check.id, severity=check.severity)(test)


class EventBusConformance(Conformance):
    """Checks a consumer that is told of runs: a handler, a Lambda function, a queue worker.

    `start` returns an object with `handle(notification)`, a function of one notification, a function `(event, context)`,
    sync or async, or an object with `run_once()`. A notification is the decoded `run_completed` message, an event what
    AWS Lambda gets from SQS: returning acknowledges, raising does not. `run_once()` uses boto3 itself: it receives from
    `world.queue_url`, loads, deletes.

    With `reconciles = True` it finds runs nobody told it of: the world calls `reconcile()` now and then where the object
    has it; else it is to look when it starts, or when a receive finds nothing.

    `raw_delivery`, `filter_policy` (on message attributes) and `fifo` say how the queue is subscribed. For Lambda functions
    `batch_size` is the most messages of one event, and `reports_batch_item_failures` whether the event source mapping has
    ReportBatchItemFailures (None: as its answers suggest).
    """

    kind = "event-bus"


class PollerConformance(Conformance):
    """Checks a consumer that finds runs by itself: an object with `poll()`, which reads `world.storage_root`."""

    kind = "poller"


class PublisherConformance(Conformance):
    """Checks what announces runs after Quarry: an object with `publish(run)`, or a function of one run.

    It publishes with boto3 to `world.topic_arn`. A run has what a wrapper around `quarry run` knows of it: `run_id`,
    `source`, `category`, `day`, `job_id`, `attempt`, `parent_run_id`, `storage_path`, `storage_root`, `outcome`,
    `event_count`, `duration_ms`. With `wraps_run = True`, `publish` calls `run.execute()` where the wrapper runs Quarry;
    without it the run is over. There is no target, so no `rows`.
    """

    kind = "publisher"

    def rows(self, world: World) -> Iterable[Mapping[str, Any]]:
        """None: a publisher loads nothing."""
        return ()


_Rule = tuple[Callable[[Any], bool], str]


def _texts(value: Any) -> bool:
    return (
        not isinstance(value, str)
        and isinstance(value, (tuple, list))
        and bool(value)
        and all(isinstance(text, str) and text and _can_be_stored(text) for text in value)
    )


def _can_be_stored(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _addresses(value: Any) -> bool:
    return value in ((), []) or _texts(value)


def _filters(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and type(found) is list for name, found in value.items()
    )


_RULES: dict[str, _Rule] = {
    "sources": (_texts, "a tuple of strings of valid Unicode, at least one"),
    "categories": (_texts, "a tuple of strings of valid Unicode, at least one"),
    "sample_run": (
        lambda value: value is None or isinstance(value, (str, Path)),
        "the path of a storage root with a run in it, or None",
    ),
    "storage": (lambda value: value in ("fs", "s3"), '"fs" or "s3"'),
    "layout": (lambda value: value in ("lode", "flat"), '"lode" or "flat"'),
    "failed_runs": (lambda value: value in ("skip", "load"), '"skip" or "load"'),
    "workers": (lambda value: type(value) is int and value >= 1, "a whole number, at least 1"),
    "reconciles": (lambda value: isinstance(value, bool), "True or False"),
    "durable_inbox": (lambda value: isinstance(value, bool), "True or False"),
    "raw_delivery": (lambda value: isinstance(value, bool), "True or False"),
    "filter_policy": (_filters, 'a mapping like {"source": ["shop"]}'),
    "fifo": (lambda value: isinstance(value, bool), "True or False"),
    "batch_size": (lambda value: type(value) is int and 1 <= value <= 10_000, "a whole number, 1 to 10,000"),
    "reports_batch_item_failures": (
        lambda value: value is None or isinstance(value, bool),
        "True, False, or None: as its answers suggest",
    ),
    "ignored_servers": (_addresses, 'a tuple of addresses like "127.0.0.1:8126", where * stands for anything'),
    "ignores_server_clock": (lambda value: isinstance(value, bool), "True or False"),
    "wraps_run": (lambda value: isinstance(value, bool), "True or False"),
    "command": (lambda value: value is None or isinstance(value, Command), "a Command, or None"),
    "known_failures": (lambda value: isinstance(value, Mapping), 'a mapping like {"EB02": "reason"}'),
}


def _check_declarations(suite: Conformance, name: str) -> None:
    for attribute, (holds, wanted) in _RULES.items():
        value = getattr(suite, attribute)
        if not holds(value):
            raise ConsumerError(f"{name}.{attribute} is {value!r}; it must be {wanted}.")
    checks = {**by_id(), FUZZ.id: FUZZ}
    for known, reason in suite.known_failures.items():
        if known not in checks or suite.kind not in checks[known].kinds:
            what = "is no check" if known not in checks else "is a check for other consumers"
            raise ConsumerError(
                f"{name}.known_failures names {known!r}, which {what}. The checks of this suite are "
                f"{', '.join(check.id for check in of_kind(suite.kind))}."
            )
        if not isinstance(reason, str) or not reason.strip():
            raise ConsumerError(f"{name}.known_failures[{known!r}] is {reason!r}; give the reason in words.")
