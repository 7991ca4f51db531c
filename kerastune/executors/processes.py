"""Workers as processes of this machine.

They are started afresh (`spawn`), so that none inherits TensorFlow's threads.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import socket
import struct
from collections.abc import Callable
from multiprocessing import connection, reduction
from typing import Any

from kerastune.executors import capacity, worker
from kerastune.executors.shared_memory import SharedArrays
from kerastune.executors.worker_pool import WorkerPool
from kerastune.executors.workers import LOST, Assignment, Message, Workers
from kerastune.runtime import memory

# That a message may take through a pipe: a worker that is stopped in the middle of one is lost.
PIPE_SECONDS = 60
END_SECONDS = 2.0  # that a killed process may take to be gone


@dataclasses.dataclass
class _Process:
    process: multiprocessing.process.BaseProcess
    pipe: connection.Connection
    gpu: int  # its number, where there are several


class Processes(Workers):
    """Worker processes, which have the problem's arrays in shared memory.

    Args:
        setup: of every worker; its `prepare_process` is called first, and its `trainer()` gives
            what trains, as those of `WorkerSetup` do.
        jobs: how many will work side by side, as far as that is known: they divide cores and GPU
            memory between them.
    """

    def __init__(self, setup: Any, jobs: int):
        self._prepare = pickle.dumps(setup.prepare_process)
        self._shared = SharedArrays(setup)
        self._context = multiprocessing.get_context("spawn")
        self._gpus = capacity.gpu_memory()
        self._jobs = jobs
        self._processes: dict[int, _Process] = {}
        self._started = 0
        self._unsaid: list[Message] = []

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that work."""
        return [each.process.pid for each in self._processes.values()]

    def start(self) -> int:
        self._started += 1
        ours, theirs = self._context.Pipe()
        _limit(ours)
        taken = [each.gpu for each in self._processes.values()]
        gpu = min(range(max(len(self._gpus), 1)), key=taken.count)
        threads, limit = self._divided()
        process = self._context.Process(
            target=worker.main,
            args=(theirs, gpu, threads, limit),
            daemon=True,
            name=f"kerastune-{self._started}",
        )
        process.start()
        theirs.close()
        self._processes[self._started] = _Process(process, ours, gpu)
        try:
            ours.send_bytes(self._prepare)
            ours.send_bytes(self._shared.data)
            reduction.send_handle(ours, self._shared.file.fileno(), process.pid)
        except OSError:
            self._unsaid.append(Message(self._started, LOST, 0, "ended"))
        return self._started

    def send(self, number: int, assignment: Assignment) -> None:
        state = assignment.state and assignment.state.to_bytes()
        message = (assignment.attempt, assignment.spec, state, assignment.seconds_left)
        try:
            pickled = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
            self._processes[number].pipe.send_bytes(pickled)
        except OSError:
            self._unsaid.append(Message(number, LOST, 0, "did not take its assignment"))

    def receive(self, timeout: float) -> list[Message]:
        pipes = {each.pipe: number for number, each in self._processes.items()}
        said, self._unsaid = self._unsaid, []
        for pipe in connection.wait(list(pipes), 0 if said else timeout):
            said.append(self._read(pipes[pipe], pipe))
        return said

    def _read(self, number: int, pipe: connection.Connection) -> Message:
        try:
            kind, attempt, content = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            process = self._processes[number].process
            process.join(END_SECONDS)
            return Message(number, LOST, 0, f"ended ({_how(process.exitcode)})")
        return Message(number, kind, attempt, worker.unpacked(kind, content))

    def end(self, number: int) -> None:
        gone = self._processes.pop(number)
        gone.process.kill()  # also a stopped one heeds that
        gone.pipe.close()
        gone.process.join(END_SECONDS)

    def close(self) -> None:
        for each in self._processes.values():
            each.process.kill()
        for number in list(self._processes):
            self.end(number)
        self._shared.close()

    def divide(self, jobs: int) -> bool:
        before = self._divided()
        self._jobs = jobs
        return before != self._divided()

    def _divided(self) -> tuple[int, int | None]:
        """Threads of each worker, and bytes of its GPU."""
        threads = capacity.threads(capacity.cores(), self._jobs)
        return threads, capacity.gpu_limit(self._jobs, self._gpus)


def pool(
    setup: Any,
    jobs: int,
    on_steps: Callable[[int], None],
    on_start: Callable[[float], None],
) -> WorkerPool:
    """A pool of processes.

    Args:
        setup: of every worker.
        jobs: segments at once; 0 for as many as memory and cores allow.
        on_steps: as `WorkerPool` takes it.
        on_start: as `WorkerPool` takes it.
    """
    workers = Processes(setup, jobs or capacity.cores())

    def how_many(peak_memory: int) -> int:
        free, gpus = memory.free(), capacity.gpu_memory()
        return capacity.fitting(peak_memory, free, capacity.cores(), gpus)

    sticky = bool(setup.callbacks)
    return WorkerPool(workers, jobs, how_many, sticky, on_steps, on_start)


def _limit(pipe: connection.Connection) -> None:
    """Lets reading and writing fail after a time: nobody waits for a process that is stopped."""
    seconds = struct.pack("ll", PIPE_SECONDS, 0)
    with socket.socket(fileno=os.dup(pipe.fileno())) as side:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            side.setsockopt(socket.SOL_SOCKET, option, seconds)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "its pipe is closed"
    return f"exit status {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
