"""The built-in network for series, as a function that gives an uncompiled Keras model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from kerastune.models.hypermodels import networks

SIZES = (7, 5, 3)  # of the convolutions
# Of BatchNorm's running statistics: with Keras's 0.99 they lag far behind in a few hundred steps of
# small batches (GunPoint, 600 steps: test accuracy 0.83 +- 0.13 with it, 0.998 with this).
MOMENTUM = 0.9


def series(
    input_shape: Sequence[int], num_outputs: int, kind: str, filters: int = 32
) -> keras.Model:
    """Three 1-D convolutions with BatchNorm, and the mean over time of what they find.

    The fully convolutional network of Wang et al. 2017, "Time series classification from scratch"
    (arXiv:1611.06455), narrower; the second and third have twice the filters.

    Args:
        input_shape: `(steps, channels)`, or `(steps,)` for one channel.
        num_outputs: number of classes, or of numbers to predict.
        kind: `"classification"` (softmax) or `"regression"` (linear).
        filters: filters of the first convolution.

    Returns:
        An uncompiled model `[batch, *input_shape] -> [batch, num_outputs]`.

    Raises:
        ValueError: if the inputs are not series, or `kind` is neither of the two.

    Example:
        >>> series((100, 6), 4, "classification").output_shape
        (None, 4)
    """
    steps, channels = series_shape(input_shape)
    inputs = layers.Input(tuple(input_shape))
    x = inputs if len(input_shape) == 2 else layers.Reshape((steps, channels))(inputs)
    for index, size in enumerate(SIZES):
        width = filters * min(index + 1, 2)
        # No bias: the BatchNorm that follows subtracts any constant.
        x = layers.Conv1D(width, size, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))
    x = layers.Dropout(0.0)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, networks.head(x, num_outputs, kind), name="series")


def series_shape(input_shape: Sequence[int]) -> tuple[int, int]:
    """`(steps, channels)` of one example.

    Raises:
        ValueError: for several inputs, and for shapes of other than one or two dimensions.

    Example:
        >>> series_shape((140,))
        (140, 1)
    """
    if isinstance(input_shape, dict) or len(input_shape) not in (1, 2):
        given = list(input_shape)
        raise ValueError(
            f"`series` takes one series [steps, channels] per example, not {given}; use `mlp`."
        )
    steps, *channels = input_shape
    return steps, *(channels or (1,))
