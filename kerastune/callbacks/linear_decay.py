"""Linear decay of the learning rate as a callback."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerastune.optimizers import inner
from kerastune.schedules.keras_schedules import LinearDecay as LinearDecaySchedule
from kerastune.schedules.linear import check_linear_decay
from kerastune.wrapping import StepWrapper, install_for_one_fit, uninstall_after_fit


class LinearDecay(keras.callbacks.Callback):
    """Lets the learning rate fall linearly to zero over a `fit` (S3.1, the lazy way of fastText).

    The rate starts at what the optimizer has when training begins, is recomputed every `interval` steps inside the
    train function (so exactly, also with many steps per execution), and reaches zero at `total_steps`. When training
    ends the optimizer has its first rate again, unless something else has set another one meanwhile.

    Args:
        total_steps: steps of this `fit`, from its first one on, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`.

    Raises:
        ValueError: when an argument is out of its range; at the start of training, when the optimizer has a schedule.

    Example:
        >>> model.fit(x, y, epochs=10, callbacks=[LinearDecay(total_steps=5000)])  # doctest: +SKIP
    """

    def __init__(self, total_steps: int, interval: int = 100):
        super().__init__()
        check_linear_decay(1.0, total_steps, interval)
        self.total_steps = total_steps
        self.interval = interval

    def on_train_begin(self, logs=None):
        optimizer = inner(self.model.optimizer)
        if not isinstance(optimizer._learning_rate, keras.Variable):
            raise ValueError(
                "LinearDecay needs an optimizer with a plain learning rate, this one has a schedule: "
                "compile the model with a number as `learning_rate`."
            )
        rate = float(optimizer.learning_rate.numpy())
        schedule = LinearDecaySchedule(rate, self.total_steps, self.interval)
        self._wrapper = _RateSetter(self.model, schedule, rate)
        install_for_one_fit(self._wrapper)

    def on_train_end(self, logs=None):
        uninstall_after_fit(self._wrapper)
        del self._wrapper

    def __getstate__(self):
        # A copy has no part in the `fit` that an exception may have ended, nor in its model.
        return {**{name: value for name, value in vars(self).items() if name != "_wrapper"}, "_model": None}


class _RateSetter(StepWrapper):
    """Sets the optimizer's rate before every step."""

    def __init__(self, model, schedule: LinearDecaySchedule, first_rate: float):
        super().__init__(model)
        self.schedule = schedule
        self.first_rate = first_rate
        self.optimizer = model.optimizer  # after an exception the model may be compiled with another one
        self._start = tf.Variable(int(self.optimizer.iterations.numpy()), dtype=tf.int64, trainable=False)
        self._last = tf.Variable(first_rate, trainable=False)

    def step(self, data):
        done = tf.cast(tf.convert_to_tensor(self.optimizer.iterations.value), tf.int64) - self._start
        self._last.assign(self.schedule(done))
        self.optimizer.learning_rate.assign(self._last)
        return self.inner(data)

    def undo(self) -> None:
        if float(self.optimizer.learning_rate.numpy()) == float(self._last.numpy()):
            self.optimizer.learning_rate.assign(self.first_rate)
