"""A page of docs, walked through as a reader does: its files are written, its commands run, its output compared.

- A block whose first line is a comment with a file's name (``# orders.py``) is that file; a later one of the same name
  replaces it. ``<!-- uses: reading.md -->`` brings the files of another page.
- A ``sh`` block is run. ``<!-- exits: 1 -->`` before it says how it ends, if not with 0.
- A ``text`` block is what the command before it printed (``<!-- printed by: the next command -->``: the one after it): each
  of its lines, in this order, however wide and whatever the fingerprint of a schedule; a line ``⋮`` stands for any.
- ``<!-- not run: why -->`` before a block leaves it out; so does ``<!-- ci: name -->``, which `.ci/run` runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
CODE = ("python", "sh", "toml", "js", "yaml", "json", "ini")
BLOCK = re.compile(r"((?:^<!--[^\n]*-->\n\s*)*)^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAID = re.compile(r"<!-- ([a-z ]+): ([^\n]*?) -->")
USES = re.compile(r"^<!-- uses: (\S+) -->$", re.MULTILINE)
NAME = re.compile(r"(?:#|//) ([\w.-]+\.\w+)(?: .*)?\n")
FINGERPRINT = re.compile(r"-[0-9a-f]{8}\.json")  # of a saved schedule: another one whenever schedules say more
PATIENCE = 300  # real seconds for one command


@dataclass(frozen=True)
class Block:
    """A fenced block, with what the comments before it say."""

    language: str
    text: str
    said: dict[str, str]

    @property
    def file(self) -> str | None:
        """The file it is, if it is one."""
        found = NAME.match(self.text)
        return found[1] if found and self.language not in ("sh", "text") else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(language, text, dict(SAID.findall(before))) for before, language, text in found]


def walk(page: Path, folder: Path) -> None:
    """Do what a page says in an empty folder; raise AssertionError where something else comes of it."""
    for other in USES.findall(page.read_text(encoding="utf-8")):
        _write(blocks(page.parent / other), folder)
    printed: Iterator[str] | None = None
    ahead: list[str] = []
    for block in blocks(page):
        if block.said.keys() & {"not run", "ci"}:
            continue
        if "printed by" in block.said:
            ahead.append(block.text)
        elif block.language == "text":
            assert printed is not None, f"{page.name} shows output before any command:\n{block.text}"
            _compare(block.text, printed, page)
        elif block.language == "sh":
            lines = _run(block, folder).splitlines()
            printed = iter(lines)
            while ahead:
                _compare(ahead.pop(), iter(lines), page)
        else:
            assert block.file, (
                f"{page.name}: this block is run by nobody; name its file in its first line:\n{block.text}"
            )
            _write([block], folder)


def _write(found: list[Block], folder: Path) -> None:
    for block in found:
        if block.file is not None and "not run" not in block.said:
            (folder / block.file).write_text(block.text, encoding="utf-8")


def _run(block: Block, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "110"}
    for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTHONPATH"):
        environment.pop(name, None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    wanted = int(block.said.get("exits", "0"))
    assert done.returncode == wanted, f"exit code {done.returncode}, not {wanted}:\n{block.text}\n{done.stdout}"
    return done.stdout


def _compare(shown: str, printed: Iterator[str], page: Path) -> None:
    seen: list[str] = []
    for wanted in filter(None, map(_words, shown.splitlines())):
        if wanted == "⋮":
            continue
        for line in printed:
            seen.append(line)
            if _words(line) == wanted:
                break
        else:
            raise AssertionError(
                f"{page.name} shows a line that was not printed (any more):\n{wanted}\n\n" + "\n".join(seen)
            )


def _words(line: str) -> str:
    return FINGERPRINT.sub("-0.json", " ".join(line.split()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        for given in sys.argv[1:]:
            walk(ROOT / given, Path(empty))
            print(f"{given}: as it says")
