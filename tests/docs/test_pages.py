"""The docs keep their word: their code runs, their commands print what is shown, their links lead somewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from walked_pages import CODE, PAGES, ROOT, blocks, walk

WALKED = (
    "README.md",
    "docs/quickstart-handler.md",
    "docs/quickstart-lambda.md",
    "docs/quickstart-worker.md",
    "docs/quickstart-poller.md",
    "docs/publishers.md",
    "docs/fixtures.md",
    "docs/declarations.md",
    "docs/reports.md",
    "docs/unseen.md",
    "docs/servers.md",
)
# Their code belongs to a page above, which is walked, or is copied from the samples, which are tested.
NOT_ALONE = {"docs/reading.md": "docs/quickstart-handler.md"}
MADE = "docs/checks/"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", WALKED)
def test_a_reader_who_does_what_the_page_says_sees_what_it_shows(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "docs/quickstart-lambda.md":
        pytest.importorskip("moto.dynamodb", reason="the page's target is DynamoDB, which moto has as an extra")
    if name == "docs/unseen.md":
        pytest.importorskip("duckdb", reason="the page's target is DuckDB, which the extra `dev` has")
    if name == "docs/servers.md":
        monkeypatch.setenv("TEST_DATABASE", request.getfixturevalue("postgres"))
    walk(ROOT / name, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_run_by_somebody(page: Path) -> None:
    name = name_of(page)
    code = [block for block in blocks(page) if block.language in CODE and "not run" not in block.said]
    if not code or name in WALKED or name.startswith(MADE):
        return
    if name in NOT_ALONE:
        assert f"<!-- uses: {page.name} -->" in (ROOT / NOT_ALONE[name]).read_text(encoding="utf-8")
        return
    others = [file for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    assert any(page.name in file.read_text(encoding="utf-8") for file in others), f"no test runs the code of {name}"


def links(page: Path) -> list[tuple[Path, str]]:
    """The relative links of a page: the file and the heading."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = [target.partition("#") for target in LINK.findall(text) if "://" not in target]
    return [((page.parent / file).resolve() if file else page, heading) for file, _, heading in found]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub has it."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), f"{name_of(page)} links to {target}, which is not there"
        assert not heading or heading in anchors(target), (
            f"{name_of(page)} links to #{heading}, which {target.name} lacks"
        )


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        ahead += [target for target, _ in links(page)]
    assert {name_of(page) for page in PAGES} <= {name_of(page) for page in reached}


def test_what_the_walk_notices(tmp_path: Path) -> None:
    def page(text: str) -> Path:
        file = tmp_path / "page.md"
        file.write_text(text, encoding="utf-8")
        return file

    folder = tmp_path / "empty"
    for text, words in (
        ("```sh\nfalse\n```\n", "exit code 1, not 0"),
        ("<!-- exits: 1 -->\n```sh\ntrue\n```\n", "exit code 0, not 1"),
        ("```sh\necho a\n```\n\n```text\nb\n```\n", "not printed"),
        ("```text\nb\n```\n", "before any command"),
        ("```python\nprint()\n```\n", "run by nobody"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with pytest.raises(AssertionError, match=words):
            walk(page(text), folder)
    walk(page("```python\n# a.py\nprint(7)\n```\n\n```sh\npython a.py\n```\n\n```text\n⋮\n7\n```\n"), folder)
