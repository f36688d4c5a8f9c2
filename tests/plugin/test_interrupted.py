"""A test run that is interrupted or killed leaves no process and no directory behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

HANGING = """
import os
from pathlib import Path
from pytest_quarry import EventBusConformance

class TestHanging(EventBusConformance):
    def start(self, world):
        os.system("sleep 1000 &")
        Path(os.environ["WHERE"]).write_text(str(world.root.parent))
        def handle(notification):
            {hangs}
        return handle

    def rows(self, world):
        return []
"""
HANGS = {
    "in a loop": "while True: pass",
    "in a lock": "import threading; threading.Event().wait()",
    "deaf": "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 10, 12, 15)]; signal.pause()",
}


def marked(mark: str) -> list[str]:
    """The living processes that were started with a mark in their environment, whatever their group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes() and "State:\tZ" not in (entry / "status").read_text():
                found.append(f"{entry.name} {(entry / 'cmdline').read_text()}")
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "hangs", "options"),
    [
        (signal.SIGINT, "in a loop", ()),
        (signal.SIGINT, "deaf", ()),
        (signal.SIGKILL, "in a loop", ()),
        (signal.SIGKILL, "in a lock", ()),
        (signal.SIGTERM, "deaf", ()),
        (signal.SIGKILL, "in a loop", ("-n", "2")),
    ],
    ids=str,
)
def test_nothing_survives(tmp_path: Path, number: int, hangs: str, options: tuple[str, ...]) -> None:
    if options:
        pytest.importorskip("xdist")
    (tmp_path / "test_hanging.py").write_text(HANGING.format(hangs=HANGS[hangs]))
    mark, where = f"mark-{uuid.uuid4()}", tmp_path / "where"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "QUARRY_TEST_MARK": mark, "WHERE": str(where), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "restart", "--quarry-guard=60", *options]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # A shell starts what it puts into the background, and all below it, with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
    )
    try:
        _until(lambda: where.exists() and where.read_text(), 20)
        directory = Path(where.read_text())
        time.sleep(0.1)
        assert directory.is_dir()
        assert len(list(temporary.glob("quarry-*"))) == bool(options), "what xdist's workers share"
        assert len(marked(mark)) >= 4, "pytest, the keeper, the consumer and its own child"
        run.send_signal(number)
        _until(lambda: not marked(mark), 15 if options else 5)  # execnet's workers wait 5 s before they give up
        assert marked(mark) == []
        assert not directory.exists()
        assert list(temporary.glob("quarry-*")) == []
    finally:
        for line in marked(mark):
            os.kill(int(line.split()[0]), signal.SIGKILL)
        run.communicate()


def _until(holds: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():  # type: ignore[operator]
        time.sleep(0.05)
