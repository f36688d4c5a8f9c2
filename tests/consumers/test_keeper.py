"""What is cleaned up once the tests' process is gone: its own folders, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

FORGETS = """
import os, sys, tempfile
from pytest_quarry.consumers import keeper
folder = tempfile.mkdtemp(prefix="quarry-", dir=os.fsdecode(bytes.fromhex(sys.argv[1])))
keeper.remember_directory(folder)
os._exit(0)
"""


@pytest.mark.parametrize("name", [b"precious\nfiles", b"latin-\xe9", b'it\'s "here"', "größer".encode()])
def test_a_folder_goes_whatever_its_path_and_what_is_beside_it_stays(tmp_path: Path, name: bytes) -> None:
    beside = tmp_path / "precious"
    beside.mkdir()
    (beside / "thesis.txt").write_text("years of work")
    parent = tmp_path / os.fsdecode(name)
    parent.mkdir()
    subprocess.run([sys.executable, "-c", FORGETS, bytes(parent).hex()], check=True, timeout=60)
    until = time.monotonic() + 20
    while list(parent.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not list(parent.iterdir())
    assert (beside / "thesis.txt").read_text() == "years of work"
