"""Workers as actors of a Ray cluster, on this machine or others (extra `kerastune[ray]`).

Ray core alone is used: it places the actors, moves bytes, and tells when one is lost. Who trains
what is for the worker pool.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from kerastune.executors import capacity, worker
from kerastune.executors.worker_pool import WorkerPool
from kerastune.executors.workers import (
    FAILED,
    LOST,
    READY,
    STEPS,
    UNAVAILABLE,
    Assignment,
    Message,
    Workers,
)
from kerastune.trial import TrialSpec

ASK_SECONDS = 0.5  # between two questions how far an actor is


def check() -> None:
    """Raises `ImportError` with what to do, when Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`executor` ray needs Ray, which is not installed: pip install 'kerastune[ray]'."
        ) from error


class Actor:
    """What runs in an actor's process: it trains one segment at a time and says how far it is."""

    def __init__(self):
        self._steps = 0
        self._trainer = None

    def prepare(
        self,
        prepare_process: Callable[[int, int, int | None], None],
        shared: list[Any],
        threads: int,
        gpus: float,
    ) -> tuple[str, int, Any]:
        """Makes a trainer of the setup in the object store.

        Says `READY` with where it is, or `UNAVAILABLE`.
        """
        import ray

        try:
            memory = capacity.gpu_memory() if 0 < gpus < 1 else []
            limit = int(capacity.GPU_FRACTION * gpus * min(memory)) if memory else None
            # Ray shows every actor its own GPU alone, as the first one.
            prepare_process(0, threads, limit)
            self._trainer = ray.get(shared[0]).trainer()
        except Exception as error:
            first_line = next(iter(str(error).splitlines()), "")
            why = f"an actor can't be set up ({type(error).__name__}: {first_line})"
            return UNAVAILABLE, 0, why
        return READY, 0, (ray.get_runtime_context().get_node_id(), os.getpid())

    def run(
        self, attempt: int, spec: TrialSpec, state: bytes | None, seconds_left: float
    ) -> tuple[str, int, Any]:
        """Trains a segment, as `worker.answer`."""
        until = time.monotonic() + seconds_left
        self._trainer.seconds_left = lambda: until - time.monotonic()
        self._trainer.on_steps = self._count
        return worker.answer(self._trainer, attempt, spec, state)

    def steps(self) -> int:
        """Steps done so far, of all segments."""
        return self._steps

    def _count(self, count: int) -> None:
        self._steps += count


@dataclasses.dataclass
class _ActorState:
    handle: Any
    waits: dict = dataclasses.field(default_factory=dict)  # what is waited for, by `ObjectRef`
    place: tuple[str, int] | None = None  # id of its node, and of its process
    attempt: int = 0
    steps: int = 0
    asked: float = 0.0


class Actors(Workers):
    """Actors of a cluster, which have the problem from its object store.

    Args:
        setup: of every actor, as `processes.Processes` takes it.
        jobs: how many will work side by side; 0 for one on every core. They divide cores and GPUs
            between them.
        address: of the cluster; empty for one on this machine, which ends with the search.
    """

    def __init__(self, setup: Any, jobs: int, address: str):
        import ray

        self._ray, self._setup = ray, setup
        self._is_ours = not ray.is_initialized()
        if self._is_ours and address:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        elif self._is_ours:
            ray.init(
                num_cpus=capacity.cores(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        self._shared = ray.put(setup)
        resources = ray.cluster_resources()
        self.cores, self._gpus = max(int(resources.get("CPU", 1)), 1), resources.get("GPU", 0.0)
        self.memory = int(resources.get("memory", 0))
        self._jobs = jobs or self.cores
        self._actors: dict[int, _ActorState] = {}
        self._started = 0

    @property
    def pids(self) -> list[int]:
        """Ids of the processes of actors that are ready."""
        return [known.place[1] for known in self._actors.values() if known.place]

    def start(self) -> int:
        self._started += 1
        threads = capacity.threads(self.cores, self._jobs)
        cpus = min(threads, self.cores / self._jobs)
        gpus = min(self._gpus / self._jobs, 1.0)
        kind = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=2)(
            Actor
        )
        known = _ActorState(kind.remote())
        prepare = self._setup.prepare_process
        reference = known.handle.prepare.remote(prepare, [self._shared], threads, gpus)
        known.waits[reference] = READY
        self._actors[self._started] = known
        return self._started

    def send(self, number: int, assignment: Assignment) -> None:
        known = self._actors[number]
        known.attempt, known.asked = assignment.attempt, time.monotonic()
        state = assignment.state and assignment.state.to_bytes()
        reference = known.handle.run.remote(
            assignment.attempt, assignment.spec, state, assignment.seconds_left
        )
        known.waits[reference] = "run"

    def receive(self, timeout: float) -> list[Message]:
        self._ask()
        owners = {
            reference: number for number, known in self._actors.items() for reference in known.waits
        }
        if not owners:
            time.sleep(timeout)
            return []
        done, _ = self._ray.wait(list(owners), num_returns=1, timeout=min(timeout, ASK_SECONDS))
        if done:
            done, _ = self._ray.wait(list(owners), num_returns=len(owners), timeout=0)
        said = [self._read(owners[reference], reference) for reference in done]
        return [message for message in said if message is not None]

    def _ask(self) -> None:
        """Asks those that train how far they are; an answer is a sign of life."""
        now = time.monotonic()
        for known in self._actors.values():
            waits = known.waits.values()
            if "run" in waits and STEPS not in waits and now >= known.asked + ASK_SECONDS:
                known.waits[known.handle.steps.remote()] = STEPS
                known.asked = now

    def _read(self, number: int, reference: Any) -> Message | None:
        known = self._actors[number]
        asked = known.waits.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.OutOfMemoryError as error:
            return Message(number, FAILED, known.attempt, MemoryError(str(error)))
        except self._ray.exceptions.RayError as error:
            return Message(number, LOST, 0, f"ended ({type(error).__name__})")
        if asked == STEPS:
            more, known.steps = answer - known.steps, answer
            return Message(number, STEPS, known.attempt, more) if more else None
        kind, attempt, content = answer
        if kind == READY:
            known.place = content
        return Message(number, kind, attempt, worker.unpacked(kind, content))

    def end(self, number: int) -> None:
        known = self._actors.pop(number)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(known.handle, no_restart=True)
        # Ray asks a process to end itself, which one that is stopped does not hear.
        if known.place and known.place[0] == self._ray.get_runtime_context().get_node_id():
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.place[1], signal.SIGKILL)

    def close(self) -> None:
        for number in list(self._actors):
            self.end(number)
        if self._is_ours:
            self._ray.shutdown()

    def divide(self, jobs: int) -> bool:
        is_changed = jobs != self._jobs
        self._jobs = jobs
        return is_changed


def pool(
    setup: Any,
    jobs: int,
    on_steps: Callable[[int], None],
    on_start: Callable[[float], None],
    address: str = "",
) -> WorkerPool:
    """A pool of actors, as `processes.pool` gives one of processes.

    Args:
        setup: of every actor.
        jobs: segments at once; 0 for as many as the cluster's memory and cores allow.
        on_steps: as `WorkerPool` takes it.
        on_start: as `WorkerPool` takes it.
        address: of the cluster; empty for one on this machine.
    """
    workers = Actors(setup, jobs, address)

    def how_many(peak_memory: int) -> int:
        return capacity.fitting(peak_memory, max(workers.memory - peak_memory, 0), workers.cores)

    sticky = bool(setup.callbacks)
    return WorkerPool(workers, jobs, how_many, sticky, on_steps, on_start)
