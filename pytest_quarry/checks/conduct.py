"""Conducts one check: its schedules in order, smallest first, until one fails; then makes that one smaller."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from pytest_quarry.checks import doubts, silence
from pytest_quarry.checks.ahead import Ahead
from pytest_quarry.checks.check import Check, CheckRaised
from pytest_quarry.checks.oracles import due, judge
from pytest_quarry.checks.stage import Kept, NotApplicable, Stage, disturbs
from pytest_quarry.checks.verdict import Verdict, plain
from pytest_quarry.consumers import unhooked
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.outside import clock
from pytest_quarry.consumers.protocol import TO_SERVER
from pytest_quarry.consumers.zygote import Nursery
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Deliver, Overlap, Poll, Publish, Schedule
from pytest_quarry.simulation.shrink import MOST, shrink

LONGER = 3  # times the guard, before somebody who stood still is accused
MOST_HUNG = 8  # tries to make a schedule smaller in which the consumer hangs: each waits for it, for real seconds

Played = TypeVar("Played")
Status = Literal["passed", "failed", "inconclusive", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one check: how many schedules were tried and, where it did not pass, which one shows why.

    `skipped`: it says nothing of this consumer; `reason` says why, and what would let it. `until_found`: of the executions,
    those up to the first failing schedule; the rest made it smaller. `drawn`: they are what Hypothesis drew.
    """

    check: Check
    status: Status
    schedules: int
    executions: int
    until_found: int = 0
    drawn: bool = False
    verdict: Verdict | None = None
    schedule: Schedule | None = None
    history: History | None = None
    reason: str = ""
    not_exercised: tuple[str, ...] = ()  # what of the consumer no schedule could reach, and why


INLINE = (
    "In this process the operations of libraries in C, and of programs that it starts, are not held, nor is what it says to "
    "servers. To see it fail, replay it without --quarry-inline."
)
TOO_LATE = "--quarry-budget was used up before this check"
CALM = f"{TOO_LATE} disturbed anything"


class NotSeen(Exception):
    """Raised once by an execution in which a file changed that nothing announced, or a server was spoken to: all is executed
    again, seen closer."""


class Conductor:
    """Runs checks against one consumer."""

    def __init__(
        self,
        consumer: Consumer,
        *,
        seed: int = 0,
        limits: Limits | None = None,
        is_over: Callable[[], bool] = lambda: False,
        is_too_late: bool = False,
        watch: Callable[[int, int, bool], None] = lambda done, planned, all_known: None,
        kept: Kept | None = None,
    ) -> None:
        self.is_over, self.is_too_late = is_over, is_too_late  # the time that these checks have
        self._watch = watch  # told before each schedule: how many are done, how many known, whether those are all
        self._consumer, self._limits = consumer, limits
        self._executions = 0
        self._nursery: Nursery | None = None
        self._not_exercised: dict[str, None] = {}
        self._kept = kept or Kept()
        self.stage = Stage(consumer, seed, self._execute, self._kept)
        self._told_only = consumer.kind == "event-bus" and not consumer.reconciles

    def conduct(self, check: Check, known: Iterable[Schedule] = ()) -> Result:
        """Try the check's schedules, the `known` ones first, until one fails.

        Raises ConsumerError where a hook of the suite cannot work.
        """
        known = list(known)
        try:
            return self.closer(lambda: self._with_nursery(lambda: self._conduct(check, known), check))
        finally:
            self.close()

    def close(self) -> None:
        """End the process that is kept for forks."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def closer(self, play: Callable[[], Played]) -> Played:
        """Play something that executes schedules; and where something changed files unseen, once more, seen closer."""
        with contextlib.suppress(NotSeen):
            return play()
        # Not while that is handled: whoever is forked meanwhile would find it in sys.exc_info().
        self.close()
        return play()

    def _with_nursery(self, play: Callable[[], Result], check: Check) -> Result:
        """What it says of the consumer counts where it is a pass, or was seen in forks of this process too."""
        if not (self._kept.as_it_is or check.own or check.compares is not None):
            self._nursery = self._nursery or Nursery()
            with contextlib.suppress(ConsumerError):
                result = play()
                if result.status != "inconclusive" or self._kept.as_it_is:
                    return result
            self.close()
            self._kept.begin_anew()
        return play()

    def _conduct(self, check: Check, known: Iterable[Schedule]) -> Result:
        self._executions = 0
        try:
            result = self._tried(check, self.stage, known)
        except NotApplicable as words:
            result = Result(check=check, status="skipped", schedules=0, executions=self._executions, reason=str(words))
        except CheckRaised as error:
            first = self.stage.loaded(self.stage.run("A"))
            result = self._result(check, "inconclusive", 0, error.verdict(), first, self.stage.history(first))
        return replace(result, not_exercised=tuple(self._not_exercised))

    def doubt(self, check: Check) -> Result | None:
        """Why nothing can be said of this consumer, if so: seen in forks of this process."""
        first = self.stage.loaded(self.stage.run("A"))
        nursery, self._nursery = self._nursery, None
        try:
            doubt = self.closer(lambda: self._undisturbed(first, self.stage))
        finally:
            self._nursery = nursery
        if doubt is None:
            self._kept.turns.is_silent()
            self._kept.share(self.stage.history(first))
            return None
        self._kept.as_it_is = True
        return self._result(check, "inconclusive", 1, doubt, first, self.stage.history(first))

    def _tried(self, check: Check, stage: Stage, known: Iterable[Schedule]) -> Result:
        if self.is_too_late:
            raise NotApplicable(TOO_LATE)
        doubtful = self.doubt(check)
        if doubtful is not None:
            return doubtful
        if check.id in clock.CHECKS and clock.WITHOUT in self._not_exercised:
            raise NotApplicable(f"this check needs {clock.WITHOUT}")
        for schedule in known:
            found = self.replay(check, schedule)
            if found.status == "failed":
                return found
        tried, reason, disturbed = 0, "", False
        unexplained: tuple[Schedule, History] | None = None
        unjudged: tuple[Verdict, Schedule, History] | None = None
        schedules = Ahead(check.schedules(stage), lambda: self._executions)
        stage.coming, stage.judged = schedules.waiting, lambda history: self._judged(history, check)
        for schedule in schedules:
            self._watch(tried, schedules.planned, schedules.all_known)
            if tried and self.is_over():
                reason = f"the budget ended after {tried} schedules"
                break
            tried, disturbed = tried + 1, disturbed or disturbs(schedule)
            history = stage.history(schedule)
            self._note(history)
            verdict = self._judged(history, check)
            if verdict is not None and verdict.status == "violated":
                return self._convict(check, tried, schedule, verdict)
            if verdict is not None and unjudged is None:
                unjudged = verdict, schedule, history
            if history.unexplained and unexplained is None:
                unexplained = (schedule, history)
        if reason and not (disturbed or check.own):  # a team's own check may be about good days
            raise NotApplicable(CALM)
        compared = check.compares(stage) if check.compares is not None and not reason else None
        if compared is not None:
            until_found = self._executions
            result = self._result(check, "failed", tried, *compared, stage.history(compared[1], reads=True))
            return replace(result, until_found=until_found)
        if unjudged is not None:
            return self._result(check, "inconclusive", tried, *unjudged)
        if unexplained is not None:
            doubt = doubts.of_files(unexplained[1])
            return self._result(check, "inconclusive", tried, doubt, *unexplained)
        return replace(self._result(check, "passed", tried, None, None, None), reason=reason)

    def replay(self, check: Check, schedule: Schedule, *, drifts: bool = False, inline: int = 0) -> Result:
        """Execute one schedule and judge it by the check's oracles; unless it `drifts`, it must go as it says.

        `inline`: that start of the consumer, counted from 1, is played by this process.
        """
        self._executions = 0
        history = self.closer(lambda: self._execute(schedule, everything=True, inline=inline, as_it_is=True))
        verdict = self._judged(history, check)
        if verdict is None and history.unreached and not drifts:
            verdict = Verdict(
                status="inconclusive",
                oracle="",
                sentence="The consumer no longer goes the way of this schedule: it never came to "
                + "; ".join(history.unreached)
                + ".",
                why=INLINE
                if inline and (history.unexplained or any(TO_SERVER in at for at in history.unreached))
                else "",
            )
            return self._result(check, "inconclusive", 1, verdict, schedule, history)
        if verdict is not None and verdict.status == "violated":
            verdict = self._unsure(schedule, history, verdict, check) or verdict
        status: Status = "passed" if verdict is None else "failed" if verdict.status == "violated" else "inconclusive"
        return self._result(check, status, 1, verdict, schedule, history)

    def play(self, check: Check, schedule: Schedule) -> Result:
        """Execute one schedule as if it were the check's own: where it fails, it is made smaller.

        Whoever plays many calls `close` at the end.
        """
        return self.closer(lambda: self._with_nursery(lambda: self._play(check, schedule), check))

    def _play(self, check: Check, schedule: Schedule) -> Result:
        self._executions = 0
        history = self.stage.history(schedule)
        verdict = self._judged(history, check)
        if verdict is not None:
            return self._convict(check, 1, schedule, verdict)
        return self._result(check, "passed", 1, None, schedule, history)

    def _execute(
        self,
        schedule: Schedule,
        *,
        everything: bool = False,
        peek: bool = False,
        reads: bool = False,
        inline: int = 0,
        as_it_is: bool = False,
        patience: int = 1,
        afterwards: bool = False,
    ) -> History:
        """`as_it_is`: the consumer's processes are forked from this one. `patience`: so many times the guard. `afterwards`: is it also
        looked whether its rows outlive the world."""
        self._executions += 1
        limits = self._limits or Limits()
        turns = (step for step in schedule.steps if isinstance(step, (Deliver, Poll, Publish, Overlap)))
        crashes = [step.crash for step in turns if step.crash]
        play = Play(
            limits=replace(limits, seconds=limits.seconds * patience),
            observe=everything or not (crashes or any(isinstance(step, Overlap) for step in schedule.steps)),
            reads=reads or any(isinstance(step, Break) and step.at.startswith("read") for step in schedule.steps),
            power=any(crash.power for crash in crashes),
            inline=inline,
            trees=everything,
            afterwards=afterwards,
            closer=self._kept.closer,
            nursery=None if as_it_is or inline else self._nursery,
        )
        with self._kept.turns.taken():
            history = simulate(schedule, self._consumer, play, peek=peek)
        if history.servers:
            self._kept.turns.speaks()
        unseen = history.unexplained or history.servers
        if unseen and unhooked.POSSIBLE and not (self._kept.closer or history.by_a_program or inline):
            self._kept.look_closer()
            raise NotSeen
        self._note(history)
        return history

    def _judged(self, history: History, check: Check) -> Verdict | None:
        oracles = [name for name in check.oracles if name != "C" or not self._consumer.durable_inbox]
        return judge(history, oracles, told_only=self._told_only)

    def _note(self, history: History) -> None:
        """What of a consumer could not be exercised is said of each check, also where another one executed the schedule."""
        self._not_exercised.update(dict.fromkeys(history.not_exercised))

    def _undisturbed(self, schedule: Schedule, stage: Stage) -> Verdict | None:
        """Why nothing can be said of this consumer, if so: it does nothing, or not the same thing twice."""
        modules = len(sys.modules)
        history = stage.history(schedule)
        if self._consumer.kind == "publisher":
            silent = silence.of_publisher(history, self._consumer, schedule.runs[0].run_id)
            if silent is not None:
                return silent
        elif not history.rows and any(view.items for view in due(history, self._told_only).values()):
            # One that hangs is waited for, for real seconds: once is enough.
            told = history if _hung(history) else self._execute(schedule, peek=True)
            return silence.of_loader(told, self._consumer, schedule.runs[0].run_id)
        else:
            strange = silence.of_names(history, self._consumer, due(history, self._told_only)) or doubts.of_place(
                history, self._consumer
            )
            if strange is not None:
                return strange
        again = self._kept.again = self._kept.again or self._execute(schedule, afterwards=True)
        self._note(history)
        left = doubts.of_leftovers(again, self._consumer) or doubts.of_what_outlived(history, again, self._consumer)
        if left is not None:
            return left
        difference = history.difference(again)
        if difference is not None and len(sys.modules) > modules:
            # What `rows` imported is there in later forks: what a module draws as it is imported was drawn once only.
            difference = stage.anew(schedule).difference(again)
        if difference is not None:
            return Verdict(
                status="inconclusive",
                oracle="",
                sentence="The consumer is not deterministic: two executions of one schedule differ.",
                why=f"They differ at step {{0}}: {plain(difference.how)}.\nIts clock and its randomness are the world's; what is "
                "left is the order of its own threads, what it reads from outside the world, or the order of a set."
                + plain(doubts.of_servers(history)),
                entries=(difference.at,),
            )
        return None

    def _convict(self, check: Check, tried: int, schedule: Schedule, verdict: Verdict) -> Result:
        """Make the failing schedule smaller, then confirm it in a fresh world, everything observed."""

        def fails(smaller: Schedule) -> bool:
            try:
                found = self._judged(self._execute(smaller), check)
            except ConsumerError:  # a hook that needs more than is left: its tables, where nothing starts the consumer
                return False
            return found is not None and (found.status, found.oracle) == (verdict.status, verdict.oracle)

        until_found = self._executions
        smallest = shrink(schedule, fails, MOST_HUNG if _hung(self.stage.history(schedule)) else MOST)
        for candidate in (smallest, schedule):
            history = self._execute(candidate, everything=True, as_it_is=True)
            confirmed = self._judged(history, check)
            if confirmed is not None and confirmed.status == "violated":
                unsure = self._unsure(candidate, history, confirmed, check)
                found: Status = "failed" if unsure is None else "inconclusive"
                result = self._result(check, found, tried, unsure or confirmed, candidate, history)
                return replace(result, until_found=until_found)
        doubt = Verdict(
            status="inconclusive",
            oracle="",
            sentence=f"The consumer is not deterministic: “{verdict.sentence}” in one execution of this schedule, and not in "
            "another.",
            why="Not each execution asks rows(world) at the same places. Does it only read? What it makes there, a table or a folder, the "
            "consumer then finds.",
        )
        return self._result(check, "inconclusive", tried, doubt, schedule, history)

    def _unsure(self, schedule: Schedule, history: History, verdict: Verdict, check: Check) -> Verdict | None:
        """Why a violation need not be the consumer's fault, if so. Who deadlocks by itself stands still in the same place, however
        long it is given, and nothing of it is at work."""
        sure_doubt = (
            doubts.of_room(history, verdict) or doubts.of_answers(history, verdict) or doubts.of_inbox(history, verdict)
        )
        if sure_doubt is not None:
            return sure_doubt
        unsure = doubts.of_clock(history, self._consumer, verdict) or doubts.of_patience(history, verdict)
        if unsure is None or not doubts.stands_still(history):
            return unsure
        longer = self._execute(schedule, everything=True, as_it_is=True, patience=LONGER)
        again = self._judged(longer, check)
        same = again is not None and (again.status, again.oracle) == (verdict.status, verdict.oracle)
        return None if same and doubts.stands_still(longer) else unsure

    def _result(
        self,
        check: Check,
        status: Status,
        tried: int,
        verdict: Verdict | None,
        schedule: Schedule | None,
        history: History | None,
    ) -> Result:
        return Result(
            check=check,
            status=status,
            schedules=tried,
            executions=self._executions,
            verdict=verdict,
            schedule=schedule,
            history=history,
        )


def _hung(history: History) -> bool:
    return any(entry.what == "hung" for entry in history.entries)
