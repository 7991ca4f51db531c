"""Views of tables, and of other numbers: with a little noise."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerastune.inference.views.base import View


@keras.saving.register_keras_serializable(package="kerastune")
class Noise(View):
    """Floating inputs of any rank from 1 with one seeded draw of noise.

    It is the same for every example.

    So what an example is given does not depend on its place in a batch; several seeds make several
    views.

    Args:
        stddev: of the noise, in the inputs' units; those of a prepared table are standard
            deviations.
        seed: of the draw, `>= 0`.

    Example:
        >>> x = np.zeros([2, 3], "float32")
        >>> bool((np.asarray(Noise(0.1, 1)(x)) == np.asarray(Noise(0.1, 1)(x))).all())
        True
    """

    ranks = sure_ranks = tuple(range(1, 6))

    def __init__(self, stddev: float, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed = seed

    def takes(self, x: Any, ranks: tuple[int, ...]) -> bool:
        return super().takes(x, ranks) and "float" in keras.backend.standardize_dtype(x.dtype)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        shape = tuple(x.shape[1:])
        if None in shape:
            raise ValueError(f"`Noise` needs inputs of a known shape, got {tuple(x.shape)}.")
        drawn = self.stddev * np.random.default_rng(self.seed).standard_normal(shape)
        return x + np.asarray(drawn, keras.backend.standardize_dtype(x.dtype))
