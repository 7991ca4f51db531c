"""What a model is trained for and judged by: loss, metrics, predictions, and figures in the user's
units.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerastune.data import batches

PREDICTION_BATCH = 512
LOOKED_AT = 32  # examples that show what kind of outputs a model gives
_PROBABILITIES = (
    keras.activations.softmax,
    keras.activations.sigmoid,
)  # is what comes out of these


def gives_logits(model: keras.Model, x=None) -> bool:
    """Whether a classifier's outputs are logits and not probabilities.

    A softmax or sigmoid at its end tells; else, for a compiled model, what its cross-entropy was
    told. Where neither is to be seen (say, a function within `call`), the outputs for `x` do.

    Args:
        model: a built model.
        x: inputs `[batch, ...]` as the model takes them; without them, what nothing is known of
            counts as logits.
    """
    if _last_activation(model) in _PROBABILITIES:
        return False
    said = _said_of_logits(model.loss) if model.compiled else None
    if said is not None:
        return said
    return x is None or not _looks_like_probabilities(model, x)


def is_classifier(model: keras.Model) -> bool:
    """Whether a model gives classes: it ends in a softmax or was compiled with a cross-entropy.

    A sigmoid tells only where there is no loss to ask: a number between 0 and 1 may be what is
    predicted.
    """
    last = _last_activation(model)
    if model.compiled:
        return last == keras.activations.softmax or _said_of_logits(model.loss) is not None
    return last in (keras.activations.softmax, keras.activations.sigmoid)


def averaged_form(model: keras.Model, x=None, kind: str | None = None) -> Callable:
    """What is done to a model's outputs before they are averaged with others: logits become
    probabilities.

    A classifier's logits go through a softmax, or a sigmoid where it has a single output or a
    binary cross-entropy; probabilities, and the numbers of a regression, stay what they are.

    Args:
        model: a built model with one output.
        x: inputs `[batch, ...]`; needed where neither the model's end nor its loss tells whether it
            gives logits.
        kind: `"classification"` or `"regression"`; needed where the same do not tell.

    Returns:
        A function of arrays or tensors `[batch, outputs]`.

    Raises:
        ValueError: when `kind` or `x` is needed and missing, or the kind is unknown.
    """
    if kind not in (None, "classification", "regression"):
        raise ValueError(f"`kind` must be classification or regression, got {kind!r}.")
    kind = kind or kind_of(model)
    if kind == "regression" or _last_activation(model) in _PROBABILITIES:
        return keras.activations.linear
    if x is None and _said_of_logits(_loss(model)) is None:
        raise ValueError(
            f"model `{model.name}` does not tell whether it gives logits: give a `sample` of its "
            "inputs."
        )
    if not gives_logits(model, x):
        return keras.activations.linear
    single = (model.output_shape if x is None else outputs_of(model, x).shape)[-1] == 1
    is_binary = "binary" in str(getattr(_loss(model), "name", _loss(model))) or single
    return keras.activations.sigmoid if is_binary else keras.activations.softmax


def averageable(model: keras.Model, x, kind: str | None = None) -> np.ndarray:
    """A model's outputs for `x` in the form that is averaged: probabilities, or numbers; see
    `averaged_form`.
    """
    return np.asarray(averaged_form(model, first_examples(x), kind)(predict(model, x)), np.float32)


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
    if loss is not None and (
        isinstance(loss, str) or getattr(loss, "__module__", "").split(".")[0] == "keras"
    ):
        return "regression"
    if last is keras.activations.sigmoid:
        return "classification"
    raise ValueError(f"model `{model.name}` does not tell whether it classifies: give its `kind`.")


def _loss(model: keras.Model):
    return model.loss if model.compiled else None


def _last_activation(model: keras.Model):
    last = model
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
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _scaled(x, factor: int):
    return keras.tree.map_structure(
        lambda a: a * a.dtype.type(factor) if a.dtype.kind == "f" else a, x
    )


def outputs_of(model: keras.Model, x) -> np.ndarray:
    return np.asarray(keras.ops.cast(model(x, training=False), "float32"))


def predict(model: keras.Model, x) -> np.ndarray:
    """Outputs of a model `[n, outputs]`, in float32."""
    return np.asarray(model.predict(batches.inputs(x, PREDICTION_BATCH), verbose=0), np.float32)


def predicted_classes(outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Integer classes `[n]` of outputs `[n, classes]`, or `[n, 1]` of a model with a single output
    for class 1.
    """
    if outputs.shape[-1] > 1:
        return outputs.argmax(axis=-1)
    return (outputs.reshape(len(outputs)) > (0.0 if logits else 0.5)).astype(np.int64)


def first_examples(x):
    return keras.tree.map_structure(lambda array: array[:LOOKED_AT], x)
