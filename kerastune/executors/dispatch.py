"""How a search is executed: which executor it gets, and what becomes of results."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kerastune.executors.base import (
    EXECUTORS,
    INLINE,
    PROCESSES,
    RAY,
    Executor,
    ExecutorUnavailable,
    Inline,
    Result,
    is_out_of_memory,
)
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.runtime import signals
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:  # what becomes of results can be tested without TensorFlow
    from kerastune.training.trainer import Trainer

logger = logging.getLogger("kerastune")


def check(executor: str, jobs: int) -> None:
    """Checks an executor's name and the number of its jobs.

    Raises:
        ValueError: for an unknown executor, jobs below 0, or several of them inline.
        ImportError: when Ray is asked for and not installed.

    Example:
        >>> check("processes", 2)
    """
    if executor not in EXECUTORS:
        raise ValueError(f"`executor` must be one of {', '.join(EXECUTORS)}, got {executor!r}.")
    if not isinstance(jobs, int) or jobs < 0:
        raise ValueError(
            "`jobs` must be a whole number of trials at once, or 0 to measure how many fit, "
            f"got {jobs!r}."
        )
    if executor == INLINE and jobs > 1:
        raise ValueError(
            f"`jobs` is {jobs}, but inline runs one trial at a time: choose executor processes."
        )
    if executor == RAY:
        from kerastune.executors import ray_actors

        ray_actors.check()


@contextlib.contextmanager
def started(
    executor: str, jobs: int, ray_address: str, trainer: Trainer, on_start: Callable[[float], None]
) -> Iterator[Executor]:
    """The executor for the length of a `with` block; inline where the search can't be sent.

    Args:
        executor: its name.
        jobs: as `check` takes them.
        ray_address: of a cluster.
        trainer: trains inline, and workers as it does.
        on_start: called with seconds in which there were only workers that start.
    """
    try:
        chosen = _executor(executor, jobs, ray_address, trainer, on_start)
    except ExecutorUnavailable as why:
        _say_inline(why)
        chosen = Inline(trainer)
    with chosen:
        yield chosen


def results(
    executor: Executor, trainer: Trainer, playbook: Playbook, on_begin: Callable[[TrialSpec], None]
) -> Iterator[Result]:
    """What comes of every segment, until every stage has decided; inline where workers fail."""
    try:
        yield from executor.run(playbook, on_begin)
    except ExecutorUnavailable as why:
        _say_inline(why)
        executor.close()
        yield from Inline(trainer).run(playbook, on_begin)


def record(result: Result, playbook: Playbook) -> None:
    """Records a result.

    A network that can't be built or trained, and a batch that needs too much memory, are recorded
    as failed: their stages pass them over.

    Raises:
        Exception: what any other training raised.
    """
    error, spec = result.error, result.spec
    if error is None:
        playbook.record(result.outcome, result.last, result.best, result.alone)
        return
    if signals.behind(error) is not None or _is_fatal(error):
        raise error
    lacks_memory = is_out_of_memory(error)
    stage = registry.find(spec.stage)
    if not (stage and (stage.may_fail or (lacks_memory and stage.may_run_out_of_memory))):
        if lacks_memory:
            recipe = spec.recipe
            raise MemoryError(
                f"{spec.trial} ran out of memory alone (batch size {recipe.batch_size}): choose a "
                "smaller network or `batch_size`."
            ) from error
        raise error
    first = not any(outcome.error for outcome in playbook.outcomes.values())
    logger.warning(
        "%s failed and is skipped (%s).", spec.trial, error, exc_info=error if first else None
    )
    playbook.record(Outcome.failed(spec, error), None, None)


def _is_fatal(error: Exception) -> bool:
    """Whether it is a `FatalError` of KerasTuner's, with which a user's `build` ends a search."""
    return any(
        each.__name__ == "FatalError" and each.__module__.startswith("keras_tuner")
        for each in type(error).__mro__
    )


def _executor(
    executor: str,
    jobs: int,
    ray_address: str,
    trainer: Trainer,
    on_start: Callable[[float], None],
) -> Executor:
    if executor == INLINE:
        return Inline(trainer)
    from kerastune.executors.worker_setup import WorkerSetup

    if executor == PROCESSES:
        from kerastune.executors import processes

        return processes.pool(WorkerSetup.of(trainer), jobs, trainer.on_steps, on_start)
    from kerastune.executors import ray_actors

    return ray_actors.pool(WorkerSetup.of(trainer), jobs, trainer.on_steps, on_start, ray_address)


def _say_inline(why: ExecutorUnavailable) -> None:
    logger.warning("Trials run inline, one at a time: %s.", why)
