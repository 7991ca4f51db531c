"""A pool of workers: who trains what, and what is done when one is lost, hangs or lacks memory.

Workers know nothing: a segment goes in, its outcome comes out. So a lost one costs the time of one
segment. Every attempt at a segment has a number of its own, and what an attempt says after it was
given up is dropped.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from kerastune.executors.base import Executor, ExecutorUnavailable, Result, is_out_of_memory
from kerastune.executors.members import Attempt, Member, Members
from kerastune.executors.workers import (
    FAILED,
    LOST,
    READY,
    STEPS,
    UNAVAILABLE,
    Assignment,
    Message,
    Patience,
    Workers,
)
from kerastune.playbook.driver import Playbook
from kerastune.trial import TrialSpec

POLL = 1.0  # seconds between two looks at who is silent
MOST_LOSSES = 3  # of one segment, or of workers one after another while they start

PATIENCE = Patience()

logger = logging.getLogger("kerastune")


class WorkerPool(Executor):
    """Keeps workers busy with what a search has ready, and gives every result once.

    Args:
        workers: that are started as they are needed.
        jobs: segments at once, at most; 0 to find out with `how_many` from the first outcome.
        how_many: given the bytes that one worker has needed, how many workers there may be.
        sticky: whether a trial goes on where it was trained before, since something of it is kept
            there.
        on_steps: called with the number of steps just done.
        on_start: called with seconds in which there were only workers that start.
        patience: with silent workers.
        clock: monotonic seconds.

    Raises:
        ExecutorUnavailable: from `run`, when the first workers can't be started.
        RuntimeError: from `run`, when a segment was lost three times.
    """

    def __init__(
        self,
        workers: Workers,
        jobs: int,
        how_many: Callable[[int], int] = lambda peak_memory: 1,
        sticky: bool = False,
        on_steps: Callable[[int], None] = lambda steps: None,
        on_start: Callable[[float], None] = lambda seconds: None,
        patience: Patience = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._workers, self._sticky = workers, sticky
        self._on_steps, self._on_start = on_steps, on_start
        self._patience, self._clock = patience, clock
        self._how_many = how_many if jobs == 0 else None
        self.jobs = jobs or 1
        self._members = Members()
        self._attempts = 0
        self._losses: dict[tuple[str, int], int] = {}
        self._out_of_memory: set[tuple[str, int]] = set()  # segments that were once
        self._homes: dict[str, int] = {}
        self._longest: dict[bool, float] = {}  # silence, by whether the attempt had stepped before
        self._failed_starts, self._has_started = 0, False
        self._has_changed = False  # whether there may be something to hand out
        self._settling = False

    def run(self, search: Playbook, on_begin: Callable[[TrialSpec], Any]) -> Iterator[Result]:
        results: collections.deque[Result] = collections.deque()
        self._has_changed = True
        try:
            while True:
                try:
                    self._listen(search, results, 0.0 if results or self._has_changed else POLL)
                except RuntimeError:
                    # What was trained besides is recorded before the search ends.
                    yield from results
                    raise
                # Before anything is recorded, so that nobody idles meanwhile.
                if self._has_changed and not self._hand_out(search, on_begin) and not results:
                    return
                if results:
                    yield results.popleft()
                    self._settling, self._has_changed = False, True
        except ExecutorUnavailable:
            # Whoever goes on without workers trains all that is not recorded.
            for each in [*self._members.attempts(), *results]:
                search.give_back(each.spec)
            raise

    def close(self) -> None:
        self._members.clear()
        self._workers.close()

    # Handing out

    def _hand_out(self, search: Playbook, on_begin) -> bool:
        """Gives as many segments as may begin to idle workers, and starts workers for the others.

        Returns:
            Whether anything is trained or waits to be.
        """
        self._has_changed, search.jobs = False, self.jobs
        ready = sorted(search.ready(), key=lambda spec: spec.start - spec.until)
        exclusive = [spec for spec in ready if self._wants_to_be_alone(spec, search)]
        while (pair := self._next_pair(ready, exclusive)) is not None:
            worker, spec = pair
            ready.remove(spec)
            self._begin(worker, spec, spec in exclusive, search)
            on_begin(spec)
        members = self._members
        for worker in members.idle()[: max(len(members) - self.jobs, 0)]:
            self._end(worker)
        busy = len(members.attempts())
        while len(members) < min(self.jobs, len(ready) + busy) and self._may_begin():
            members[self._workers.start()] = Member()
        return bool(ready or busy)

    def _next_pair(
        self, ready: list[TrialSpec], exclusive: list[TrialSpec]
    ) -> tuple[int, TrialSpec] | None:
        if not self._may_begin() or len(self._members.attempts()) >= self.jobs:
            return None
        return self._members.next_pair(ready, exclusive, self._homes)

    def _may_begin(self) -> bool:
        """Whether nothing must be alone, or is to be recorded first so that others need not be."""
        return not self._settling and not self._members.is_exclusive()

    def _wants_to_be_alone(self, spec: TrialSpec, search: Playbook) -> bool:
        return _key(spec) in self._out_of_memory or search.runs_alone(spec)

    def _begin(self, worker: int, spec: TrialSpec, exclusive: bool, search: Playbook) -> None:
        others = self._members.attempts()
        if _key(spec) in self._out_of_memory:
            # Idle workers keep their memory.
            for other in [each for each in self._members if each != worker]:
                self._end(other)
        for other in others:
            other.alone = False
        self._attempts += 1
        self._members[worker].begin(Attempt(self._attempts, spec, exclusive, alone=not others))
        if self._sticky:
            self._homes[spec.trial] = worker
        search.begin(spec)
        state, seconds_left = search.state(spec), search.seconds_left()
        self._workers.send(worker, Assignment(self._attempts, spec, state, seconds_left))

    # Listening

    def _listen(self, search: Playbook, results: collections.deque[Result], timeout: float) -> None:
        """Adds the results of a moment, and gives up who is silent for too long."""
        before = self._clock()
        messages = self._workers.receive(timeout)
        # While this process itself was busy or stopped, nobody could be heard.
        waited = min(self._clock() - before, 2 * POLL)
        if not self._members.num_ready():
            self._on_start(waited)
        for member in self._members.values():
            member.silent += waited
        for message in messages:
            result = self._heard(message, search)
            if result is not None:
                results.append(result)
        for worker, member in list(self._members.items()):
            if member.silent > self._limit(member):
                self._lose(worker, f"did not respond for {member.silent:.0f} s", search)

    def _limit(self, member: Member) -> float:
        if member.doing is None:
            return float("inf") if member.ready else self._patience.first
        longest = self._longest.get(member.doing.has_stepped)
        return self._patience.limit(longest, self._losses.get(_key(member.doing.spec), 0))

    def _heard(self, message: Message, search: Playbook) -> Result | None:
        member = self._members.get(message.worker)
        if member is None:
            return None  # it was given up
        if message.kind == UNAVAILABLE:
            raise ExecutorUnavailable(message.content)
        if message.kind == LOST:
            self._lose(message.worker, message.content, search)
            return None
        silence, member.silent = member.silent, 0.0
        if message.kind == READY:
            member.ready, self._has_started, self._failed_starts = True, True, 0
            self._has_changed = True
        attempt = member.doing
        if attempt is None or message.attempt != attempt.number:
            return None
        if message.kind == STEPS:
            longest = self._longest.get(attempt.has_stepped, 0.0)
            self._longest[attempt.has_stepped] = max(longest, silence)
            attempt.has_stepped = True
            self._on_steps(message.content)
            return None
        member.doing, self._has_changed = None, True
        if message.kind == FAILED:
            result = self._failed(message.worker, attempt, message.content, search)
        else:
            self._measure(message.content[0].peak_memory)
            result = Result(attempt.spec, *message.content, alone=attempt.alone)
        self._settling = self._settling or (attempt.exclusive and result is not None)
        return result

    def _measure(self, peak_memory: int) -> None:
        """Settles how many jobs there are, from what the first outcome says of memory (S1.5)."""
        if self._how_many is None:
            return
        self.jobs, self._how_many = max(self._how_many(peak_memory), 1), None
        words = f"{self.jobs} trial" + ("s" if self.jobs > 1 else "")
        logger.info("%s at once: a worker needs %.0f MB of memory.", words, peak_memory / 1e6)
        if self._workers.divide(self.jobs):
            for worker in [each for each, member in self._members.items() if not member.doing]:
                self._end(worker)

    def _failed(
        self, worker: int, attempt: Attempt, error: Exception, search: Playbook
    ) -> Result | None:
        spec = attempt.spec
        if not is_out_of_memory(error) or _key(spec) in self._out_of_memory:
            return Result(spec, alone=attempt.alone, error=error)
        # Its memory is in pieces, so it goes; who is alone has all of it.
        self._end(worker)
        self._out_of_memory.add(_key(spec))
        self.jobs, self._how_many = max(self.jobs // 2, 1), None
        search.give_back(spec)
        logger.warning(
            "%s ran out of memory: it is run again alone; %s from now on.",
            spec.trial,
            f"{self.jobs} at once" if self.jobs > 1 else "one at a time",
        )
        return None

    def _lose(self, worker: int, why: str, search: Playbook) -> None:
        """Gives a worker up; what it trained is handed out again."""
        member = self._members[worker]
        self._end(worker)
        self._has_changed = True
        if member.doing is not None:
            self._lose_segment(member.doing.spec, why, search)
        elif not member.ready:
            self._lose_start(why)

    def _lose_segment(self, spec: TrialSpec, why: str, search: Playbook) -> None:
        search.give_back(spec)
        losses = self._losses[_key(spec)] = self._losses.get(_key(spec), 0) + 1
        words = f"the worker that trained {spec.trial} (steps {spec.start} to {spec.until}) {why}"
        if losses >= MOST_LOSSES:
            raise RuntimeError(
                f"{words}, {losses} times. The study is kept: run the same command again to "
                "continue, or with `executor='inline'` to see the error."
            )
        logger.warning("%s; it is run again.", words[0].upper() + words[1:])

    def _lose_start(self, why: str) -> None:
        self._failed_starts += 1
        if self._failed_starts < MOST_LOSSES:
            return
        if not self._has_started:
            raise ExecutorUnavailable(
                f"{MOST_LOSSES} workers one after another ended while they started; the last one "
                f"{why}"
            )
        words = f"{MOST_LOSSES} workers one after another did not start: the last one {why}"
        self.jobs = self._members.num_ready()
        self._failed_starts = 0
        if not self.jobs:
            raise RuntimeError(f"{words}.")
        logger.warning("%s; the search continues with %d running workers.", words, self.jobs)

    def _end(self, worker: int) -> None:
        del self._members[worker]
        self._workers.end(worker)


def _key(spec: TrialSpec) -> tuple[str, int]:
    return spec.trial, spec.start
