"""Inside the child: finds out what kind of thing `start` returned and makes it do one turn."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.protocol import Call


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

    def __init__(self, aws_request_id: str) -> None:
        self.aws_request_id = aws_request_id

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 30_000


class Driver:
    """One started consumer: `do` makes it take one turn and returns what it returned."""

    def __init__(self, consumer: Consumer, started: Any) -> None:
        self._runner: asyncio.Runner | None = None
        self._invocations = 0
        self.takes = "notification"
        self._turn = self._find_turn(consumer, started)

    def do(self, call: Call) -> Any:
        result = self._turn(call)
        if inspect.isawaitable(result):
            if self._runner is None:
                self._runner = asyncio.Runner()
            result = self._runner.run(_awaited(result))
        return result

    def _find_turn(self, consumer: Consumer, started: Any) -> Callable[[Call], Any]:
        if started is None:
            raise ConsumerError(
                f"{consumer.name}.start(world) returned None. Return the consumer itself: {_wanted(consumer)}."
            )
        if inspect.isclass(started):
            raise ConsumerError(_not_drivable(consumer, started))
        if consumer.kind == "poller":
            poll = getattr(started, "poll", None)
            if callable(poll):
                self.takes = "nothing"
                return lambda call: poll()
            raise ConsumerError(_not_drivable(consumer, started))
        handle = getattr(started, "handle", None)
        if callable(handle):
            return lambda call: handle(call.argument)
        if callable(started):
            if _is_lambda(started):
                self.takes = "lambda"
                return lambda call: started(call.argument, self._context())
            return lambda call: started(call.argument)
        raise ConsumerError(_not_drivable(consumer, started))

    def _context(self) -> LambdaContext:
        self._invocations += 1
        return LambdaContext(f"00000000-0000-0000-0000-{self._invocations:012d}")


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _is_lambda(started: Any) -> bool:
    """Whether a callable takes `(event, context)`, as a Lambda function does."""
    try:
        parameters = inspect.signature(started).parameters.values()
    except (TypeError, ValueError):
        return False
    required = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    named = [p.name for p in parameters]
    return len(required) >= 2 or named[:2] == ["event", "context"]


def _wanted(consumer: Consumer) -> str:
    if consumer.kind == "poller":
        return "an object with poll()"
    return "an object with handle(notification), a function of one notification, or a Lambda function (event, context)"


def _not_drivable(consumer: Consumer, started: Any) -> str:
    what = f"the class {started.__name__} itself" if inspect.isclass(started) else f"a {type(started).__name__}"
    public = [name for name in dir(started) if not name.startswith("_") and callable(getattr(started, name, None))]
    has = f" It has: {', '.join(sorted(public)[:8])}." if public else ""
    return f"{consumer.name}.start(world) returned {what}, which the kit cannot drive.{has} Return {_wanted(consumer)}."
