"""Handlers whose files are written by gzip, a program that they start: no hook of Python sees that."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_files import FileLoader, as_lines, file_name
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class Zipped(FileLoader):
    """A run's rows in one file, which gzip makes elsewhere and a rename puts into place."""

    def load(self, run_id: str, items: list[Item]) -> None:
        target = self.folder / f"{file_name(run_id)}.jsonl.gz"
        if target.exists():
            return
        workshop = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            zip_file(workshop / "rows", as_lines(items))
            os.replace(workshop / "rows.gz", target)
        finally:
            shutil.rmtree(workshop)


class ZippedInPlace(FileLoader):
    """gzip makes the file under the name that says that the run is loaded."""

    def load(self, run_id: str, items: list[Item]) -> None:
        rows = self.folder / f"{file_name(run_id)}.jsonl"
        if not rows.with_suffix(".jsonl.gz").exists():
            zip_file(rows, as_lines(items))


class ZippedInTheBackground(FileLoader):
    """A shell that nobody waits for makes the file, and puts it into place."""

    def load(self, run_id: str, items: list[Item]) -> None:
        target = self.folder / f"{file_name(run_id)}.jsonl.gz"
        if not target.exists():
            rows = Path(tempfile.mkdtemp(dir=self.folder)) / "rows"
            rows.write_text(as_lines(items), encoding="utf-8")
            self.shell = subprocess.Popen(["sh", "-c", 'gzip "$1" && mv "$1.gz" "$2"', "sh", rows, target])


def zip_file(path: Path, text: str) -> None:
    """Make ``path``.gz of a text."""
    path.write_text(text, encoding="utf-8")
    subprocess.run(["gzip", "--force", path], check=True)


class ZippedSuite(EventBusConformance):
    """One zipped file per run, by rename."""

    loader: type[FileLoader] = Zipped

    def start(self, world: World) -> Any:
        return self.loader(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        lines = [line for file in sorted(world.disk.glob("*.jsonl.gz")) for line in whole_lines(file)]
        return [{"run_id": row["run_id"], "item": row["event_id"]} for row in map(json.loads, lines)]


class ZippedInPlaceSuite(ZippedSuite):
    """One zipped file per run, in place."""

    loader = ZippedInPlace


class ZippedInTheBackgroundSuite(ZippedSuite):
    """One zipped file per run, some time after it was acknowledged."""

    loader = ZippedInTheBackground


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a zipped file; none, where it is not whole."""
    try:
        return gzip.decompress(file.read_bytes()).splitlines()
    except EOFError:
        return []
