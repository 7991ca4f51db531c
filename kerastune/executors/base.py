"""What an executor is: it takes the segments that a search has ready, and gives their results."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from kerastune.playbook.driver import Playbook
from kerastune.trial import Outcome, State, TrialSpec

INLINE, PROCESSES, RAY = "inline", "processes", "ray"
EXECUTORS = (INLINE, PROCESSES, RAY)


class ExecutorUnavailable(Exception):
    """Workers can't do this search at all; the text says why, so that it can go on without them."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of one segment.

    Args:
        spec: the segment.
        outcome: `None` when it failed.
        last: the state at its end.
        best: the weights of its best evaluation, if they are to be kept.
        alone: whether nothing was trained beside it, so that its seconds per step may be compared.
        error: what the training raised, or `None`.
    """

    spec: TrialSpec
    outcome: Outcome | None = None
    last: State | None = None
    best: State | None = None
    alone: bool = True
    error: Exception | None = None


class Executor(abc.ABC):
    """Trains what a search has ready.

    Attributes:
        jobs: segments that are trained side by side, at most.
    """

    jobs = 1

    @abc.abstractmethod
    def run(self, search: Playbook, on_begin: Callable[[TrialSpec], Any]) -> Iterator[Result]:
        """Trains until the search has nothing more; results come in any order.

        Whoever iterates records each result before asking for the next.

        Args:
            search: says what is ready, and takes note of what was begun.
            on_begin: called with every segment when it is begun, again when it is begun anew.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends what the executor has started."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        return False


class Inline(Executor):
    """Trains one segment after another in this process.

    Args:
        trainer: whose `run` trains a segment.
    """

    def __init__(self, trainer: Any):
        self._trainer = trainer

    def run(self, search: Playbook, on_begin: Callable[[TrialSpec], Any]) -> Iterator[Result]:
        search.jobs = self.jobs
        while (spec := search.next()) is not None:
            search.begin(spec)
            on_begin(spec)
            try:
                result = Result(spec, *self._trainer.run(spec, search.state(spec)))
            except Exception as error:
                result = Result(spec, error=error)
            yield result

    def close(self) -> None:
        """Does nothing: nothing was started."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, of the machine or of a device.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("shape"))
        (True, False)
    """
    named = any(
        each.__name__ in ("MemoryError", "ResourceExhaustedError") for each in type(error).__mro__
    )
    return named or "out of memory" in str(error).lower()
