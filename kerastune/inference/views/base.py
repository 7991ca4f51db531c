"""What every view has in common."""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops


class View(keras.layers.Layer):
    """A layer that shows an input differently, in the same shape and type.

    Nothing is filled with a constant: what a move leaves empty is filled from the edge. So a view
    of raw pixels is, up to the rounding of integers, the view of standardized ones.
    """

    # Ranks of a batch that the view takes.
    ranks: tuple[int, ...]
    # Ranks of an entry among several inputs that the view is meant for.
    sure_ranks: tuple[int, ...]

    def __init__(self, **kwargs: Any):
        super().__init__(**{"autocast": False, **kwargs})

    def takes(self, x: Any, ranks: tuple[int, ...]) -> bool:
        """Whether the view is meant for an input of this rank and type."""
        return len(x.shape) in ranks and keras.backend.standardize_dtype(x.dtype) not in (
            "string",
            "bool",
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        arguments = [
            name for name in inspect.signature(type(self).__init__).parameters if name in vars(self)
        ]
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}


def moved(x: keras.KerasTensor, steps: int, axis: int) -> keras.KerasTensor:
    """A tensor moved along an axis, by less than its length.

    Its first or last slice fills what is left.
    """
    if steps == 0:
        return x
    count, before = abs(steps), (slice(None),) * axis
    if steps > 0:
        return ops.concatenate(
            [x[(*before, slice(0, 1))]] * count + [x[(*before, slice(None, -count))]], axis=axis
        )
    return ops.concatenate(
        [x[(*before, slice(count, None))]] + [x[(*before, slice(-1, None))]] * count, axis=axis
    )
