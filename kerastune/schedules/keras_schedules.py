"""The pure schedules as Keras `LearningRateSchedule`s."""

from __future__ import annotations

import keras
from keras import ops

from kerastune.schedules.linear import check_linear_decay


@keras.saving.register_keras_serializable(package="kerastune")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`kerastune.schedules.linear_decay` for a Keras optimizer (S3.1).

    Args:
        learning_rate: rate of the first step, `> 0`.
        total_steps: step from which the rate is zero, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> schedule = LinearDecay(learning_rate=0.01, total_steps=5000)
        >>> round(float(schedule(2000)), 6)
        0.006
    """

    def __init__(self, learning_rate: float, total_steps: int, interval: int = 100):
        super().__init__()
        check_linear_decay(learning_rate, total_steps, interval)
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.interval = interval

    def __call__(self, step):
        step = ops.cast(step, "int32")
        # In double precision, as the pure function: near the end little is left of the difference.
        passed = ops.cast(step // self.interval * self.interval, "float64")
        rate = ops.cast(self.learning_rate * (1.0 - passed / self.total_steps), "float32")
        return ops.where(step < self.total_steps, rate, 0.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "total_steps": self.total_steps, "interval": self.interval}
