"""The oracles of publishers: what they announced, when, in what words, and whether they announced it at all.

B nothing before the run is visible, T what is said is true, J the message is JSON and its ids intact, N announced or a loud
failure, O with its outcome, A with its attributes. Like the others they look at a history and at nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.contract import ContractError, parse_notification
from pytest_quarry.contract.notification import EVENT_TYPE
from pytest_quarry.simulation.history import Entry, History, Publication, Truth

Letter = Literal["B", "T", "J", "N", "O", "A"]
ENDLESS = ("from then on", "for ever")
IDS = ("run_id", "source", "category", "job_id")


@dataclass(frozen=True)
class Said:
    """One message about a run: the entry that tells of it, and what it holds; `fault` where that is no JSON object."""

    at: int
    truth: Truth
    publication: Publication
    fields: Mapping[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Turn:
    """One call of publish(run): the entries from the call to its end."""

    start: int
    run_id: str
    entries: tuple[Entry, ...]


def said(history: History) -> Iterator[Said]:
    """The notifications of runs that the world's topic took and sent on; messages of another event_type are none."""
    asked = ""
    for at, entry in enumerate(history.entries):
        asked = entry.text if entry.what == "asked" else asked
        publication = entry.published
        if publication is None or not publication.ours or publication.swallowed or asked not in history.truths:
            continue
        fields, fault = _read(publication.text)
        if fields.get("event_type", EVENT_TYPE) != EVENT_TYPE:
            continue
        named = fields.get("run_id")
        about = named if isinstance(named, str) and named in history.truths else asked
        yield Said(at, history.truths[about], publication, fields, fault)


def _read(text: str) -> tuple[Mapping[str, Any], str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON ({error})"
    return (found, "") if isinstance(found, dict) else ({}, f"it is a JSON {type(found).__name__}, not an object")


def turns(history: History) -> Iterator[Turn]:
    """The calls of publish(run), in their order."""
    starts = [at for at, entry in enumerate(history.entries) if entry.what in ("asked", "settling")]
    for number, start in enumerate(starts):
        if history.entries[start].what == "asked":
            end = starts[number + 1] if number + 1 < len(starts) else len(history.entries)
            yield Turn(start, history.entries[start].text, history.entries[start:end])


def not_before(history: History, told_only: bool) -> Iterator[Verdict]:
    """B: at no publish the run is invisible, or visible only in part."""
    for message in said(history):
        state = dict(message.publication.states).get(message.truth.run_id, "nowhere")
        if state == message.truth.state and state not in ("nowhere", "running", "uncommitted"):
            continue
        held = {"running": "only a part", "uncommitted": "nothing committed"}.get(state, "nothing")
        what = f"{_name(message.truth)} was announced before it was visible: storage held {held} of it."
        written = [at for at, entry in enumerate(history.entries) if entry.what == "wrote" and at > message.at]
        failed = [at for at, entry in enumerate(history.entries) if entry.what == "failed" and at < message.at]
        if written:
            why = "The message of step {1} was out before Quarry had written the run, at step {0}."
            yield _violated("B", message, what, why, written[0])
        elif failed:
            why = "At step {0} the run came to nothing, and step {1} announced it all the same."
            yield _violated("B", message, what, why, failed[-1])
        else:
            yield _violated("B", message, what, "Nothing had written the run by step {0}.")


def truth(history: History, told_only: bool) -> Iterator[Verdict]:
    """T: the message is one of Quarry's, and each field it has says what is so; `category` may be missing."""
    why = (
        "Whoever gets the message of step {0} and believes it looks in a wrong place, or does what should not be done."
    )
    for message in said(history):
        run, fields = message.truth, message.fields
        try:
            parse_notification(fields)
        except ContractError as error:
            fault = message.fault or str(error)
            yield _violated("T", message, f"What announces {_name(run)} is no notification of Quarry: {fault}.", why)
            continue
        for name in ("run_id", "source", "category", "day", "job_id", "attempt", "event_count"):
            found, true = fields.get(name), getattr(run, name)
            if found is not None and found != true:
                where = "storage has it under" if name in ("source", "category", "day") else "it is"
                what = f"{_name(run)} was announced with {name} {_shown(found)}; {where} {_shown(true)}."
                yield _violated("T", message, what, why)
        if not _is_outcome(fields["outcome"], run):
            yield _wrong_outcome("T", message, why)
        if fields["storage_path"].rstrip("/") not in run.storage_paths:
            what = f"{_name(run)} was announced with storage_path {_shown(fields['storage_path'])}; it is in "
            yield _violated("T", message, f"{what}{_shown(run.storage_paths[0])}.", why)


def intact(history: History, told_only: bool) -> Iterator[Verdict]:
    """J: the message is a JSON object, and its ids are the run's, to the character."""
    for message in said(history):
        run = message.truth
        if message.fault:
            what = f"What announces {_name(run)} cannot be read: {message.fault}. It is {_shown(message.publication.text)}."
            yield _violated("J", message, what, "No consumer can parse the message of step {0}.")
        for name in () if message.fault else IDS:
            found, true = message.fields.get(name), getattr(run, name)
            if found != true and (found is not None or name in ("run_id", "source")):
                what = f"{name} {_shown(true)} came out as {_shown(found)}."
                yield _violated("J", message, what, "The message of step {0} names what does not exist.")


def announced(history: History, told_only: bool) -> Iterator[Verdict]:
    """N: each run is announced at least once; where publishing failed, a loud failure does too."""
    told = {message.truth.run_id for message in said(history)}
    for turn in turns(history):
        if (
            turn.run_id in told
            or any(entry.what == "killed" for entry in turn.entries)
            or _came_to_nothing(history, turn)
        ):
            continue
        name = _name(history.truths[turn.run_id])
        broke = _broken(history, turn)
        hung = next((entry for entry in turn.entries if entry.what == "hung"), None)
        endless = broke is not None and history.entries[broke].text.endswith(ENDLESS)
        loud = next((entry for entry in turn.entries if _is_loud(entry)), None)
        if hung is not None and not endless:
            sentence = f"{name} was not announced: publish(run) does not come back: {hung.text}."
        elif hung is not None or (loud is not None and broke is not None):
            continue
        elif loud is not None:
            sentence = f"{name} was not announced: publish(run) {_loud(loud)}, though nothing had failed."
        else:
            sentence = _quiet(history.truths[turn.run_id], turn, broken=broke is not None)
        yield _unannounced(turn, sentence, broke)


def _came_to_nothing(history: History, turn: Turn) -> bool:
    """Whether Quarry could not be run, so that there is nothing to announce."""
    could_not = any(entry.what == "failed" and entry.text.startswith("quarry run ") for entry in turn.entries)
    return could_not and history.truths[turn.run_id].state == "nowhere"


def _quiet(run: Truth, turn: Turn, *, broken: bool) -> str:
    if any(entry.published is not None and entry.published.swallowed for entry in turn.entries):
        return (
            f"{_name(run)} ({run.outcome}) was never announced: SNS swallowed its message, having taken one of the same "
            "MessageDeduplicationId within five minutes. Let that be the run's own, a hash of its run_id for one."
        )
    ended = any(entry.what == "ended" for entry in turn.entries)
    how = "its process ended with status 0" if ended else "publish(run) came back as if all were well"
    if broken:
        return f"{_name(run)} was never announced, and nothing says so: publishing failed, and {how}."
    return f"{_name(run)} ({run.outcome}) was never announced: {how}, and SNS had taken no message about it."


def _unannounced(turn: Turn, sentence: str, broke: int | None) -> Verdict:
    why = "Called at step {0}, it left the run durable and nobody told."
    if broke is not None:
        why = "From step {1} on publishing failed; called at step {0}, it left the run durable and nobody told."
    return Verdict(
        status="violated",
        oracle="N",
        sentence=sentence,
        why=why,
        entries=(turn.start,) if broke is None else (turn.start, broke),
        here=turn.start,
        run_id=turn.run_id,
    )


def _broken(history: History, turn: Turn) -> int | None:
    """The entry from which on something is broken in this turn."""
    for at in range(turn.start, -1, -1):
        if history.entries[at].what in ("broke", "healed"):
            return at if history.entries[at].what == "broke" else None
    return None


def _is_loud(entry: Entry) -> bool:
    return entry.what == "raised" or (entry.what == "ended" and not entry.text.endswith("with status 0"))


def _loud(entry: Entry) -> str:
    return f"raised {entry.text}" if entry.what == "raised" else f"ended {entry.text}"


def outcome(history: History, told_only: bool) -> Iterator[Verdict]:
    """O: the message names the run's outcome; Quarry's published examples call all that is no success `error`."""
    for message in said(history):
        if not _is_outcome(message.fields.get("outcome"), message.truth):
            yield _wrong_outcome("O", message, "Consumers decide by the outcome that the message of step {0} names.")


def _is_outcome(found: Any, run: Truth) -> bool:
    return bool(found == run.outcome or (found == "error" and run.outcome != "success"))


def _wrong_outcome(letter: Letter, message: Said, why: str) -> Verdict:
    run = message.truth
    found = message.fields.get("outcome")
    announced_as = "without an outcome" if found is None else f"as {_shown(found)}"
    sentence = f"{_name(run)} ended with {_shown(run.outcome)} and was announced {announced_as}."
    return _violated(letter, message, sentence, why)


def attributes(history: History, told_only: bool) -> Iterator[Verdict]:
    """A: the attributes run_id, source and outcome are there, of type String, and true."""
    for message in said(history):
        found = {name: (kind, value) for name, kind, value in message.publication.attributes}
        for name in ("run_id", "source", "outcome"):
            fault = _attribute_fault(name, found, message.truth)
            if fault:
                sentence = f"The message about {_name(message.truth)} {fault}."
                yield _violated("A", message, sentence, "Subscriptions that filter by it miss the message of step {0}.")


def _attribute_fault(name: str, found: Mapping[str, tuple[str, str]], run: Truth) -> str:
    if name not in found:
        return f"has no attribute {name}; it has {', '.join(sorted(found)) or 'none'}"
    kind, value = found[name]
    if kind.partition(".")[0] != "String":
        return f"has the attribute {name} as {kind}, not as String"
    true = getattr(run, name)
    right = _is_outcome(value, run) if name == "outcome" else value == true
    return "" if right else f"has the attribute {name} {_shown(value)}; it is {_shown(true)}"


def _violated(letter: Letter, message: Said, sentence: str, why: str, *before: int) -> Verdict:
    return Verdict(
        status="violated",
        oracle=letter,
        sentence=sentence,
        why=why,
        entries=(*before, message.at),
        here=message.at,
        run_id=message.truth.run_id,
    )


def _name(run: Truth) -> str:
    """A run id in a sentence: quoted where it would not stand out."""
    return run.run_id if run.run_id.isprintable() and " " not in run.run_id else repr(run.run_id)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
