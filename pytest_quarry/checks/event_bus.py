"""What the world does to event-bus consumers: the schedules of each check, smallest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_quarry.checks import alike
from pytest_quarry.checks.stage import BATCH, Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.schedule import (
    RETURN,
    Break,
    Crash,
    Deliver,
    Heal,
    Notify,
    PlannedRun,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)

# Within what idempotency stores commonly keep (an hour): a duplicate of a message that was deleted does not come later.
LATER = 600
# A message that was handled and never acknowledged comes again for four days (SQS: MessageRetentionPeriod): an hour less.
DAYS = 4 * 86_400 - 3_600
FORMS = ("minimal", "extra", "reordered", "bare")


def redelivery(stage: Stage) -> Iterator[Schedule]:
    """EB01: the same message again, at every place after the first, also inside one batch."""
    one = stage.loaded(stage.run("A"))
    yield one
    yield from explore.duplicates(one)
    yield replace(one, steps=(*one.steps, Wait(LATER), Deliver((1,)), Deliver((1,))))
    yield from _unacknowledged_for_days(stage, one)
    runs = [stage.run("A"), stage.run("B", items=2), stage.run("C", items=1)]
    yield from explore.duplicates(
        stage.schedule(runs, [*stage.told(*runs), Deliver((1,)), Deliver((2,)), Deliver((3,))])
    )
    yield stage.after_many()


def restart(stage: Stage) -> Iterator[Schedule]:
    """EB03: the consumer is started again, then told again of what it has loaded."""
    one = stage.loaded(stage.run("A"))
    yield replace(one, steps=(*one.steps, Restart(), Deliver((1,))))
    yield from _unacknowledged_for_days(stage, one)
    two = stage.loaded(stage.run("A"), stage.run("B", items=1))
    yield replace(two, steps=(*two.steps, Restart(), Deliver((2,)), Deliver((1,))))
    yield replace(two, steps=(*two.steps, Wait(LATER), Restart(), Deliver((1, 2)), Restart(), Deliver((2, 1))))


def _unacknowledged_for_days(stage: Stage, one: Schedule) -> Iterator[Schedule]:
    """It had done its work when it was killed, and is down for days before the message comes again: alone, and after another
    run's, whose load may take away what is old."""
    killed = (*one.steps[:-1], Deliver((1,), Crash(RETURN)), Wait(DAYS))
    yield replace(one, steps=killed)
    other = stage.run("B", items=1)
    yield replace(one, runs=(*one.runs, other), steps=(*killed, *stage.told(other), Deliver((2,))))


def any_order(stage: Stage) -> Iterator[Schedule]:
    """EB13: three runs, one of an older day, their notifications in every order; one that waits for days, while a newer one is handled."""
    runs = [stage.run("A"), stage.run("B", items=2, day="2026-01-10"), stage.run("C", items=1)]
    yield from explore.orders(stage.schedule(runs, [*stage.told(*runs), Deliver((1,)), Deliver((2,)), Deliver((3,))]))
    waits, newer = runs[0], runs[1]
    steps: list[Step] = [*stage.told(waits), Wait(DAYS), *stage.told(newer), Deliver((2,)), Deliver((1,))]
    yield stage.schedule([waits, newer], steps)


def runs_apart(stage: Stage) -> Iterator[Schedule]:
    """EB14: runs whose ids look alike, with equal event ids, on one day, from one source and job; and runs of other sources and
    categories, where the suite declares which it wants. Each pair is delivered one by one, then again in one batch."""

    def met(pairs: Sequence[alike.Pair]) -> Schedule:
        runs: list[PlannedRun] = []
        steps: list[Step] = []
        for new in alike.new_ones(pairs):
            first = len(runs) + 1
            steps += [
                *stage.told(*new),
                *stage.delivered(new, 1, first=first),
                *stage.delivered(new, BATCH, first=first),
            ]
            runs += new
        return stage.schedule(runs, steps)

    yield from alike.meetings(stage, [*alike.pairs_of_runs(stage), *alike.of_siblings(stage)], met)


def envelopes(stage: Stage) -> Iterator[Schedule]:
    """EB16: every legal form of a notification, and events that are none of the consumer's business."""
    for form in FORMS:
        run = stage.run("A")
        yield stage.schedule([run], [Write(run.run_id), Notify(run.run_id, form=form), Deliver((1,))])  # type: ignore[arg-type]
    run = stage.run("A")
    steps: list[Step] = [
        Write(run.run_id, "before"),
        Notify(run.run_id, form="other-event"),
        Deliver((1,)),
        Write(run.run_id),
        Notify(run.run_id),
        Deliver((2,)),
    ]
    yield stage.schedule([run], steps)


def data_comes_later(stage: Stage) -> Iterator[Schedule]:
    """EB18: told of a run whose data a listing does not show yet, once and twice over; then of one that is whole, while another
    run's manifest is half written."""
    run = stage.run("A")
    for times in (1, 2):
        steps: list[Step] = [Notify(run.run_id), *[Deliver((1,))] * times, Write(run.run_id)]
        yield stage.schedule([run], steps)
    if stage.consumer.storage == "s3":
        lags = Break("s3.ListObjects", "lag", containing=stage.prefix)
        yield stage.schedule([run], [lags, *stage.told(run), Deliver((1,)), Heal()])
    partly: list[Step] = [Write(run.run_id, "before", 1), Notify(run.run_id), Deliver((1,)), Write(run.run_id)]
    yield stage.schedule([run], partly)
    yield from _beside_a_half_written_manifest(stage, run)


def _beside_a_half_written_manifest(stage: Stage, run: PlannedRun) -> Iterator[Schedule]:
    # In passing only: while one is cut for good, Lode's own readers read nothing of the dataset either. S3 shows objects whole.
    if stage.consumer.layout == "flat" or stage.consumer.storage == "s3":
        return
    other = stage.run("B", items=1, policy="buffered")
    for window in ("w4b", "w4"):
        meanwhile: list[Step] = [Write(other.run_id, window), Deliver((1,)), *stage.told(other), Deliver((2,))]
        yield stage.schedule([run, other], [*stage.told(run), *meanwhile])


def outcomes(stage: Stage) -> Iterator[Schedule]:
    """EB17: every outcome beside a good run; a failed attempt and its retry, in both orders, and after a good run of their job."""
    good = stage.run("A")
    yield stage.loaded(good)
    for outcome in Outcome:
        if outcome != Outcome.SUCCESS:
            yield _beside(stage, stage.run("B", items=2, outcome=str(outcome)), None)
    yield _beside(stage, stage.run("B", items=2, outcome=str(Outcome.SCRIPT_ERROR)), "error")
    before, failed, retry = alike.retried(stage)
    for order in ((1, 2), (2, 1)):
        steps = [*stage.told(failed, retry), *(Deliver((number,)) for number in order)]
        yield stage.schedule([failed, retry], steps)
    told = stage.told(before, failed, retry)
    yield stage.schedule([before, failed, retry], [*told, Deliver((1,)), Deliver((2,)), Deliver((3,))])


def _beside(stage: Stage, failed: PlannedRun, outcome: str | None) -> Schedule:
    good = stage.run("A")
    steps = [*stage.told(good), Write(failed.run_id), Notify(failed.run_id, outcome=outcome)]
    return stage.schedule([good, failed], [*steps, Deliver((1,)), Deliver((2,))])
