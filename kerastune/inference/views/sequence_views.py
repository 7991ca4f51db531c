"""Views of sequences: moved in time."""

from __future__ import annotations

from typing import Any

import keras

from kerastune.inference.views.base import View, moved


@keras.saving.register_keras_serializable(package="kerastune")
class TimeShift(View):
    """Sequences `[n, time, features]` moved in time; the first or last step fills what is left.

    Args:
        steps: later; negative ones move to earlier.

    Example:
        >>> import numpy as np
        >>> np.asarray(TimeShift(-1)(np.array([[[1.0], [2.0], [3.0]]]))).ravel().tolist()
        [2.0, 3.0, 3.0]
    """

    ranks = sure_ranks = (3,)

    def __init__(self, steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return moved(x, self.steps, axis=1)
