"""Initial weights by the activation that follows a layer (P8), on any Keras model."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
from keras import layers

from kerastune.models.regularization import NOISE, require_built

# Rectifiers and their smooth kin, for which half of a symmetric input is (nearly) lost: the case
# that He's factor of 2 makes good. SELU is not among them: it wants LeCun's scale. Names as of
# functions, layers and operations.
_RECTIFIERS = frozenset(
    "relu relu6 leakyrelu prelu elu celu gelu silu swish hardsilu hardswish mish".split()
)

_POOLINGS = ("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling")
_TRANSPARENT_LAYERS = (
    *(
        layers.BatchNormalization,
        layers.LayerNormalization,
        layers.GroupNormalization,
        layers.RMSNormalization,
    ),
    *(owner for owner, attribute in NOISE if attribute in ("rate", "stddev")),
    *(getattr(layers, f"{pooling}{rank}D") for pooling in _POOLINGS for rank in (1, 2, 3)),
    *(
        getattr(layers, f"{name}{rank}D")
        for name in ("ZeroPadding", "Cropping", "UpSampling")
        for rank in (1, 2, 3)
    ),
    *(
        layers.Flatten,
        layers.Reshape,
        layers.Permute,
        layers.Add,
        layers.Average,
        layers.Concatenate,
    ),
    *(layers.InputLayer, layers.Identity, layers.ActivityRegularization),
)
# x + y and keras.ops.
_TRANSPARENT_OPERATIONS = frozenset({"add", "concatenate", "reshape", "transpose"})

OTHER = 1  # to a seed, for another one
_INITIALIZERS = (
    ("kernel_initializer", "kernel"),
    # DepthwiseConv; in SeparableConv the pointwise kernel meets the activation.
    ("depthwise_initializer", "kernel"),
    ("pointwise_initializer", "pointwise_kernel"),
)


def initialize_by_activation(
    model: keras.Model, other_weights: list[np.ndarray], seed: int
) -> list[str]:
    """Gives kernels before a ReLU He's uniform initial values (P8).

    The others stay Glorot's.

    He et al. 2015 (arXiv:1502.01852) for ReLU and its kin (`_RECTIFIERS`), the layer's own
    activation or, in the graph of a Functional or Sequential model, nested ones included, one that
    follows it on any branch, with normalization, dropout, pooling, reshaping, padding, addition and
    concatenation in between. Where there is no graph (inside a subclassed model or a wrapper such
    as TimeDistributed) only the own activation is known. Cells of recurrent layers are left: their
    kernels feed gates.

    Never touched: a layer whose initializer is not Keras's default (GlorotUniform without a seed;
    that default written out by the user looks the same), and a kernel that is bit-identical in
    `other_weights`: it was loaded, or the user seeded it. The layer's initializer is changed as
    well, so that what is saved says how it was made.

    Args:
        model: a built model with its initial weights; changed in place.
        other_weights: `get_weights()` of the same model built with another seed.
        seed: non-negative; each kernel's values depend on it and on the kernel's position in
            `model.weights` only.

    Returns:
        Names of the layers that were given He's values.

    Raises:
        ValueError: if the model is not built, or `other_weights` are those of another network.

    Example:
        >>> def build():
        ...     return keras.Sequential(
        ...         [keras.Input([4]), layers.Dense(3, "relu", name="hidden"), layers.Dense(2)]
        ...     )
        >>> initialize_by_activation(build(), build().get_weights(), seed=1)
        ['hidden']
    """
    kernels = use_he_before_rectifiers(model, other_weights)
    draw(model, kernels, seed)
    return list(kernels.values())


def use_he_before_rectifiers(model: keras.Model, other_weights: list[np.ndarray]) -> dict[int, str]:
    """Changes the initializers of the layers that `initialize_by_activation` is about, not the
    values of their kernels.

    Returns:
        Places of these kernels in `model.weights`, with the names of the layers.

    Args:
        model: as `initialize_by_activation` takes it.
        other_weights: as `initialize_by_activation` takes it.

    Raises:
        ValueError: if the model is not built, or `other_weights` are those of another network.
    """
    require_built(model)
    if [tuple(weight.shape) for weight in model.weights] != [
        np.shape(other) for other in other_weights
    ]:
        raise ValueError(
            "`other_weights` do not fit the model: building it twice gave two different networks."
        )
    position = {id(weight): index for index, weight in enumerate(model.weights)}
    followers = _followers(model)
    found = {}
    for layer, attribute, kernel in _default_kernels(model):
        index = position.get(id(kernel))
        if index is None or np.array_equal(kernel.numpy(), other_weights[index]):
            continue
        if _reaches_rectifier(layer, followers):
            setattr(layer, attribute, keras.initializers.HeUniform())
            found[index] = layer.name
    return found


def draw(model: keras.Model, kernels: Iterable[int], seed: int) -> None:
    """Gives kernels He's uniform initial values.

    Args:
        model: a built model, changed in place.
        kernels: places in `model.weights`.
        seed: non-negative; each kernel's values depend on it and on its place only.
    """
    for index in kernels:
        kernel = model.weights[index]
        # Keras wants 31 bits.
        own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
        kernel.assign(keras.initializers.HeUniform(own_seed)(kernel.shape, kernel.dtype))


def build_initialized(build: Callable[[], keras.Model], seed: int) -> keras.Model:
    """A model as `build` makes it from `seed`, initialized by activation (P8).

    `build` runs twice, the second time with another seed, to see which weights are loaded ones.
    Python's, numpy's and TensorFlow's global seeds are set.

    Args:
        build: gives a built model, the same network every time.
        seed: 0 to 2**32 - 2.

    Raises:
        ValueError: if `build` gives a model that is not built, or two different networks.

    Example:
        >>> model = build_initialized(
        ...     lambda: keras.Sequential([keras.Input([4]), layers.Dense(3, "relu")]), seed=1
        ... )
        >>> type(model.layers[0].kernel_initializer).__name__
        'HeUniform'
    """
    model, kernels = built_twice(build, seed)
    draw(model, kernels, seed)
    return model


def built_twice(build: Callable[[], keras.Model], seed: int) -> tuple[keras.Model, dict[int, str]]:
    """What `build_initialized` gives before it draws He's values, and the kernels that get them."""
    keras.utils.set_random_seed(seed + OTHER)
    other = build().get_weights()
    keras.utils.set_random_seed(seed)
    model = build()
    return model, use_he_before_rectifiers(model, other)


def _default_kernels(model: keras.Model) -> Iterator[tuple[layers.Layer, str, keras.Variable]]:
    """`(layer, name of its initializer, kernel)` where the initializer is Keras's default."""
    for layer in model._flatten_layers():
        for attribute, kernel in _INITIALIZERS:
            initializer = getattr(layer, attribute, None)
            default = (
                type(initializer) is keras.initializers.GlorotUniform
                and initializer.get_config()["seed"] is None
            )
            kernel = getattr(layer, kernel, None)
            if (
                default
                and isinstance(kernel, keras.Variable)
                and not hasattr(layer, "recurrent_initializer")
            ):
                yield layer, attribute, kernel


def _reaches_rectifier(layer: layers.Layer, followers: dict[int, list]) -> bool:
    own = _name(getattr(layer, "activation", None))
    if own != "linear":
        return own in _RECTIFIERS
    seen = set()
    waiting = list(followers.get(id(layer), []))
    while waiting:
        operation = waiting.pop()
        # The activation of a Dense that follows counts for that Dense: it comes after its own
        # kernel.
        name = _name(
            operation.activation if isinstance(operation, layers.Activation) else type(operation)
        )
        if name in _RECTIFIERS:
            return True
        if id(operation) not in seen and (name == "linear" or _is_transparent(operation)):
            waiting += followers.get(id(operation), [])
        seen.add(id(operation))
    return False


def _name(activation) -> str:
    """Name of an activation: "relu", "leakyrelu".

    It is a function, a layer, or a class of layers or operations.
    """
    return getattr(activation, "__name__", type(activation).__name__).lower().replace("_", "")


def _is_transparent(operation) -> bool:
    """Whether a layer or operation lets its input through to an activation.

    A bare operation such as `x + y` may.
    """
    if isinstance(operation, layers.Layer):
        return isinstance(operation, _TRANSPARENT_LAYERS)
    return type(operation).__name__.lower() in _TRANSPARENT_OPERATIONS


def _followers(model: keras.Model) -> dict[int, list]:
    """The operations that take the output of each operation, by `id`, in all graphs inside `model`.

    Read from the graphs and not from `layer._outbound_nodes`, which also hold what other models do
    with the layer.
    """
    followers = collections.defaultdict(list)
    for layer in model._flatten_layers():
        for nodes in getattr(_graph(layer), "_nodes_by_depth", {}).values():
            for node in nodes:
                for index, tensor in enumerate(node.input_tensors):
                    followers[id(_producer(tensor))].append(_receiver(node.operation, index))
    return followers


def _graph(operation):
    return getattr(operation, "_functional", None) or operation  # Sequential keeps its graph inside


def _producer(tensor):
    """The operation a symbolic tensor comes from.

    For a nested model, the one inside that makes that output.
    """
    operation, _, index = tensor._keras_history
    if hasattr(_graph(operation), "_nodes_by_depth"):
        return _producer(operation.outputs[index])
    return operation


def _receiver(operation, index: int):
    """What takes the input number `index` of an operation; for a nested model, its InputLayer."""
    # A mask comes after the inputs.
    if hasattr(_graph(operation), "_nodes_by_depth") and index < len(operation.inputs):
        return operation.inputs[index]._keras_history.operation
    return operation
