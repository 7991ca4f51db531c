"""One layer that computes what the same layer of several members computes.

Each member has its own weights; for inference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from kerastune.inference.stacking.stacked import CHANNELS, MEMBERS, SHARED, CannotStack, Stacked


def stack(each: Sequence[Any], inputs: Sequence[Stacked]) -> Stacked:
    """Applies a layer, or an operation of Keras, of several members to what went into it.

    Args:
        each: the same layer of every member.
        inputs: its inputs.

    Raises:
        CannotStack: for a layer that has no rule, or a setting that its rule does not cover.
    """
    layer, kind = each[0], type(each[0])
    is_operation = not isinstance(layer, layers.Layer) and kind.__module__.startswith("keras.")
    rule = OPERATIONS.get(kind.__name__) if is_operation else RULES.get(kind)
    if rule is None or getattr(layer, "quantization_mode", None):
        raise CannotStack(f"`{layer.name}` ({kind.__name__}) has no stacked form")
    if getattr(layer, "data_format", "channels_last") not in ("channels_last", None):
        raise CannotStack(f"layer `{layer.name}` has its channels first")
    return rule(each, *inputs)


def again(layer: Any, **changes: Any) -> Any:
    """A new layer or operation of the same settings, without what only training needs.

    It has a name of its own.
    """
    config = {
        key: value
        for key, value in layer.get_config().items()
        if key != "name" and not _is_for_training(key)
    }
    return type(layer).from_config({**config, **changes})


def settings(layer: Any) -> dict[str, Any]:
    """Settings that matter at inference."""
    ignored = ("name", "trainable", "rate", "stddev", "seed", "momentum")
    config = layer.get_config()
    return {
        key: value
        for key, value in config.items()
        if key not in ignored and not _is_for_training(key)
    }


def _is_for_training(key: str) -> bool:
    return (
        key.endswith(("_initializer", "_regularizer", "_constraint"))
        or key == "activity_regularizer"
    )


def _assign(variable, each: Sequence[Any], axis: int, reshaped: bool = False) -> None:
    arrays = [keras.ops.convert_to_numpy(value) for value in each]
    joined = np.stack(arrays, axis) if reshaped else np.concatenate(arrays, axis)
    variable.assign(joined.reshape(variable.shape))


# Activations: those that look at one number at a time are the same in any form.

ELEMENTWISE = {
    getattr(activations, name)
    for name in (
        "celu",
        "elu",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "hard_silu",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "squareplus",
        "tanh",
    )
}
ALONG_FEATURES = {activations.softmax, activations.log_softmax}


def _activated(function: Callable, x: Stacked, dtype: Any) -> Stacked:
    if function is activations.linear:
        return x
    if function in ELEMENTWISE:
        return x.with_tensor(layers.Activation(function, dtype=dtype)(x.tensor))
    if function in ALONG_FEATURES:
        return Stacked(layers.Activation(function, dtype=dtype)(x.by_members()), MEMBERS, x.count)
    raise CannotStack(f"activation {getattr(function, '__name__', function)!r} has no stacked form")


def _activation(each, x: Stacked) -> Stacked:
    return _activated(each[0].activation, x, each[0].dtype_policy)


def _softmax(each, x: Stacked) -> Stacked:
    if each[0].axis not in (-1, x.rank - 1):
        raise CannotStack(f"layer `{each[0].name}` is along axis {each[0].axis}, not the last")
    return Stacked(again(each[0], axis=-1)(x.by_members()), MEMBERS, x.count)


def _elementwise(each, x: Stacked) -> Stacked:
    return x.with_tensor(again(each[0])(x.tensor))


def _identity(each, x: Stacked) -> Stacked:
    return x


def _by_features(each, x: Stacked) -> Stacked:
    """Layers that combine a last axis with constants of its size."""
    return Stacked(again(each[0])(x.by_members()), MEMBERS, x.count)


# Layers with weights.


def _dense(each, x: Stacked) -> Stacked:
    layer, count = each[0], len(each)
    if x.form == SHARED and x.rank == 2:
        made = layers.Dense(count * layer.units, use_bias=layer.use_bias, dtype=layer.dtype_policy)
        found = Stacked(made(x.tensor), CHANNELS, count)
        _assign(made.kernel, [one.kernel for one in each], -1)
    else:
        tensor, axes = x.by_members(), "xyz"[: x.rank - 2]
        made = layers.EinsumDense(
            f"bm{axes}i,mio->bm{axes}o",
            (*tensor.shape[1:-1], layer.units),
            bias_axes="mo" if layer.use_bias else None,
            dtype=layer.dtype_policy,
        )
        found = Stacked(made(tensor), MEMBERS, count)
        _assign(made.kernel, [one.kernel for one in each], 0, reshaped=True)
    if layer.use_bias:
        _assign(made.bias, [one.bias for one in each], 0)
    return _activated(layer.activation, found, layer.dtype_policy)


def _convolution(each, x: Stacked) -> Stacked:
    layer, count = each[0], len(each)
    # Members see the same channels: no groups are needed.
    alone = x.form == SHARED and layer.groups == 1
    groups = 1 if alone else layer.groups * count
    made = again(layer, filters=layer.filters * count, groups=groups, activation=None)
    return _convolved(each, made, x.tensor if alone else x.by_channels(), kernel_axis=-1)


def _depthwise(each, x: Stacked) -> Stacked:
    return _convolved(each, again(each[0], activation=None), x.by_channels(), kernel_axis=-2)


def _convolved(each, made, tensor, kernel_axis: int) -> Stacked:
    """What a layer made for all members gives, with their kernels and biases side by side."""
    found = Stacked(made(tensor), CHANNELS, len(each))
    _assign(made.kernel, [one.kernel for one in each], kernel_axis)
    if made.use_bias:
        _assign(made.bias, [one.bias for one in each], -1)
    return _activated(each[0].activation, found, each[0].dtype_policy)


def _batch_normalization(each, x: Stacked) -> Stacked:
    layer = each[0]
    if layer.axis not in (-1, x.rank - 1):
        raise CannotStack(f"layer `{layer.name}` normalizes axis {layer.axis}, not the last")
    made = again(layer, axis=-1)
    found = Stacked(made(x.by_channels()), CHANNELS, len(each))
    for name in (
        "moving_mean",
        "moving_variance",
        *("gamma",) * layer.scale,
        *("beta",) * layer.center,
    ):
        _assign(getattr(made, name), [getattr(one, name) for one in each], 0)
    return found


def _embedding(each, x: Stacked) -> Stacked:
    layer, count = each[0], len(each)
    if x.form != SHARED or x.rank != 2 or layer.mask_zero:
        raise CannotStack(f"layer `{layer.name}` has a mask, or no row of numbers before it")
    # Every number stands for the embeddings of all members, one behind the other.
    made = layers.Embedding(layer.input_dim, count * layer.output_dim, dtype=layer.dtype_policy)
    joined = made(x.tensor)
    _assign(made.embeddings, [one.embeddings for one in each], -1)
    apart = layers.Reshape((x.tensor.shape[1], count, layer.output_dim))(joined)
    return Stacked(layers.Permute((2, 1, 3))(apart), MEMBERS, count)


# Layers without weights that look at more than one number.


def _by_channel(each, x: Stacked) -> Stacked:
    """Layers that treat every channel alike: pooling, padding, cropping, enlarging."""
    return Stacked(again(each[0])(x.by_channels()), CHANNELS, len(each))


def _flatten(each, x: Stacked) -> Stacked:
    if x.rank == 2:
        return x
    return Stacked(layers.Reshape((len(each), -1))(x.by_members()), MEMBERS, len(each))


def _reshape(each, x: Stacked) -> Stacked:
    tensor = x.by_members()
    return Stacked(layers.Reshape((len(each), *each[0].target_shape))(tensor), MEMBERS, len(each))


def _merge(each, *inputs: Stacked) -> Stacked:
    form = CHANNELS if inputs[0].rank > 2 else MEMBERS
    tensors = [x.by_channels() if form == CHANNELS else x.by_members() for x in inputs]
    if len({(len(tensor.shape), tensor.shape[-1]) for tensor in tensors}) > 1:
        raise CannotStack(f"layer `{each[0].name}` merges tensors of different ranks or channels")
    return Stacked(again(each[0])(tensors), form, len(each))


def _einsum(each, x: Stacked) -> Stacked:
    """An `EinsumDense` whose equation names every axis, with one more axis, of the members."""
    layer, count = each[0], len(each)
    terms = re.fullmatch(r"(\w)(\w*),(\w+)->\1(\w*)", layer.equation)
    if terms is None or "M" in layer.equation:
        raise CannotStack(f"layer `{layer.name}` has the equation {layer.equation}")
    batch, given, kernel, out = terms.groups()
    tensor = x.by_members()
    _, *sizes = layer.compute_output_shape((None, *tensor.shape[2:]))
    made = layers.EinsumDense(
        f"{batch}M{given},M{kernel}->{batch}M{out}",
        (count, *sizes),
        bias_axes=layer.bias_axes and f"M{layer.bias_axes}",
        dtype=layer.dtype_policy,
    )
    found = Stacked(made(tensor), MEMBERS, count)
    _assign(made.kernel, [one.kernel for one in each], 0, reshaped=True)
    if layer.bias_axes:
        _assign(made.bias, [one.bias for one in each], 0, reshaped=True)
    return _activated(layer.activation, found, layer.dtype_policy)


def _take(each, x: Stacked) -> Stacked:
    if x.form != SHARED:
        raise CannotStack(f"operation `{each[0].name}` takes parts of what members computed")
    return _elementwise(each, x)


def _dot(each, *inputs: Stacked) -> Stacked:
    """A `Dot` of what stands along one axis of `[batch, n, features]` and of `[batch, n]`."""
    layer, (x, weights) = each[0], inputs
    axes = (layer.axes,) * 2 if isinstance(layer.axes, int) else tuple(layer.axes)
    if (axes, x.rank, weights.rank, layer.normalize) != ((1, 1), 3, 2, False):
        raise CannotStack(f"layer `{layer.name}` has the axes {layer.axes}")
    found = keras.ops.einsum("bmne,bmn->bme", x.by_members(), weights.by_members())
    return Stacked(found, MEMBERS, len(each))


def _concatenate(each, *inputs: Stacked) -> Stacked:
    axis = each[0].axis
    # From the end, where no axis for members was put in.
    axis = axis if axis < 0 else axis - inputs[0].rank
    tensors = [x.by_members() for x in inputs]
    return Stacked(
        layers.Concatenate(axis, dtype=each[0].dtype_policy)(tensors), MEMBERS, len(each)
    )


def _of(*names: str) -> list[type]:
    """Keras's layers of these names, for 1, 2 and 3 dimensions where a name ends in `D`."""
    full = [
        f"{name[:-1]}{number}D" if name.endswith("D") else name
        for name in names
        for number in ("123" if name.endswith("D") else "1")
    ]
    return [getattr(layers, name) for name in full if hasattr(layers, name)]


RULES: dict[type, Callable[..., Stacked]] = {
    layers.Dense: _dense,
    layers.EinsumDense: _einsum,
    layers.BatchNormalization: _batch_normalization,
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.Embedding: _embedding,
    layers.Dot: _dot,
    layers.Rescaling: _by_features,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Concatenate: _concatenate,
    **dict.fromkeys(_of("ConvD"), _convolution),
    **dict.fromkeys(_of("DepthwiseConvD"), _depthwise),
    **dict.fromkeys(_of("ReLU", "LeakyReLU", "ELU"), _elementwise),
    **dict.fromkeys(
        _of(
            "Dropout",
            "SpatialDropoutD",
            "GaussianDropout",
            "AlphaDropout",
            "GaussianNoise",
            "ActivityRegularization",
            "Identity",
        ),
        _identity,
    ),
    **dict.fromkeys(
        _of(
            "MaxPoolingD",
            "AveragePoolingD",
            "GlobalMaxPoolingD",
            "GlobalAveragePoolingD",
            "UpSamplingD",
            "ZeroPaddingD",
            "CroppingD",
        ),
        _by_channel,
    ),
    **dict.fromkeys(_of("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merge),
}

OPERATIONS: dict[str, Callable[..., Stacked]] = {
    **dict.fromkeys(("Cast", "Cos", "Relu", "Sigmoid", "Tanh"), _elementwise),
    "Take": _take,
    "Softmax": _softmax,
}
