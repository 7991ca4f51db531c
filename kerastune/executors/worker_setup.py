"""What a worker needs to train any segment of a search; it is sent once."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import keras

from kerastune.executors.base import ExecutorUnavailable
from kerastune.objective import Objective
from kerastune.problem import Problem
from kerastune.runtime import devices
from kerastune.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class WorkerSetup:
    """What a trainer is made of, and under which precision.

    Args:
        problem: without what only the driver needs.
        build: as `Trainer` takes it.
        objective: as `Trainer` takes it.
        callbacks: of the user's.
        teacher: of trials that have one, pickled: a device must not be touched before it is set up.
        precision: Keras's global dtype policy.
        most_steps: of a training, by its batch size.
    """

    problem: Problem
    build: Callable[[dict[str, Any]], keras.Model]
    objective: Objective
    callbacks: tuple[keras.callbacks.Callback, ...]
    teacher: bytes | None
    precision: str
    most_steps: Callable[[int], float]

    @classmethod
    def of(cls, trainer: Trainer) -> WorkerSetup:
        """The setup with which a worker trains as this trainer does.

        Raises:
            ExecutorUnavailable: when it can't be sent, with the reason in words.
        """
        if trainer.problem.stream is not None:
            raise ExecutorUnavailable(
                "the data are a tf.data stream, which can't be sent to a worker"
            )
        pieces = {
            "the model's builder": trainer.build,
            "a callback": trainer.callbacks,
            "the teacher": trainer.teacher,
        }
        sent = [_pickled(words, piece) for words, piece in pieces.items()]
        problem = dataclasses.replace(trainer.problem, test=None, attach=None, notes=())
        policy = keras.config.dtype_policy().name
        teacher = sent[-1] if trainer.teacher is not None else None
        callbacks = tuple(trainer.callbacks)
        given = (trainer.build, trainer.objective, callbacks, teacher, policy)
        return cls(problem, *given, trainer.most_steps)

    @staticmethod
    def prepare_process(gpu: int, threads: int, memory_limit: int | None) -> None:
        """Sets the process of a worker up, before a setup is unpickled there.

        Args:
            gpu: number of its GPU.
            threads: that it may use.
            memory_limit: bytes of its GPU; `None` to take them as they are needed.
        """
        devices.set_up_worker(gpu, threads, memory_limit)

    def trainer(self) -> Trainer:
        """A trainer of the worker's own."""
        devices.set_up(gpu_memory_growth=False, precision=self.precision)
        trainer = Trainer(self.problem, self.build, self.objective, self.callbacks)
        trainer.teacher = self.teacher and pickle.loads(self.teacher)
        trainer.most_steps = self.most_steps
        return trainer


def _pickled(words: str, piece: Any) -> bytes:
    try:
        return pickle.dumps(piece)
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExecutorUnavailable(f"{words} can't be sent to a worker ({first_line})") from error
