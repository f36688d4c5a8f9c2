"""Suites of the sample programs in `outside`: consumers in bash, Python, Node and TypeScript, judged from outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_quarry.consumers import rows
from pytest_quarry.consumers.command import Command
from pytest_quarry.suites import EventBusConformance, PollerConformance, PublisherConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

HERE = Path(__file__).parent / "outside"
PRINTED = rows.from_stdout("^Processing run: (?P<run_id>.+)$")
LOADED = rows.from_jsonl("loaded/*.jsonl")
APPENDED = rows.from_jsonl("loaded.jsonl")
TOPIC = {"QUARRY_SNS_TOPIC": "{topic_arn}"}
ANNOUNCED = ("{run_id}", "{source}", "{category}", "{day}", "{outcome}", "{storage_path}")


def bash(script: str, *words: str, environment: dict[str, str] | None = None, prints: bool = False) -> Command:
    """A script that bash runs."""
    return Command(argv=["bash", str(HERE / script), *words], environment=environment or {}, prints=prints)


def python(script: str, *words: str, environment: dict[str, str] | None = None, prints: bool = False) -> Command:
    """A script that this Python runs."""
    return Command(argv=[sys.executable, str(HERE / script), *words], environment=environment or {}, prints=prints)


def tsx(script: str, *words: str, environment: dict[str, str] | None = None) -> Command:
    """A script of TypeScript that tsx runs."""
    return Command(argv=["tsx", str(HERE / script), *words], environment=environment or {})


class FlatPollerSuite(PollerConformance):
    """A program that polls the flat layout and keeps one file of rows per run."""

    layout = "flat"

    def rows(self, world: World) -> list[rows.Row]:
        return LOADED(world)


class BashPollerSuite(FlatPollerSuite):
    """bash and jq; a file per run, renamed into place, is the mark."""

    command = bash("poller_sound.sh", "{storage_root}", "{disk}")


class BashPollerInPlaceSuite(FlatPollerSuite):
    """bash and jq, with Quarry's checkpoint format in the storage folder; what it prints is its target."""

    command = bash("poller_checkpoint_in_place.sh", "{storage_root}", prints=True)

    def rows(self, world: World) -> list[rows.Row]:
        return PRINTED(world)


class TypeScriptPollerSuite(FlatPollerSuite):
    """TypeScript; a file per run, renamed into place, is the mark."""

    command = tsx("poller_sound.ts", "{storage_root}", "{disk}/loaded")


class TypeScriptPollerRemembersFirstSuite(FlatPollerSuite):
    """TypeScript; the checkpoint is written before the rows."""

    command = tsx("poller_remembers_first.ts", "{storage_root}", "{disk}")

    def rows(self, world: World) -> list[rows.Row]:
        return APPENDED(world)


class PythonPollerSuite(FlatPollerSuite):
    """A Python script with SQLite."""

    command = python("poller_sound.py", "{storage_root}", "{disk}/runs.sqlite")

    def rows(self, world: World) -> list[rows.Row]:
        return rows.from_sqlite("runs.sqlite:SELECT run_id, item FROM rows")(world)


class PythonPollerLooksBackSuite(PythonPollerSuite):
    """A Python script with SQLite that looks back one hour."""

    command = python("poller_looks_back.py", "{storage_root}", "{disk}/runs.sqlite")


class PythonBucketPollerSuite(PythonPollerSuite):
    """A Python script with boto3 and SQLite that looks at everything in the bucket."""

    storage = "s3"
    command = python("poller_bucket_sound.py", "{bucket}", "{prefix}", "{disk}/runs.sqlite")


class PythonBucketPollerLooksBackSuite(FlatPollerSuite):
    """A Python script with boto3 that looks back one hour; what it prints is its target."""

    storage = "s3"
    command = python(
        "poller_bucket_looks_back.py", "{bucket}", "{prefix}", "--checkpoint", "{disk}/checkpoint.json", prints=True
    )

    def rows(self, world: World) -> list[rows.Row]:
        return PRINTED(world)


class BashPublisherSuite(PublisherConformance):
    """bash, jq and `aws sns publish`."""

    command = bash("publisher_sound.sh", *ANNOUNCED, environment=TOPIC)


class BashPublisherPastedSuite(PublisherConformance):
    """bash and `aws sns publish`; JSON and path are pasted together."""

    command = bash("publisher_pasted.sh", "{run_id}", "{source}", "{outcome}", "{storage_root}", environment=TOPIC)


class PythonPublisherSuite(PublisherConformance):
    """A Python script with boto3."""

    command = python("publisher_sound.py", *ANNOUNCED, environment=TOPIC)


class PythonPublisherQuietSuite(PublisherConformance):
    """A Python script with boto3 that says little."""

    command = python("publisher_quiet.py", *ANNOUNCED, environment=TOPIC)


class TypeScriptPublisherSuite(PublisherConformance):
    """TypeScript and fetch."""

    command = tsx("publisher_sound.ts", *ANNOUNCED, environment=TOPIC)


class TypeScriptPublisherGivesUpSuite(PublisherConformance):
    """TypeScript and fetch, once."""

    command = tsx("publisher_gives_up.ts", *ANNOUNCED, environment=TOPIC)


class ProgramSuite(EventBusConformance):
    """A program that is told of runs in the flat layout and keeps one file of rows per run."""

    layout = "flat"

    def rows(self, world: World) -> list[rows.Row]:
        return LOADED(world)


class AppendsSuite(ProgramSuite):
    """A program that appends rows to one file."""

    def rows(self, world: World) -> list[rows.Row]:
        return APPENDED(world)


class BashWorkerSuite(ProgramSuite):
    """bash, curl and jq; a file per run, renamed into place."""

    command = bash("worker_sound.sh", "{queue_url}", "{disk}/loaded")


class BashWorkerDeletesAllSuite(AppendsSuite):
    """bash, curl and jq; a message is deleted, whatever became of it."""

    command = bash("worker_deletes_all.sh", "{queue_url}", "{disk}/loaded.jsonl")


class TypeScriptWorkerSuite(ProgramSuite):
    """TypeScript and fetch; a file per run, renamed into place."""

    command = tsx("worker_sound.ts", "{queue_url}", "{disk}/loaded")


class PythonWorkerSuite(ProgramSuite):
    """A Python script that receives with boto3; a file per run, renamed into place."""

    command = python("worker_sound.py", "{queue_url}", "{disk}/loaded")


class PythonWorkerAcknowledgesFirstSuite(ProgramSuite):
    """A Python script that deletes a message, then loads its run."""

    command = python("worker_acknowledges_first.py", "{queue_url}", "{disk}/loaded")
