"""Exponential decay of the learning rate, a staircase, as a callback."""

from __future__ import annotations

from kerastune.callbacks.rate_decay import RateDecay
from kerastune.schedules.exponential import check_exponential_decay
from kerastune.schedules.keras_schedules import ExponentialDecay as ExponentialDecaySchedule


class ExponentialDecay(RateDecay):
    """Multiplies the learning rate by a factor at one step, and after every interval (S3.4).

    The rate starts at what the optimizer has when training begins and is set inside the train
    function (so exactly, also with many steps per execution). When training ends the optimizer has
    its first rate again, unless something else has set another one meanwhile.

    Args:
        start: step of this `fit` at which the rate first drops, `>= 0`: a little before the one at
            which validation is best without decay.
        factor: of every drop, in `(0, 1)`.
        interval: steps between two drops, `>= 1`.
        warmup_steps: steps in which the rate rises first, `>= 0`.

    Raises:
        ValueError: when an argument is out of its range; at the start of training, when the
            optimizer has a schedule.

    Example:
        >>> decay = ExponentialDecay(start=2700, factor=0.5, interval=500)
        >>> model.fit(x, y, epochs=10, callbacks=[decay])  # doctest: +SKIP
    """

    def __init__(self, start: int, factor: float = 0.5, interval: int = 100, warmup_steps: int = 0):
        super().__init__(warmup_steps)
        check_exponential_decay(1.0, start, factor, interval)
        self.start = start
        self.factor = factor
        self.interval = interval

    def schedule(self, learning_rate: float) -> ExponentialDecaySchedule:
        return ExponentialDecaySchedule(learning_rate, self.start, self.factor, self.interval)
