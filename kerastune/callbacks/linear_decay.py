"""Linear decay of the learning rate as a callback."""

from __future__ import annotations

from kerastune.callbacks.rate_decay import RateDecay
from kerastune.schedules.keras_schedules import LinearDecay as LinearDecaySchedule
from kerastune.schedules.linear import check_linear_decay


class LinearDecay(RateDecay):
    """Lets the learning rate fall linearly to zero over a `fit` (S3.1, the lazy way of fastText).

    The rate starts at what the optimizer has when training begins, is recomputed every `interval`
    steps inside the train function (so exactly, also with many steps per execution), and reaches
    zero at `total_steps`. When training ends the optimizer has its first rate again, unless
    something else has set another one meanwhile.

    Args:
        total_steps: steps of this `fit`, from its first one on, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`.
        start: step of this `fit` from which the rate falls, `>= 0`.
        warmup_steps: steps in which the rate rises first, `>= 0`.

    Raises:
        ValueError: when an argument is out of its range; at the start of training, when the
            optimizer has a schedule.

    Example:
        >>> model.fit(x, y, epochs=10, callbacks=[LinearDecay(total_steps=5000)])  # doctest: +SKIP
    """

    def __init__(
        self, total_steps: int, interval: int = 100, start: int = 0, warmup_steps: int = 0
    ):
        super().__init__(warmup_steps)
        check_linear_decay(1.0, total_steps, interval, start)
        self.total_steps = total_steps
        self.interval = interval
        self.start = start

    def schedule(self, learning_rate: float) -> LinearDecaySchedule:
        return LinearDecaySchedule(learning_rate, self.total_steps, self.interval, self.start)
