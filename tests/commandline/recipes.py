"""The blocks of a page of docs that are files to write and commands to run, run in order in one folder.

A block whose first line is a comment with a file's name is that file. A block after `<!-- run: exit=1 only=PO03 -->` is run by
bash: it must end with that status, and `only` keeps the check it runs to those of interest. Of a YAML block the commands of its
jobs are run, but for those that install something.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from consumers_of_orders import COMMAND

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(
    r"^(?:<!-- (?P<kind>run|needs): (?P<words>.*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S
)
NAME = re.compile(r"(?:#|//) (?P<name>[\w./-]+\.\w+)$", re.M)
RUNS = "quarry-conformance "


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block. `exit` is the status its commands must end with; None where it is not run."""

    language: str
    text: str
    exit: int | None
    only: str
    needs: str

    @property
    def file(self) -> str | None:
        """The file that it is, if it is one."""
        found = NAME.match(self.text)
        return found["name"] if found else None

    @property
    def commands(self) -> Iterator[str]:
        """What is run, each as one text for bash."""
        if self.exit is None:
            return
        for command in _of_yaml(yaml.safe_load(self.text)) if self.language == "yaml" else [self.text]:
            chosen = f"{RUNS}check --only {self.only}" if self.only else f"{RUNS}check"
            yield command.replace(f"{RUNS}check", chosen)


def _of_yaml(data: Any) -> Iterator[str]:
    """The commands of a workflow of GitHub, or of GitLab, that run the kit."""
    if isinstance(data, dict):
        for key, value in data.items():
            commands = [value] if key == "run" else value if key == "script" else []
            yield from (command for command in commands if RUNS in command)
            if not commands:
                yield from _of_yaml(value)
    elif isinstance(data, list):
        for each in data:
            yield from _of_yaml(each)


def blocks(page: str) -> list[Block]:
    """The blocks of ``docs/<page>``, in order."""
    found = []
    for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        words = match["words"] or ""
        given = {"needs": words} if match["kind"] == "needs" else dict(word.split("=") for word in words.split())
        found.append(
            Block(
                language=match["language"],
                text=match["text"],
                exit=int(given["exit"]) if "exit" in given else None,
                only=given.get("only", ""),
                needs=given.get("needs", ""),
            )
        )
    return found


def play(page_blocks: list[Block], folder: Path) -> list[str]:
    """Write the files and run the commands, in order; what each printed. Skips where a program is missing."""
    said = []
    for block in page_blocks:
        if block.needs and shutil.which(block.needs) is None:
            pytest.skip(f"{block.needs} is not installed")
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        for command in block.commands:
            said.append(_run(command, folder, block.exit))
    return said


def _run(command: str, folder: Path, wanted: int | None) -> str:
    environment = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}", "COLUMNS": "110"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == wanted, f"{command}\n{done.stdout}"
    return done.stdout
