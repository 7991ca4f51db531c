"""Cosine decay of the learning rate as a callback."""

from __future__ import annotations

from kerastune.callbacks.rate_decay import RateDecay
from kerastune.schedules.cosine import check_cosine_decay
from kerastune.schedules.keras_schedules import CosineDecay as CosineDecaySchedule


class CosineDecay(RateDecay):
    """Lets the learning rate fall to zero along half a cosine over a `fit`.

    The rate starts at what the optimizer has when training begins and is set inside the train
    function (so exactly, also with many steps per execution). When training ends the optimizer has
    its first rate again, unless something else has set another one meanwhile.

    Args:
        total_steps: steps of this `fit`, from its first one on, `>= 1`.
        start: step of this `fit` from which the rate falls, `>= 0`.
        warmup_steps: steps in which the rate rises first, `>= 0`.

    Raises:
        ValueError: when an argument is out of its range; at the start of training, when the
            optimizer has a schedule.

    Example:
        >>> model.fit(x, y, epochs=10, callbacks=[CosineDecay(total_steps=5000)])  # doctest: +SKIP
    """

    def __init__(self, total_steps: int, start: int = 0, warmup_steps: int = 0):
        super().__init__(warmup_steps)
        check_cosine_decay(1.0, total_steps, start)
        self.total_steps = total_steps
        self.start = start

    def schedule(self, learning_rate: float) -> CosineDecaySchedule:
        return CosineDecaySchedule(learning_rate, self.total_steps, self.start)
