"""The pages docs/detection.md and docs/soundness.md, from what was measured."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path

from record import Found, numbers, soonest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.samples import SAMPLES

DOCS = Path(__file__).parent.parent / "docs"
SEEDS = 200  # under which a release must not accuse anybody
MADE = "Made by `benchmarks/samples.py` from the samples in `pytest_quarry/samples/`; nothing here is typed by hand."


def write(detection: dict[str, Found], soundness: dict[str, Found], search: dict[str, Found]) -> None:
    """Both pages."""
    (DOCS / "detection.md").write_text(detected(detection, search), encoding="utf-8")
    (DOCS / "soundness.md").write_text(cleared(soundness), encoding="utf-8")


def detected(found: dict[str, Found], search: dict[str, Found]) -> str:
    """Every broken sample with each check that must catch it."""
    broken = [sample for sample in SAMPLES if not sample.sound]
    lines, schedules, steps = [], [], []
    for sample in broken:
        for check in sample.caught_by:
            what = found.get(sample.name, {}).get(check)
            numbers_of = "not measured | | |"
            if what is not None and what["status"] != "failed":
                numbers_of = "**got away** | | |"
            elif what is not None:
                schedules.append(what["schedules"])
                steps.append(what["steps"])
                numbers_of = f"{what['schedules']} | {what['until_found']} | {what['executions']} | {what['steps']}"
            profile = "core" if BY_ID[check].severity == "critical" else "full"
            lines.append(f"| {sample.name} | {sample.what} | [{check}](checks/{check}.md) | {profile} | {numbers_of} |")
    in_core = sum(any(BY_ID[check].severity == "critical" for check in sample.caught_by) for sample in broken)
    gone = got_away(found)
    head = [
        "# What the kit finds",
        MADE,
        f"{len(broken)} consumers, each with one mistake, written as a working engineer would write them. `--quarry-profile "
        f"core` convicts {in_core} of them, `full` the others; {len(gone)} got away.",
        "*Schedules*: how many the check tried until one failed. *Until found*: executions up to there, those that only look "
        "for crash points and interleavings included. *In all*: with those that made the failing schedule smaller. *Steps*: "
        "how many the reported schedule has, storing the run and announcing it included.",
    ]
    if schedules:
        head.append(
            f"Half of these pairs are convicted by their {statistics.median_high(schedules)}. schedule or earlier; half of the "
            f"reported schedules have {statistics.median_high(steps)} steps or fewer, the largest {max(steps)}."
        )
    head += compared(found, search)
    columns = ["sample", "mistake", "check", "profile", "schedules", "until found", "in all", "steps"]
    return page(head, columns, lines)


def compared(found: dict[str, Found], search: dict[str, Found]) -> Iterator[str]:
    """How soon, beside the ways that people have without the kit, of those that benchmarks/search.py measured."""
    both = {name: (count, what) for name, what in search.items() if (count := soonest(found.get(name, {}))) is not None}
    if not both:
        return
    each = [what for _, what in both.values()]
    whole = [what["suite"] for what in each if what["suite"]]
    lists = [what["lists"] for what in each if what["lists"]]
    yield (
        f"Beside other ways (`benchmarks/search.py`, {len(both)} of the samples): half are convicted by the "
        f"{statistics.median_high([count for count, _ in both.values()])}. execution of their check, or by the "
        f"{statistics.median_high(whole)}. of a run of the whole suite. The test that everybody writes, each message twice, "
        f"convicts {sum(what['naive'] for what in each)}; plain Hypothesis over random lists of the same steps convicts "
        f"{len(lists)} within 200 examples."
    )


def cleared(found: dict[str, Found]) -> str:
    """Every sound sample, and what the checks said of it."""
    sound = [sample for sample in SAMPLES if sample.sound]
    known = [found[sample.name] for sample in sound if found.get(sample.name)]
    each = [len(numbers(what["seeds"])) for what in known]
    in_turn = [len(numbers(what.get("in_turn", ""))) for what in known]
    reasons: dict[str, list[str]] = {}
    lines = []
    for sample in sound:
        what, kind = found.get(sample.name), ""
        with contextlib.suppress(ImportError):  # of a library that is not installed; programs are not needed to tell
            kind = sample.suite().kind
        if not what:
            lines.append(f"| {sample.name} | {sample.what} | {kind} | not measured | | | | |")
            continue
        for check, reason in what["skipped"].items():
            reasons.setdefault(f"{check}: {reason}", []).append(sample.name)
        lines.append(
            f"| {sample.name} | {sample.what} | {kind} | {what['passed']} | {' '.join(what['skipped'])} | "
            f"{what['seeds']} | {what['executions']:,} | {len(what['accused'])} |"
        )
    accusations = accused(found)
    head = [
        "# Whom the kit does not accuse",
        MADE,
        f"{len(sound)} consumers that are right, in the styles people write. Every check of `--quarry-profile full` (but the "
        "drawn schedules of `test_fuzz`) is held against each of them under several seeds: other run ids, other randomness in "
        f"the consumer. **{len(accusations)} accusations**, in {sum(each):,} rounds of all checks, "
        f"{sum(what['executions'] for what in known):,} executions.",
        f"A release plays {SEEDS} seeds of each: `benchmarks/samples.py --seeds 0:{SEEDS}`, on as many machines as there are, by "
        f"`--shard`. Played so far: {min(each, default=0)} to {max(each, default=0)} of them, as the column *seeds* says.",
        f"Between these, each meets one check under each further seed, every time the next one, so that all of {SEEDS} seeds are "
        f"met sooner (`--in-turn`): {sum(in_turn):,} checks so far, those that are skipped counted, under {min(in_turn, default=0)} to "
        f"{max(in_turn, default=0)} seeds each, {sum(what.get('executions_in_turn', 0) for what in known):,} executions.",
        *(f"**{accusation}**" for accusation in accusations),
    ]
    columns = ["sample", "what it does", "kind", "checks passed", "skipped", "seeds", "executions", "accusations"]
    text = page(head, columns, lines)
    why = [f"- {reason} ({', '.join(names)})" for reason, names in sorted(reasons.items())]
    return text + "\n" + "\n\n".join(["## Why a check was skipped", "\n".join(why)]) + "\n"


def page(head: list[str], columns: list[str], lines: list[str]) -> str:
    """Paragraphs, then a table."""
    table = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *lines]
    return "\n\n".join([*head, "\n".join(table)]) + "\n"


def got_away(found: dict[str, Found]) -> list[str]:
    """Which checks did not convict a broken sample that they must."""
    return [
        f"{name} {check}"
        for name, checks in found.items()
        for check, what in checks.items()
        if what["status"] != "failed"
    ]


def accused(found: dict[str, Found]) -> list[str]:
    """Which sound samples were accused, by which check, under which seed, and of what."""
    return [
        f"{name}, {where}: {words}" for name, what in found.items() for where, words in what.get("accused", {}).items()
    ]
