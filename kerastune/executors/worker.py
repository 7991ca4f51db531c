"""A worker process: it trains one segment after another until its pipe is closed."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import time
import traceback
from multiprocessing import connection, reduction
from typing import Any

from kerastune.executors import shared_memory
from kerastune.executors.workers import DONE, FAILED, READY, STEPS, UNAVAILABLE
from kerastune.runtime import environment, signals
from kerastune.trial import State, TrialSpec


def main(pipe: connection.Connection, gpu: int, threads: int, memory_limit: int | None) -> None:
    """Trains what comes through the pipe.

    Args:
        pipe: its other end is the driver's. What prepares the process comes first, then the worker
            setup and the descriptor of its arrays.
        gpu: number of its GPU, where there are several.
        threads: that it may use.
        memory_limit: bytes that it may take of its GPU; `None` to take them as they are needed.
    """
    # A Ctrl-C goes to the driver and its workers alike, and the driver is the one to end them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signals.die_with_parent()
    prepare_process, data = pipe.recv_bytes(), pipe.recv_bytes()
    descriptor = reduction.recv_handle(pipe)
    assignments: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, assignments), daemon=True).start()
    try:
        with environment.quiet_start():
            # Before the setup, whose parts may touch a device when they are unpickled.
            pickle.loads(prepare_process)(gpu, threads, memory_limit)
            trainer = shared_memory.opened(data, descriptor).trainer()
            os.close(descriptor)
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), "")
        why = f"a worker can't be set up ({type(error).__name__}: {first_line})"
        _say(pipe, UNAVAILABLE, 0, why)
        return
    _say(pipe, READY, 0, None)
    while True:
        _train(pipe, trainer, *assignments.get())


def _train(
    pipe: connection.Connection,
    trainer: Any,
    attempt: int,
    spec: TrialSpec,
    state: bytes | None,
    seconds_left: float,
) -> None:
    until = time.monotonic() + seconds_left
    trainer.on_steps = lambda count: _say(pipe, STEPS, attempt, count)
    trainer.seconds_left = lambda: until - time.monotonic()
    _say(pipe, *answer(trainer, attempt, spec, state))
    environment.remove_generated()  # a worker is killed at its end, which removes nothing


def answer(
    trainer: Any, attempt: int, spec: TrialSpec, state: bytes | None
) -> tuple[str, int, Any]:
    """What a worker says of a segment: `DONE` with states as bytes, or `FAILED` with the error."""
    try:
        outcome, last, best = trainer.run(spec, state and State.from_bytes(state))
        return DONE, attempt, (outcome, last.to_bytes(), best and best.to_bytes())
    except Exception as error:
        return FAILED, attempt, _portable(error)


def unpacked(kind: str, content: Any) -> Any:
    """What a message says, with states in the place of their bytes."""
    if kind != DONE:
        return content
    outcome, *states = content
    return outcome, *(state and State.from_bytes(state) for state in states)


def _listen(pipe: connection.Connection, assignments: queue.SimpleQueue) -> None:
    """Takes assignments; when the driver is gone there is nobody to train for."""
    while True:
        try:
            assignments.put(pickle.loads(pipe.recv_bytes()))
        except (EOFError, OSError):
            os._exit(0)


def _say(pipe: connection.Connection, *message) -> None:
    try:
        pipe.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))
    except OSError:
        os._exit(0)


def _portable(error: Exception) -> Exception:
    """The error as another process can have it, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        # Some errors can be pickled, but not unpickled.
        sent = pickle.loads(pickle.dumps(error))
    except Exception:
        sent = MemoryError(str(error)) if type(error).__name__ == "ResourceExhaustedError" else None
        sent = sent or RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"In a worker:\n{trace}")
    return sent
