"""Tells, before anything is trained, of inputs that a network takes without scaling them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from kerastune.analysis import nested

LARGEST = 50.0  # standard deviation, or distance of the mean from 0, of inputs that train well
LOOKED_AT = 2000  # examples
# Where large numbers stay what they are.
PASSES_ON = (
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.RepeatVector,
    layers.Concatenate,
    layers.Dropout,
    layers.InputLayer,
)
# Where they meet weights that were made for numbers of about 1.
SUFFERS = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.RNN,
)


def notes(model: keras.Model, x: Any) -> tuple[str, ...]:
    """A sentence for what of a model's inputs is not scaled; none where all are.

    Args:
        model: built. Of one that subclasses `keras.Model` only layers `Normalization` are found.
        x: inputs that it takes, in a structure of arrays.

    Example:
        >>> model = keras.Sequential([keras.Input([1]), layers.Dense(2)])
        >>> notes(model, np.array([[100.0], [900.0]]))[0].split(":")[0]
        'Inputs are not scaled (mean up to 500, std up to 400)'
    """
    if unadapted := [each.name for each in _normalizations(model) if _is_unadapted(each)]:
        named = ", ".join(f"`{name}`" for name in unadapted)
        return (
            f"Inputs are not scaled: {named} was never adapted; call its `adapt` with the training "
            "inputs in the function that builds the model.",
        )
    mean, std = 0.0, 0.0
    for tensor, (_, array) in zip(keras.tree.flatten(_inputs(model)), nested.named(x, "x")):
        if array.dtype.kind in "iuf" and any(isinstance(each, SUFFERS) for each in _meets(tensor)):
            of_input = scale(array[:LOOKED_AT])
            mean, std = max(mean, of_input[0]), max(std, of_input[1])
    if max(mean, std) <= LARGEST:
        return ()
    return (
        f"Inputs are not scaled (mean up to {mean:.3g}, std up to {std:.3g}): begin the model with "
        "an adapted `keras.layers.Normalization`, or with a `Rescaling`, so that usual learning "
        "rates fit.",
    )


def scale(x: np.ndarray) -> tuple[float, float]:
    """Largest distance of a feature's mean from 0, and largest standard deviation.

    Args:
        x: numbers `[n, ...]`; images and series have one mean and deviation in all.

    Example:
        >>> scale(np.array([[1.0, -300.0], [3.0, -300.0]]))
        (300.0, 1.0)
    """
    axis = 0 if x.ndim < 3 else None
    mean, std = np.mean(x, axis=axis, dtype=np.float64), np.std(x, axis=axis, dtype=np.float64)
    return float(np.max(np.abs(mean))), float(np.max(std))


def _inputs(model: keras.Model) -> Any:
    try:
        return model.inputs or []
    except (AttributeError, ValueError):  # a subclass of its own, which has no graph
        return []


def _meets(tensor: Any) -> Iterator[keras.layers.Layer]:
    """The layers that take a tensor's numbers as large as they are."""
    for node in getattr(tensor._keras_history.operation, "_outbound_nodes", ()):
        if all(each is not tensor for each in node.input_tensors):
            continue
        layer = node.operation
        if isinstance(layer, keras.Model) and _inputs(layer):
            for place, given in enumerate(node.input_tensors):
                if given is tensor:
                    yield from _meets(keras.tree.flatten(_inputs(layer))[place])
        elif isinstance(layer, PASSES_ON):
            for output in node.outputs:
                yield from _meets(output)
        else:
            yield layer


def _normalizations(model: keras.Model) -> list[layers.Normalization]:
    return [each for each in model._flatten_layers() if isinstance(each, layers.Normalization)]


def _is_unadapted(layer: layers.Normalization) -> bool:
    """Whether a layer leaves everything as it is, since nobody told it mean and variance."""
    if layer.input_mean is not None or not layer.built:
        return False
    mean, variance = np.asarray(layer.adapt_mean), np.asarray(layer.adapt_variance)
    return not mean.any() and bool((variance == 1).all())
