"""Follows one segment while Keras trains it, chunk by chunk, to its outcome."""

from __future__ import annotations

import dataclasses
import math
import resource
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from kerastune.analysis import curves
from kerastune.analysis.trial_curves import Curves
from kerastune.objective import kept_evaluation
from kerastune.schedules import rates
from kerastune.training import clock, optimizers
from kerastune.training.step_recorder import Chunk
from kerastune.trial import Outcome, State, TrialSpec

if TYPE_CHECKING:
    from kerastune.training import compiled_model
    from kerastune.training.trainer import Trainer


CHUNK = 50  # steps in one call of the train function
RATIO_EVERY = 10  # steps between two measurements of update and weight norms
HARDLY = 0.005  # of the steps that are left, by which another end is the same
LOOK_BACK = 100  # steps before a chunk from which its smoothed loss is worked out


class Segment(keras.callbacks.Callback):
    """Collects the outcome of one segment, and stops it when it has diverged.

    Reads the recorder after every chunk.

    Args:
        member: the compiled model with its recorder.
        spec: what is trained.
        trainer: whose objective, clock and display it follows.
        first_loss: of the trial, in an earlier segment; NaN in its first one.
    """

    def __init__(
        self, member: compiled_model.Compiled, spec: TrialSpec, trainer: Trainer, first_loss: float
    ):
        super().__init__()
        self.first_loss = first_loss
        self.member, self.spec, self.trainer = member, spec, trainer
        self._until = spec.until
        self.chunks: list[Chunk] = []
        self.evals: list[dict[str, float]] = []
        self.seconds: list[float] = []
        self.diverged_at: int | None = None
        self.out_of_time = False
        self.best: State | None = None
        self.steps = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.member.recorder.reset(self.spec.start)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        chunk = self.member.recorder.read()
        self.seconds.append((time.monotonic() - self._began) / max(len(chunk), 1))
        self.chunks.append(chunk)
        self.steps += len(chunk)
        self.trainer.on_steps(len(chunk))
        if "loss" not in chunk.values:
            raise ValueError(
                "the model's `train_step` returns no value called `loss`, which kerastune needs."
            )
        if np.isnan(self.first_loss):
            self.first_loss = float(chunk.values["loss"][0])
        bad = self._found_diverged(len(chunk))
        if not bad and self.spec.follows_clock:
            self._follow_clock()
        self.out_of_time = (
            not bad
            and self.spec.start + self.steps < self.spec.until
            and self.trainer.seconds_left() <= 0
        )
        if bad or self.out_of_time:
            self.model.stop_training = True

    def _found_diverged(self, at_once: int) -> bool:
        """Whether the last steps diverged; `diverged_at` tells where.

        Without a limit in time that is found at whole chunks only, however many steps are taken at
        once: on a slow machine a training then stops at the step where it stops on a quick one.
        """
        is_due = self.steps % CHUNK == 0 or self.spec.start + self.steps >= self.spec.until
        if not is_due and math.isinf(self.trainer.seconds_left()):
            return False
        count = -(-(LOOK_BACK + CHUNK) // max(at_once, 1))
        recent = np.concatenate([chunk.values["loss"] for chunk in self.chunks[-count:]])
        bad = curves.diverged_at(recent, self.first_loss)
        if bad is not None:
            self.diverged_at = self.spec.start + self.steps - len(recent) + bad
        return bad is not None

    def _follow_clock(self) -> None:
        """Moves the end of the training, and so its learning rates, to the end of the time."""
        now, done = time.monotonic(), self.spec.start + self.steps
        if len(self.chunks) == 1:
            self._paced_from = now, done  # without the trace
            return
        began, first = self._paced_from
        pace, spec = (now - began) / (done - first), self.spec
        total = clock.total_steps(
            done, spec.recipe.total_steps, self.trainer.seconds_left(), pace, CHUNK
        )
        if abs(total - spec.recipe.total_steps) <= HARDLY * (spec.recipe.total_steps - done):
            return
        recipe = spec.recipe.over(total)
        self.spec = dataclasses.replace(spec, recipe=recipe, until=min(self._until, total))
        optimizers.configure(self.model.optimizer, rates(recipe), recipe)
        if done >= self.spec.until:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {
            name[4:]: value for name, value in (logs or {}).items() if name.startswith("val_")
        }
        # A metric may give one value per class, which is nothing to choose by.
        values = {name: float(value) for name, value in values.items() if np.ndim(value) == 0}
        if not values:
            return
        self.evals.append({"step": self.spec.start + self.steps, **values})
        if self.spec.keep_best and self.diverged_at is None:
            is_last = self.spec.sparsity > 0
            if kept_evaluation(self.evals, self.trainer.objective, is_last) is self.evals[-1]:
                self.best = State(self.spec.start + self.steps, self._kept_weights(), [])

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._swap()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        self._swap()

    def _kept_weights(self) -> list[np.ndarray]:
        """What was evaluated: the weights, or their moving average."""
        self._swap()
        values = values_of(self.model.variables)
        self._swap()
        return values

    def _swap(self) -> None:
        if self.spec.recipe.ema:
            optimizers.swap_average(self.model.optimizer)

    def values(self, name: str) -> np.ndarray:
        """The true values of every step of this segment so far."""
        return np.concatenate([chunk.values[name] for chunk in self.chunks])

    def outcome(self) -> Outcome:
        """What came of the segment."""
        offsets = np.cumsum([self.spec.start] + [len(chunk) for chunk in self.chunks])
        steps = [
            offset + chunk.ratio_steps for offset, chunk in zip(offsets, self.chunks, strict=False)
        ]
        recorder = self.member.recorder
        return Outcome(
            spec=self.spec,
            curves=Curves(
                {name: self.values(name) for name in recorder.names},
                norm_steps=np.concatenate(steps),
                update_norms=np.concatenate([chunk.update_norms for chunk in self.chunks]),
                weight_norms=np.concatenate([chunk.weight_norms for chunk in self.chunks]),
            ),
            evals=tuple(self.evals),
            layers=tuple(recorder.layers),
            diverged_at=self.diverged_at,
            # The first chunk holds the trace of a first trial.
            seconds_per_step=float(np.median(self.seconds[1:] or self.seconds)),
            peak_memory=peak_memory(),
            notes=self._notes(),
            out_of_time=self.out_of_time,
        )

    def _notes(self) -> tuple[str, ...]:
        if self.trainer.problem.stream is not None and self.spec.start:
            return ("weights were restored from the checkpoint; the data stream started again",)
        return ()


def peak_memory() -> int:
    """Most bytes in use so far: of the first GPU where there is one, else of this process."""
    if tf.config.list_logical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def values_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of the values of variables, in their order."""
    # A copy: on a CPU the array may share the variable's memory.
    return [variable.numpy().copy() for variable in variables]
