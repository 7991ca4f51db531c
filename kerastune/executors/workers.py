"""What a worker is told and says, and how long it may be silent; whatever it runs on."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from kerastune.trial import State, TrialSpec

READY, STEPS, DONE, FAILED = "ready", "steps", "done", "failed"
UNAVAILABLE, LOST = "unavailable", "lost"


@dataclasses.dataclass(frozen=True)
class Assignment:
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
            (the error), `UNAVAILABLE` (why) or `LOST` (why).
        attempt: that it speaks of.
        content: see `kind`.
    """

    worker: int
    kind: str
    attempt: int = 0
    content: Any = None


class Workers(abc.ABC):
    """The workers themselves: processes, actors, or simulated ones in a test."""

    @abc.abstractmethod
    def start(self) -> int:
        """Starts a worker, which says `READY` or `UNAVAILABLE` in time; gives its number."""

    @abc.abstractmethod
    def send(self, worker: int, assignment: Assignment) -> None:
        """Gives a worker that is ready and idle something to train."""

    @abc.abstractmethod
    def receive(self, timeout: float) -> list[Message]:
        """What was said, waiting for it up to so many seconds."""

    @abc.abstractmethod
    def end(self, worker: int) -> None:
        """Ends a worker at once, whatever it does, stopped or hanging."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all workers at once and frees what they share."""

    def divide(self, jobs: int) -> bool:
        """Divides cores and GPUs between so many workers.

        Returns:
            Whether those that were started before must be started anew.
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
