"""What the callbacks that let the learning rate decay have in common."""

from __future__ import annotations

import abc
import logging

import keras
import tensorflow as tf

from kerastune.models.step_wrapper import StepWrapper, install_for_one_fit, uninstall_after_fit
from kerastune.schedules.keras_schedules import WarmUp
from kerastune.training.optimizers import inner, step_counter

logger = logging.getLogger("kerastune")


class RateDecay(keras.callbacks.Callback, abc.ABC):
    """Sets the rate of every step of a `fit` by a schedule, inside the train function.

    The schedule starts at what the optimizer has when training begins, and is exact also with many
    steps per execution. A step is a batch, also where gradients of several are accumulated. When
    training ends the optimizer has its first rate again, unless something else has set another one
    meanwhile. A callback beside it that sets the rate too has no effect, which is said once.

    Args:
        warmup_steps: steps in which the rate rises linearly first, `>= 0`.
    """

    def __init__(self, warmup_steps: int = 0):
        super().__init__()
        if warmup_steps < 0:
            raise ValueError(f"`warmup_steps` must be >= 0, got {warmup_steps}.")
        self.warmup_steps = warmup_steps

    @abc.abstractmethod
    def schedule(self, learning_rate: float) -> keras.optimizers.schedules.LearningRateSchedule:
        """The schedule of one `fit`, counted from its first step."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        optimizer = inner(self.model.optimizer)
        if not isinstance(optimizer._learning_rate, keras.Variable):
            raise ValueError(
                f"{type(self).__name__} needs an optimizer with a plain learning rate, this one "
                "has a schedule: compile the model with a number as `learning_rate`."
            )
        rate = float(optimizer.learning_rate.numpy())
        schedule = self.schedule(rate)
        if self.warmup_steps:
            schedule = WarmUp(schedule, self.warmup_steps)
        self._wrapper = _RateSetter(self.model, schedule, rate)
        self._has_warned = False
        install_for_one_fit(self._wrapper)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not self._has_warned and self._wrapper.is_overwritten():
            self._has_warned = True
            logger.warning(
                "%s sets the learning rate of every step, so what else sets it in this fit has no "
                "effect: leave out either.",
                type(self).__name__,
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        uninstall_after_fit(self._wrapper)
        del self._wrapper

    def __getstate__(self):
        # A copy has no part in the `fit` that an exception may have ended, nor in its model.
        return {
            **{name: value for name, value in vars(self).items() if name != "_wrapper"},
            "_model": None,
        }


class _RateSetter(StepWrapper):
    """Sets the optimizer's rate before every step."""

    def __init__(
        self, model, schedule: keras.optimizers.schedules.LearningRateSchedule, first_rate: float
    ):
        super().__init__(model)
        self.schedule = schedule
        self.first_rate = first_rate
        # After an exception the model may be compiled with another one.
        self.optimizer = model.optimizer
        self._counter = step_counter(self.optimizer)
        self._start = tf.Variable(int(self._counter.numpy()), dtype=tf.int64, trainable=False)
        self._last = tf.Variable(first_rate, trainable=False)

    def step(self, data):
        done = tf.cast(tf.convert_to_tensor(self._counter.value), tf.int64) - self._start
        self._last.assign(self.schedule(done))
        self.optimizer.learning_rate.assign(self._last)
        return self.inner(data)

    def is_overwritten(self) -> bool:
        """Whether something else has set the learning rate since the last step."""
        return float(self.optimizer.learning_rate.numpy()) != float(self._last.numpy())

    def undo(self) -> None:
        if not self.is_overwritten():
            self.optimizer.learning_rate.assign(self.first_rate)
