"""The built-in networks as functions that give an uncompiled Keras model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
from keras import layers

from kerastune.models.hypermodels import embeddings
from kerastune.models.hypermodels.embeddings import Columns

_KINDS = ("classification", "regression")
KERNEL = 0.1  # standard deviation of a kernel of `mlp` at the start
_SIDE_TO_FLATTEN = 8  # an image this small is no longer halved: a dense layer can take all of it


def mlp(
    input_shape: Sequence[int] | Mapping[str, Sequence[int]],
    num_outputs: int,
    kind: str,
    units: int = 128,
    num_layers: int = 2,
    columns: Columns = Columns(),
) -> keras.Model:
    """Dense layers on the flattened input, each with a Dropout after it.

    As RealMLP has them (Holzmüller et al. 2024, "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data", arXiv:2407.04491), of stock Keras layers: every input has a
    weight that is learned, SELU for classes and Mish for numbers, kernels of one standard
    deviation with the layer's width taken out of its input, and a last layer that begins near zero.
    Dropout has the rate 0, here and in the other networks: it is there to be tuned (S4.1).

    Args:
        input_shape: shape of one example, without the batch, any rank from 0; or a dict of such
            shapes, whose inputs are flattened and concatenated in the order of the dict.
        num_outputs: number of classes (2 for a binary target), or of numbers to predict; at least
            1.
        kind: `"classification"` (softmax over `num_outputs`, for integer labels) or `"regression"`
            (linear).
        units: width of every hidden layer, at least 1.
        num_layers: number of hidden layers, 0 (a linear model) or more.
        columns: what is embedded of an input of rank 1.

    Returns:
        An uncompiled model `[batch, *input_shape] -> [batch, num_outputs]`.

    Raises:
        ValueError: if `kind` is neither of the two.

    Example:
        >>> mlp((64,), 10, "classification").count_params()
        26186
    """
    if isinstance(input_shape, Mapping):
        inputs = {
            name: layers.Input(tuple(shape), name=name) for name, shape in input_shape.items()
        }
        flat = [layers.Flatten()(each) for each in inputs.values()]
        x = flat[0] if len(flat) == 1 else layers.Concatenate()(flat)
    else:
        inputs = layers.Input(tuple(input_shape), dtype="int32" if columns.largest_id else None)
        # In half precision a layer would round columns before they are embedded.
        x = inputs if len(input_shape) == 1 else layers.Flatten()(inputs)
    x = embeddings.of_columns(x, columns, weighted=num_layers > 0)
    if not num_layers:
        return keras.Model(inputs, head(x, num_outputs, kind), name="mlp")
    activation = "selu" if kind == "classification" else "mish"
    x = _times(x)
    for _ in range(num_layers):
        x = layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=KERNEL),
            bias_initializer=keras.initializers.RandomNormal(stddev=KERNEL),
        )(x)
        x = layers.Dropout(0.0)(_times(x))
    outputs = head(x, num_outputs, kind, keras.initializers.RandomNormal(stddev=0.1 * KERNEL))
    return keras.Model(inputs, outputs, name="mlp")


def _times(x: keras.KerasTensor) -> keras.KerasTensor:
    """Features `[batch, n]` times `1 / (KERNEL sqrt(n))`: a layer behind them whose kernel has
    the standard deviation `KERNEL` gives numbers of their size, whatever its width, and what a step
    of Adam changes of it doesn't depend on the width either.
    """
    return layers.Rescaling(1 / (KERNEL * math.sqrt(x.shape[-1])))(x)


def cnn(
    input_shape: Sequence[int],
    num_outputs: int,
    kind: str,
    filters: int = 16,
    dense_units: int = 64,
    deeper: bool = False,
    batch_norm: bool = False,
) -> keras.Model:
    """3x3 convolutions with pooling, then one dense layer and Dropout.

    Filters double while pooling halves the image.

    The image is halved until its larger side is at most 8 (at least two convolutions in all), a
    side below 8 never: 28x28 goes through 14 to 7, an 8x8 digit is halved once, and 224x224
    photographs get five convolutions instead of a dense layer of millions of weights.

    Args:
        input_shape: `(height, width, channels)`, or `(height, width)` for one channel.
        num_outputs: number of classes, or of numbers to predict.
        kind: `"classification"` (softmax) or `"regression"` (linear).
        filters: filters of the first convolution.
        dense_units: width of the dense layer before the output.
        deeper: whether there is a second convolution before the first halving, and one more
            convolution with one more halving behind the last; a step on 28x28 images then takes
            about twice as long.
        batch_norm: whether every convolution has a BatchNorm before its ReLU (Ioffe & Szegedy 2015,
            arXiv:1502.03167), behind the pooling, where there is least to normalize; a step then
            takes about 1.4 times as long.

    Returns:
        An uncompiled model `[batch, *input_shape] -> [batch, num_outputs]`.

    Raises:
        ValueError: if the inputs are not images, or `kind` is neither of the two.

    Example:
        >>> cnn((28, 28, 1), 10, "classification").count_params()
        105866
        >>> cnn((28, 28, 1), 10, "classification", dense_units=128, deeper=True).count_params()
        100762
    """
    sides = list(image_shape(input_shape, "cnn")[:2])
    inputs, x = _image_input(input_shape, "cnn")
    if deeper:
        x = _convolved(x, filters, (1, 1), batch_norm)
    convolutions = 0
    while convolutions < 2 or max(sides) > _SIDE_TO_FLATTEN:
        pool = _pool(sides, _SIDE_TO_FLATTEN)
        x = _convolved(x, filters * 2**convolutions, pool, batch_norm)
        sides = [side // step for side, step in zip(sides, pool, strict=True)]
        convolutions += 1
    if deeper:
        x = _convolved(x, filters * 2**convolutions, _pool(sides, least=2), batch_norm)
    x = layers.Dense(dense_units, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(0.0)(x)
    return keras.Model(inputs, head(x, num_outputs, kind), name="cnn")


def _convolved(x, filters: int, pool: Sequence[int], batch_norm: bool):
    activation = None if batch_norm else "relu"
    x = layers.Conv2D(filters, 3, padding="same", use_bias=not batch_norm, activation=activation)(x)
    x = layers.MaxPooling2D(pool)(x) if max(pool) > 1 else x
    return layers.ReLU()(layers.BatchNormalization()(x)) if batch_norm else x


def _pool(sides: Sequence[int], least: int) -> tuple[int, ...]:
    """By how much pooling divides every side: sides of at least `least` pixels are halved."""
    return tuple(2 if side >= least else 1 for side in sides)


def resnet(
    input_shape: Sequence[int], num_outputs: int, kind: str, blocks: int = 2, width: int = 16
) -> keras.Model:
    """A small residual network: three groups of basic blocks.

    They have `width`, 2 `width` and 4 `width` filters.

    He et al. 2015, "Deep Residual Learning" (arXiv:1512.03385), the CIFAR variant: BatchNorm after
    every convolution, He initialization, the second and third group halve the image, global average
    and Dropout at the end. From 64 pixels on, the first convolution halves the image too.

    Args:
        input_shape: `(height, width, channels)`, or `(height, width)` for one channel.
        num_outputs: number of classes, or of numbers to predict.
        kind: `"classification"` (softmax) or `"regression"` (linear).
        blocks: basic blocks (two convolutions each) per group, at least 1.
        width: filters of the first group.

    Returns:
        An uncompiled model `[batch, *input_shape] -> [batch, num_outputs]`.

    Raises:
        ValueError: if the inputs are not images, or `kind` is neither of the two.

    Example:
        >>> resnet((8, 8, 1), 10, "classification", blocks=1).output_shape
        (None, 10)
    """
    inputs, x = _image_input(input_shape, "resnet")
    x = _convolution(x, width, 3, strides=2 if max(input_shape[:2]) >= 64 else 1)
    x = layers.ReLU()(x)
    for group in range(3):
        for block in range(blocks):
            x = _basic_block(x, width * 2**group, strides=2 if group > 0 and block == 0 else 1)
    x = layers.Dropout(0.0)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, head(x, num_outputs, kind), name="resnet")


def image_shape(
    input_shape: Sequence[int] | Mapping[str, Sequence[int]], model_name: str
) -> tuple[int, int, int]:
    """`(height, width, channels)` of one example.

    Refuses, by name, everything that is not an image.

    Args:
        input_shape: shape of one example without the batch, or a dict of shapes (refused).
        model_name: the network that asks, for the message.

    Raises:
        ValueError: for several inputs, and for shapes of other than two or three dimensions.

    Example:
        >>> image_shape((28, 28), "cnn")
        (28, 28, 1)
    """
    if isinstance(input_shape, Mapping):
        raise ValueError(
            f"`{model_name}` takes one image per example, not the inputs {list(input_shape)}; use "
            "`mlp`."
        )
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"`{model_name}` takes images [height, width] or [height, width, channels], "
            f"not examples of shape {list(input_shape)}; use `mlp`."
        )
    height, width, *channels = input_shape
    return height, width, *(channels or (1,))


def _image_input(input_shape, model_name):
    """The input of the network, and the same as `[batch, height, width, channels]`."""
    shape = image_shape(input_shape, model_name)
    inputs = layers.Input(tuple(input_shape))
    return inputs, inputs if len(input_shape) == 3 else layers.Reshape(shape)(inputs)


def _convolution(x, filters, size, strides=1):
    # No bias: the BatchNorm that follows subtracts any constant.
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return layers.BatchNormalization()(x)


def _basic_block(x, filters, strides):
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, strides)
    x = layers.ReLU()(_convolution(x, filters, 3, strides))
    x = _convolution(x, filters, 3)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def head(
    x: keras.KerasTensor,
    num_outputs: int,
    kind: str,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
) -> keras.KerasTensor:
    """The output layer of every network: softmax over classes, or linear numbers.

    Args:
        x: features `[batch, n]`, a symbolic tensor.
        num_outputs: number of classes, or of numbers to predict.
        kind: `"classification"` or `"regression"`.
        kernel_initializer: of the layer.

    Raises:
        ValueError: if `kind` is neither of the two.

    Example:
        >>> head(keras.Input([4]), 3, "classification").shape
        (None, 3)
    """
    if kind not in _KINDS:
        raise ValueError(f"`kind` ({kind!r}) must be one of {_KINDS}.")
    # float32 also under mixed precision, where a half-precision softmax would lose the loss's
    # digits.
    activation = "softmax" if kind == "classification" else "linear"
    return layers.Dense(
        num_outputs, activation=activation, kernel_initializer=kernel_initializer, dtype="float32"
    )(x)
