"""Lambda functions that trust Powertools for AWS Lambda with more than it promises, or tell it the wrong thing."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from pytest_quarry.samples.handlers import INSERT, PLAIN_TABLES, Notification, values
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.sound_aws import Event, Load
from pytest_quarry.samples.sound_lambdas import TargetUpserts
from pytest_quarry.samples.sound_powertools import (
    WEEK,
    BatchSuite,
    Handler,
    KeyedOrders,
    PowertoolsSqliteSuite,
    PowertoolsSuite,
    Replaces,
    announced_in,
    batch_handler,
    if_wanted,
    is_wanted,
    once_per_run,
    persistence,
    registering,
    remembered,
)

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)


class Inserts(Replaces):
    """Inserts the rows of a run in one SQLite transaction."""

    def load(self, notification: Notification) -> None:
        items = self.storage.items(self.storage.announced(notification["storage_path"]))
        with self.database:
            self.database.executemany(INSERT, values(items))


class PlainInsertsSuite(PowertoolsSqliteSuite):
    """Idempotent by run_id, over plain inserts."""

    tables = PLAIN_TABLES
    config: ClassVar[dict[str, Any]] = {"event_key_jmespath": "run_id", "expires_after_seconds": WEEK}

    def start(self, world: World) -> Any:
        return self.handler(Inserts(world.disk / "orders.sqlite", Storage(world.storage_root)).load)

    def handler(self, load: Load) -> Handler:
        """The Lambda function over plain inserts."""
        return once_per_run(load, IdempotencyConfig(**self.config))


class DefaultExpirySuite(PlainInsertsSuite):
    """Records that expire after the hour that is the default."""

    config: ClassVar[dict[str, Any]] = {"event_key_jmespath": "run_id"}


class WholeNotificationSuite(PlainInsertsSuite):
    """All of the notification is the key, its timestamp too."""

    config: ClassVar[dict[str, Any]] = {"expires_after_seconds": WEEK}


class NoKeySuite(PlainInsertsSuite):
    """A path that finds nothing: Powertools warns, and does without a record."""

    config: ClassVar[dict[str, Any]] = {"event_key_jmespath": "detail.run_id", "expires_after_seconds": WEEK}

    def start(self, world: World) -> Any:
        warnings.simplefilter("ignore", UserWarning)  # a line in the log, that is all a team sees of it
        return super().start(world)


class ByMessageIdSuite(PlainInsertsSuite):
    """The message id is the key, as in Powertools' own example."""

    def handler(self, load: Load) -> Handler:
        config = IdempotencyConfig(event_key_jmespath="messageId", expires_after_seconds=WEEK)
        processor = BatchProcessor(event_type=EventType.SQS, logger=log)

        def load_record(record: SQSRecord) -> None:
            if is_wanted(announced_in(record)):
                load(announced_in(record))

        once = remembered(load_record, config)

        def record_handler(record: SQSRecord) -> None:  # Powertools passes the record by this name
            once(record)

        def handler(event: Event, context: Any) -> Any:
            return process_partial_response(
                event=dict(event),
                record_handler=record_handler,
                processor=processor,
                context=context,
            )

        return registering(config, handler)


class WholeBatchSuite(PlainInsertsSuite):
    """The batch as a whole is idempotent, by the ids of its messages."""

    def handler(self, load: Load) -> Handler:
        config = IdempotencyConfig(event_key_jmespath="Records[*].messageId", expires_after_seconds=WEEK)
        return idempotent_handler(batch_handler(if_wanted(load)), config)


def idempotent_handler(handler: Handler, config: IdempotencyConfig) -> Handler:
    """A Lambda function whose answer to an event is kept."""

    @idempotent(config=config, persistence_store=persistence())
    def lambda_handler(event: dict[str, Any], context: Any) -> Any:
        return handler(event, context)

    return lambda event, context: lambda_handler(dict(event), context)


class KeepsItsAnswerSuite(PowertoolsSuite):
    """Keeps the answer to a batch, also that its records failed."""

    def start(self, world: World) -> Any:
        load = KeyedOrders(Storage(world.storage_root)).handle
        config = IdempotencyConfig(event_key_jmespath="Records[*].messageId", expires_after_seconds=WEEK)
        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False, logger=log)

        def handler(event: Event, context: Any) -> Any:
            return process_partial_response(
                event=dict(event),
                record_handler=lambda record: load(announced_in(record)),
                processor=processor,
                context=context,
            )

        return idempotent_handler(handler, config)


class NoContextSuite(PowertoolsSuite):
    """Powertools is not told of the Lambda context, so what a dead invocation had in progress stays so."""

    def start(self, world: World) -> Any:
        warnings.simplefilter("ignore", UserWarning)  # a line in the log, that is all a team sees of it
        config = IdempotencyConfig(event_key_jmespath="run_id", expires_after_seconds=WEEK)
        return batch_handler(if_wanted(remembered(KeyedOrders(Storage(world.storage_root)).handle, config)))


class SkipsInProgressSuite(PowertoolsSuite):
    """Acknowledges a run that is in progress, of which the holder may be dead."""

    def start(self, world: World) -> Any:
        config = IdempotencyConfig(event_key_jmespath="run_id", expires_after_seconds=WEEK)
        once = remembered(KeyedOrders(Storage(world.storage_root)).handle, config)

        def load_unless_begun(notification: Notification) -> None:
            try:
                once(notification)
            except IdempotencyAlreadyInProgressError:
                log.info("run %s is in other hands", notification["run_id"])

        return registering(config, batch_handler(if_wanted(load_unless_begun)))


class StoresFailuresSuite(PowertoolsSuite):
    """Answers an error with a status, which Powertools keeps as the run's result."""

    def start(self, world: World) -> Any:
        load = KeyedOrders(Storage(world.storage_root)).handle
        config = IdempotencyConfig(event_key_jmespath="run_id", expires_after_seconds=WEEK)

        def with_status(notification: Notification) -> dict[str, str]:
            try:
                load(notification)
            except Exception as error:
                return {"error": str(error)}
            return {}

        once = remembered(with_status, config)

        def checked(notification: Notification) -> None:
            if result := once(notification):
                raise RuntimeError(result["error"])

        return registering(config, batch_handler(if_wanted(checked)))


class FifoProcessorSuite(BatchSuite):
    """The processor for FIFO queues, which stops at the first failure, on a standard queue."""

    def start(self, world: World) -> Any:
        load = TargetUpserts(world.target, Storage(world.storage_root)).handle
        processor = SqsFifoPartialProcessor()

        def handler(event: Event, context: Any) -> Any:
            return process_partial_response(
                event=dict(event),
                record_handler=lambda record: load(announced_in(record)),
                processor=processor,
                context=context,
            )

        return handler
