"""Test-time augmentation (TTA): averages predictions over several views (S4.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastune.analysis import error_analysis
from kerastune.analysis.view_selection import IDENTITY
from kerastune.inference import averaging
from kerastune.inference import views as all_views
from kerastune.models import output_kind

CHUNK = 512  # examples of which a view is made in one go


def wrap(
    model: keras.Model,
    views: Sequence[Callable] | Mapping[str, Callable],
    weights: Sequence[float] | None = None,
    kind: str | None = None,
    sample: Any = None,
    temperature: float = 1.0,
) -> keras.Model:
    """A plain Keras model of the same inputs that averages over the example as it is and its views.

    What comes out is always what was averaged: of a classifier the *probabilities*, also when
    `model` gives logits (its outputs then go through a softmax, or a sigmoid, first); of a
    regression the numbers themselves. Outputs are float32. The wrapped model shares its weights
    with `model` and is not compiled.

    It takes what `model` takes, so a model that was saved with its preparation is wrapped as it is.
    Views of `kerastune.inference.views` become Keras's own operations: what is saved or exported
    needs no kerastune to be loaded. A function or layer of your own must be registered with Keras,
    and imported before the model is loaded.

    Args:
        model: a built model with one output.
        views: layers of `kerastune.inference.views`, or registered layers or functions of the
            inputs, in any number; or a dict of them by name.
        weights: of the example as it is, first, and of every view: `>= 0`; what they sum to does
            not matter. Equal by default.
        kind: `"classification"` or `"regression"`; needed where neither the model's end nor its
            loss tells.
        sample: a few inputs `[batch, ...]`; needed for a subclassed model, and where nothing tells
            whether it gives logits.
        temperature: that the logarithms of the mean probabilities are divided by, `> 0`
            (`calibration.tempered`).

    Raises:
        ValueError: for a view that can't be saved, is random or fits no input; for weights that do
            not fit; for a model that does not tell what is needed; for a temperature that is not
            above 0, or one for numbers.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([8, 8, 1]), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
        ... )
        >>> wrapped = wrap(
        ...     model, [all_views.Flip("horizontal"), all_views.Shift(right=1)], weights=[2, 1, 1]
        ... )
        >>> wrapped.output_shape
        (None, 3)
    """
    seeing = [None, *checked(views).values()]
    share_of_each = shares(weights, len(seeing))
    inputs = averaging.inputs_like(model, sample)
    known = output_kind.of(model, sample, kind)
    if temperature != 1:
        averaging.check_temperature(temperature, known.kind)
    terms = []
    for view, share in zip(seeing, share_of_each, strict=True):
        if share > 0:
            outputs = model(inputs if view is None else all_views.apply(view, inputs))
            _refuse_several(model, outputs)
            terms.append(share * known.activation(ops.cast(outputs, "float32")))
    return keras.Model(
        inputs, averaging.tempered(sum(terms[1:], terms[0]), temperature), name="tta"
    )


def predictions(
    model: keras.Model,
    x: Any,
    views: Mapping[str, Callable],
    kind: str,
    is_late: Callable[[], bool] = lambda: False,
) -> dict[str, np.ndarray]:
    """What a trained model says of every view of the examples, in the form that is averaged.

    Args:
        model: a built model with one output.
        x: inputs as the model takes them, an array `[n, ...]` or a dict of arrays.
        views: by name, as `wrap` takes them.
        kind: `"classification"` or `"regression"`.
        is_late: asked before every view; those after the first `True` are left out.

    Returns:
        `{name: float32 [n, classes or outputs]}`, that of the examples as they are first, under
        `"identity"`. The
        probability of a single output becomes two columns.

    Raises:
        ValueError: as `wrap`.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(1, "sigmoid")])
        >>> said = predictions(model, np.ones([5, 4]), all_views.candidates((4,)), "classification")
        >>> list(said)[:2], said["noise-1"].shape
        (['identity', 'noise-1'], (5, 2))
    """
    known = output_kind.of(model, output_kind.first_examples(x), kind)
    found = outputs_by_view(model, x, views, known, is_late)
    if kind == "classification":
        return {
            name: error_analysis.probabilities(p, logits=False).astype(np.float32)
            for name, p in found.items()
        }
    return {name: outputs.reshape(len(outputs), -1) for name, outputs in found.items()}


def outputs_by_view(
    model: keras.Model,
    x: Any,
    views: Sequence[Callable] | Mapping[str, Callable],
    known: output_kind.OutputKind,
    is_late: Callable[[], bool] = lambda: False,
) -> dict[str, np.ndarray]:
    """As `predictions`, but with outputs of the model's own shape.

    Args:
        model: a built model with one output.
        x: inputs as the model takes them.
        views: as `wrap` takes them.
        known: what the model's outputs mean.
        is_late: asked before every view; those after the first `True` are left out.
    """
    found = {IDENTITY: known.averageable(output_kind.predict(model, x))}
    for name, view in checked(views).items():
        if is_late():
            break
        found[name] = known.averageable(output_kind.predict(model, _seen(view, x)))
    return found


def checked(views: Sequence[Callable] | Mapping[str, Callable]) -> dict[str, keras.layers.Layer]:
    """The layers of views by name, in their order.

    Raises:
        ValueError: for a view that can't be saved or is random.
    """
    named = (
        views if isinstance(views, Mapping) else {f"view {i}": view for i, view in enumerate(views)}
    )
    return {name: all_views.checked(view) for name, view in named.items()}


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Weights that sum to 1, of the example as it is and of the views; equal without `weights`.

    Raises:
        ValueError: when they are not `count` finite numbers `>= 0` with one above 0.

    Example:
        >>> shares([2, 1, 1], 3), shares(None, 4)
        ([0.5, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25])
    """
    given = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if (
        given.shape != (count,)
        or not np.isfinite(given).all()
        or (given < 0).any()
        or not given.sum()
    ):
        raise ValueError(
            f"`weights` must be {count} numbers >= 0, not all 0 (the example as it is, then "
            f"{count - 1} views), got {given.tolist()}."
        )
    return (given / given.sum()).tolist()


def _refuse_several(model: keras.Model, outputs: Any) -> None:
    if keras.tree.is_nested(outputs):
        raise ValueError(
            f"model `{model.name}` has several outputs; test-time augmentation averages one."
        )


def _seen(view: keras.layers.Layer, x: Any) -> Any:
    """A view of arrays, as arrays."""
    count = len(keras.tree.flatten(x)[0])
    chunks = [
        all_views.apply(view, _rows(x, start, start + CHUNK)) for start in range(0, count, CHUNK)
    ]
    return keras.tree.map_structure(
        lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *chunks
    )


def _rows(x: Any, start: int, end: int) -> Any:
    return keras.tree.map_structure(lambda array: array[start:end], x)
