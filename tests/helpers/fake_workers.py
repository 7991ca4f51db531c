"""Workers without processes, in simulated time: they are late, lost, hang, and speak too late."""

from __future__ import annotations

import dataclasses
import random

from fake_trainer import FakeClock, FakeTrainer

from kerastune.executors.workers import (
    DONE,
    FAILED,
    LOST,
    READY,
    STEPS,
    Assignment,
    Message,
    Workers,
)


class FakeWorkers(Workers):
    """Trains by formula, every segment for a random time.

    Args:
        clock: moved on to whatever happens next.
        seed: of all that is random.
        fault: gives what happens to an attempt: `""`, `"lost"`, `"hangs"`, `"late"` (it hangs, and
            its result comes after it was given up), or an exception that it raises.
        trainer: that trains.
        peak_memory: bytes that every outcome says.
    """

    def __init__(
        self,
        clock: FakeClock,
        seed=0,
        fault=lambda assignment, random: "",
        trainer=None,
        peak_memory=0,
    ):
        self.clock, self.random, self.fault = clock, random.Random(seed), fault
        self.trainer, self.peak_memory = trainer or FakeTrainer(tau=30), peak_memory
        self.started, self.ended, self.most_busy = 0, [], 0
        self.idled = 0.0  # seconds for which somebody listened though nobody had anything to say
        self.busy: dict[int, Assignment] = {}
        self.assignments: list[Assignment] = []
        self.beside: dict[int, set[str]] = {}  # by attempt, what was trained beside it at its begin
        self._events: list[tuple[float, Message]] = []

    def start(self):
        self.started += 1
        self._later(1.0, Message(self.started, READY))
        return self.started

    def send(self, worker, assignment):
        assert worker not in self.busy and worker not in self.ended
        self.beside[assignment.attempt] = {other.spec.trial for other in self.busy.values()}
        self.busy[worker] = assignment
        self.assignments.append(assignment)
        self.most_busy = max(self.most_busy, len(self.busy))
        fault, seconds = self.fault(assignment, self.random), self.random.uniform(1, 20)
        self._later(seconds / 2, Message(worker, STEPS, assignment.attempt, 50))
        if fault == "lost":
            self._later(seconds, Message(worker, LOST, 0, "was killed"))
        elif isinstance(fault, Exception):
            self._later(seconds, Message(worker, FAILED, assignment.attempt, fault))
        elif fault != "hangs":
            answer = self._train(assignment)
            self._later(
                650 if fault == "late" else seconds,
                Message(worker, DONE, assignment.attempt, answer),
            )

    def receive(self, timeout):
        self._events.sort(key=lambda event: event[0])
        if not self._events or self._events[0][0] > self.clock.now + timeout:
            self.clock.now += timeout
            self.idled += timeout if not self._events else 0
            return []
        at, message = self._events.pop(0)
        self.clock.now = max(self.clock.now, at)
        if message.kind in (DONE, FAILED):
            self.busy.pop(message.worker, None)
        return [message]

    def end(self, worker):
        # What it may still say is left in the queue, as a zombie's word would be.
        self.busy.pop(worker, None)
        self.ended.append(worker)

    def close(self):
        self.busy.clear()

    def _train(self, assignment):
        outcome, *states = self.trainer.run(assignment.spec, assignment.state)
        return dataclasses.replace(outcome, peak_memory=self.peak_memory), *states

    def _later(self, seconds, message):
        self._events.append((self.clock.now + seconds, message))
