"""What goes wrong around event-bus consumers: the schedules of the checks about failures, smallest first."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pytest_quarry.bus.conflicts import CONFLICT, TRANSACTIONS
from pytest_quarry.bus.unprocessed import UNPROCESSED
from pytest_quarry.checks.stage import NotApplicable, Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import (
    Break,
    Deliver,
    Form,
    Heal,
    Notify,
    PlannedRun,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)

DAY = 86_400
RECEIVE, DELETE = "sqs.ReceiveMessage quarry-runs-consumer", "sqs.DeleteMessage*quarry-runs-consumer"
LISTING = "s3.ListObjects"
BATCHES = ((1, 2, 3), (2, 1, 3), (3, 1, 2))  # of which the second is the bad one
POISON: tuple[Form, ...] = ("missing-fields", "wrong-types", "no-such-path", "not-json")
MANY = 12  # more than SQS hands over at once
NOW_AND_THEN = 6
SOME_READS = 4
THROTTLES = (("throttle", 6), ("timeout", 6), ("throttle", 12), ("lost", 1), ("dropped", 1))
# Circuit breakers open after five failures, as a rule; one message fails eight times, of the ten receives that it has.
OUTAGE = (2, 3, 4, 2, 3, 4, 2, 2, 2, 2, 2, 2)
MOST_ATTEMPTS = 12  # more than any AWS client makes of one call by default (DynamoDB's: ten)


def failure_is_retried(stage: Stage) -> Iterator[Schedule]:
    """EB06: from each operation of the turn on, everything of its kind fails, until the turn is over, once, or for many turns."""
    one = stage.loaded(stage.run("A", items=2))
    faults = list(_each_operation(stage, one))
    for fault in faults:
        failing = replace(one, steps=(*one.steps[:-1], fault, one.steps[-1], Heal()))
        yield failing
        if fault.error == "EIO" and tries_again(stage.history(failing)):
            yield replace(one, steps=(*one.steps[:-1], replace(fault, times=1), one.steps[-1]))
    if faults:
        outage = _outage(stage, faults[-1])
        yield outage
        entries = stage.history(outage).entries
        gave_up = [entry.step for entry in entries if entry.what == "acknowledged" and entry.messages != (1,)]
        if gave_up and gave_up[0] < len(outage.steps):  # while nothing worked: nobody tells it again
            yield replace(outage, steps=(*outage.steps[: gave_up[0]], Heal()))


def tries_again(history: History) -> bool:
    """Whether it did not end its turn at the first failure: then one that fails once takes another way."""
    turns = Counter(entry.step for entry in history.entries if entry.what == "failed")
    return any(times > 1 for times in turns.values())


def _outage(stage: Stage, fault: Break) -> Schedule:
    """More turns in a row fail than a circuit breaker lets pass, of one run after another."""
    runs = [stage.run(name, items=1) for name in "ABCD"]
    everything = Break(f"{fault.at.split('.')[0]}.", "503") if _is_aws(fault.at) else Break("", "EIO")
    outage: list[Step] = [everything, *(Deliver((number,)) for number in OUTAGE), Heal()]
    return stage.schedule(runs, [*stage.told(*runs), Deliver((1,)), *outage])


def dead_claim_expires(stage: Stage) -> Iterator[Schedule]:
    """EB07: killed at each durable state, told again at once, and then time passes."""
    one = stage.loaded(stage.run("A", items=2))
    for point in explore.crash_points(one, stage.history(one)):
        yield replace(point, steps=(*point.steps, Deliver((1,))))
    two = stage.loaded(stage.run("A", items=2), stage.run("B", items=1))
    for point in explore.crash_points(two, stage.history(two)):
        if point.steps[-1] != two.steps[-1]:  # the second run is killed; both are told of again
            yield replace(point, steps=(*point.steps, Deliver((2, 1))))


def visibility_ends(stage: Stage) -> Iterator[Schedule]:
    """EB09: each operation in turn takes so long that the message is visible again, and its receipt stale."""
    one = stage.loaded(stage.run("A", items=2))
    delivered = Deliver((1,), ack="lost")
    for label, occurrence in operations(stage, stage.history(one)):
        slow = Break(label, "slow", times=1, skip=occurrence - 1)
        yield replace(one, steps=(*one.steps[:-1], slow, delivered))


def lost_acknowledgement(stage: Stage) -> Iterator[Schedule]:
    """EB10: the acknowledgement fails, or succeeds and its answer is lost: once, and twice over."""
    one = stage.loaded(stage.run("A", items=2))
    both = stage.loaded(stage.run("A", items=2), stage.run("B", items=1))
    if stage.takes != "queue":
        lost = Deliver((1,), ack="lost")
        yield replace(one, steps=(*one.steps[:-1], lost))
        yield replace(one, steps=(*one.steps[:-1], lost, lost, Restart(), lost))
        yield replace(both, steps=(*both.steps[:2], *both.steps[3:5], Deliver((1, 2), ack="lost")))
        return
    for error in ("lost", "dropped", "503", "throttle", "timeout"):
        for schedule in (one, both):
            yield replace(schedule, steps=(Break(DELETE, error), *schedule.steps, Heal()))
    yield replace(one, steps=(Break(DELETE, "lost", times=1), *one.steps))


def partial_batch(stage: Stage) -> Iterator[Schedule]:
    """EB11: one bad message among good ones: one nobody can parse, and one whose run cannot be read, for ever or once."""
    if stage.consumer.batch_size == 1:
        raise NotApplicable("it gets one message at a time (batch_size = 1): there are no batches")
    good, bad, third = stage.run("A", items=2), stage.run("B", items=1), stage.run("C", items=1)
    runs = [good, bad, third]
    for form in (poison_for(stage.takes)[0], poison_for(stage.takes)[-1]):
        told = [*stage.told(good), Notify(bad.run_id, form=form), *stage.told(third)]
        for batch in ((1, 2, 3), (2, 1, 3)):
            yield stage.schedule(runs, [*told, Deliver(batch)])
    for lasting in (True, False):
        unreadable = _unreadable(stage, bad.run_id, lasting=lasting)
        for batch in BATCHES:
            yield stage.schedule(runs, [unreadable, *stage.told(*runs), Deliver(batch)])
    yield from _named_among_others(stage)
    if stage.takes == "lambda":
        yield _out_of_time(stage, runs)
    yield _many(stage, poison_for(stage.takes)[-1])


def _out_of_time(stage: Stage, runs: list[PlannedRun]) -> Schedule:
    """The first message takes so long that a function which looks at the time left has none for the others."""
    label, occurrence = list(operations(stage, stage.history(stage.loaded(runs[0]))))[-1]
    slow = Break(label, "slow", times=1, skip=occurrence - 1)
    return stage.schedule(runs, [slow, *stage.told(*runs), Deliver((1, 2, 3))])


def _named_among_others(stage: Stage) -> Iterator[Schedule]:
    """Some cannot be read in one turn and are due at the next: behind one that is to be ignored, and two of three."""
    first, second, third = stage.run("A", items=2), stage.run("B", items=1), stage.run("C", items=1)
    fault = _unreadable(stage, second.run_id, lasting=False)
    failed = stage.run("A", items=2, outcome=str(Outcome.SCRIPT_ERROR))
    for steps in (stage.told(failed), [Notify(failed.run_id, form="other-event")]):
        yield stage.schedule([failed, second, third], [fault, *steps, *stage.told(second, third), Deliver((1, 2, 3))])
    runs = [first, second, third]
    for run in (first, third):
        faults = [fault, _unreadable(stage, run.run_id, lasting=False)]
        yield stage.schedule(runs, [*faults, *stage.told(*runs), Deliver((1, 2, 3))])


def _many(stage: Stage, form: Form) -> Schedule:
    """More messages than one receive finds, the bad one in the middle."""
    runs = [stage.run(f"{number:02}", items=1) for number in range(MANY)]
    bad = stage.run("B", items=1)
    half = MANY // 2
    told = [*stage.told(*runs[:half]), Notify(bad.run_id, form=form), *stage.told(*runs[half:])]
    return stage.schedule([*runs, bad], [*told, Deliver(tuple(range(1, MANY + 2)))])


def _unreadable(stage: Stage, run_id: str, *, lasting: bool) -> Break:
    """Its run cannot be read: for ever, or until the schedule is over, and then the message comes again."""
    read, error = ("s3.GetObject", "503") if stage.consumer.storage == "s3" else ("read storage/", "EIO")
    return Break(f"{read}*run_id={run_id}/", error, lasting=lasting)


def poison(stage: Stage) -> Iterator[Schedule]:
    """EB12: what nobody can act on comes before a good message, and after one."""
    good, bad = stage.run("A", items=2), stage.run("B", items=1)
    for form in poison_for(stage.takes):
        told: list[Step] = [Notify(bad.run_id, form=form), *stage.told(good)]
        yield stage.schedule([good, bad], [*told, Deliver((1,)), Deliver((2,)), Deliver((1,))])


def poison_for(takes: str) -> tuple[Form, ...]:
    """The forms a consumer can be given: one that takes decoded notifications never sees text that is not JSON."""
    return POISON[:-1] if takes == "notification" else POISON


def new_envelope(stage: Stage) -> Iterator[Schedule]:
    """EB15: one run announced again: another message id and time, an added field, another key order, fewer fields."""
    run = stage.run("A")
    for form in ("full", "extra", "reordered", "minimal"):
        told = [*stage.told(run), Notify(run.run_id, form=form)]
        yield stage.schedule([run], [*told, Deliver((1,)), Deliver((2,))])
        yield stage.schedule([run], [*told, Deliver((1, 2))])
        yield stage.schedule([run], [*told, Deliver((2,)), Restart(), Deliver((1,))])


def lost_notification(stage: Stage) -> Iterator[Schedule]:
    """EB19: nobody is told of a run; before, between and after others that are announced."""
    if not stage.consumer.reconciles:
        raise NotApplicable("it does not declare reconciles = True: that it finds runs nobody notified it of")
    silent, told = stage.run("A", items=2), stage.run("B", items=1)
    runs = [silent, told]
    yield stage.schedule(runs, [Write(silent.run_id), *stage.told(told), Deliver((1,))])
    yield stage.schedule(runs, [*stage.told(told), Deliver((1,)), Write(silent.run_id), Wait(DAY)])
    yield stage.schedule(runs, [*stage.told(told), Deliver((1,)), Restart(), Write(silent.run_id), Wait(DAY)])


def warm_state(stage: Stage) -> Iterator[Schedule]:
    """EB20: a turn that fails at each operation, then a good one in the same process, then the first again."""
    two = stage.loaded(stage.run("A", items=2), stage.run("B", items=1))
    first, told = two.steps[:3], two.steps[3:]
    one = stage.loaded(stage.run("A", items=2))
    for fault in _each_operation(stage, one):
        yield replace(two, steps=(*first[:-1], fault, first[-1], Heal(), *told))
    bad = stage.run("A", items=2)
    for form in poison_for(stage.takes):
        good = stage.run("B", items=1)
        steps: list[Step] = [Notify(bad.run_id, form=form), *stage.told(good), Deliver((1,)), Deliver((2,))]
        yield stage.schedule([bad, good], steps)


def throttled(stage: Stage) -> Iterator[Schedule]:
    """EB21: SQS, S3 and the target throttle or time out, now and then, for longer than a client retries; then what is asked about
    a run that is loaded, and comes again."""
    two = stage.loaded(stage.run("A", items=2), stage.run("B", items=1))
    labels = [label for label, _ in crossed(stage.history(two))]
    services = Counter(label.split(" ")[0].split(".")[0] + "." for label in labels if _is_aws(label))
    for service, calls in services.items():
        for error, times in THROTTLES:
            for skip in sorted({calls * nth // NOW_AND_THEN for nth in range(NOW_AND_THEN)}):
                yield replace(two, steps=(Break(service, error, times=times, skip=skip), *two.steps, Heal()))
    for error in ("EIO",) if any(not _is_aws(label) for label in labels) else ():
        for skip in range(NOW_AND_THEN):
            yield replace(two, steps=(Break("", error, times=2, skip=2 * skip), *two.steps, Heal()))
    one = stage.loaded(stage.run("A", items=2))
    again = replace(one, steps=(*one.steps, one.steps[-1]))
    if stage.verdict(again) is None:  # else nothing need be broken
        for fault in breaks((label, 1) for label in _asked_again(stage.history(again))):
            yield replace(again, steps=(*one.steps, fault, one.steps[-1], Heal()))


def lost_receive(stage: Stage) -> Iterator[Schedule]:
    """EB22: a receive takes effect and its answer is lost: once, and as often as the client retries."""
    if stage.takes != "queue":
        raise NotApplicable(
            "it is handed its messages: only one that receives by itself, with run_once(), can lose an answer"
        )
    runs = [stage.run("A", items=2), stage.run("B", items=1)]
    told = stage.told(*runs)
    for error in ("lost", "dropped"):
        for times in (1, MOST_ATTEMPTS):
            lost = Break(RECEIVE, error, times=times)
            yield stage.schedule(runs, [*told, lost, Deliver((1,)), Deliver((2,)), Heal()])
            yield stage.schedule(runs, [*told, lost, Deliver((1, 2)), Heal()])


def _each_operation(stage: Stage, schedule: Schedule) -> Iterator[Break]:
    """A break at each operation of the consumer's last turn but those on its queue: from that one on all like it fail."""
    yield from breaks(operations(stage, stage.history(schedule)))


def breaks(operations: Iterable[tuple[str, int]]) -> Iterator[Break]:
    """A break at each of these operations, with its occurrence, but those on the consumer's queue."""
    for label, occurrence in operations:
        if label.startswith("sqs.") and "quarry-runs-consumer" in label:
            continue
        for error in ("503", "timeout") if _is_aws(label) else ("EIO",):
            yield Break(label, error, skip=occurrence - 1)
        yield from taken_in_part(label, occurrence)
        if label.startswith(TRANSACTIONS):
            yield Break(label, CONFLICT, times=1, skip=occurrence - 1)


def taken_in_part(label: str, occurrence: int) -> Iterator[Break]:
    """Of a batch that DynamoDB writes or reads one entry is left over, once: who asks for it again must not do so for ever."""
    if label.startswith(tuple(UNPROCESSED)):
        for entry in ("first-entry", "last-entry"):
            yield Break(label, entry, times=1, skip=occurrence - 1)


def operations(stage: Stage, history: History) -> Iterator[tuple[str, int]]:
    """The operations of an undisturbed execution that can fail, each with its occurrence; of reads of storage, some."""
    found = list(crossed(history))
    reads = [each for each in found if each[0].startswith("s3.") and f"/{stage.prefix}/" in each[0]]
    wanted = set(reads[:: max(1, len(reads) // SOME_READS)])  # RD04 fails every one of them
    yield from (each for each in found if each not in reads or each in wanted)


def _asked_again(history: History) -> list[str]:
    """What a consumer does in the turn after its first, up to what changes something: each kind of operation once."""
    steps = [entry.step for entry in history.entries if entry.what == "delivered"]
    turn = [entry for entry in history.entries if steps and entry.step == steps[-1] and entry.what == "crossed"]
    asked = itertools.takewhile(lambda entry: not entry.changed, turn)
    return list(dict.fromkeys(label for label, _ in crossed(replace(history, entries=tuple(asked)))))


def idle(stage: Stage, history: History) -> list[str]:
    """What a poll does that finds nothing new, but for its reads and listings of storage: each kind of operation once."""
    settling = next(at for at, entry in enumerate(history.entries) if entry.what == "settling")
    labels = [label for label, _ in crossed(replace(history, entries=history.entries[settling:]))]
    of_storage = "read storage/", f"/{stage.prefix}/", LISTING
    return [label for label in dict.fromkeys(labels) if not any(part in label for part in of_storage)]


def crossed(history: History) -> Iterator[tuple[str, int]]:
    """Every operation of an execution that can fail, with its occurrence."""
    crossed: Counter[str] = Counter()
    for entry in history.entries:
        if entry.what == "crossed" and not entry.text.startswith(("boundary ", "sleep", RECEIVE)):
            crossed[entry.text] += 1
            yield entry.text, crossed[entry.text]


def _is_aws(label: str) -> bool:
    service, _, operation = label.split(" ", 1)[0].partition(".")
    return service.isalnum() and operation[:1].isupper()
