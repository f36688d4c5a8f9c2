"""A publisher that announces nothing, undisturbed: what to look at."""

from __future__ import annotations

from pytest_quarry.checks.publishing_oracles import said
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History


def of_publisher(history: History, consumer: Consumer, run_id: str) -> Verdict | None:
    """Why nothing can be said of this publisher, if so: it announces nothing, or does not execute the run it wraps."""
    executed = any(entry.what == "crossed" and entry.text.startswith("quarry run ") for entry in history.entries)
    announced = any(message.truth.run_id == run_id for message in said(history))
    if announced and consumer.wraps_run and not executed:
        return _doubt(
            f"The publisher announced {run_id} and never ran it: publish(run) did not call run.execute().",
            f"{consumer.name} declares wraps_run = True. Call run.execute() where the wrapper calls `quarry run`, or remove "
            "the declaration if the run is over when publish(run) is called.",
        )
    if announced:
        return None
    return _doubt(
        "The publisher did nothing where something was due: publish(run) was called for "
        f"{run_id}, undisturbed, and world.topic_arn took no message about it.",
        _why(history, consumer),
    )


def _why(history: History, consumer: Consumer) -> str:
    entries = history.entries
    last = {entry.what: entry.text for entry in entries}
    published = [entry.published for entry in entries if entry.published is not None]
    elsewhere = [publication.topic for publication in published if not publication.ours]
    if "hung" in last:
        return f"It did not come back: {last['hung']}."
    if last.get("raised", "").startswith("start raised"):
        error = last["raised"].removeprefix("start raised ")
        return f"{consumer.name}.start(world) raised {error}. It must return a publisher that is ready to take a run."
    if elsewhere:
        return f"It published to {elsewhere[0]}, not to world.topic_arn."
    if published:
        return (
            f"It published {len(published)} of another event_type: consumers look for run_completed and skip the rest. The "
            f"first begins {published[0].text[:80]!r}."
        )
    if "raised" in last:
        return f"It raised {last['raised']}."
    if "ended" in last:
        return f"It ended {last['ended']}."
    if not any(entry.what == "crossed" and "sns." in entry.text for entry in entries):
        return (
            "It made no call to SNS that the kit can see: publish with boto3 to world.topic_arn, inside publish(run), and wait "
            "for threads and tasks before it returns. Other programs (`aws sns publish`) and HTTP libraries are not seen."
        )
    return "Each call to SNS failed, and it came back as if all were well."


def _doubt(sentence: str, why: str) -> Verdict:
    # Braces in a text of the consumer's are no places: `why` names no entries here, so it is shown as it is.
    return Verdict(status="inconclusive", oracle="", sentence=sentence, why=why)
