"""A system call that waits for the world, and is carried out as the world says."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_quarry.consumers.kernel.seccomp import Called, Listener
from pytest_quarry.consumers.protocol import Boundary, Fail, Tear


@dataclass
class Deed:
    """A system call that waits for the world: its boundary, and what carries it out."""

    boundary: Boundary
    called: Called
    listener: Listener
    act: Callable[[int | None], int | None]  # so many bytes of a write; what it returns; None: the kernel's affair
    again: Callable[[], Boundary | None] = lambda: None  # it could not be done yet: what it waits for
    breaks: Callable[[], None] = lambda: None  # what else comes of it where it fails

    @property
    def waits(self) -> bool:
        """Whether the caller still waits: a signal may have interrupted it, or ended it."""
        return self.listener.waits(self.called)

    def answer(self, message: Any) -> Boundary | None:
        """Do as the world says. What comes back is the next thing it waits for, if it has to wait."""
        if isinstance(message, Fail):
            self.breaks()
            number = message.message.split(" ", 1)[0]
            self.listener.answer(self.called, error=int(number) if number.isdigit() else errno.EIO)
            return None
        if not self.waits:
            return None  # what is not wanted any more is not done
        try:
            value = self.act(message.keep if isinstance(message, Tear) else None)
        except BlockingIOError:
            waits = self.again()
            if waits is not None:
                return waits
            self.listener.answer(self.called, error=errno.EAGAIN)
        except OSError as error:
            self.listener.answer(self.called, error=error.errno or errno.EIO)
        else:
            if isinstance(message, Tear):
                return None  # it waits to be killed
            if value is None:
                self.listener.go_on(self.called)
            else:
                self.listener.answer(self.called, value)
        return None
