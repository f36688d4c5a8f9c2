"""The page of a check: what it states, why it happens, what the world does, a consumer that fails it, the repaired one.

All of it comes from the catalogue and the samples; the reports are made by playing the samples, which `docs` does.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.production import WHY

BEGIN, END = "<!-- report -->", "<!-- end of report -->"
LONGEST = 45  # lines of a class that is shown as a whole
PARTS = ("loader", "bucket_reader", "poller", "worker", "publisher", "reader")


@dataclass(frozen=True)
class Example:
    """The names of a sample that fails a check, and of a sound one that does the same right."""

    broken: str
    sound: str


EXAMPLES: dict[str, Example] = {
    "EB01": Example("remembers-the-last", "one-transaction"),
    "EB02": Example("claims-by-select", "one-transaction"),
    "EB03": Example("remembers-in-memory", "one-transaction"),
    "EB04": Example("marks-first", "one-transaction"),
    "EB05": Example("marks-in-a-second-commit", "one-transaction"),
    "EB06": Example("worker-logs-and-deletes", "worker"),
    "EB07": Example("trusts-time-to-live", "leased"),
    "EB08": Example("claims-too-briefly", "leased"),
    "EB09": Example("marks-while-leased", "leased"),
    "EB10": Example("worker-undoes-the-mark", "worker"),
    "EB11": Example("worker-stops-at-a-bad-message", "worker"),
    "EB12": Example("inbox-in-order", "one-transaction"),
    "EB13": Example("newest-only", "one-transaction"),
    "EB14": Example("keyed-by-event", "upserts"),
    "EB15": Example("worker-by-message-id", "worker"),
    "EB16": Example("needs-category", "one-transaction"),
    "EB17": Example("two-outcomes", "one-transaction"),
    "EB18": Example("waits-for-the-folder", "one-transaction"),
    "EB19": Example("reconciles-at-start", "reconciles"),
    "EB20": Example("buffers-rows", "one-transaction"),
    "EB21": Example("worker-stops-when-throttled", "worker"),
    "EB22": Example("worker-counts-receives", "worker"),
    "PO01": Example("poller-inserts", "poller-one-transaction"),
    "PO02": Example("poller-checkpoint-first", "poller-atomic-checkpoint"),
    "PO03": Example("poller-checkpoint-later", "poller-one-transaction"),
    "PO04": Example("poller-quiet-at-damage", "poller-atomic-checkpoint"),
    "PO05": Example("poller-looks-back", "poller-looks-back-and-catches-up"),
    "PO06": Example("poller-high-water-mark", "poller-one-transaction"),
    "PO07": Example("poller-items-mean-finished", "poller-one-transaction"),
    "PO08": Example("poller-stops-at-the-first", "poller-one-transaction"),
    "PO09": Example("poller-leaves-its-lock-file", "poller-locked"),
    "PO10": Example("poller-first-page", "poller-bucket"),
    "PO11": Example("poller-source-by-prefix", "poller-one-transaction"),
    "PO12": Example("poller-rereads-manifests", "poller-bucket"),
    "PO13": Example("poller-never-syncs", "poller-atomic-checkpoint"),
    "RD01": Example("file-by-file", "one-transaction"),
    "RD02": Example("first-segment", "one-transaction"),
    "RD03": Example("every-chunk", "artifacts"),
    "RD04": Example("skips-unreadable-files", "one-transaction"),
    "RD05": Example("newest-segment", "one-transaction"),
    "RD06": Example("literal-path", "one-transaction"),
    "RD07": Example("limited-lines", "one-transaction"),
    "RD08": Example("needs-items", "one-transaction"),
    "FUZZ": Example("remembers-the-last", "one-transaction"),
    "PB01": Example("publisher-before-the-run", "publisher-wrapper"),
    "PB02": Example("publisher-today", "publisher"),
    "PB03": Example("publisher-pasted", "publisher"),
    "PB04": Example("publisher-logs-and-goes-on", "publisher"),
    "PB05": Example("publisher-only-success", "publisher"),
    "PB06": Example("publisher-no-attributes", "publisher"),
}


def explanation(check: Check) -> str:
    """The page as it was written with its reports, if it is there; else what can be said without playing anything."""
    text = written(check.id) or page(check, None)
    return text.replace(BEGIN + "\n", "").replace(END + "\n", "")


def written(check_id: str) -> str | None:
    """The page with its reports: it comes with the package, or stands in the checkout it runs from."""
    package = Path(__file__).parent
    for folder in (package / "pages", package.parent / "docs" / "checks"):
        file = folder / f"{check_id}.md"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return None


def page(check: Check, report: tuple[str, str] | None) -> str:
    """The page in Markdown. `report`: what the broken sample got, and what the sound one did."""
    return "\n\n".join(_parts(check, report)) + "\n"


def without_reports(text: str) -> str:
    """A page less what only playing the samples can tell: what must be equal as long as nothing was changed."""
    parts = text.split(BEGIN)
    return parts[0] + "".join(part.partition(END)[2] for part in parts[1:])


def _parts(check: Check, report: tuple[str, str] | None) -> Iterator[str]:
    kinds = " and ".join(", ".join(check.kinds).rsplit(", ", 1))
    yield f"# {check.title}"
    yield f"{check.states}"
    yield f"*{check.severity}, for {kinds} consumers; test `{check.test_name}`*"
    if check.id in WHY:
        yield "## Why this happens in production"
        yield _filled(WHY[check.id])
    if check.own:
        yield f"A check of your own, in {check.own}." + (f" Documented at {check.docs}." if check.docs else "")
    if check.disturbance:
        yield "## What the world does"
        yield _filled(f"It {check.disturbance}.")
    if check.fix:
        yield "## The usual fix"
        yield _filled(check.fix)
    example = EXAMPLES.get(check.id)
    if example is not None:
        yield from _example(example, report)


def _example(example: Example, report: tuple[str, str] | None) -> Iterator[str]:
    broken, sound = samples()[example.broken], samples()[example.sound]
    mistake, repaired = sources(example)
    yield f"## A consumer that fails it: {broken.name}"
    yield broken.what
    yield f"```python\n{mistake}\n```"
    if report is not None:
        yield f"What the check says of it:\n\n{BEGIN}\n```text\n{report[0]}\n```\n{END}"
    yield f"## The same, done right: {sound.name}"
    yield sound.what
    yield f"```python\n{repaired}\n```"
    if report is not None:
        yield f"{BEGIN}\n{report[1]}\n{END}"


@cache
def samples() -> dict[str, Any]:
    """The samples by name."""
    from pytest_quarry.samples import SAMPLES

    return {sample.name: sample for sample in SAMPLES}


def sources(example: Example) -> tuple[str, str]:
    """The code of the mistake, and that of its place in the sound sample."""
    broken, sound = samples()[example.broken].suite(), samples()[example.sound].suite()
    name = next((part for part in PARTS if part in vars(broken)), None)
    if name is None:
        return _source(broken, ()), _source(sound, ())
    mistake, repaired = getattr(broken, name), getattr(sound, name)
    overridden = tuple(
        each for each in vars(mistake) if callable(getattr(mistake, each, None)) and hasattr(repaired, each)
    )
    return _source(mistake, ()), _source(repaired, overridden)


def _source(found: type, names: tuple[str, ...]) -> str:
    """The code of a class; of one that is long or has none of these methods itself, only those methods."""
    whole = inspect.getsource(found).rstrip()
    own = not names or any(name in vars(found) for name in names)
    if own and (not names or whole.count("\n") < LONGEST):
        return f"# {found.__module__}\n{whole}"
    methods = [inspect.getsource(getattr(found, name)).rstrip() for name in names if name != "__init__"]
    if not methods:
        return f"# {found.__module__}\n{whole}"
    owner = inspect.getmodule(getattr(found, names[-1]))
    return f"# {owner.__name__ if owner else found.__module__}\nclass {found.__name__}:\n" + "\n\n".join(methods)


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_on_hyphens=False)
