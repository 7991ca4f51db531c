"""Changes to any Keras model in place: regularisers off and on (P6), initial weights by activation (P8)."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

_NOISE = (
    (layers.Dropout, "rate"),  # and the SpatialDropouts, its subclasses
    (layers.GaussianDropout, "rate"),
    (layers.AlphaDropout, "rate"),
    (layers.GaussianNoise, "stddev"),
    (layers.Attention, "dropout"),
    (layers.GroupQueryAttention, "dropout"),
    (layers.MultiHeadAttention, "_dropout"),
)

# Rectifiers and their smooth kin, for which half of a symmetric input is (nearly) lost: the case that He's factor of
# 2 makes good. SELU is not among them: it wants LeCun's scale. Names as of functions, layers and operations.
_RECTIFIERS = frozenset("relu relu6 leakyrelu prelu elu celu gelu silu swish hardsilu hardswish mish".split())

_POOLINGS = ("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling")
_TRANSPARENT_LAYERS = (
    *(layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization, layers.RMSNormalization),
    *(owner for owner, attribute in _NOISE if attribute in ("rate", "stddev")),
    *(getattr(layers, f"{pooling}{rank}D") for pooling in _POOLINGS for rank in (1, 2, 3)),
    *(getattr(layers, f"{name}{rank}D") for name in ("ZeroPadding", "Cropping", "UpSampling") for rank in (1, 2, 3)),
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.Add, layers.Average, layers.Concatenate),
    *(layers.InputLayer, layers.Identity, layers.ActivityRegularization),
)
_TRANSPARENT_OPERATIONS = frozenset({"add", "concatenate", "reshape", "transpose"})  # x + y and keras.ops

_INITIALISERS = (
    ("kernel_initializer", "kernel"),
    ("depthwise_initializer", "kernel"),  # DepthwiseConv; in SeparableConv the pointwise kernel meets the activation
    ("pointwise_initializer", "pointwise_kernel"),
)


@dataclasses.dataclass(frozen=True)
class Switched:
    """One regulariser that was switched off: `owner.attribute` was `value` (`owner`: layer, variable or optimizer)."""

    name: str
    owner: Any
    attribute: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Regularisers:
    """The regularisers of a model that are off now, and how to switch them on again.

    Args:
        model: the model.
        switched: what was switched off, with the user's values.
        unreached: names of what could not be reached; empty if nobody looked.
    """

    model: keras.Model
    switched: tuple[Switched, ...]
    unreached: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """What was switched off: `["dropout.rate", "dense/kernel.regularizer", "adam_w.weight_decay"]`."""
        return [each.name for each in self.switched]

    def restore(self) -> None:
        """Gives every regulariser the user's value back; the next `fit` or `evaluate` traces anew."""
        for each in self.switched:
            setattr(each.owner, each.attribute, each.value)
        _forget_traces(self.model)


def switch_regularisers_off(model: keras.Model, x_batch=None) -> Regularisers:
    """Switches off, in place, everything that regularises a model (P6).

    That is: the Dropout family and GaussianNoise, `dropout` and `recurrent_dropout` of recurrent cells, `dropout` of
    attention layers, the regulariser of any variable, activity regularisers, and the weight decay of the optimizer of
    a compiled model. Nested and subclassed models are reached through the layers that Keras tracks. BatchNorm stays:
    without it, it would be another network.

    Rates and decay become 0 and not `None`, so a model saved meanwhile can be loaded. Functions that Keras compiled
    before are dropped, since they hold the old values as constants.

    Args:
        model: a built model, compiled or not.
        x_batch: inputs `[batch, ...]` as the model takes them; a few dozen examples. If given, `leftover_randomness`
            looks for what could not be reached, and one warning names it.

    Raises:
        ValueError: if the model is not built: its variables do not exist yet.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), layers.Dropout(0.5, name="half"), layers.Dense(2)])
        >>> regularisers = switch_regularisers_off(model)
        >>> regularisers.names, model.layers[0].rate
        (['half.rate'], 0.0)
        >>> regularisers.restore()
        >>> model.layers[0].rate
        0.5
    """
    _require_built(model)
    switched = tuple(find_regularisers(model))
    for each in switched:
        setattr(each.owner, each.attribute, None if each.attribute.endswith("regularizer") else 0.0)
    if switched:
        _forget_traces(model)
    unreached = () if x_batch is None else tuple(leftover_randomness(model, x_batch))
    if unreached:
        logging.getLogger("kerastune").warning(
            "Regularisers that could not be switched off, so they act in every stage: %s.", ", ".join(unreached)
        )
    return Regularisers(model, switched, unreached)


def leftover_randomness(model: keras.Model, x_batch) -> list[str]:
    """Names of the layers that still draw random numbers or add losses in training, found by calling the model.

    A layer is named if its own seed generator moved in a call with `training=True`, or if it added to `model.losses`.
    If two calls from the same state, seeds included, differ (by more than 1e-4 of the largest output), then something
    is random without a Keras seed: the layers whose class is not Keras's own are named, or the model if it has none.
    What a layer draws with a constant seed is not noticed. All variables are put back (BatchNorm's moving statistics,
    the seeds); nothing is traced.

    Args:
        model: a built model.
        x_batch: inputs `[batch, ...]` as the model takes them.

    Example:
        >>> model = keras.Sequential([keras.Input([4, 4, 1]), layers.RandomFlip(name="flip"), layers.Flatten()])
        >>> leftover_randomness(model, np.zeros([2, 4, 4, 1], "float32"))
        ['flip']
    """
    _require_built(model)
    tracked = model._flatten_layers()
    state = [variable.numpy() for variable in model.variables]
    before = [_seeds(layer) for layer in tracked]
    first = _training_outputs(model, x_batch)
    random = [layer for layer, seeds in zip(tracked, before, strict=True) if _seeds(layer) != seeds]
    adding = [layer for layer in tracked if layer._losses] if model.losses else []
    _put_back(model, state)
    second = _training_outputs(model, x_batch)
    _put_back(model, state)
    model._clear_losses()
    if not all(_same(a, b) for a, b in zip(first, second, strict=True)):
        random += _custom_layers(model) or [model]
    return [layer.name for layer in dict.fromkeys(random)] + [f"{layer.name} (add_loss)" for layer in adding]


def initialise_by_activation(model: keras.Model, other_weights: list[np.ndarray], seed: int) -> list[str]:
    """Gives kernels whose output goes through a ReLU He's uniform initial values; the others stay Glorot's (P8).

    He et al. 2015 (arXiv:1502.01852) for ReLU and its kin (`_RECTIFIERS`), the layer's own activation or, in the
    graph of a Functional or Sequential model, nested ones included, one that follows it on any branch, with
    normalisation, dropout, pooling, reshaping, padding, addition and concatenation in between. Where there is no graph
    (inside a subclassed model or a wrapper such as TimeDistributed) only the own activation is known. Cells of
    recurrent layers are left: their kernels feed gates.

    Never touched: a layer whose initialiser is not Keras's default (GlorotUniform without a seed; that default written
    out by the user looks the same), and a kernel that is bit-identical in `other_weights`: it was loaded, or the
    user seeded it. The layer's initialiser is changed as well, so that what is saved says how it was made.

    Args:
        model: a built model with its initial weights; changed in place.
        other_weights: `get_weights()` of the same model built with another seed.
        seed: non-negative; each kernel's values depend on it and on the kernel's position in `model.weights` only.

    Returns:
        Names of the layers that were given He's values.

    Raises:
        ValueError: if the model is not built, or `other_weights` are those of another network.

    Example:
        >>> def build():
        ...     return keras.Sequential([keras.Input([4]), layers.Dense(3, "relu", name="hidden"), layers.Dense(2)])
        >>> initialise_by_activation(build(), build().get_weights(), seed=1)
        ['hidden']
    """
    _require_built(model)
    if [tuple(weight.shape) for weight in model.weights] != [np.shape(other) for other in other_weights]:
        raise ValueError("`other_weights` do not fit the model: building it twice gave two different networks.")
    position = {id(weight): index for index, weight in enumerate(model.weights)}
    followers = _followers(model)
    initialised = []
    for layer, attribute, kernel in _default_kernels(model):
        index = position.get(id(kernel))
        if index is None or np.array_equal(kernel.numpy(), other_weights[index]):
            continue
        if _reaches_rectifier(layer, followers):
            own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)  # Keras wants 31 bits
            kernel.assign(keras.initializers.HeUniform(own_seed)(kernel.shape, kernel.dtype))
            setattr(layer, attribute, keras.initializers.HeUniform())
            initialised.append(layer.name)
    return initialised


def build_initialised(build: Callable[[], keras.Model], seed: int) -> keras.Model:
    """A model as `build` makes it from `seed`, initialised by activation (P8).

    `build` runs twice, the second time with another seed, to see which weights are loaded ones. Python's, numpy's and
    TensorFlow's global seeds are set.

    Args:
        build: gives a built model, the same network every time.
        seed: 0 to 2**32 - 2.

    Raises:
        ValueError: if `build` gives a model that is not built, or two different networks.

    Example:
        >>> model = build_initialised(lambda: keras.Sequential([keras.Input([4]), layers.Dense(3, "relu")]), seed=1)
        >>> type(model.layers[0].kernel_initializer).__name__
        'HeUniform'
    """
    keras.utils.set_random_seed(seed + 1)
    other = build()
    keras.utils.set_random_seed(seed)
    model = build()
    initialise_by_activation(model, other.get_weights(), seed)
    return model


def initial_weights(build: Callable[[], keras.Model], seed: int) -> list[np.ndarray]:
    """The initial weights of (architecture, seed), in the order of `model.weights`, for `model.set_weights`.

    Seed generators, metrics and the optimizer are not among them. Otherwise as `build_initialised`.

    Example:
        >>> weights = initial_weights(lambda: keras.Sequential([keras.Input([4]), layers.Dense(3, "relu")]), seed=1)
        >>> [weight.shape for weight in weights]
        [(4, 3), (3,)]
    """
    return build_initialised(build, seed).get_weights()


def _require_built(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(f"model `{model.name}` is not built yet: call it once on a batch of inputs first.")


def _forget_traces(model: keras.Model) -> None:
    model.train_function = model.test_function = None


def find_regularisers(model: keras.Model) -> list[Switched]:
    """Everything that regularises a model now; nothing is changed."""
    return list(_regularisers(model))


def _regularisers(model: keras.Model) -> Iterator[Switched]:
    for layer in model._flatten_layers():
        for attribute in _noise_attributes(layer):
            if vars(layer)[attribute]:
                name = f"{layer.name}.{attribute.lstrip('_')}"
                yield Switched(name, layer, attribute, vars(layer)[attribute])
        if layer.activity_regularizer is not None:
            name = f"{layer.name}.activity_regularizer"
            yield Switched(name, layer, "activity_regularizer", layer.activity_regularizer)
    for variable in model.weights:
        # Setting `layer.kernel_regularizer` would do nothing: Keras reads the variable's.
        if getattr(variable, "regularizer", None) is not None:
            yield Switched(f"{variable.path}.regularizer", variable, "regularizer", variable.regularizer)
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # mixed precision wraps it
    for attribute in ("weight_decay", "adam_weight_decay"):
        if getattr(optimizer, attribute, None):
            yield Switched(f"{optimizer.name}.{attribute}", optimizer, attribute, getattr(optimizer, attribute))


def _noise_attributes(layer: layers.Layer) -> list[str]:
    """Attributes of `layer` itself (an LSTM's `dropout` only reads that of its cell) that set random noise."""
    found = [attribute for owner, attribute in _NOISE if isinstance(layer, owner) and attribute in vars(layer)]
    if {"dropout", "recurrent_dropout"} <= vars(layer).keys():  # every recurrent cell; they share no public class
        found += ["dropout", "recurrent_dropout"]
    return found


def _seeds(layer: layers.Layer) -> list[list[int]]:
    return [generator.state.numpy().tolist() for generator in layer._seed_generators]


def _training_outputs(model: keras.Model, x_batch) -> list[np.ndarray]:
    outputs = keras.tree.flatten(model(x_batch, training=True))
    return [keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")) for output in outputs]


def _put_back(model: keras.Model, state: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, state, strict=True):
        variable.assign(value)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    tolerance = 1e-4 * np.nanmax(np.abs(a), initial=0.0)  # sums in another order are not randomness
    return a.shape == b.shape and np.allclose(a, b, rtol=0.0, atol=tolerance, equal_nan=True)


def _custom_layers(model: keras.Model) -> list[layers.Layer]:
    """Layers whose code is not Keras's, the innermost ones if there are any."""
    inner = model._flatten_layers(include_self=False)
    custom = [
        each for each in inner if isinstance(each, layers.Lambda) or not type(each).__module__.startswith("keras.")
    ]
    return [each for each in custom if not each._layers] or custom


def _default_kernels(model: keras.Model) -> Iterator[tuple[layers.Layer, str, keras.Variable]]:
    """`(layer, name of its initialiser, kernel)` where the initialiser is Keras's default."""
    for layer in model._flatten_layers():
        for attribute, kernel in _INITIALISERS:
            initialiser = getattr(layer, attribute, None)
            default = type(initialiser) is keras.initializers.GlorotUniform and initialiser.get_config()["seed"] is None
            kernel = getattr(layer, kernel, None)
            if default and isinstance(kernel, keras.Variable) and not hasattr(layer, "recurrent_initializer"):
                yield layer, attribute, kernel


def _reaches_rectifier(layer: layers.Layer, followers: dict[int, list]) -> bool:
    own = _name(getattr(layer, "activation", None))
    if own != "linear":
        return own in _RECTIFIERS
    seen = set()
    waiting = list(followers.get(id(layer), []))
    while waiting:
        operation = waiting.pop()
        # The activation of a Dense that follows counts for that Dense: it comes after its own kernel.
        name = _name(operation.activation if isinstance(operation, layers.Activation) else type(operation))
        if name in _RECTIFIERS:
            return True
        if id(operation) not in seen and (name == "linear" or _is_transparent(operation)):
            waiting += followers.get(id(operation), [])
        seen.add(id(operation))
    return False


def _name(activation) -> str:
    """Name of an activation given as a function, a layer, or a class of layers or operations: "relu", "leakyrelu"."""
    return getattr(activation, "__name__", type(activation).__name__).lower().replace("_", "")


def _is_transparent(operation) -> bool:
    """Whether a layer, or a bare operation such as `x + y`, lets its input through on the way to an activation."""
    if isinstance(operation, layers.Layer):
        return isinstance(operation, _TRANSPARENT_LAYERS)
    return type(operation).__name__.lower() in _TRANSPARENT_OPERATIONS


def _followers(model: keras.Model) -> dict[int, list]:
    """The operations that take the output of each operation, by `id`, in all graphs inside `model`.

    Read from the graphs and not from `layer._outbound_nodes`, which also hold what other models do with the layer.
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
    """The operation a symbolic tensor comes from; for a nested model, the one inside that makes that output."""
    operation, _, index = tensor._keras_history
    if hasattr(_graph(operation), "_nodes_by_depth"):
        return _producer(operation.outputs[index])
    return operation


def _receiver(operation, index: int):
    """What takes the input number `index` of an operation; for a nested model, its InputLayer."""
    if hasattr(_graph(operation), "_nodes_by_depth") and index < len(operation.inputs):  # a mask comes after them
        return operation.inputs[index]._keras_history.operation
    return operation
