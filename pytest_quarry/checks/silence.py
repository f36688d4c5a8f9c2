"""A consumer that loads or announces nothing that is known, undisturbed: what to look at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from pytest_quarry.checks import doubts
from pytest_quarry.checks.publishing_oracles import said
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.at_work import threads_of_libraries
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.protocol import UNSEEN
from pytest_quarry.simulation.history import Entry, History, RunView


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
        return _hung(last["hung"])
    if last.get("raised", "").startswith("start raised"):
        error = last["raised"].removeprefix("start raised ")
        return f"{consumer.name}.start(world) raised {error}. It must return a publisher that is ready to take a run."
    if elsewhere:
        return f"It published to {elsewhere[0]}, not to world.topic_arn."
    if any(publication.swallowed for publication in published):
        return (
            "The FIFO topic swallowed its message: it had taken another of that MessageDeduplicationId within five minutes. Let "
            "that be the message's own."
        )
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
            "for threads and tasks before it returns. Other programs (`aws sns publish`) and HTTP libraries are seen at "
            "world.endpoint.url."
        )
    return "Each call to SNS failed, and it came back as if all were well."


def of_loader(history: History, consumer: Consumer, run_id: str) -> Verdict:
    """Why nothing can be said of a handler, Lambda function, worker or poller that loads nothing."""
    name = consumer.name
    turn = "polled for" if consumer.kind == "poller" else "delivered"
    what = [entry.what for entry in history.entries]
    raised = [entry.text for entry in history.entries if entry.what == "raised"]
    if history.peeked:
        why = _of_rows_elsewhere(history, name)
    elif raised and raised[0].startswith("start raised"):
        error = raised[0].removeprefix("start raised ")
        why = f"{name}.start(world) raised {error}, each time. It must return a consumer that is ready to take turns."
    elif raised and "'Records'" in raised[0] and consumer.kind == "event-bus":
        why = (
            f"It raised {raised[0]}, each time: it looks for the records of a Lambda event, and was given a notification, as "
            "its parameters do not say that it is a Lambda function. Declare them as (event, context)."
        )
    elif raised:
        why = f"It raised {raised[0]}, each time. Wrong path, or wrong layout (it is {consumer.layout!r} here)?"
    elif "hung" in what:
        why = _hung(next(entry.text for entry in history.entries if entry.what == "hung"))
    elif "ended" in what and "returned" not in what:
        ended = next(entry.text for entry in history.entries if entry.what == "ended")
        why = (
            f"It ended {ended}, each time: sys.exit, os._exit, a crash, or an exception that is no Exception, such as "
            "KeyboardInterrupt and asyncio.CancelledError. To refuse a message, raise an Exception." + _forked()
        )
    elif database := _uncommitted(history):
        why = (
            f"It wrote to {database} and never committed, so that SQLite took it back. Call connection.commit(), or write "
            "within `with connection:`."
        )
    elif history.servers and not any(entry.changed for entry in history.entries if entry.what == "crossed"):
        why = f"It changed nothing.{doubts.of_servers(history)} A mark that another world left would be in its way."
    elif not any(entry.changed for entry in _in_turns(history)):
        why = (
            "It changed nothing in its turns: no file under world.disk, no database there, no AWS call, no world.target. Does it write "
            "elsewhere (a relative path is one in the folder that pytest was started in), follow a "
            f"wrong path or layout (here {consumer.layout!r}), leave its work to a thread or task and return before it is done, or take only other sources than {', '.join(consumer.sources)} "
            f"or other categories than {', '.join(consumer.categories)}?"
        )
    else:
        why = f"It did change things, but {name}.rows(world) returned no rows. Does rows read the same file and table?"
    return _doubt(
        f"The consumer did nothing where something was due: {run_id} was {turn}, undisturbed, and no row came.", why
    )


def _of_rows_elsewhere(history: History, name: str) -> str:
    """Rows that its own process sees: those of its memory, or what came when nobody waited for it any more."""
    if history.late:
        return (
            f"The rows came when the turn was over: rows(world) returned none then, and {history.late} a moment later, as if a child "
            "process or a thread of the consumer's went on. What was acknowledged is not delivered again if that dies: wait for it before "
            "the turn ends."
        )
    return (
        f"Inside the consumer's process {name}.rows(world) returns {history.peeked} rows, outside it none: it reads the "
        "memory of the process. Each consumer runs in a process of its own and its memory is gone after a crash; keep "
        "the target in SQLite, in files under world.disk, in AWS or in world.target."
    )


def _in_turns(history: History) -> Iterator[Entry]:
    """What it did when it was told or polled, and not what its start did."""
    entries = itertools.dropwhile(lambda entry: entry.what not in ("delivered", "polled"), history.entries)
    return (entry for entry in entries if entry.what == "crossed")


def _uncommitted(history: History) -> str:
    """The database of a transaction in which it wrote, where it never ended one; else nothing."""
    said = [entry.text.split() for entry in _in_turns(history) if entry.text.startswith("sqlite ")]
    verbs = {words[1] for words in said}
    if "BEGIN" not in verbs or verbs & {"COMMIT", "END"}:
        return ""
    return next((words[-1] for words in said if words[1] in ("INSERT", "REPLACE", "UPDATE", "DELETE")), "")


def of_names(history: History, consumer: Consumer, due: Mapping[str, RunView]) -> Verdict | None:
    """Why nothing can be said where the suite's rows and the runs in storage share no name: not a run, or not an item."""
    name = consumer.name
    wanted = [view for view in due.values() if view.items]
    rows = [row for row in history.rows if row.run_id in due]
    if wanted and not rows:
        return _doubt(
            f"The rows are of no run that exists: {name}.rows(world) names {_some({row.run_id for row in history.rows})}; "
            f"what was loaded, undisturbed, is {_some({view.run_id for view in wanted})}.",
            "A row's run_id is the id of its run, as its notification and its events in storage have it.",
        )
    if not wanted and not rows:
        return _of_nothing_due(history, consumer, due)
    keys = [item for view in wanted for item in view.items]
    items, found = set(keys), {row.item for row in rows if row.item is not None}
    as_many = len(found) == len(items) or len(rows) == len(keys)  # one key for many items is a name that rows lack, too
    if items and as_many and not found & items and all(row.item is not None for row in rows):
        hook = "expected(run)" if consumer.expected is not None else "item_key(event)"
        return _doubt(
            f"Rows and suite name items differently, so nothing can be compared: {name}.rows(world) calls them "
            f"{_some(found)}, {name}.{hook} {_some(items)}.",
            "An item is named by event_id unless the suite says otherwise. Let rows give that as item, or override "
            'item_key(event) to return what rows has: event.data["sku"], say, where that is unique in a run.',
        )
    return None


def _of_nothing_due(history: History, consumer: Consumer, due: Mapping[str, RunView]) -> Verdict | None:
    """Why nothing can be said where the suite lets nothing be due: by what it expects, or by what is held back."""
    name, finished = consumer.name, [view for view in history.views.values() if view.state == "finished"]
    if not finished or (due and consumer.expected is None):
        return None
    run_id, returned = finished[0].run_id, "no keys" if due else "None"
    head = f"Nothing was due where something should be: {name}"
    if finished[0].standing == "due" and not due:
        return _doubt(
            f"{head}.filter_policy held the notification of {run_id} back, and the consumer is told of no other.",
            f"The runs of most checks are of {consumer.sources[0]!r} and {consumer.categories[0]!r}, as this one. Declare sources and "
            "categories of which the policy lets notifications through.",
        )
    return _doubt(
        f"{head}.expected(run) returned {returned} for {run_id}, a finished run with items.",
        "Most checks have runs like it, so nothing can be compared. Return the keys of the items that are to be loaded; None "
        "says of a run that it is not. Is the return missing?",
    )


def _hung(how: str) -> str:
    """It may be slow, where nothing was seen; who goes round in circles has no use for more time."""
    return f"It did not come back: {how}." + (f" {doubts.PATIENCE}" if UNSEEN in how else "") + _forked()


def _forked() -> str:
    """What the consumer's process may lack: it is a fork of this one."""
    threads = threads_of_libraries()
    if not threads:
        return ""
    return (
        f"\nIt is a fork of the test's process, in which a library has threads of its own ({_some(threads)}): they are not in the "
        "fork, and the library may wait for them for ever, or refuse to work. Use it in the consumer alone, not at import, in "
        "prepare(world) or in rows(world)."
    )


def _some(names: Iterable[object]) -> str:
    """A few of many names."""
    shown = sorted(map(repr, names))
    return ", ".join(shown[:3]) + (" …" if len(shown) > 3 else "")


def _doubt(sentence: str, why: str) -> Verdict:
    # Braces in a text of the consumer's are no places: `why` names no entries here, so it is shown as it is.
    return Verdict(status="inconclusive", oracle="", sentence=sentence, why=why)
