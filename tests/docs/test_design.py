"""The picture of the packages in docs/design.md is that of the checkout."""

import re

from walked_pages import ROOT

PACKAGE = ROOT / "pytest_quarry"
HOUSE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## The house")[2].partition("\n## ")[0]


def test_every_module_that_is_named_is_there() -> None:
    package, named = PACKAGE, 0
    for line in HOUSE.splitlines():
        if found := re.match(r" {6}(\w+)/", line):
            package = PACKAGE / found[1]
        elif re.match(r" {6}\w", line):
            package = PACKAGE
        for name in re.findall(r"[\w/]+\.py\b", line):
            named += 1
            assert (package / name).is_file() or (PACKAGE / name).is_file(), f"{name}, in: {line}"
    assert named > 80


def test_every_package_and_every_module_at_the_top_is_named() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert [name for name in sorted(packages) if f"{name}/" not in HOUSE] == []
    assert [name for name in sorted(modules) if name not in HOUSE] == []
