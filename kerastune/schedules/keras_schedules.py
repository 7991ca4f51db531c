"""The pure schedules as Keras `LearningRateSchedule`s."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerastune.schedules.cosine import check_cosine_decay
from kerastune.schedules.exponential import check_exponential_decay
from kerastune.schedules.linear import check_linear_decay


@keras.saving.register_keras_serializable(package="kerastune")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`kerastune.schedules.linear_decay` for a Keras optimizer (S3.1).

    Args:
        learning_rate: rate of the first step, `> 0`.
        total_steps: step from which the rate is zero, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`.
        start: step from which the rate falls, `>= 0`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> schedule = LinearDecay(learning_rate=0.01, total_steps=5000)
        >>> round(float(schedule(2000)), 6)
        0.006
    """

    def __init__(self, learning_rate: float, total_steps: int, interval: int = 100, start: int = 0):
        super().__init__()
        check_linear_decay(learning_rate, total_steps, interval, start)
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.interval = interval
        self.start = start

    def __call__(self, step):
        step = ops.cast(step, "int32")
        passed = ops.maximum(step - self.start, 0)
        # In double precision, as the pure function: near the end little is left of the difference.
        passed = ops.cast(passed // self.interval * self.interval, "float64")
        falls = max(self.total_steps - self.start, 1)
        rate = ops.cast(self.learning_rate * (1.0 - passed / falls), "float32")
        return ops.where(step < self.total_steps, rate, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("learning_rate", "total_steps", "interval", "start")
        }


@keras.saving.register_keras_serializable(package="kerastune")
class ExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`kerastune.schedules.exponential_decay` for a Keras optimizer (S3.4).

    Keras's own `ExponentialDecay(staircase=True)` begins to count its intervals at the first step,
    and can't wait.

    Args:
        learning_rate: rate of the first step, `> 0`.
        start: step of the first drop, `>= 0`.
        factor: of every drop, in `(0, 1)`.
        interval: steps between two drops, `>= 1`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> schedule = ExponentialDecay(learning_rate=0.01, start=2700, factor=0.5, interval=500)
        >>> [round(float(schedule(step)), 6) for step in (2699, 2700, 3200)]
        [0.01, 0.005, 0.0025]
    """

    def __init__(self, learning_rate: float, start: int, factor: float = 0.5, interval: int = 100):
        super().__init__()
        check_exponential_decay(learning_rate, start, factor, interval)
        self.learning_rate = learning_rate
        self.start = start
        self.factor = factor
        self.interval = interval

    def __call__(self, step):
        passed = ops.cast(step, "int32") - self.start
        drops = ops.where(passed < 0, 0, 1 + passed // self.interval)
        factor = ops.convert_to_tensor(self.factor, "float64")
        return ops.cast(
            self.learning_rate * ops.power(factor, ops.cast(drops, "float64")), "float32"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in ("learning_rate", "start", "factor", "interval")
        }


@keras.saving.register_keras_serializable(package="kerastune")
class CosineDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`kerastune.schedules.cosine_decay` for a Keras optimizer.

    Keras's own `CosineDecay` can't be flat before it falls.

    Args:
        learning_rate: rate of the first step, `> 0`.
        total_steps: step from which the rate is zero, `>= 1`.
        start: step from which the rate falls, `>= 0`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> round(float(CosineDecay(learning_rate=0.1, total_steps=100)(50)), 4)
        0.05
    """

    def __init__(self, learning_rate: float, total_steps: int, start: int = 0):
        super().__init__()
        check_cosine_decay(learning_rate, total_steps, start)
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.start = start

    def __call__(self, step):
        passed = ops.cast(ops.cast(step, "int32") - self.start, "float32")
        fraction = ops.clip(passed / max(self.total_steps - self.start, 1), 0.0, 1.0)
        return self.learning_rate * 0.5 * (1 + ops.cos(math.pi * fraction))

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("learning_rate", "total_steps", "start")}


@keras.saving.register_keras_serializable(package="kerastune")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule whose rate rises linearly over its first steps.

    Args:
        schedule: a Keras `LearningRateSchedule`.
        warmup_steps: steps of the rise, `>= 1`.

    Example:
        >>> schedule = WarmUp(CosineDecay(0.1, total_steps=100), warmup_steps=10)
        >>> round(float(schedule(0)), 4)
        0.01
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, warmup_steps: int
    ):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(f"`warmup_steps` must be >= 1, got {warmup_steps}.")
        self.schedule = schedule
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        risen = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return ops.cast(self.schedule(step), "float32") * ops.minimum(risen, 1.0)

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["warmup_steps"])
