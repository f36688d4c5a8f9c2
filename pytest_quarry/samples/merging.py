"""Handlers that merge their files once there are many: what they do only now and then can be killed too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_files import MarkerByRename, as_lines, file_name, read_rows, replace_file
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

MANY = 8  # files of one run each, which are then merged


def newest(folder: Path) -> Path | None:
    """The last file that others were merged into."""
    return max(folder.glob("all-*.jsonl"), key=lambda path: int(path.stem[4:]), default=None)


def merged_into(path: Path | None) -> set[str]:
    """The names of the files whose rows are in it: its first line has them."""
    if path is None:
        return set()
    with path.open(encoding="utf-8") as file:
        return set(json.loads(file.readline())["merged"])


def parts(folder: Path) -> list[Path]:
    """The files of one run each that are not merged yet."""
    gone = merged_into(newest(folder))
    return [path for path in sorted(folder.glob("run_id=*.jsonl")) if path.name not in gone]


class Merges(MarkerByRename):
    """A file for each run; eight are merged into one that says which they were, and are removed then. There is one of it."""

    def load(self, run_id: str, items: list[Item]) -> None:
        marker, orders = self.folder / "loaded" / file_name(run_id), self.folder / "orders"
        if not marker.exists():
            replace_file(orders / f"run_id={file_name(run_id)}.jsonl", as_lines(items))
            replace_file(marker, "")
        if len(parts(orders)) >= MANY:
            self.merge(orders)

    def merge(self, orders: Path) -> None:
        """Make one file of all; what is left of the others is of no account from then on."""
        last, more = newest(orders), parts(orders)
        number = int(last.stem[4:]) + 1 if last else 1
        names = {"merged": sorted({*merged_into(last), *(path.name for path in more)})}
        rows = last.read_text("utf-8").partition("\n")[2] if last else ""
        rows += "".join(path.read_text("utf-8") for path in more)
        replace_file(orders / f"all-{number}.jsonl", f"{json.dumps(names)}\n{rows}")
        for path in [*([last] if last else []), *more]:
            path.unlink(missing_ok=True)


class MergesSuite(EventBusConformance):
    """Files merged by eights, into one that names them."""

    workers = 1

    def start(self, world: World) -> Any:
        return Merges(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        orders = world.disk / "orders"
        last = newest(orders)
        return [row for path in [*([last] if last else []), *parts(orders)] for row in read_rows(path)]


class MergesInTwoSteps(Merges):
    """Merges eight files into one beside them, then removes them."""

    def merge(self, orders: Path) -> None:
        every = orders / "all.jsonl"
        more = parts(orders)
        before = every.read_text("utf-8") if every.exists() else ""
        replace_file(every, before + "".join(path.read_text("utf-8") for path in more))
        for path in more:
            path.unlink()


class MergesInTwoStepsSuite(MergesSuite):
    """Merged files that stay until the last is gone."""

    def start(self, world: World) -> Any:
        return MergesInTwoSteps(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [row for path in sorted((world.disk / "orders").glob("*.jsonl")) for row in read_rows(path)]


class ClearsUpFirst(MergesInTwoSteps):
    """Takes eight files in, removes them, and writes what was in them to one."""

    def merge(self, orders: Path) -> None:
        every = orders / "all.jsonl"
        more = [*([every] if every.exists() else []), *parts(orders)]
        rows = "".join(path.read_text("utf-8") for path in more)
        for path in more:
            path.unlink()
        replace_file(every, rows)


class ClearsUpFirstSuite(MergesInTwoStepsSuite):
    """Files that are removed before they are merged."""

    def start(self, world: World) -> Any:
        return ClearsUpFirst(world.disk, Storage(world.storage_root))
