"""Regularizers off and on (P6), and other dropout rates (S4.1), in any Keras model."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from kerastune.models import fixed_batches

NOISE = (
    (layers.Dropout, "rate"),  # and the SpatialDropouts, its subclasses
    (layers.GaussianDropout, "rate"),
    (layers.AlphaDropout, "rate"),
    (layers.GaussianNoise, "stddev"),
    (layers.Attention, "dropout"),
    (layers.GroupQueryAttention, "dropout"),
    (layers.MultiHeadAttention, "_dropout"),
)
DROPOUTS = (layers.Dropout, layers.GaussianDropout, layers.AlphaDropout)
ATTENTIONS = (layers.Attention, layers.GroupQueryAttention, layers.MultiHeadAttention)


@dataclasses.dataclass(frozen=True)
class Switched:
    """One regularizer that was switched off: `owner.attribute` was `value`.

    The owner is a layer, variable or optimizer.
    """

    name: str
    owner: Any
    attribute: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Regularizers:
    """The regularizers of a model that are off now, and how to switch them on again.

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
        """Names of what was switched off.

        Such as `["dropout.rate", "dense/kernel.regularizer", "adam_w.weight_decay"]`.
        """
        return [each.name for each in self.switched]

    def restore(self) -> None:
        """Gives every regularizer the user's value back; the next `fit` traces anew."""
        for each in self.switched:
            setattr(each.owner, each.attribute, each.value)
        _forget_traces(self.model)


def switch_regularizers_off(model: keras.Model, x_batch: Any = None) -> Regularizers:
    """Switches off, in place, everything that regularizes a model (P6).

    That is: the Dropout family and GaussianNoise, `dropout` and `recurrent_dropout` of recurrent
    cells, `dropout` of attention layers, the regularizer of any variable, activity regularizers,
    and the weight decay of the optimizer of a compiled model. Nested and subclassed models are
    reached through the layers that Keras tracks. BatchNorm stays: without it, it would be another
    network.

    Rates and decay become 0 and not `None`, so a model saved meanwhile can be loaded. Functions
    that Keras compiled before are dropped, since they hold the old values as constants.

    Args:
        model: a built model, compiled or not.
        x_batch: inputs `[batch, ...]` as the model takes them; a few dozen examples. If given,
            `leftover_randomness` looks for what could not be reached, and one warning names it.

    Raises:
        ValueError: if the model is not built: its variables do not exist yet.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4]), layers.Dropout(0.5, name="half"), layers.Dense(2)]
        ... )
        >>> regularizers = switch_regularizers_off(model)
        >>> regularizers.names, model.layers[0].rate
        (['half.rate'], 0.0)
        >>> regularizers.restore()
        >>> model.layers[0].rate
        0.5
    """
    require_built(model)
    switched = tuple(find_regularizers(model))
    for each in switched:
        setattr(each.owner, each.attribute, None if each.attribute.endswith("regularizer") else 0.0)
    if switched:
        _forget_traces(model)
    unreached = () if x_batch is None else tuple(leftover_randomness(model, x_batch))
    if unreached:
        logging.getLogger("kerastune").warning(
            "Regularizers that stay on in every stage, since they could not be switched off: %s.",
            ", ".join(unreached),
        )
    return Regularizers(model, switched, unreached)


def dropout_layers(model: keras.Model) -> list[layers.Layer]:
    """The layers of Keras's Dropout family in a model, spatial ones too.

    Those that an attention layer keeps inside are not among them: its `dropout` is a setting of its
    own.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4]), layers.Dropout(0.0, name="none"), layers.Dense(2)]
        ... )
        >>> [layer.name for layer in dropout_layers(model)]
        ['none']
    """
    tracked = model._flatten_layers()
    inside = [
        each
        for layer in tracked
        if isinstance(layer, ATTENTIONS)
        for each in layer._flatten_layers()
    ]
    return [
        layer
        for layer in tracked
        if isinstance(layer, DROPOUTS) and not any(layer is each for each in inside)
    ]


def make_dropout_tunable(model: keras.Model) -> None:
    """Gives every Dropout layer a seed generator, so that any rate can follow.

    Keras leaves it out at a rate of 0.

    A generator is a variable of the model: models that exchange their variables must all have been
    through this.
    """
    for layer in dropout_layers(model):
        if not hasattr(layer, "seed_generator"):
            was_locked = layer._tracker.locked
            layer._tracker.unlock()  # a built layer takes no new variable
            layer.seed_generator = keras.random.SeedGenerator(layer.seed)
            layer._tracker.locked = was_locked


def set_dropout(model: keras.Model, rate: float) -> None:
    """Gives every layer of `dropout_layers` this rate, in place; what was traced before is dropped.

    Args:
        model: a built model.
        rate: in `[0, 1)`.

    Raises:
        ValueError: if the model has no such layer.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), layers.Dropout(0.0), layers.Dense(2)])
        >>> set_dropout(model, 0.3)
        >>> model.layers[0].rate
        0.3
    """
    if rate and not dropout_layers(model):
        raise ValueError(
            f"`dropout` ({rate}) has no effect in `{model.name}`, which has no layer of the "
            "Dropout family."
        )
    make_dropout_tunable(model)
    for layer in dropout_layers(model):
        layer.rate = rate
    _forget_traces(model)


def leftover_randomness(model: keras.Model, x_batch: Any) -> list[str]:
    """Names of the layers that still draw random numbers or add losses in training.

    Found by calling the model.

    A layer is named if its own seed generator moved in a call with `training=True`, or if it added
    to `model.losses`. If two calls from the same state, seeds included, differ (by more than 1e-4
    of the largest output), then something is random without a Keras seed: the layers whose class is
    not Keras's own are named, or the model if it has none. What a layer draws with a constant seed
    is not noticed. All variables are put back (BatchNorm's moving statistics, the seeds); nothing
    is traced.

    Args:
        model: a built model.
        x_batch: inputs `[batch, ...]` as the model takes them.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4, 4, 1]), layers.RandomFlip(name="flip"), layers.Flatten()]
        ... )
        >>> leftover_randomness(model, np.zeros([2, 4, 4, 1], "float32"))
        ['flip']
    """
    require_built(model)
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
    return [layer.name for layer in dict.fromkeys(random)] + [
        f"{layer.name} (add_loss)" for layer in adding
    ]


def require_built(model: keras.Model) -> None:
    """Raises `ValueError` for a model whose variables do not exist yet."""
    if not model.built:
        raise ValueError(
            f"model `{model.name}` is not built yet: call it once on a batch of inputs first."
        )


def _forget_traces(model: keras.Model) -> None:
    model.train_function = model.test_function = None


def find_regularizers(model: keras.Model) -> list[Switched]:
    """Everything that regularizes a model now; nothing is changed."""
    return list(_regularizers(model))


def _regularizers(model: keras.Model) -> Iterator[Switched]:
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
            yield Switched(
                f"{variable.path}.regularizer", variable, "regularizer", variable.regularizer
            )
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # mixed precision wraps it
    for attribute in ("weight_decay", "adam_weight_decay"):
        if getattr(optimizer, attribute, None):
            yield Switched(
                f"{optimizer.name}.{attribute}", optimizer, attribute, getattr(optimizer, attribute)
            )


def _noise_attributes(layer: layers.Layer) -> list[str]:
    """Attributes of `layer` itself that set random noise.

    An LSTM's `dropout` only reads that of its cell.
    """
    found = [
        attribute
        for owner, attribute in NOISE
        if isinstance(layer, owner) and attribute in vars(layer)
    ]
    # Every recurrent cell; they share no public class.
    if {"dropout", "recurrent_dropout"} <= vars(layer).keys():
        found += ["dropout", "recurrent_dropout"]
    return found


def _seeds(layer: layers.Layer) -> list[list[int]]:
    return [generator.state.numpy().tolist() for generator in layer._seed_generators]


def _training_outputs(model: keras.Model, x_batch) -> list[np.ndarray]:
    fixed_batches.reset_states(model)
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
        each
        for each in inner
        if isinstance(each, layers.Lambda) or not type(each).__module__.startswith("keras.")
    ]
    return [each for each in custom if not each._layers] or custom
