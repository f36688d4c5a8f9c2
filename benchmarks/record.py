"""What was measured of the samples, kept between runs and added to by several processes at once."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "measured"
Found = dict[str, Any]


class Record:
    """One JSON file: a value for each sample."""

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        self.path = folder / f"{name}.json"

    def read(self) -> dict[str, Found]:
        """All that is known; empty where nothing was measured yet."""
        if not self.path.is_file():
            return {}
        with open(self.path, encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_SH)  # nobody is halfway through writing it
            return self._known()

    def _known(self) -> dict[str, Found]:
        found: dict[str, Found] = json.loads(self.path.read_text(encoding="utf-8") or "{}")
        return found

    def add(self, sample: str, change: Callable[[Found], Found]) -> None:
        """Replace what is known of a sample by what `change` makes of it, while no other process does so."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            known = self._known()
            known[sample] = change(known.get(sample, {}))
            # One line a sample: a change of one is a change of one line.
            lines = (f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
            self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def keep(self, samples: Iterable[str]) -> None:
        """Forget what no longer exists."""
        there = set(samples)
        for gone in self.read().keys() - there:
            self.add(gone, lambda found: {})


def soonest(checks: Found) -> int | None:
    """Executions of the check that needs fewest, its own way of looking for crash points and interleavings included."""
    return min((what["until_found"] for what in checks.values() if what["status"] == "failed"), default=None)


def part(items: Sequence[Any], shard: str) -> list[Any]:
    """The K-th of N parts, for `K/N`."""
    number, _, count = shard.partition("/")
    return [item for at, item in enumerate(items) if at % int(count) == int(number) - 1]


def numbers(text: str) -> list[int]:
    """`0-3,7` as the numbers it stands for."""
    found: list[int] = []
    for piece in text.split(",") if text else ():
        first, _, last = piece.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def ranges(found: Iterable[int]) -> str:
    """Numbers as `0-3,7`."""
    pieces: list[list[int]] = []
    for number in sorted(set(found)):
        if pieces and pieces[-1][-1] == number - 1:
            pieces[-1].append(number)
        else:
            pieces.append([number])
    return ",".join(str(piece[0]) if len(piece) == 1 else f"{piece[0]}-{piece[-1]}" for piece in pieces)
