"""A consumer that is a program: what is run, with which words, in which surroundings."""

from __future__ import annotations

import difflib
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_quarry.consumers.consumer import ConsumerError

CommandKind = Literal["poller", "worker", "publisher", "lambda"]
# What a word of a command may name, and what it stands for.
OF_WORLD = {
    "storage_root": "the folder that is Quarry's storage root",
    "bucket": "the bucket that storage is in",
    "prefix": "the prefix of its keys",
    "queue_url": "the URL of the queue, at the world's endpoint",
    "topic_arn": "the ARN of the topic",
    "disk": "a folder that survives crashes, empty at first",
    "endpoint": "the URL at which this program reaches the mocked AWS",
}
OF_RUN = {
    "run_id": "the id of the run",
    "source": "its source",
    "category": "its category",
    "day": "its day",
    "outcome": "its outcome",
    "storage_path": "where it is stored, as notifications name it",
    "job_id": "its job, or nothing",
    "attempt": "which attempt it is",
    "event_count": "how many events it has",
    "duration_ms": "how long it took",
}
PLACE = re.compile(r"\{([A-Za-z_-]+)\}")
NEAR = 0.7


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program in any language that is the consumer: return it from `start(world)`, or make it the suite's `command`.

    `argv`: its words, as a list or as one line in the shell's quoting (no shell runs it). Words and the values of
    `environment` may name {storage_root}, {bucket}, {prefix}, {queue_url}, {topic_arn}, {disk}, and for publishers
    {run_id}, {source}, {outcome}, {storage_path}. `cwd`: its working directory; without one, the world's disk.

    `kind`: a `poller` is run once per poll; a `worker` goes on until `stop` (a signal) ends it and receives from
    {queue_url}; a `publisher` is run once per run; a `lambda` speaks the protocol of the kit's shim. Without one: what
    the suite is about, a worker where it is about event-bus consumers.

    `timeout`: real seconds without a sign of life that count as hung (without one: --quarry-guard). `prints`: what it
    prints is its target. `network`: it may reach other machines, as far as proxies that lead nowhere let it.
    """

    argv: Sequence[str] | str
    kind: CommandKind | None = None
    cwd: str = ""
    environment: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    timeout: float | None = None
    stop: str = "SIGTERM"
    prints: bool = False
    network: bool = False

    def __post_init__(self) -> None:
        try:
            words = tuple(shlex.split(self.argv)) if isinstance(self.argv, str) else tuple(self.argv)
        except ValueError as error:
            raise ConsumerError(f"the command {self.argv!r} cannot be split into words: {error}") from None
        if not words or not all(isinstance(word, str) for word in words) or not words[0]:
            raise ConsumerError(f"the command {self.argv!r} names no program. Give its words: ['bash', 'poll.sh']")
        object.__setattr__(self, "argv", words)
        pairs = self.environment.items() if isinstance(self.environment, Mapping) else self.environment
        pairs = self.environment.items() if isinstance(self.environment, Mapping) else self.environment
        variables = tuple((str(name), str(value)) for name, value in pairs)
        object.__setattr__(self, "environment", variables)
        if self.kind not in (None, "poller", "worker", "publisher", "lambda"):
            raise ConsumerError(f"{self.kind!r} is no kind of command; there are poller, worker, publisher, lambda")
        if not isinstance(getattr(signal, self.stop, None), signal.Signals):
            raise ConsumerError(f"stop is {self.stop!r}, which is no signal; the usual ones are SIGTERM and SIGINT")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise ConsumerError(f"timeout is {self.timeout!r}; it must be a number of seconds above 0")
        for word in (*words, *(value for _, value in variables)):
            check_places(word)

    @property
    def words(self) -> tuple[str, ...]:
        """Its words, places not filled in."""
        return tuple(self.argv)

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """What it wants in its environment, places not filled in."""
        return tuple(self.environment)  # type: ignore[arg-type]

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal that asks it to end."""
        found: signal.Signals = getattr(signal, self.stop)
        return found

    @property
    def shown(self) -> str:
        """The command as one line."""
        return shlex.join(self.words)


def fill(word: str, values: Mapping[str, str]) -> str:
    """The word with its places filled in. Raises ConsumerError for a place that has no value here."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in OF_WORLD and name not in OF_RUN:
            return match[0]
        if name not in values:
            why = "it is known only to publishers" if name in OF_RUN else "storage is on S3: use {bucket} and {prefix}"
            raise ConsumerError(f"{{{name}}} in {word!r} has no value here: {why}")
        return values[name]

    return PLACE.sub(value, word)


def check_places(word: str) -> None:
    """A place that nobody knows may be a program's own brace; one that almost is ours is a slip."""
    known = [*OF_WORLD, *OF_RUN]
    for name in PLACE.findall(word):
        near = difflib.get_close_matches(name, known, 1, NEAR)
        if name not in known and near:
            places = ", ".join(f"{{{each}}}" for each in known)
            raise ConsumerError(f"{{{name}}} in {word!r} is unknown: did you mean {{{near[0]}}}? There are {places}")
