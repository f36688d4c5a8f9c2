"""What the world does to pollers: the schedules of each check, smallest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_quarry.checks import alike
from pytest_quarry.checks.failures import LISTING, breaks, idle, operations
from pytest_quarry.checks.stage import Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import (
    Break,
    Damage,
    Heal,
    Litter,
    PlannedRun,
    Poll,
    Schedule,
    Step,
    Wait,
    Write,
)

HOUR, DAY = 3_600, 86_400
LATE = 23 * DAY  # as late as the run of 10 January is on 2 February
# The writer died here: nothing of the run is committed.
DEAD = ("w1b", "w1c", "w1", "w2", "w3")
# The writer is still here, and goes on: the manifest becomes whole, the copies follow.
PASSING = ("w4b", "w4", "w5", "w6", "w6b", "w6r", "w6br")


def poll_again(stage: Stage) -> Iterator[Schedule]:
    """PO01: polls again and again, nothing new, also after a month; then something new, and again."""
    first, second = stage.run("A"), stage.run("B", items=1)
    yield stage.schedule([first], [Write(first.run_id), Poll(), Poll()])
    yield stage.schedule([first], [Poll(), Write(first.run_id), *[Poll()] * 4])
    steps: list[Step] = [Write(first.run_id), Poll(), Poll(), Write(second.run_id), Poll(), Poll()]
    yield stage.schedule([first, second], steps)
    # Marks that expire: the run is in storage for ever.
    yield stage.schedule([first], [Write(first.run_id), Poll(), Wait(40 * DAY), Poll(), Poll()])


def downtime(stage: Stage) -> Iterator[Schedule]:
    """PO05: runs finish while the poller is down, for longer than anybody's look-back window; then it is up, and days pass."""
    first, second = stage.run("A"), stage.run("B", items=2)
    for seconds in (2 * HOUR, 2 * DAY, 40 * DAY):
        steps: list[Step] = [Write(first.run_id), Poll(), Write(second.run_id), Wait(seconds), Poll()]
        yield stage.schedule([first, second], steps)
    yield stage.schedule([first], [Write(first.run_id), Wait(40 * DAY), Poll()])
    later = stage.run("B", items=2, day="2026-02-04")
    steps = [Write(first.run_id), Poll(), Wait(2 * DAY), Write(later.run_id), Poll()]
    yield stage.schedule([first, later], steps)


def late_and_tied(stage: Stage) -> Iterator[Schedule]:
    """PO06: an old day appears late, also one that had runs before; equal timestamps; clocks that are off; a long run that ends after a short one."""
    first, second = stage.run("A"), stage.run("B", items=2)
    old = stage.run("B", items=2, day="2026-01-10")
    yield stage.schedule([first, old], [Write(first.run_id), Poll(), Write(old.run_id), Poll()])
    steps: list[Step] = [Write(first.run_id), Poll(), Wait(LATE), Poll(), Write(second.run_id), Poll()]
    yield stage.schedule([first, second], steps)
    for clock in (0, -1, -2, -HOUR, -2 * DAY, HOUR):
        steps = [Write(first.run_id), Write(second.run_id, clock=clock), Poll()]
        yield stage.schedule([first, second], steps)
        yield _one_after_the_other(stage, first, second, clock)
    yield _one_after_the_other(stage, stage.run("B"), stage.run("A", items=2), -1)
    slow = stage.run("B", items=2)
    steps = [Write(slow.run_id, "before"), Write(first.run_id), Poll(), Wait(HOUR), Write(slow.run_id), Poll()]
    yield stage.schedule([first, slow], steps)


def _one_after_the_other(stage: Stage, first: PlannedRun, second: PlannedRun, clock: int) -> Schedule:
    # One second and a few boundaries pass at the first poll: a clock that lags as much makes the times equal.
    return stage.schedule([first, second], [Write(first.run_id), Poll(), Write(second.run_id, clock=clock), Poll()])


def committed_only(stage: Stage) -> Iterator[Schedule]:
    """PO07: running runs, failed ones, one that is tried again, and every window of the commit protocol: first dead for good, then passed through."""
    good = stage.run("A")
    for policy in ("strict", "buffered"):
        run = stage.run("B", items=2, policy=policy)
        yield _passing(stage, good, run, Write(run.run_id, "before"))
    run = stage.run("B", items=3, policy="strict")
    yield _passing(stage, good, run, Write(run.run_id, "before", flush=2))
    for outcome in (Outcome.SCRIPT_ERROR, Outcome.EXECUTOR_CRASH):
        failed = stage.run("B", items=2, outcome=str(outcome))
        yield stage.schedule([good, failed], [Write(good.run_id), Write(failed.run_id), Poll()])
    before, failed, retry = alike.retried(stage)
    steps: list[Step] = [Write(before.run_id), Poll(), Write(failed.run_id), Write(retry.run_id), Poll()]
    yield stage.schedule([before, failed, retry], steps)
    if stage.consumer.layout == "flat":
        return
    for policy in ("buffered", "strict"):
        run = stage.run("B", items=2, policy=policy)
        for window in DEAD:
            steps = [Write(good.run_id), Write(run.run_id, window), Poll(), Poll()]
            yield stage.schedule([good, run], steps)
        for window in (*DEAD, *PASSING):
            yield _passing(stage, good, run, Write(run.run_id, window))


def _passing(stage: Stage, good: PlannedRun, run: PlannedRun, stopped: Write) -> Schedule:
    steps: list[Step] = [Write(good.run_id), stopped, Poll(), Write(run.run_id), Poll()]
    return stage.schedule([good, run], steps)


DAMAGES = ("missing", "empty", "cut", "garbage", "older")
WRITTEN_FILE = re.compile(r"(?:open|write|sqlite connect) (?!tmp/)(.+)|rename .+ → (?!tmp/)(.+)")
MANY = 135  # runs whose files are more than the 1,000 keys of one page


def damaged_checkpoint(stage: Stage) -> Iterator[Schedule]:
    """PO04: each file the poller keeps is lost, emptied, cut, garbled, set back, unreadable for a while."""
    first, second, third = stage.run("A"), stage.run("B", items=2), stage.run("C", items=1)
    runs = [first, second, third]
    before: list[Step] = [Write(first.run_id), Poll(), Write(second.run_id), Poll()]
    after: list[Step] = [Write(third.run_id), Poll(), Poll()]
    for file in _files(stage.history(stage.schedule(runs, [*before, *after]))):
        for how in DAMAGES:
            yield stage.schedule(runs, [*before, Damage(file, how), *after])  # type: ignore[arg-type]
        yield stage.schedule(runs, [*before, Break(f"read {file}", "EACCES"), *after, Heal()])


def _files(history: History) -> list[str]:
    """The files that a poller wrote, on its disk or beside the runs, in the order it first did."""
    found: dict[str, None] = {}
    for entry in history.entries:
        match = WRITTEN_FILE.fullmatch(entry.text) if entry.what == "crossed" else None
        if match:
            found[match[1] or match[2]] = None
    return list(found)


def failing_run(stage: Stage) -> Iterator[Schedule]:
    """PO08: the files of one run cannot be read, for one poll and for ever; the others can. Then, from each operation of a poll on,
    everything of its kind fails until that poll is over; the next one finds another run too. At last the same for a poll in which
    nothing is new."""
    first, broken, third = stage.run("A"), stage.run("B", items=2), stage.run("C", items=1)
    runs = [first, broken, third]
    read, error = ("s3.GetObject", "503") if stage.consumer.storage == "s3" else ("read storage/", "EIO")
    at = f"{read}*run_id={broken.run_id}/"
    written: list[Step] = [Write(first.run_id), Write(broken.run_id)]
    yield stage.schedule(runs, [*written, Break(at, error), Poll(), Heal(), Write(third.run_id), Poll()])
    yield stage.schedule(runs, [Break(at, error, lasting=True), *written, Poll(), Write(third.run_id), Poll()])
    one = stage.loaded(stage.run("A", items=2))
    for fault in breaks(operations(stage, stage.history(one))):
        steps: list[Step] = [*one.steps[:-1], fault, Poll(), Heal(), Write(third.run_id), Poll()]
        yield stage.schedule([*one.runs, third], steps)
    for fault in breaks((label, 1) for label in idle(stage, stage.history(one))):
        yield stage.schedule([*one.runs, third], [*one.steps, fault, Poll(), Heal(), Write(third.run_id), Poll()])


def listing_faults(stage: Stage) -> Iterator[Schedule]:
    """PO10: more files than one page of a listing holds; on S3 short pages, a listing that lags, an error at each page."""
    if stage.consumer.storage == "s3":
        first, second, third = stage.run("A"), stage.run("B", items=2), stage.run("C", items=1)
        pieces = Break(LISTING, "pieces", lasting=True)
        yield stage.schedule([first], [pieces, Write(first.run_id), Poll()])
        three = [first, second, third]  # more folders than a page of them holds
        yield stage.schedule(three, [pieces, *(Write(run.run_id) for run in three), Poll()])
        lags = Break(LISTING, "lag", containing=stage.prefix)
        steps: list[Step] = [Write(first.run_id), lags, Write(second.run_id), Poll(), Heal(), Poll()]
        yield stage.schedule([first, second], steps)
    runs = [stage.run(f"{number:03}", items=1, policy="buffered") for number in range(MANY)]
    written: list[Step] = [Write(run.run_id) for run in runs]
    yield stage.schedule(runs, [*written, Poll()])
    if stage.consumer.storage != "s3":
        return
    for page in range(3):
        broken = Break(LISTING, "503", skip=page)
        schedule = stage.schedule(runs, [*written, broken, Poll(), Heal()])
        yield schedule
        if stage.history(schedule).unreached:
            return


def exact_keys(stage: Stage) -> Iterator[Schedule]:
    """PO11: run ids, sources and files that look like others, and categories where some are declared; foreign files and decoys."""

    def met(pairs: Sequence[alike.Pair]) -> Schedule:
        firsts = list(dict.fromkeys(pair[0] for pair in pairs))
        seconds = [run for run in dict.fromkeys(pair[1] for pair in pairs) if run not in firsts]
        written: list[list[Step]] = [[Write(run.run_id) for run in runs] for runs in (firsts, seconds)]
        return stage.schedule([*firsts, *seconds], [*written[0], Poll(), *written[1], Poll()])

    yield from alike.meetings(stage, [*alike.pairs_of_runs(stage), *alike.of_siblings(stage, sources=True)], met)
    good, source = stage.run("A"), stage.consumer.sources[0]
    decoy = f"partitions/source={source}/category=products/day=2026-02-02/run_id=run-decoy/event_type=run_complete"
    foreign = ("notes.txt", f"datasets/quarry/partitions/source={source}/notes.txt", f"backup/{decoy}/data/data")
    litter: list[Step] = [Litter(key, '{"run_id": "run-decoy", "event_type": "run_complete"}\n') for key in foreign]
    yield stage.schedule([good], [*litter, Write(good.run_id), Poll()])


def power_loss(stage: Stage) -> Iterator[Schedule]:
    """PO13: the machine dies at each durable state: what was not fsynced is cut, or taken back."""
    for base in (stage.loaded(stage.run("A")), stage.loaded(stage.run("A"), stage.run("B", items=1))):
        yield from explore.power_losses(base, stage.history(base))
