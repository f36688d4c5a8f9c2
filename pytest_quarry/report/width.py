"""How wide a failure text may be."""

from __future__ import annotations

import os
from typing import Any

WIDTH = 110
TOLD = "quarry_width"  # of an xdist worker's input: the terminal's width, which it cannot see


def width_of(config: Any) -> int:
    """The terminal's width, where there is one."""
    from_controller: int | None = getattr(config, "workerinput", {}).get(TOLD)
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if from_controller is not None:
        return from_controller
    if reporter is None or not (reporter.isatty or "COLUMNS" in os.environ):
        return WIDTH
    return int(config.get_terminal_writer().fullwidth)
