"""What the plugin costs a project that does not use it: pytest on an empty project, with it and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Ratio, pairs, report


def start_up() -> Ratio:
    """`pytest` against `pytest -p no:quarry`, one empty test."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")

        def run(*options: str) -> None:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

        one, other, ratio = pairs(run, lambda: run("-p", "no:quarry"), 31)
    return Ratio(
        "pytest with the plugin unused / without it", ratio, 1.05, f"{one * 1000:.0f} ms / {other * 1000:.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(report([start_up()]))
