"""The table of docs/queues.md and the tests that pin it name each other."""

import ast
import re
from pathlib import Path

TABLE = (Path(__file__).parents[2] / "docs" / "queues.md").read_text()
TESTS = Path(__file__).with_name("test_queue_semantics.py").read_text()
ROWS = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("|")][2:]


def named_by(row: list[str]) -> list[str]:
    return re.findall(r"`(test_\w+)`", row[-1])


def test_every_row_is_pinned() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        heading = row[0].strip().startswith("**")
        assert len(row) == 5, row
        assert bool(named_by(row)) is not heading, row


def test_the_table_and_the_tests_name_each_other() -> None:
    named = [name for row in ROWS for name in named_by(row)]
    written = [
        node.name
        for node in ast.parse(TESTS).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
    assert sorted(named) == sorted(written)
    assert len(set(named)) == len(named)
