"""The pages about the command line: every recipe is run, every table is what the code has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from consumers_of_orders import POLL
from recipes import DOCS, Block, blocks, play

from pytest_quarry.commandline import check
from pytest_quarry.commandline.settings import CHOICES, CONSUMERS, KEYS, ROWS, Settings, option
from pytest_quarry.consumers.command import OF_RUN, OF_WORLD


def test_the_page_about_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "poll.sh").write_text(POLL)
    first, core, known = play(blocks("command-line.md"), tmp_path)
    assert first.endswith("quarry-conformance: violates PO03\n")
    assert "\nquarry-conformance: conforms: 2 passed, 1 known" in core  # on a busy machine cut short by the budget
    assert (tmp_path / "report.html").exists()
    assert known.endswith("conforms: 1 known\n")


def recipes() -> dict[str, list[Block]]:
    """The recipes of the page about other languages: the blocks below each heading."""
    found: dict[str, list[Block]] = {}
    everything = iter(blocks("other-languages.md"))
    for section in re.split(r"^## ", (DOCS / "other-languages.md").read_text(encoding="utf-8"), flags=re.M)[1:]:
        title = section.partition("\n")[0]
        found[title] = [next(everything) for _ in range(section.count("\n```") // 2)]
    return found


@pytest.mark.parametrize(
    "title", [title for title, found in recipes().items() if any(b.exit is not None for b in found)]
)
def test_a_recipe_for_another_language(title: str, tmp_path: Path) -> None:
    assert play(recipes()[title], tmp_path)


def test_there_are_all_recipes() -> None:
    assert list(recipes()) == [
        "A poller in bash",
        "A Lambda function in Node",
        "A poller in Go",
        "A worker in Python, in CI without containers",
        "A publisher in bash",
        "When a row is not in a file",
    ]


def test_the_page_about_ci(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "poll.sh").write_text(POLL)
    *before, compare = blocks("ci.md")[:-1]
    assert "diff main.json conformance.json" in compare.text
    github, gitlab, gate, baseline = play(before, tmp_path)
    for said in (github, gitlab):
        assert said.endswith("quarry-conformance: violates PO03\n")
    assert "\nquarry-conformance: conforms: 1 passed" in gate  # on a busy machine cut short by the budget
    assert baseline.endswith("quarry-conformance: conforms: 1 known\n")
    for name in ("conformance.html", "conformance.json", "conformance.sarif", "junit.xml"):
        assert (tmp_path / name).stat().st_size, name
    report = json.loads((tmp_path / "conformance.json").read_text())
    for found in report["checks"]:  # as it was on the main branch, before the mistake
        found.update(status="passed", failure=None)
    (tmp_path / "main.json").write_text(json.dumps(report))
    (said,) = play([compare], tmp_path)
    assert said == blocks("ci.md")[-1].text


def test_the_table_of_options() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    section = page[page.index("## All options") : page.index("## Options for pytest")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    written = {key.strip("`"): (shown.strip("`"), values, default) for shown, key, values, default, _ in rows[2:]}
    assert len(rows) - 2 == len(written), "each once"
    assert set(written) == set(KEYS)
    kinds = {str: "text", int: "number", float: "seconds", bool: "truth", tuple: "list"}
    special = {"environment": ("--env", "table"), "known_failures": ("--known-failure", "list of tables")}
    special["pytest_options"] = ("after `--`", "list")
    for key, field in KEYS.items():
        default = getattr(Settings(), field.name)
        choices = [f"`{choice}`" for choice in CHOICES.get(field.name, ())]
        values = f"{', '.join(choices[:-1])} or {choices[-1]}" if choices else kinds[type(default)]
        wanted = special.get(field.name, (option(field.name), values))
        shown = f"`{default}`" if default and not isinstance(default, (tuple, bool)) else ""
        found = written[key]
        assert found == (wanted[0].strip("`"), wanted[1], shown), key


def test_the_other_tables() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(--[a-z]+)` \| [^|]*\| (?:a class|a function)", page, re.M) == [
        option(name) for name in CONSUMERS
    ]
    assert re.findall(r"^\| `(--rows[a-z-]*) ", page, re.M) == [option(name) for name in ROWS]
    for place in (*OF_WORLD, *OF_RUN):
        assert f"`{{{place}}}`" in page, place
    codes = dict(re.findall(r"^\| (\d) \| `?([a-z]+)", page, re.M))
    assert {int(code): words for code, words in codes.items()} == {
        check.CONFORMS: "conforms",
        check.VIOLATES: "violates",
        check.USAGE: "cannot",
        check.INCONCLUSIVE: "inconclusive",
        check.INTERNAL: "pytest",
    }


def test_the_readme_leads_here() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert "## Consumers in any language" in readme
    for name in ("command-line.md", "other-languages.md", "ci.md"):
        assert f"(docs/{name})" in readme
