"""Inside the child: finds out what kind of thing `start` returned and makes it do one turn."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from pytest_quarry.bus.event_source import LambdaContext
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.protocol import A_DAY, Boundary, Call
from pytest_quarry.consumers.wrapped import WrappedRun


class StartedConsumer:
    """One started consumer: `do` makes it take one turn and returns what it returned."""

    def __init__(self, consumer: Consumer, started: Any, boundary: Callable[[Boundary], Any]) -> None:
        self._runner: asyncio.Runner | None = None
        self._invocations = 0
        self._boundary, self._name = boundary, consumer.name
        self.takes = "notification"
        self.command = started if isinstance(started, Command) else None
        self.reconcile: Any = getattr(started, "reconcile", None)
        self._turn = self._find_turn(consumer, started)

    @property
    def tasks(self) -> bool:
        """Whether coroutines that nobody awaited are under way."""
        return self._runner is not None and bool(asyncio.all_tasks(self._runner.get_loop()))

    def finish_tasks(self, link: Link) -> None:
        """Let them end, or go on as long as the world lets time pass for them."""
        if self._runner is not None and self.tasks:
            self._runner.run(_rest(asyncio.all_tasks(self._runner.get_loop()), link))

    def do(self, call: Call) -> Any:
        result = self.reconcile() if call.verb == "reconcile" else self._turn(call)
        if inspect.isawaitable(result):
            if self._runner is None:
                self._runner = asyncio.Runner()
            result = self._runner.run(_awaited(result))
        return result

    def is_generator(self, value: Any) -> str:
        """What to say of a turn that only made a generator."""
        return (
            f"{self._name} has a turn that is a generator: {value.__qualname__} contains `yield`, so calling it ran nothing of it, "
            "and nobody iterates over it. Make it a function that does its work and returns."
        )

    def _find_turn(self, consumer: Consumer, started: Any) -> Callable[[Call], Any]:
        if started is None:
            raise ConsumerError(
                f"{consumer.name}.start(world) returned None. Return the consumer itself: {_wanted(consumer)}."
            )
        if isinstance(started, Command):
            return lambda call: None  # the world runs it in place of this process
        if inspect.isclass(started):
            raise ConsumerError(_not_drivable(consumer, started))
        if consumer.kind == "poller":
            poll = getattr(started, "poll", None)
            if callable(poll):
                self.takes = "nothing"
                _takes(consumer, poll, "poll", ())
                return lambda call: poll()
            raise ConsumerError(_not_drivable(consumer, started))
        if consumer.kind == "publisher":
            publish = getattr(started, "publish", started)
            if callable(publish):
                self.takes = "run"
                _takes(consumer, publish, "publish", ("run",))
                return lambda call: publish(WrappedRun(call.argument, self._boundary))
            raise ConsumerError(_not_drivable(consumer, started))
        run_once = getattr(started, "run_once", None)
        if callable(run_once):
            self.takes = "queue"
            _takes(consumer, run_once, "run_once", ())
            return lambda call: run_once()
        handle = getattr(started, "handle", None)
        if callable(handle):
            _takes(consumer, handle, "handle", ("notification",))
            return lambda call: handle(call.argument)
        if callable(started):
            if _is_lambda(started):
                self.takes = "lambda"
                _takes(consumer, started, "consumer", ("event", "context"))
                return lambda call: started(call.argument, self._context())
            _takes(consumer, started, "consumer", ("notification",))
            return lambda call: started(call.argument)
        raise ConsumerError(_not_drivable(consumer, started))

    def _context(self) -> LambdaContext:
        self._invocations += 1
        return LambdaContext(self._invocations, time.time)


async def _rest(tasks: set[asyncio.Task[Any]], link: Link) -> None:
    later = asyncio.Event()
    link.on_later = later.set
    waits = {asyncio.ensure_future(asyncio.wait(tasks)), asyncio.ensure_future(later.wait())}
    # By a timer, or a loop in which all tasks wait for one another would wait for real.
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=2 * A_DAY)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)


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
    second = [p.name for p in parameters][1:2]
    return len(required) >= 2 or second in (["context"], ["ctx"], ["_context"], ["_ctx"])


def _takes(consumer: Consumer, turn: Callable[..., Any], name: str, arguments: tuple[str, ...]) -> None:
    """Refuse a turn that cannot be called: nothing but errors would come of it."""
    if _plainly_takes(turn, len(arguments)):  # a signature takes long to make, for each start anew
        return
    try:
        signature = inspect.signature(turn)
    except (TypeError, ValueError):  # it does not say
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ConsumerError(
            f"{consumer.name}: {name}{signature} cannot be called as {name}({', '.join(arguments)}): {error}. Return "
            f"{_wanted(consumer)}."
        ) from None


def _plainly_takes(turn: Callable[..., Any], count: int) -> bool:
    """Whether it is a function, or a method of an object, of so many arguments and nothing else."""
    bound = isinstance(turn, MethodType)
    function = turn.__func__ if isinstance(turn, MethodType) else turn
    if not isinstance(function, FunctionType):
        return False
    return function.__code__.co_argcount == count + bound and not function.__code__.co_kwonlyargcount


def _wanted(consumer: Consumer) -> str:
    if consumer.kind == "poller":
        return "an object with poll()"
    if consumer.kind == "publisher":
        return "an object with publish(run), or a function of one run"
    return (
        "an object with handle(notification), a function of one notification, a Lambda function (event, context), or an "
        "object with run_once() that receives from world.queue_url"
    )


def _not_drivable(consumer: Consumer, started: Any) -> str:
    what = f"the class {started.__name__} itself" if inspect.isclass(started) else f"a {type(started).__name__}"
    public = [name for name in dir(started) if not name.startswith("_") and callable(getattr(started, name, None))]
    has = f" It has: {', '.join(sorted(public)[:8])}." if public else ""
    return f"{consumer.name}.start(world) returned {what}, which the kit cannot drive.{has} Return {_wanted(consumer)}."
