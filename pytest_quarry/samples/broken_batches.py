"""Lambda functions that go wrong with a batch: with what they answer, with one bad record of many, in a warm process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_quarry.samples.handlers import INSERT, Notification, OneTransaction, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.sound_aws import Event, Load, TargetLoader, notification_in
from pytest_quarry.samples.sound_lambdas import TargetUpserts
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
LOADED: set[str] = set()  # as long as the execution environment lives
BEGUN: set[str] = set()
PENDING: list[Any] = []
Handler = Callable[[Event, Any], Any]


def answering(load: Load, failed: Callable[[Event], Any]) -> Handler:
    """A Lambda function that goes on after a failure, and answers with what `failed` makes of each failed record."""

    def handler(event: Event, context: Any) -> Any:
        failures = []
        for record in event["Records"]:
            try:
                load(notification_in(record))
            except Exception:
                log.exception("%s failed", record["messageId"])
                failures.append({"itemIdentifier": failed(record)})
        return {"batchItemFailures": failures}

    return handler


def naming_receipts(load: Load) -> Handler:
    """Names failed records by their receipt handles."""
    return answering(load, lambda record: record["receiptHandle"])


def naming_runs(load: Load) -> Handler:
    """Names failed records by their runs."""
    return answering(load, run_of)


def run_of(record: Event) -> Any:
    """The run a record tells of, as far as it can be read."""
    try:
        return notification_in(record).get("run_id")
    except ValueError:
        return None


def naming_the_last(load: Load) -> Handler:
    """Counts failures on the way, and names them when the loop is over: `record` is the last of the batch by then."""

    def handler(event: Event, context: Any) -> Any:
        errors, record = [], {}
        for record in event["Records"]:
            try:
                load(notification_in(record))
            except Exception as error:
                errors.append(error)
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for _ in errors]}

    return handler


def miscounting(load: Load) -> Handler:
    """Leaves out what is none of its business, and finds failed records by their place among the others."""

    def handler(event: Event, context: Any) -> Any:
        failures = []
        for place, record in enumerate(filter(is_to_be_loaded, event["Records"])):
            try:
                load(notification_in(record))
            except Exception:
                log.exception("record %s failed", place)
                failures.append({"itemIdentifier": event["Records"][place]["messageId"]})
        return {"batchItemFailures": failures}

    return handler


def is_to_be_loaded(record: Event) -> bool:
    """Whether it tells of a successful run, or cannot be parsed and is to fail for that."""
    try:
        notification = notification_in(record)
    except ValueError:
        return True
    return notification.get("event_type", "run_completed") == "run_completed" and notification.get("outcome") in (
        None,
        "success",
    )


def misspelling(load: Load) -> Handler:
    """Answers in snake case, as the rest of its code is."""
    handler = answering(load, lambda record: record["messageId"])
    return lambda event, context: {"batch_item_failures": handler(event, context)["batchItemFailures"]}


def swallowing(load: Load) -> Handler:
    """Logs what fails, and answers that nothing did."""
    handler = answering(load, lambda record: record["messageId"])

    def quiet(event: Event, context: Any) -> Any:
        handler(event, context)
        return {"batchItemFailures": []}

    return quiet


def all_or_nothing(load: Load) -> Handler:
    """Lets the first failure end the batch."""

    def handler(event: Event, context: Any) -> None:
        for record in event["Records"]:
            load(notification_in(record))

    return handler


def parsing_first(load: Load) -> Handler:
    """Parses the whole batch, then loads record by record."""
    handler = answering(load, lambda record: record["messageId"])

    def parsed(event: Event, context: Any) -> Any:
        runs = [notification_in(record)["run_id"] for record in event["Records"]]
        log.info("a batch of %s", runs)
        return handler(event, context)

    return parsed


def first_record(load: Load) -> Handler:
    """Takes the first record for the whole event."""

    def handler(event: Event, context: Any) -> None:
        load(notification_in(event["Records"][0]))

    return handler


class BatchSuite(EventBusConformance):
    """A sound loader behind a `shell` that is not."""

    shell: ClassVar[Callable[[Load], Handler]]

    def start(self, world: World) -> Any:
        return type(self).shell(TargetUpserts(world.target, Storage(world.storage_root)).handle)


class NamesReceiptsSuite(BatchSuite):
    """Failures by receipt handle: Lambda takes the whole batch for failed."""

    shell = naming_receipts


class NamesRunsSuite(BatchSuite):
    """Failures by run id: Lambda takes the whole batch for failed."""

    shell = naming_runs


class NamesTheLastSuite(BatchSuite):
    """The last record comes again, and the one that failed never."""

    shell = naming_the_last


class MiscountsSuite(BatchSuite):
    """Behind a record that is left out, the one before the failed one comes again."""

    shell = miscounting


class MisspellsSuite(BatchSuite):
    """An answer Lambda does not know: it takes the whole batch for done."""

    shell = misspelling


class SwallowsSuite(BatchSuite):
    """No failures, whatever failed."""

    shell = swallowing


class AllOrNothingSuite(BatchSuite):
    """One bad record fails all the others, until they are dead letters too."""

    shell = all_or_nothing


class ParsesFirstSuite(BatchSuite):
    """One record that cannot be parsed fails all the others."""

    shell = parsing_first


class FirstRecordSuite(BatchSuite):
    """Acknowledges a batch of which it looked at one record."""

    shell = first_record


class InsertsRows(OrderLoader):
    """Inserts the rows of a run; whether it should is for others to know."""

    def load(self, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))


class MarksAfterTheBatch(InsertsRows):
    """Skips marked runs; the runs of a batch are marked together, at its end."""

    def handle_batch(self, event: Event, context: Any) -> None:
        """Load the runs of a batch."""
        done = []
        for record in event["Records"]:
            notification = notification_in(record)
            run_id = notification.get("run_id", "")
            if self.wants(notification) and not self.is_loaded(run_id) and run_id not in done:
                self.load(run_id, notification)
                done.append(run_id)
        with self.database:
            for run_id in done:
                self.mark(run_id)


class MarksAfterTheBatchSuite(SqliteHandlerSuite):
    """What took effect before a failure is not marked."""

    def start(self, world: World) -> Any:
        return MarksAfterTheBatch(world.disk / "orders.sqlite", Storage(world.storage_root)).handle_batch


class ModuleSet(InsertsRows):
    """Keeps the loaded runs in a set of the module."""

    def load(self, run_id: str, notification: Notification) -> None:
        if run_id not in LOADED:
            super().load(run_id, notification)
            LOADED.add(run_id)


class LambdaSqliteSuite(SqliteHandlerSuite):
    """An SQLite `loader` behind a sound shell."""

    def start(self, world: World) -> Any:
        return answering(super().start(world).handle, lambda record: record["messageId"])


class ModuleSetSuite(LambdaSqliteSuite):
    """Remembers as long as the process is warm."""

    loader = ModuleSet


class RemembersTooEarly(OneTransaction):
    """Beside its marks keeps the runs it has begun in a set, to spare a query."""

    def load(self, run_id: str, notification: Notification) -> None:
        if run_id in BEGUN:
            return
        BEGUN.add(run_id)
        super().load(run_id, notification)


class RemembersTooEarlySuite(LambdaSqliteSuite):
    """A run that failed is skipped as long as the process is warm."""

    loader = RemembersTooEarly


class CarriesRowsOver(OneTransaction):
    """Collects rows in a list of the module, and empties it when they are committed."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        PENDING.extend(values(self.items(notification)))
        with self.database:
            self.database.executemany(INSERT, PENDING)
            self.mark(run_id)
        PENDING.clear()


class CarriesRowsOverSuite(LambdaSqliteSuite):
    """Rows of a failed run stay in memory and are inserted with the next."""

    loader = CarriesRowsOver


class OneCommitPerBatch(TargetLoader):
    """Loads record by record in one transaction for the batch, and commits it whatever became of each."""

    def handle_batch(self, event: Event, context: Any) -> Any:
        """Load the runs of a batch."""
        begun: set[str] = set()
        self.target.begin()
        try:
            answer = answering(functools.partial(self.insert, begun), lambda record: record["messageId"])(
                event, context
            )
            self.target.commit()
        except Exception:
            self.target.rollback()
            raise
        return answer

    def insert(self, begun: set[str], notification: Notification) -> None:
        """Insert the rows of a run."""
        run_id = notification.get("run_id", "")
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        if run_id in begun or any(row["run_id"] == run_id for row in self.target.rows()):
            return
        for item in self.storage.items(self.storage.announced(notification["storage_path"])):
            self.target.insert({"run_id": run_id, "item": item.event_id})
        begun.add(run_id)


class OneCommitPerBatchSuite(EventBusConformance):
    """Commits what a failed run left half done."""

    def start(self, world: World) -> Any:
        return OneCommitPerBatch(world.target, Storage(world.storage_root)).handle_batch


class OutOfTimeSuite(EventBusConformance):
    """Stops when little of its time is left, and answers that nothing failed."""

    def start(self, world: World) -> Any:
        load = TargetLoader(world.target, Storage(world.storage_root)).load

        def handler(event: Event, context: Any) -> dict[str, Any]:
            failures = []
            for record in event["Records"]:
                if context.get_remaining_time_in_millis() < 5_000:
                    log.warning("out of time")
                    break
                try:
                    load(notification_in(record))
                except Exception:
                    log.exception("%s failed", record["messageId"])
                    failures.append({"itemIdentifier": record["messageId"]})
            return {"batchItemFailures": failures}

        return handler
