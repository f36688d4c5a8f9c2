"""Mutation testing with mutmut, part by part: which changes of the code that decides are noticed by no test?

    python benchmarks/mutants.py reader
    python benchmarks/mutants.py simulation --sample 60
    python benchmarks/mutants.py simulation --only recorder.py --against tests/simulation/test_recorder.py

mutmut makes the mutants, in a copy of the checkout, `build/mutants/PART`, so that the checkout may be worked on meanwhile, and
finds out which tests reach them; `each_mutant.py` runs those. With `--sample` so many mutants of each file are drawn, by
a fixed seed; files with fewer are run whole. A part that is run again without `--new` keeps what it knows of mutants that
were run before. Survivors are printed with what is different in them. With `--against` one file, named by `--only`, is mutated
and only those tests are run: quicker, where there are tests written for it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import each_mutant

CHECKOUT = Path(__file__).resolve().parents[1]
# A mutant runs its quickest tests, so many seconds of them; it is given up after three times that, and a little.
SECONDS, PATIENCE = 5, 20
OPTIONS = ("-p", "no:cacheprovider", "-W", "ignore")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Files to mutate, and the tests that are to notice."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = {
    "oracles": Part(
        files=("pytest_quarry/checks/oracles.py", "pytest_quarry/checks/publishing_oracles.py"), tests=("tests/checks",)
    ),
    "reader": Part(
        files=tuple(f"pytest_quarry/storage/{name}.py" for name in ("reader", "survey", "stored")),
        tests=tuple(f"tests/storage/test_{name}.py" for name in ("reader", "reader_words", "everywhere")),
    ),
    "servers": Part(
        files=(
            "pytest_quarry/consumers/kernel/said.py",
            "pytest_quarry/consumers/kernel/connections.py",
            "pytest_quarry/checks/doubts.py",
            "pytest_quarry/checks/turns.py",
        ),
        tests=(
            "tests/consumers/test_said.py",
            "tests/consumers/test_servers.py",
            "tests/consumers/test_postgres.py",
            "tests/checks/test_taking_turns.py",
        ),
    ),
    "simulation": Part(
        files=("pytest_quarry/simulation/*.py",),
        tests=(
            "tests/simulation",
            "tests/checks/test_stage.py",
            "tests/consumers/test_files_seen.py",
            "tests/consumers/test_misbehaviour.py",
            "tests/fixtures/test_quarry_world.py",
            "tests/outside/test_surroundings.py",
        ),
    ),
}


def main() -> None:
    """Run a part, and print its score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sample", type=int, help="so many mutants of each file at most; all, if absent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", default=[""], help="only files whose path contains one of these, in this order"
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=SECONDS,
        help="of the quickest tests, for each mutant; more than before: survivors again",
    )
    parser.add_argument(
        "--against", nargs="*", default=[], help="only these tests, and only the file that --only names"
    )
    parser.add_argument(
        "--first", nargs="*", default=[], help="tests to prefer to quicker ones: files, or the beginnings of ids"
    )
    parser.add_argument("--new", action="store_true", help="copy the checkout anew, and forget earlier results")
    given = parser.parse_args()
    part, copy = PARTS[given.part], CHECKOUT / "build" / "mutants" / given.part
    if given.against:
        (file,) = (path for path in _paths(part) if path.endswith(f"/{given.only[0]}"))
        part, copy = Part(files=(file,), tests=tuple(given.against)), copy.with_name(f"{given.part}-{given.only[0]}")
    if given.new or not copy.exists():
        _copy(copy, part)
        _make(copy)
    drawn = list(dict.fromkeys(name for only in given.only for name in _drawn(copy, given.sample, given.seed, only)))
    known = _results(copy)
    again = [name for name in drawn if known.get(name) == each_mutant.SURVIVED and given.seconds > SECONDS]
    _run(copy, part, [*again, *(name for name in drawn if name not in known)], given.seconds, given.first)
    _print(copy, drawn)


def _paths(part: Part) -> list[str]:
    return [path.relative_to(CHECKOUT).as_posix() for pattern in part.files for path in CHECKOUT.glob(pattern)]


def _copy(copy: Path, part: Part) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    settings = {
        "source_paths": ["pytest_quarry"],
        "only_mutate": list(part.files),
        "pytest_add_cli_args": list(OPTIONS),
        "pytest_add_cli_args_test_selection": list(part.tests),
        "also_copy": ["conftest.py", "README.md", "docs"],
    }
    with open(copy / "pyproject.toml", "a") as file:
        print(
            "\n[tool.mutmut]",
            *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
            sep="\n",
            file=file,
        )


def _make(copy: Path) -> None:
    """Let mutmut make the mutants and find the tests that reach them; asked to run none, it gives up then."""
    mutmut = Path(sys.executable).with_name("mutmut")
    made = subprocess.run([mutmut, "run", "none of them"], cwd=copy, capture_output=True, text=True, check=False)
    if "nothing matches" not in made.stderr:
        raise SystemExit(f"mutmut failed in {copy}:\n{made.stdout[-2000:]}\n{made.stderr[-2000:]}")


def _names(copy: Path) -> dict[str, list[str]]:
    """The mutants of every file."""
    found: dict[str, list[str]] = {}
    for path in sorted((copy / "mutants").rglob("*.py.meta")):
        names = json.loads(path.read_text())["exit_code_by_key"]
        if names:
            found[path.relative_to(copy / "mutants").as_posix().removesuffix(".meta")] = sorted(names)
    return found


def _results(copy: Path) -> dict[str, str]:
    file = copy / "results.json"
    found: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _drawn(copy: Path, sample: int | None, seed: int, only: str) -> Iterator[str]:
    for file, names in _names(copy).items():
        if only not in file:
            continue
        random.Random(f"{seed} {file}").shuffle(names)
        yield from names[:sample]  # a larger sample is a smaller one and more


def _run(copy: Path, part: Part, names: list[str], seconds: int, first: list[str]) -> None:
    if not names:
        return
    known = json.loads((copy / "mutants" / "mutmut-stats.json").read_text())
    orders = {
        "mutants": names,
        "tests": known["tests_by_mangled_function_name"],
        "seconds": known["duration_by_test"],
        "results": str(copy / "results.json"),
        "most_seconds": seconds,
        "first": first,
        "patience": PATIENCE,
    }
    (copy / "orders.json").write_text(json.dumps(orders))
    environment = {**os.environ, each_mutant.ORDERS: str(copy / "orders.json"), "MUTANT_UNDER_TEST": ""}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "each_mutant", *OPTIONS, *part.tests]
    subprocess.run(command, cwd=copy / "mutants", env=environment, check=False)


def _print(copy: Path, drawn: list[str]) -> None:
    results, lines = _results(copy), []
    for file, names in _names(copy).items():
        run = [name for name in names if name in results and name in drawn]
        killed = [name for name in run if results[name] in (each_mutant.KILLED, each_mutant.TOO_LONG)]
        for name in run:
            if name not in killed:
                print(f"\n{name}: {results[name]}\n{_difference(copy / 'mutants' / file, name)}")
        if run:
            short = file.removeprefix("pytest_quarry/")
            lines.append(f"| `{short}` | {len(run)} of {len(names)} | {len(killed)} | {len(killed) / len(run):.1%} |")
    print("\n".join(["", "| file | mutants run | killed | score |", "| --- | --- | --- | --- |", *lines]))


def _difference(file: Path, name: str) -> str:
    text = file.read_text()
    found = {node.name: node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    lines, short = text.splitlines(), name.rpartition(".")[2]
    both = [found.get(short.rpartition("__mutmut_")[0] + "__mutmut_orig"), found.get(short)]
    before, after = ([] if node is None else lines[node.lineno : node.end_lineno] for node in both)
    changes = difflib.unified_diff(before, after, n=0, lineterm="")
    return "\n".join(line for line in changes if not line.startswith(("---", "+++", "@@")))


if __name__ == "__main__":
    main()
