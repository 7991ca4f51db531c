"""What a model's outputs mean: classes or numbers, logits or probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.data import batches
from kerastune.models import fixed_batches
from kerastune.problem import OTHER, Declared

PREDICTION_BATCH = 512
# Examples that show what kind of outputs a model gives.
LOOKED_AT = 32
# Losses of outputs that are each of their own.
OF_LABELS = ("binarycrossentropy", "binaryfocalcrossentropy")
# What comes out of these is probabilities.
_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


@dataclasses.dataclass(frozen=True)
class OutputKind:
    """What a model's outputs mean; found out once per model by `of`, and passed on.

    Args:
        kind: `"classification"`, `"regression"`, or `"other"`, whose outputs stay as they are.
        are_logits: whether a classifier gives logits and not probabilities.
        is_binary: whether a classifier's outputs are probabilities, or logits, each of its own: a
            single output for class 1, or the outputs of a binary cross-entropy.

    Example:
        >>> known = OutputKind("classification", are_logits=True, is_binary=True)
        >>> known.threshold, known.averageable(np.array([[0.0]])).tolist()
        (0.0, [[0.5]])
    """

    kind: str
    are_logits: bool = False
    is_binary: bool = False

    @property
    def activation(self) -> Callable:
        """Makes outputs what is averaged: logits become probabilities.

        All else stays.
        """
        if not self.are_logits:
            return keras.activations.linear
        return keras.activations.sigmoid if self.is_binary else keras.activations.softmax

    @property
    def threshold(self) -> float:
        """The single output above which class 1 is predicted."""
        return 0.0 if self.are_logits else 0.5

    def averageable(self, outputs: Any) -> np.ndarray:
        """Outputs `[n, outputs]` as probabilities, or numbers, in float32."""
        return np.asarray(self.activation(outputs), np.float32)


def of(model: keras.Model, x: Any = None, kind: str | None = None) -> OutputKind:
    """What a model's outputs mean.

    Args:
        model: a built model.
        x: a few inputs `[batch, ...]`; needed for a classifier where neither its end nor its loss
            tells whether it gives logits.
        kind: `"classification"` or `"regression"`; needed where the same do not tell.

    Raises:
        ValueError: when `kind` or `x` is needed and missing, or the kind is unknown.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])
        >>> of(model)
        OutputKind(kind='classification', are_logits=False, is_binary=False)
    """
    if kind not in (None, "classification", "regression", OTHER):
        raise ValueError(f"`kind` must be classification or regression, got {kind!r}.")
    kind = kind or kind_of(model)
    if kind != "classification":
        return OutputKind(kind)
    is_told = _last_activation(model) in _PROBABILITIES or _said_of_logits(_loss(model)) is not None
    if x is None and not is_told:
        raise ValueError(
            f"model `{model.name}` may have logits or probabilities as outputs: give a `sample` "
            "of its inputs."
        )
    is_binary = "binary" in str(getattr(_loss(model), "name", _loss(model)))
    return OutputKind(kind, gives_logits(model, x), is_binary or _num_outputs(model, x) == 1)


def gives_logits(model: keras.Model, x: Any = None) -> bool:
    """Whether a classifier's outputs are logits and not probabilities.

    A softmax or sigmoid at its end tells; else, for a compiled model, what its cross-entropy was
    told. Where neither is to be seen (say, a function within `call`), the outputs for `x` do.

    Args:
        model: a built model.
        x: inputs `[batch, ...]` as the model takes them; without them, what nothing is known of
            counts as logits.
    """
    last = _last_activation(model)
    if last in _PROBABILITIES:
        return False
    said = _said_of_logits(model.loss) if model.compiled else None
    if said is not None:
        return said
    # What the end of the graph says is believed before what an untrained model gives.
    if last is keras.activations.linear and isinstance(_producer(model), keras.layers.Layer):
        return True
    return x is None or not _looks_like_probabilities(model, x)


def has_several_labels(model: keras.Model) -> bool:
    """Whether each of several outputs tells of a label of its own.

    By a sigmoid at the end, or a binary cross-entropy.

    Example:
        >>> has_several_labels(
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "sigmoid")])
        ... )
        True
    """
    loss, outputs = _loss(model), _num_outputs(model, None) or 1
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    is_own = _last_activation(model) is keras.activations.sigmoid or _loss_name(loss) in OF_LABELS
    return outputs > 1 and is_own


def is_classifier(model: keras.Model) -> bool:
    """Whether a model gives classes: it ends in a softmax or was compiled with a cross-entropy.

    A sigmoid tells only where there is no loss to ask: a number between 0 and 1 may be what is
    predicted.
    """
    last = _last_activation(model)
    if model.compiled:
        return last == keras.activations.softmax or _said_of_logits(model.loss) is not None
    return last in (keras.activations.softmax, keras.activations.sigmoid)


def kind_of(model: keras.Model) -> str:
    """Whether a model's end and loss tell of a `"classification"` or of a `"regression"`.

    A softmax and any cross-entropy are a classifier's, another loss of Keras's is a regression's; a
    sigmoid is a classifier's unless such a loss speaks against it.

    Raises:
        ValueError: when neither tells.
    """
    loss, last = _loss(model), _last_activation(model)
    if last is keras.activations.softmax or _said_of_logits(loss) is not None:
        return "classification"
    if loss is not None and (isinstance(loss, str) or _is_of_keras(loss)):
        return "regression"
    if last is keras.activations.sigmoid:
        return "classification"
    raise ValueError(f"model `{model.name}` may be a classifier or a regressor: give its `kind`.")


def _loss(model: keras.Model):
    return model.loss if model.compiled else None


def declared(model: keras.Model, x: Any = None) -> Declared:
    """What a user's model says of its targets, by its outputs and what it was compiled with.

    Args:
        model: as its builder gave it.
        x: a few inputs `[batch, ...]`, for a model that does not tell its outputs.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> said = declared(model)
        >>> said.loss, said.width, said.activation
        ('sparsecategoricalcrossentropy', 3, 'softmax')
    """
    batch_size = fixed_batches.size_of(model)  # a Sequential takes that of its first call for it
    outputs = _outputs(model, x)
    flat = keras.tree.flatten(outputs)
    is_single = len(flat) == 1
    loss, last, producer = _loss(model), _last_activation(model), _producer(model)
    if producer is not None and not isinstance(producer, keras.layers.Layer):
        last = type(producer)
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    metrics = model._compile_config.config.get("metrics") if model.compiled else None
    measured = [str(getattr(each, "name", each)) for each in keras.tree.flatten(metrics)]
    names = outputs if isinstance(outputs, dict) else getattr(model, "output_names", None) or ()
    return Declared(
        is_compiled=model.compiled,
        loss=_loss_name(loss),
        is_own_loss=loss is not None and not _is_of_keras(loss),
        output=tuple(flat[0].shape[1:]) if is_single else None,
        num_outputs=len(flat),
        names=tuple(names) if len(flat) > 1 else (),
        is_listed=isinstance(outputs, (list, tuple)),
        activation=getattr(last, "__name__", "").lower() if is_single else "",
        measures_accuracy=any("acc" in name for name in measured),
        adds_losses=x is not None and takes(model, x) and bool(adding_layers(model)),
        batch_size=batch_size,
        is_stateful=bool(fixed_batches.stateful_layers(model)),
    )


def _outputs(model: keras.Model, x: Any) -> Any:
    """Outputs of a model, symbolic ones where it has them; an empty list where it can't tell."""
    if getattr(model, "outputs", None):
        return getattr(model, "_outputs_struct", model.outputs)
    return fixed_batches.called(model, x) if x is not None and takes(model, x) else []


def takes(model: keras.Model, x: Any) -> bool:
    """Whether a model can be called with a few inputs."""
    try:
        fixed_batches.called(model, x)
    except (KeyError, TypeError, ValueError, tf.errors.OpError):
        return False
    return True


def adding_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that have added losses of their own to what the model has just seen."""
    found = [layer for layer in model._flatten_layers() if layer._losses]
    model._clear_losses()
    return [layer for layer in found if layer.activity_regularizer is None]


def _loss_name(loss: Any) -> str:
    if loss is None:
        return ""
    if keras.tree.is_nested(loss):
        return "several"
    is_object = isinstance(loss, keras.losses.Loss)
    name = type(loss).__name__ if is_object else getattr(loss, "__name__", type(loss).__name__)
    return name.lower().replace("_", "")


def _is_of_keras(loss: Any) -> bool:
    owner = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    return getattr(owner, "__module__", "").split(".")[0] == "keras"


def _producer(model: keras.Model) -> Any:
    """The operation that makes the only output of a model's graph; `None` where there is none."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    operation = outputs[0]._keras_history.operation
    inner = _producer(operation) if isinstance(operation, keras.Model) else None
    return operation if inner is None else inner


def _last_activation(model: keras.Model):
    producer = _producer(model)
    # A function at the end of the graph, such as `keras.ops.softmax`.
    function = getattr(keras.activations, type(producer).__name__.lower(), None)
    if function in _PROBABILITIES:
        return function
    last = producer if isinstance(producer, keras.layers.Layer) else model
    while isinstance(last, keras.Model) and last.layers:
        last = last.layers[-1]
    return (
        keras.activations.softmax
        if isinstance(last, keras.layers.Softmax)
        else getattr(last, "activation", None)
    )


def _said_of_logits(loss) -> bool | None:
    """What a cross-entropy of Keras's takes its inputs for; `None` for any other loss."""
    name = (
        loss
        if isinstance(loss, str)
        else type(loss).__name__
        if isinstance(loss, keras.losses.Loss)
        else ""
    )
    return (
        getattr(loss, "from_logits", False)
        if "crossentropy" in name.lower().replace("_", "")
        else None
    )


def _looks_like_probabilities(model: keras.Model, x) -> bool:
    # Logits that happen to lie between 0 and 1 do not stay there when the inputs are far out.
    outputs = np.concatenate([outputs_of(model, _scaled(x, factor)) for factor in (1, 100, -100)])
    # Nor are zeros, such as a last layer with zero weights gives, probabilities of anything.
    return bool(((outputs >= 0) & (outputs <= 1)).all() and outputs.any())


def _scaled(x, factor: int):
    return keras.tree.map_structure(
        lambda a: a * a.dtype.type(factor) if a.dtype.kind == "f" else a, x
    )


def _num_outputs(model: keras.Model, x: Any) -> int | None:
    """Size of the last axis of a model's output; `None` where it has several."""
    shape = getattr(model, "output_shape", None)
    if shape is None and x is not None:
        shape = getattr(fixed_batches.called(model, x), "shape", None)
    return shape[-1] if shape and not keras.tree.is_nested(shape[-1]) else None


def outputs_of(model: keras.Model, x: Any) -> np.ndarray:
    """Outputs of a model for one batch `[n, outputs]`, in float32."""
    return np.asarray(keras.ops.cast(fixed_batches.called(model, x), "float32"))


def predict(model: keras.Model, x: Any) -> np.ndarray:
    """Outputs of a model `[n, outputs]`, in float32; states begin at zero."""
    size, count = fixed_batches.size_of(model), len(keras.tree.flatten(x)[0])
    given = batches.inputs(x, size or PREDICTION_BATCH, fills=size is not None)
    fixed_batches.reset_states(model)
    return np.asarray(model.predict(given, verbose=0), np.float32)[:count]


def predicted_classes(outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Integer classes `[n]` of outputs `[n, classes]`.

    Or `[n, 1]` of a model with a single output for class 1.
    """
    if outputs.shape[-1] > 1:
        return outputs.argmax(axis=-1)
    return (outputs.reshape(len(outputs)) > (0.0 if logits else 0.5)).astype(np.int64)


def first_examples(x: Any) -> Any:
    """The first examples of inputs `[n, ...]`, or of a dict of them, which `of` looks at."""
    return keras.tree.map_structure(lambda array: array[:LOOKED_AT], x)
