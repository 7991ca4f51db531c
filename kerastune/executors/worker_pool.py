"""A crew of workers: who trains what, what is done when one is lost, hangs or runs out of memory;
without processes.

Workers know nothing: a segment goes in, its outcome comes out. So a lost one costs the time of one
segment. Every attempt at a segment has a number of its own, and what an attempt says after it was
given up is dropped.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from kerastune.executors.base import Executor, Result, Unfit, is_out_of_memory
from kerastune.playbook.driver import Playbook
from kerastune.trial import State, TrialSpec

POLL = 1.0  # seconds between two looks at who is silent
MOST_LOSSES = 3  # of one segment, or of workers one after another while they start
READY, STEPS, DONE, FAILED, UNFIT, LOST = "ready", "steps", "done", "failed", "unfit", "lost"

logger = logging.getLogger("kerastune")


@dataclasses.dataclass(frozen=True)
class Order:
    """What a worker is to train.

    Args:
        attempt: number of this attempt; no two of a search have the same.
        spec: the segment.
        state: where it goes on from, if it does.
        seconds_left: of the budget; training stops after them.
    """

    attempt: int
    spec: TrialSpec
    state: State | None
    seconds_left: float


@dataclasses.dataclass(frozen=True)
class Message:
    """What a worker says, or what is said of it.

    Args:
        worker: number of the worker.
        kind: `READY`, `STEPS` (content: how many), `DONE` (outcome, last and best state), `FAILED`
            (the error), `UNFIT` (why) or `LOST` (why).
        attempt: that it speaks of.
        content: see `kind`.
    """

    worker: int
    kind: str
    attempt: int = 0
    content: Any = None


class Workers(abc.ABC):
    """The workers themselves: processes, actors, or threads in a test."""

    @abc.abstractmethod
    def start(self) -> int:
        """Starts a worker, which says `READY` or `UNFIT` in time; gives its number."""

    @abc.abstractmethod
    def send(self, worker: int, order: Order) -> None:
        """Gives a worker that is ready and idle something to train."""

    @abc.abstractmethod
    def receive(self, timeout: float) -> list[Message]:
        """What was said, waiting for it up to so many seconds."""

    @abc.abstractmethod
    def end(self, worker: int) -> None:
        """Ends a worker at once, whatever it does, stopped or hanging."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all workers at once and lets go of what they share."""

    def share(self, jobs: int) -> bool:
        """Told how many will work side by side; gives whether those that were started before must
        be started anew.
        """
        return False


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a worker may be silent, in seconds, before it is taken to hang.

    It says something after every chunk of steps, so what it may take follows from what chunks took
    so far, the first one of a segment, which may trace, apart from the later ones. A segment that
    was lost before has twice the time.

    Args:
        least: however quick everything was.
        first: for the first chunk of a segment before any was seen, and for a start.
        factor: times the longest silence of a worker that was sound.
    """

    least: float = 120.0
    first: float = 600.0
    factor: float = 10.0

    def limit(self, longest: float | None, losses: int) -> float:
        """Seconds of silence that are allowed.

        Example:
            >>> Patience().limit(None, losses=0), Patience().limit(30.0, losses=1)
            (600.0, 600.0)
        """
        seconds = self.first if longest is None else max(self.least, self.factor * longest)
        return seconds * 2**losses


@dataclasses.dataclass
class _Attempt:
    number: int
    spec: TrialSpec
    exclusive: bool  # nothing may begin beside it
    alone: bool  # nothing did
    has_stepped: bool = False


@dataclasses.dataclass
class _Member:
    ready: bool = False
    doing: _Attempt | None = None
    silent: float = 0.0
    kinds: set[tuple] = dataclasses.field(default_factory=set)


class Crew(Executor):
    """Keeps workers busy with what a search has ready, and gives every result once.

    Args:
        workers: that are started as they are needed.
        jobs: segments at once, at most; 0 to find out with `fit` from the first outcome.
        fit: given the bytes that one worker has needed, how many workers there may be.
        sticky: whether a trial goes on where it was trained before, since something of it is kept
            there.
        on_steps: called with the number of steps just done.
        on_start: called with seconds in which there were only workers that start.
        patience: with silent workers.
        clock: monotonic seconds.

    Raises:
        Unfit: from `run`, when the first workers can't be started.
        RuntimeError: from `run`, when a segment was lost three times.
    """

    def __init__(
        self,
        workers: Workers,
        jobs: int,
        fit: Callable[[int], int] = lambda peak_memory: 1,
        sticky: bool = False,
        on_steps: Callable[[int], None] = lambda steps: None,
        on_start: Callable[[float], None] = lambda seconds: None,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ):
        self._workers, self._sticky, self._on_steps, self._on_start = (
            workers,
            sticky,
            on_steps,
            on_start,
        )
        self._patience, self._clock = patience, clock
        self._fit = fit if jobs == 0 else None
        self.jobs = jobs or 1
        self._members: dict[int, _Member] = {}
        self._attempts = 0
        self._losses: dict[tuple[str, int], int] = {}
        self._starved: set[tuple[str, int]] = set()  # ran out of memory once
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
                    yield from results  # what was trained besides is recorded before the search ends
                    raise
                # Before anything is recorded, so that nobody idles meanwhile.
                if self._has_changed and not self._hand_out(search, on_begin) and not results:
                    return
                if results:
                    yield results.popleft()
                    self._settling, self._has_changed = False, True
        except Unfit:
            # Whoever goes on without workers trains all that is not recorded.
            doing = [member.doing.spec for member in self._members.values() if member.doing]
            for spec in [*doing, *(result.spec for result in results)]:
                search.give_back(spec)
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
        idle = [
            worker for worker, member in self._members.items() if member.ready and not member.doing
        ]
        for worker in idle[: max(len(self._members) - self.jobs, 0)]:
            self._end(worker)
        busy = sum(member.doing is not None for member in self._members.values())
        while len(self._members) < min(self.jobs, len(ready) + busy) and not self._is_exclusive():
            self._members[self._workers.start()] = _Member()
        return bool(ready or busy)

    def _next_pair(
        self, ready: list[TrialSpec], exclusive: list[TrialSpec]
    ) -> tuple[int, TrialSpec] | None:
        """A worker and what it trains next: the first of what it has compiled already, else the
        first of all.
        """
        idle = [
            worker for worker, member in self._members.items() if member.ready and not member.doing
        ]
        busy = sum(member.doing is not None for member in self._members.values())
        if not idle or self._is_exclusive() or busy >= self.jobs:
            return None
        if exclusive and not busy:
            # A worker that starts would take its share of the cores.
            is_starting = any(not member.ready for member in self._members.values())
            ready = [] if is_starting else exclusive[:1]
        elif exclusive:
            ready = [spec for spec in ready if spec not in exclusive]
        knowing = {
            kind: worker for worker in reversed(idle) for kind in self._members[worker].kinds
        }
        for spec in ready:
            worker = self._home(spec, knowing.get(_kind(spec)))
            if worker in idle:
                return worker, spec
        return next(
            (
                (self._home(spec, idle[0]), spec)
                for spec in ready
                if self._home(spec, idle[0]) in idle
            ),
            None,
        )

    def _home(self, spec: TrialSpec, otherwise: int | None) -> int | None:
        """The worker where something of the trial is kept; another one if there is none."""
        home = self._homes.get(spec.trial) if self._sticky else None
        return home if home in self._members else otherwise

    def _wants_to_be_alone(self, spec: TrialSpec, search: Playbook) -> bool:
        return _key(spec) in self._starved or search.runs_alone(spec)

    def _is_exclusive(self) -> bool:
        """Whether nothing may begin: what must be alone is trained, or is to be recorded, so that
        others need not be.
        """
        return self._settling or any(
            member.doing and member.doing.exclusive for member in self._members.values()
        )

    def _begin(self, worker: int, spec: TrialSpec, exclusive: bool, search: Playbook) -> None:
        others = [member for member in self._members.values() if member.doing]
        if _key(spec) in self._starved:
            # Idle workers keep their memory.
            for other in [each for each in self._members if each != worker]:
                self._end(other)
        for other in others:
            other.doing.alone = False
        self._attempts += 1
        member = self._members[worker]
        member.doing, member.silent = (
            _Attempt(self._attempts, spec, exclusive, alone=not others),
            0.0,
        )
        member.kinds.add(_kind(spec))
        self._homes[spec.trial] = worker
        search.begin(spec)
        self._workers.send(
            worker, Order(self._attempts, spec, search.state(spec), search.seconds_left())
        )

    # Listening

    def _listen(self, search: Playbook, results: collections.deque[Result], timeout: float) -> None:
        """Adds the results that are heard of within a moment, and gives up who is silent for too
        long.
        """
        before = self._clock()
        messages = self._workers.receive(timeout)
        # While this process itself was busy or stopped, nobody could be heard.
        waited = min(self._clock() - before, 2 * POLL)
        if not any(member.ready for member in self._members.values()):
            self._on_start(waited)
        for member in self._members.values():
            member.silent += waited
        for message in messages:
            result = self._heard(message, search)
            if result is not None:
                results.append(result)
        for worker, member in list(self._members.items()):
            if member.silent > self._limit(member):
                self._lose(worker, f"said nothing for {member.silent:.0f} s", search)

    def _limit(self, member: _Member) -> float:
        if member.doing is None:
            return float("inf") if member.ready else self._patience.first
        longest = self._longest.get(member.doing.has_stepped)
        return self._patience.limit(longest, self._losses.get(_key(member.doing.spec), 0))

    def _heard(self, message: Message, search: Playbook) -> Result | None:
        member = self._members.get(message.worker)
        if member is None:
            return None  # it was given up
        if message.kind == UNFIT:
            raise Unfit(message.content)
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
            self._longest[attempt.has_stepped] = max(
                self._longest.get(attempt.has_stepped, 0.0), silence
            )
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
        """Settles how many jobs there are, from what the first outcome says that a worker needs
        (S1.5).
        """
        if self._fit is None:
            return
        self.jobs, self._fit = max(self._fit(peak_memory), 1), None
        words = f"{self.jobs} trial" + ("s" if self.jobs > 1 else "")
        logger.info("A worker needs %.0f MB of memory: %s at once.", peak_memory / 1e6, words)
        if self._workers.share(self.jobs):
            for worker in [each for each, member in self._members.items() if not member.doing]:
                self._end(worker)

    def _failed(
        self, worker: int, attempt: _Attempt, error: Exception, search: Playbook
    ) -> Result | None:
        spec = attempt.spec
        if not is_out_of_memory(error) or _key(spec) in self._starved:
            return Result(spec, alone=attempt.alone, error=error)
        # Its memory is in pieces, so it goes; who is alone has all of it.
        self._end(worker)
        self._starved.add(_key(spec))
        self.jobs, self._fit = max(self.jobs // 2, 1), None
        search.give_back(spec)
        at_once = (
            f"{self.jobs} at once from now on" if self.jobs > 1 else "one at a time from now on"
        )
        logger.warning(
            "%s ran out of memory: %s, and it is trained once more alone.", spec.trial, at_once
        )
        return None

    def _lose(self, worker: int, why: str, search: Playbook) -> None:
        """Gives a worker up; what it trained is handed out again."""
        member = self._members[worker]
        self._end(worker)
        self._has_changed = True
        if member.doing is not None:
            spec = member.doing.spec
            search.give_back(spec)
            losses = self._losses[_key(spec)] = self._losses.get(_key(spec), 0) + 1
            words = (
                f"the worker that trained {spec.trial} (steps {spec.start} to {spec.until}) {why}"
            )
            if losses >= MOST_LOSSES:
                raise RuntimeError(
                    f"{words}, for the {losses}rd time: what was recorded is kept, and the same command goes on from "
                    "there; with --executor=inline the error shows."
                )
            logger.warning("%s; it is trained once more.", words[0].upper() + words[1:])
        elif not member.ready:
            self._failed_starts += 1
            if not self._has_started:
                raise Unfit(f"a worker {why} while it started")
            if self._failed_starts >= MOST_LOSSES:
                words = f"{MOST_LOSSES} workers one after another did not start: the last one {why}"
                self.jobs, self._failed_starts = (
                    sum(member.ready for member in self._members.values()),
                    0,
                )
                if not self.jobs:
                    raise RuntimeError(f"{words}.")
                logger.warning("%s; the search goes on with those at work (%d).", words, self.jobs)

    def _end(self, worker: int) -> None:
        del self._members[worker]
        self._workers.end(worker)


def _key(spec: TrialSpec) -> tuple[str, int]:
    return spec.trial, spec.start


def _kind(spec: TrialSpec) -> tuple:
    """What is compiled once for all trials that share it."""
    recipe = spec.recipe
    return repr(recipe.hyperparameters), recipe.optimizer, recipe.nesterov, recipe.frozen
