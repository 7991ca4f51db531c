"""What a worker needs to train any segment of a search: it is sent once, and a trainer is made of it once."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable
from typing import Any

import keras

from kerastune.executors.base import Unfit
from kerastune.scores import Objective
from kerastune.task import Task
from kerastune.training import Trainer


@dataclasses.dataclass(frozen=True)
class Outfit:
    """What a trainer is made of, and under which precision.

    Args:
        task: without what only the driver needs.
        build: as `Trainer` takes it.
        objective: as `Trainer` takes it.
        callbacks: of the user's.
        teacher: of trials that have one.
        precision: Keras's global dtype policy.
    """

    task: Task
    build: Callable[[dict[str, Any]], keras.Model]
    objective: Objective
    callbacks: tuple[keras.callbacks.Callback, ...]
    teacher: keras.Model | None
    precision: str

    @classmethod
    def of(cls, trainer: Trainer) -> Outfit:
        """The outfit with which a worker trains as this trainer does."""
        task = dataclasses.replace(trainer.task, test=None, attach=None, notes=())
        policy = keras.config.dtype_policy().name
        return cls(task, trainer.build, trainer.objective, tuple(trainer.callbacks), trainer.teacher, policy)

    def check(self) -> None:
        """Looks whether all of it can be sent.

        Raises:
            Unfit: with the reason in words.
        """
        if self.task.stream is not None:
            raise Unfit("the data are a tf.data stream, which can't be sent to a worker")
        pieces = {"the model's builder": self.build, "a callback": self.callbacks, "the teacher": self.teacher}
        for words, piece in pieces.items():
            try:
                pickle.dump(piece, io.BytesIO())
            except Exception as error:
                raise Unfit(f"{words} can't be sent to a worker ({_first_line(error)})") from error

    def trainer(self) -> Trainer:
        """A trainer of its own."""
        trainer = Trainer(self.task, self.build, self.objective, self.callbacks)
        trainer.teacher = self.teacher
        return trainer


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
