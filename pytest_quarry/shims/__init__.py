"""The kit's shims: they keep a Lambda handler warm in a process of its own, in its own language."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from pytest_quarry.consumers.consumer import ConsumerError

HERE = Path(__file__).parent
JAVASCRIPT, TYPESCRIPT = (".js", ".mjs", ".cjs"), (".ts", ".mts", ".cts")
STRIPS_TYPES = (22, 6)  # the first Node that runs TypeScript by itself


def words_for(reference: str, folder: Path) -> list[str]:
    """The command that keeps `file:export` warm. Raises ConsumerError where the file or what runs it is missing."""
    name, _, export = reference.rpartition(":")
    if not name or not export:
        raise ConsumerError(f"the Lambda {reference!r} is not file:export. For example handler.mjs:handler")
    file = folder / name
    if not file.is_file():
        raise ConsumerError(f"the Lambda {reference!r} cannot be run: there is no {file}")
    if file.suffix == ".py":
        return [sys.executable, str(HERE / "lambda_shim.py"), str(file), export]
    if file.suffix not in (*JAVASCRIPT, *TYPESCRIPT):
        known = ", ".join((".py", *JAVASCRIPT, *TYPESCRIPT))
        raise ConsumerError(f"the Lambda {reference!r} cannot be run: {file.suffix!r} is none of {known}")
    node = shutil.which("node")
    if node is None:
        raise ConsumerError(
            f"the Lambda {reference!r} cannot be run: Node is not installed (there is no node on the PATH)"
        )
    options = _for_typescript(node, file) if file.suffix in TYPESCRIPT else []
    return [node, *options, str(HERE / "lambda_shim.mjs"), str(file), export]


def _for_typescript(node: str, file: Path) -> list[str]:
    """What lets Node load TypeScript: tsx or esbuild, beside the file or on the PATH, or Node itself."""
    tsx = package("tsx", file)
    if tsx is not None:
        return ["--import", (tsx / _entry(tsx)).as_uri()]
    esbuild = package("esbuild", file)
    if esbuild is not None:
        return [
            "--import",
            f"{(HERE / 'esbuild_hook.mjs').as_uri()}?{urlencode({'esbuild': esbuild / _entry(esbuild)})}",
        ]
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = tuple(int(part) for part in version.strip().lstrip("v").split(".")[:2] if part.isdigit())
    if numbers >= STRIPS_TYPES:
        return ["--experimental-strip-types", "--no-warnings"]
    raise ConsumerError(
        f"{file.name} is TypeScript, and nothing here runs it: install tsx or esbuild beside it (npm install --save-dev tsx), "
        f"or Node {STRIPS_TYPES[0]}.{STRIPS_TYPES[1]} (this is {version.strip() or 'no version'})"
    )


def package(name: str, file: Path) -> Path | None:
    """Where a package of npm is: in a node_modules above the file, or where the program of that name on the PATH is from."""
    places = [folder / "node_modules" / name for folder in file.resolve().parents]
    program = shutil.which(name)
    if program is not None:
        places += [folder for folder in Path(program).resolve().parents if folder.name == name]
    return next((place for place in places if (place / "package.json").is_file()), None)


def _entry(found: Path) -> str:
    """The file of a package that Node imports."""
    about = json.loads((found / "package.json").read_text(encoding="utf-8"))
    entry = about.get("exports", {}).get(".", about.get("main", "index.js"))
    return str(entry if isinstance(entry, str) else entry.get("import", "index.js"))
