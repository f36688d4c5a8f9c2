"""How far a long check is, while it runs: over the rest of the line on a terminal, in lines of their own with -v elsewhere."""

from __future__ import annotations

import time
from typing import Any

import pytest

FIRST = 1.0  # seconds before anything is said
OFTEN = 0.2  # between two words on a terminal
SELDOM = 10.0  # between two lines elsewhere
SAVE, RESTORE, ERASE = "\0337", "\0338", "\033[K"


class Progress:
    """Shows one check's progress; silent with -q, under pytest-xdist and without a terminal reporter."""

    def __init__(self, config: pytest.Config, title: str) -> None:
        self._title = title
        self._reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")
        verbose = config.get_verbosity()
        silent = self._reporter is None or verbose < 0 or hasattr(config, "workerinput")
        self._live = not silent and bool(getattr(self._reporter, "isatty", False))
        self._lines = not silent and not self._live and verbose > 0
        self._began = self._last = time.monotonic()
        self._shown = False

    def watch(self, done: int, planned: int, all_known: bool) -> None:
        """So many schedules are done, of so many that are known."""
        if not (self._live or self._lines):
            return
        now = time.monotonic()
        if now - self._began < FIRST or now - self._last < (OFTEN if self._live else SELDOM):
            return
        self._last = now
        words = (
            f"{self._title}: {done} of {planned}{'' if all_known else ' or more'} schedules, {now - self._began:.0f} s"
        )
        if self._live:
            self._write_over(words)
        else:
            self._write_line(words)

    def close(self) -> None:
        """Take back what stands on the terminal."""
        if self._shown:
            self._raw(SAVE + ERASE + RESTORE)

    def _write_over(self, words: str) -> None:
        """Behind what pytest wrote on this line, where the cursor stays; never so much that the line would break."""
        writer = self._reporter.config.get_terminal_writer()
        room = writer.fullwidth - writer.width_of_current_line - 4
        if room >= len(words) // 2:
            self._shown = True
            self._raw(f"{SAVE}{ERASE}  {words[:room]}{RESTORE}")

    def _write_line(self, words: str) -> None:
        with self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(words)

    def _raw(self, text: str) -> None:
        with self._uncaptured():
            self._reporter.write(text, flush=True)

    def _uncaptured(self) -> Any:
        return self._capture.global_and_fixture_disabled()
