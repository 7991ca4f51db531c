"""Models that bring weights: their new head, and which weights were loaded (S4.2)."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from kerastune.models import layer_groups
from kerastune.models.hypermodels import networks

# What may follow an old head's Dense.
_AFTER_A_HEAD = (layers.Activation, layers.Softmax, layers.Rescaling)


def with_new_head(model: keras.Model, num_outputs: int, kind: str) -> keras.Model:
    """The model with a new output layer for other data; all else is shared with it.

    A Dense at the end is the old head and goes, also where it is at the end of a nested model.
    Without one the model gives features, as `keras.applications` do without their top. What is not
    flat is averaged over positions.

    Args:
        model: a functional or sequential model with one output.
        num_outputs: classes, or numbers to predict.
        kind: `"classification"` (softmax) or `"regression"` (linear).

    Raises:
        ValueError: for a model that has no graph or several outputs.

    Example:
        >>> old = keras.Sequential(
        ...     [keras.Input([4]), layers.Dense(8, "relu"), layers.Dense(5, "softmax")]
        ... )
        >>> with_new_head(old, 3, "classification").output_shape
        (None, 3)
    """
    if not hasattr(_graph(model), "_nodes_by_depth") or len(model.outputs) != 1:
        raise ValueError(
            f"`{model.name}` needs a new head, which kerastune can add only to a functional or "
            "Sequential model with one output: name a function that builds the model with its "
            "head, as module:function."
        )
    features = _before_head(model.outputs[0])
    rank = len(features.shape)
    if rank > 2:
        features = getattr(layers, f"GlobalAveragePooling{rank - 2}D")()(features)
    outputs = networks.head(layers.Dropout(0.0)(features), num_outputs, kind)
    return keras.Model(_graph(model)._inputs_struct, outputs, name=model.name)


def _graph(model: keras.Model):
    return getattr(model, "_functional", None) or model  # Sequential keeps its graph inside


def _before_head(tensor):
    """What the old head at the end of a graph takes; the tensor itself where there is none."""
    operation, node, _ = tensor._keras_history
    taken = operation._inbound_nodes[node].arguments.keras_tensors
    if len(taken) != 1:
        return tensor
    if isinstance(operation, layers.Dense):
        return taken[0]
    if isinstance(operation, _AFTER_A_HEAD):
        before = _before_head(taken[0])
        return tensor if before is taken[0] else before
    if isinstance(operation, keras.Model) and hasattr(_graph(operation), "_nodes_by_depth"):
        before = _before_head(operation.outputs[0])
        if before is not operation.outputs[0]:
            return keras.Model(operation.inputs, before, name=operation.name)(taken[0])
    return tensor


def loaded_levels(build: Callable[[], keras.Model], seed: int) -> tuple[int, int]:
    """How many levels a model has, and how many up to the last one whose weights were loaded.

    `build` runs twice with different seeds: what comes out alike was loaded, unless it is one
    constant or the layer's own initializer has a seed that makes it. NumPy's and TensorFlow's
    global seeds are set.

    Args:
        build: gives a built model, the same network every time.
        seed: 0 to 2**32 - 2.
    """
    keras.utils.set_random_seed(seed + 1)
    other = build()
    keras.utils.set_random_seed(seed)
    pairs = list(zip(layer_groups.levels(build()), layer_groups.levels(other), strict=True))
    loaded = [index for index, pair in enumerate(pairs) if _is_loaded(*pair)]
    return len(pairs), loaded[-1] + 1 if loaded else 0


def _is_loaded(level: list[layers.Layer], other: list[layers.Layer]) -> bool:
    for layer, same in zip(level, other, strict=True):
        for kernel, again in zip(
            layer_groups.own_kernels(layer), layer_groups.own_kernels(same), strict=True
        ):
            value = kernel.numpy()
            if (
                np.ptp(value) > 0
                and np.array_equal(value, again.numpy())
                and not _is_seeded(layer, kernel)
            ):
                return True
    return False


def _is_seeded(layer: layers.Layer, kernel: keras.Variable) -> bool:
    """Whether one of a layer's own initializers makes just this value."""
    for name, initializer in vars(layer).items():
        if not name.endswith("_initializer") or not isinstance(
            initializer, keras.initializers.Initializer
        ):
            continue
        if initializer.get_config().get("seed") is not None:
            made = type(initializer).from_config(initializer.get_config())(
                kernel.shape, kernel.dtype
            )
            if np.array_equal(made, kernel.numpy()):
                return True
    return False
