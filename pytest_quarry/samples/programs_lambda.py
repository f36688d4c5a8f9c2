"""Suites of the sample Lambda handlers in `outside`, which the kit's shims keep warm. Needs Node, some TypeScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.rows import Row, from_sqlite
from pytest_quarry.samples.programs import HERE, AppendsSuite, ProgramSuite
from pytest_quarry.shims import words_for

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


def _loads(reference: str, target: str) -> Any:
    def start(self: Any, world: Any) -> Command:
        return Command(argv=words_for(reference, HERE), kind="lambda", environment={"LOADED": f"{{disk}}/{target}"})

    return start


class NodeLambdaSuite(ProgramSuite):
    """JavaScript; a file per run, renamed into place; each record of a batch succeeds or fails alone."""

    start = _loads("lambda_sound.mjs:handler", "loaded")


class NodeLambdaRemembersSuite(AppendsSuite):
    """JavaScript; a set in memory, and a batch that fails as a whole."""

    start = _loads("lambda_remembers.mjs:handler", "loaded.jsonl")


class TypeScriptLambdaSuite(ProgramSuite):
    """TypeScript; a file per run, renamed into place; each record of a batch succeeds or fails alone."""

    start = _loads("lambda_sound.ts:lambdaHandler", "loaded")


class TypeScriptLambdaRemembersSuite(AppendsSuite):
    """TypeScript; a set in memory, and a batch that fails as a whole."""

    start = _loads("lambda_remembers.ts:lambdaHandler", "loaded.jsonl")


class PythonLambdaSuite(ProgramSuite):
    """Python in a process of its own, with SQLite."""

    start = _loads("lambda_sound.py:handler", "loaded.sqlite")

    def rows(self, world: World) -> list[Row]:
        return from_sqlite("loaded.sqlite:SELECT run_id, item FROM rows")(world)


class PythonLambdaInsertsSuite(PythonLambdaSuite):
    """Python in a process of its own, with a SQLite table that has no key."""

    start = _loads("lambda_inserts.py:handler", "loaded.sqlite")
