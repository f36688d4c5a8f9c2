"""Names that libraries and runtimes make up for files, and not from the randomness that a program is given: those of
mkstemp(3), mkdtemp(3), mktemp(1) and ln(1), which begin with an address and the clock, the numbers of Go and Java, and those of processes.
"""

from __future__ import annotations

import os
import re

from pytest_quarry.consumers.protocol import RANDOM, Boundary

TOKEN = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{1,15}(?![0-9A-Za-z])")  # what is longer is a hash
PROCESS = re.compile(r"(?<!\d)[1-9]\d*(?!\d)")
EXCLUSIVE = os.O_CREAT | os.O_EXCL
HOW = EXCLUSIVE | os.O_ACCMODE | os.O_NOFOLLOW  # Python's tempfile does not follow links, and its luck is given
NUMBER = re.compile(r"(?<!\d)(?!20\d{6}(?!\d))\d{7,}(?!\d)")  # no dates
PART = re.compile(r"[^/ ]+")
END = re.compile(r"(?![0-9A-Za-z])")
# What may follow the letters that were made up, six in a row at least: `part-AbCdEf.tmp` may become `part-AbCdEf.jsonl`.
SUFFIXED = re.compile(r"(?P<stem>.*[0-9A-Za-z]{6}.*)\.[0-9A-Za-z]{1,5}")
LINKED = re.compile(r"Cu[0-9A-Za-z]{6}")  # by `ln -f`, and then renamed


class MadeUp:
    """What was made up for files of one world, by whichever process: the next one may remove what the last one left."""

    def __init__(self) -> None:
        self.numbered = Numbered()
        self._names: set[str] = set()
        self._numbers: set[str] = set()

    def opens(self, path: str, flags: int, mode: int) -> None:
        """A file is opened, by a name that was made up where nobody else may make it, or be let in."""
        if flags & EXCLUSIVE == EXCLUSIVE:
            self._numbers.update(NUMBER.findall(os.path.basename(path)))
        if flags & HOW == EXCLUSIVE | os.O_RDWR and mode == 0o600:
            self._add(path)

    def makes(self, path: str, mode: int) -> None:
        """A folder is made, as mkdtemp(3) does where nobody else is let in."""
        if mode == 0o700:
            self._add(path)

    def links(self, path: str) -> None:
        """A link is made, which may be on its way to take another's place."""
        if LINKED.fullmatch(os.path.basename(path)):
            self._add(path)

    def hidden(self, boundary: Boundary) -> Boundary:
        """The boundary with a label that is the same the next time; so have names that begin with one that was made up."""
        if not self._names and not self._numbers:
            return boundary
        label = PART.sub(self._without_name, boundary.label)
        label = NUMBER.sub(lambda number: RANDOM if number[0] in self._numbers else number[0], label)
        return boundary._replace(label=label)

    def _add(self, path: str) -> None:
        name = PART.findall(path)[-1]
        self._names.add(name)
        suffixed = SUFFIXED.fullmatch(name)
        if suffixed is not None:
            self._names.add(suffixed["stem"])

    def _without_name(self, part: re.Match[str]) -> str:
        for end in sorted((each.start() for each in END.finditer(part[0])), reverse=True):
            if part[0][:end] in self._names:
                return RANDOM + part[0][end:]
        return part[0]


class Numbered:
    """Names that tell the number of the process that made them, `part-$$`: it is another one the next time."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # without the number; whoever comes later may remove them

    def hidden(self, label: str, processes: frozenset[int]) -> str:
        """The label without the numbers of these `processes`: the one whose call it is, and those that started it."""
        return PART.sub(lambda part: self._without_number(part[0], processes), label)

    def _without_number(self, name: str, processes: frozenset[int]) -> str:
        if name in self._names:
            return self._names[name]

        def replaced(number: re.Match[str]) -> str:
            return "PID" if int(number[0]) in processes else number[0]

        found = TOKEN.sub(lambda token: PROCESS.sub(replaced, token[0]), name)
        if found != name:
            self._names[name] = found
        return found
