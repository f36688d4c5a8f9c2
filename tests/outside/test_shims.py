"""Lambda handlers behind the kit's shims: warm, in their own language, and clear about what is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from programs import consumer, play, texts

from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.shims import STRIPS_TYPES, package, words_for
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Deliver, Notify, Restart, Write

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
TOLD = (Write("run-A"), Notify("run-A"))


def invoke(folder: Path, reference: str, *steps: Any) -> History:
    """What happens when a handler is given these messages."""
    command = Command(argv=words_for(reference, folder), kind="lambda")
    return play(command, *TOLD, *(steps or (Deliver((1,)),)), kind="event-bus")


COUNTS = {
    "counts.mjs": "let n = 0; export const handler = async (event, context) => { console.log(`${++n} ${event.Records.length} ${context.awsRequestId.length} ${context.getRemainingTimeInMillis()}`) };",
    "counts.cjs": "let n = 0; exports.handler = (event, context, callback) => { console.log(`${++n} ${event.Records.length} ${context.awsRequestId.length} 48000`); setTimeout(() => callback(null, {}), 5); };",
    "counts.ts": "let n: number = 0; enum Kind { A } export const other = 1; export async function handler(event: { Records: unknown[] }, context: { awsRequestId: string }): Promise<void> { console.log(`${++n} ${event.Records.length} ${context.awsRequestId.length} 48000`) }",
    "counts.py": "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    print(n, len(event['Records']), len(context.aws_request_id), 48000)\n",
}


def skip_without(file: str, folder: Path) -> None:
    """TypeScript needs something that runs it, JavaScript Node."""
    if not file.endswith(".py") and NODE is None:
        pytest.skip("node is not installed")
    if file.endswith(".ts") and package("tsx", folder / file) is None and package("esbuild", folder / file) is None:
        pytest.skip("neither tsx nor esbuild is installed")


@pytest.mark.parametrize("file", COUNTS)
def test_a_handler_is_warm_until_it_is_killed(tmp_path: Path, file: str) -> None:
    skip_without(file, tmp_path)
    (tmp_path / file).write_text(COUNTS[file])
    history = invoke(tmp_path, f"{file}:handler", Deliver((1,)), Deliver((1,)), Restart(), Deliver((1,)))
    assert history.output.splitlines()[:3] == ["1 1 36 48000", "2 1 36 48000", "1 1 36 48000"]
    assert not texts(history, "raised")


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("a.mjs", "export const handler = () => { throw new RangeError('no luck') };", "RangeError: no luck"),
        ("a.mjs", "export const handler = async () => Promise.reject('a text')", "rejected with a text"),
        ("a.cjs", "exports.handler = (e, c, callback) => callback(new Error('told'))", "Error: told"),
        ("a.py", "def handler(event, context):\n    raise KeyError('run_id')\n", "KeyError: 'run_id'"),
        ("a.mjs", "export const handler = () => process.exit(3)", "exit status 3"),
        ("a.py", "import os\ndef handler(event, context):\n    os._exit(4)\n", "exit status 4"),
        ("a.mjs", "export const handler = () => ({ big: 10n })", "TypeError: Do not know how to serialize a BigInt"),
        (
            "a.py",
            "def handler(event, context):\n    return {1, 2}\n",
            "TypeError: Object of type set is not JSON serializable",
        ),
    ],
)
def test_a_handler_that_fails(tmp_path: Path, file: str, code: str, words: str) -> None:
    skip_without(file, tmp_path)
    (tmp_path / file).write_text(code)
    assert texts(invoke(tmp_path, f"{file}:handler"), "raised")[0] == words


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("a.mjs", "export const other = 1", 'a.mjs exports no function "handler"'),
        ("a.py", "handler = 5", "a.py has no function 'handler' to call"),
    ],
)
def test_an_export_that_is_no_function(tmp_path: Path, file: str, code: str, words: str) -> None:
    skip_without(file, tmp_path)
    (tmp_path / file).write_text(code)
    with pytest.raises(ConsumerError) as found:
        invoke(tmp_path, f"{file}:handler")
    assert words in str(found.value)


@pytest.mark.parametrize("file", ["a.mjs", "a.py"])
def test_a_file_that_cannot_be_loaded(tmp_path: Path, file: str) -> None:
    skip_without(file, tmp_path)
    (tmp_path / file).write_text(
        "import no_such_module from 'no-such-module'" if file == "a.mjs" else "import no_such_module"
    )
    raised = texts(invoke(tmp_path, f"{file}:handler"), "raised")[0]
    assert raised.startswith("start raised ")
    assert "no-such-module" in raised or "no_such_module" in raised


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("handler.mjs", "is not file:export. For example handler.mjs:handler"),
        ("none.mjs:handler", "there is no "),
        ("readme.md:handler", "'.md' is none of .py, .js, .mjs, .cjs, .ts, .mts, .cts"),
    ],
)
def test_a_reference_that_leads_nowhere(tmp_path: Path, reference: str, words: str) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(ConsumerError) as found:
        words_for(reference, tmp_path)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_without_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mjs").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConsumerError, match="Node is not installed \\(there is no node on the PATH\\)"):
        words_for("a.mjs:handler", tmp_path)


@pytest.fixture
def only_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder; the PATH leads to Node and to nothing else."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "node").symlink_to(str(NODE))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@needs_node
def test_without_anything_for_typescript(only_node: Path) -> None:
    (only_node / "a.ts").touch()
    told = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, told.strip("v\n").split(".")[:2])) >= STRIPS_TYPES:
        assert "--experimental-strip-types" in words_for("a.ts:handler", only_node)
        return
    with pytest.raises(ConsumerError, match=r"a.ts is TypeScript, and nothing here runs it: install tsx or esbuild"):
        words_for("a.ts:handler", only_node)


IMPORTS = """
import { twice } from "./other.js";
import { thrice } from "./third";
enum Kind { Loaded = "loaded" }
export async function handler(event: { Records: unknown[] }): Promise<void> { console.log(twice(4), thrice(4), Kind.Loaded); }
"""


@pytest.mark.parametrize("name", ["tsx", "esbuild"])
def test_typescript_with_what_is_installed_beside_it(
    only_node: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if NODE is None:
        pytest.skip("node is not installed")
    monkeypatch.undo()
    found = package("tsx", Path(__file__))
    if found is None:
        pytest.skip("tsx is not installed (it brings esbuild)")
    beside = (
        found
        if name == "tsx"
        else next((place for place in (found / "node_modules" / name, found.parent / name) if place.is_dir()), None)
    )
    if beside is None:
        pytest.skip("esbuild is not installed")
    monkeypatch.setenv("PATH", str(only_node / "bin"))
    (only_node / "node_modules").mkdir()
    (only_node / "node_modules" / name).symlink_to(beside)
    (only_node / "a.ts").write_text(IMPORTS)
    (only_node / "other.ts").write_text("export const twice = (n: number): number => 2 * n;")
    (only_node / "third.ts").write_text("export const thrice = (n: number): number => 3 * n;")
    assert name in " ".join(words_for("a.ts:handler", only_node))
    assert invoke(only_node, "a.ts:handler").output.splitlines()[0] == "8 12 loaded"


def test_what_a_handler_prints_can_be_its_target(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def handler(event, context):\n    print('Processing run: run-A')\n")
    command = Command(argv=words_for("a.py:handler", tmp_path), kind="lambda", prints=True)
    history = play(command, *TOLD, Deliver((1,)), kind="event-bus")
    assert "print" in texts(history, "crossed")
    assert consumer(command).command is command
