"""What an error keeps alive: the frames of its traceback, and all that they refer to."""

from __future__ import annotations

import contextlib
import dis
import gc
import inspect
import traceback
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType

SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
SUSPENDED_AT = {dis.opmap["YIELD_VALUE"], dis.opmap["RESUME"]}  # which of the two depends on the version of Python


def let_go(error: BaseException) -> None:
    """Let go of what its frames hold, cursors and the locks of their transactions among it.

    Who caught it, handed it on and stands at a `yield` or an `await` is left alone: to clear its frame closes it, up to Python 3.12.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    suspended = _suspended([frame for frame in frames if _may_be_suspended(frame)])
    for frame in frames:
        if frame not in suspended:
            with contextlib.suppress(RuntimeError):  # it is running
                frame.clear()


def _may_be_suspended(frame: FrameType) -> bool:
    """Not who came no further than a call, as most do whom an error passes: to know of the others takes a look at all objects."""
    return bool(frame.f_code.co_flags & SUSPENDABLE) and frame.f_code.co_code[frame.f_lasti] in SUSPENDED_AT


def _suspended(frames: list[FrameType]) -> list[FrameType]:
    """Those that somebody may still ask to go on. A frame does not tell whose it is, and nothing but the collector knows."""
    owners = gc.get_referrers(*frames) if frames else []
    found = [_frame_of(owner) for owner in owners]
    return [frame for frame in frames if frame in found]


def _frame_of(owner: object) -> FrameType | None:
    match owner:
        case GeneratorType():
            return owner.gi_frame
        case CoroutineType():
            return owner.cr_frame
        case AsyncGeneratorType():
            return owner.ag_frame
    return None
