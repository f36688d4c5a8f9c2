"""The event source of a Lambda function: receives from the queue, invokes, deletes what succeeded."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_quarry.bus.delivery import failed_identifiers
from pytest_quarry.bus.faults import SLOW_SECONDS

MOST_OF_A_RECEIVE = 10
MOST_INVOCATIONS = 1_000
# Seconds, of the function; it is told what is left of them, and is not ended when they are over. A slow operation leaves it three.
TIMEOUT = SLOW_SECONDS + 3

Handler = Callable[[Any, Any], Any]


class LambdaContext:
    """The context object a Lambda function receives (AWS docs: "Using the Lambda context object ... Python")."""

    function_name = "quarry-consumer"
    function_version = "$LATEST"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:quarry-consumer"
    log_group_name = "/aws/lambda/quarry-consumer"
    log_stream_name = "quarry"
    identity = None
    client_context = None

    def __init__(self, invocation: int, clock: Callable[[], float]) -> None:
        self.aws_request_id = f"00000000-0000-0000-0000-{invocation:012d}"
        self._clock = clock  # seconds
        self._ends = clock() + TIMEOUT

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self._ends - self._clock()) * 1000))


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One invocation: the event, what the function answered or raised, and what became of its messages, by id.

    `deleted` are those that were deleted after it. `failed` are those it did not succeed with: they come again.
    """

    event: Mapping[str, Any]
    answer: Any = None
    error: BaseException | None = None
    deleted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Deliverer(Protocol):
    """What an event source needs of a bus."""

    def deliver(self, *, most: int = 10) -> dict[str, Any]: ...
    def delete(self, records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]: ...
    def advance(self, seconds: float) -> None: ...


class EventSource:
    """Invokes `handler` with batches of the queue, as an event source mapping of AWS Lambda does.

    `batch_size` 1 to 10,000; above 10 AWS asks for a batching `window` of 1 to 300 seconds, and gathers messages for so
    long, beginning with the first; a `fifo` queue allows neither. `reports`: the mapping has ReportBatchItemFailures.
    Messages are invisible while the function works; what it does not succeed with is visible again after the visibility
    timeout, and in the dead-letter queue after too many receives. Raises ValueError for a batch AWS would not take.
    """

    def __init__(
        self,
        bus: Deliverer,
        handler: Handler,
        *,
        batch_size: int = 10,
        window: int = 0,
        reports: bool = True,
        fifo: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not callable(handler):
            raise TypeError(
                f"{handler!r} is no function; give the Lambda handler itself, a function of (event, context)"
            )
        whole = type(batch_size) is int and type(window) is int
        if (
            not whole
            or not 1 <= batch_size <= 10_000
            or not 0 <= window <= 300
            or (batch_size > MOST_OF_A_RECEIVE and window < 1)
        ):
            raise ValueError(
                f"batch_size {batch_size!r}, window {window!r}: AWS takes 1 to 10,000 messages, a window of 0 to 300 whole seconds, and "
                "with more than 10 messages a window of at least 1"
            )
        if fifo and (batch_size > MOST_OF_A_RECEIVE or window):
            raise ValueError(
                f"batch_size {batch_size}, window {window}: for a FIFO queue AWS takes 1 to 10 messages and no window"
            )
        self._bus, self._handler, self._clock = bus, handler, clock
        self._batch_size, self._window, self._reports = batch_size, window, reports
        self._invocations = 0

    def poll(self) -> Invocation | None:
        """Invoke the function once with what is visible; None where nothing is. What it raises is kept, not raised."""
        records = self._gather()
        if not records:
            return None
        event = {"Records": records}
        try:
            answer = self._invoke(event)
        except (Exception, SystemExit) as error:
            return Invocation(event=event, error=error, failed=_ids(records))
        failed = failed_identifiers(answer, _ids(records), reports=self._reports)
        if failed is None:
            return Invocation(event=event, answer=answer, failed=_ids(records))
        deleted = self._bus.delete([record for record in records if record["messageId"] not in failed])
        return Invocation(event=event, answer=answer, deleted=deleted, failed=tuple(sorted(failed)))

    def drain(self) -> list[Invocation]:
        """Poll until nothing is visible; every invocation, in order."""
        found: list[Invocation] = []
        while len(found) < MOST_INVOCATIONS and (invocation := self.poll()) is not None:
            found.append(invocation)
        return found

    def _invoke(self, event: Mapping[str, Any]) -> Any:
        """The answer. Event and answer are JSON on their way, as in Lambda: the function may do with its copy what it likes."""
        self._invocations += 1
        context = LambdaContext(self._invocations, self._clock)
        answer = self._handler(json.loads(json.dumps(event)), context)
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError(
                "the function is async; AWS Lambda calls no coroutine functions in Python: wrap it in asyncio.run"
            )
        return json.loads(json.dumps(answer))

    def _gather(self) -> list[dict[str, Any]]:
        records = self._receive([])
        if records and self._window and len(records) < self._batch_size:
            self._bus.advance(self._window)
            records = self._receive(records)
        return records

    def _receive(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """These records, and what is visible now, as far as the batch has room."""
        while len(records) < self._batch_size:
            found = self._bus.deliver(most=min(MOST_OF_A_RECEIVE, self._batch_size - len(records)))["Records"]
            if not found:
                break
            records = [*records, *found]
        return records


def _ids(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(record["messageId"]) for record in records)
