"""A newcomer's path, timed: from an empty directory to the first failure understood, by the README alone.

`python benchmarks/newcomer.py`: makes an environment, installs the kit into it, writes the README's two files, runs its command,
and adds the time it takes to read the README up to the end of "How to read a failure".
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "docs"))

from walked_pages import blocks  # noqa: E402

WORDS_A_MINUTE = 200


def timed(what: str, command: list[str], folder: Path, *, code: int = 0) -> tuple[float, str]:
    """Run one step and print how long it took."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode != code:
        raise SystemExit(f"{what}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"| {what} | {took:.0f} s |", flush=True)
    return took, done.stdout


def main() -> int:
    """Print the table; 1 where the failure that the README shows did not come."""
    readme = ROOT / "README.md"
    path = readme.read_text(encoding="utf-8").partition("Three ends are possible")[0]
    words = len(re.findall(r"\w[\w'’-]*", path))
    print("| step | time |\n| --- | --- |")
    total = words / WORDS_A_MINUTE * 60
    print(f"| read {words} words, code and report included, at {WORDS_A_MINUTE} a minute | {total:.0f} s |")
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name)
        total += timed("make an environment", [sys.executable, "-m", "venv", "venv"], empty)[0]
        total += timed("install", ["venv/bin/pip", "install", "-q", str(ROOT)], empty)[0]
        total += timed("see the demo", ["venv/bin/quarry-conformance", "demo"], empty)[0]
        for block in blocks(readme):
            if block.file in ("orders.py", "test_orders.py"):
                (empty / block.file).write_text(block.text, encoding="utf-8")
        command = ["venv/bin/pytest", "-k", "crash", "--quarry-report", "html:report.html"]
        took, printed = timed("run the first suite", command, empty, code=1)
    print(f"| **together** | **{total + took:.0f} s** |")
    return 0 if "What step 9 loaded was durable" in printed and "replay: pytest" in printed else 1


if __name__ == "__main__":
    sys.exit(main())
