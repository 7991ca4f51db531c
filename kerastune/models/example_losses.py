"""The loss of single examples, for any loss that Keras trains with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.analysis import nested
from kerastune.data import batches
from kerastune.models import fixed_batches, output_kind
from kerastune.problem import Part

OF_KERAS = ("train_step", "test_step", "compute_loss", "compute_metrics")
AT_ONCE = 512  # examples in one call of the graph that takes one after another


def of(model: keras.Model, part: Part, outputs: np.ndarray | None = None) -> np.ndarray:
    """Loss of every example `[n]`, with its weight and those of several losses.

    Of every batch instead, `[batches]`, where the model takes batches of one size only and its loss
    does not tell rows apart.

    A loss that tells rows apart is called once, with targets and outputs aligned as Keras aligns
    them. Any other (one number for a batch, several outputs, masks, `add_loss`, a `compute_loss` or
    `test_step` of the user's) is asked for one example at a time. Penalties on weights are left
    out.

    Args:
        model: compiled.
        part: whose examples these are.
        outputs: of the model for them, where they are known already.
    """
    size = fixed_batches.size_of(model)
    if type(model).test_step is not keras.Model.test_step:
        return _by_test_step(model, part, size)
    if not _tells_rows_apart(model, part):
        return _one_by_one(model, part) if size is None else _by_test_step(model, part, size)
    if outputs is None:
        outputs = output_kind.predict(model, part.x)
    each = by_row(_single_loss(model), part.y, outputs)
    if each is None:
        return _one_by_one(model, part) if size is None else _by_test_step(model, part, size)
    if part.sample_weight is None:
        return each
    return each * part.sample_weight / np.mean(part.sample_weight)


def numbers(model: keras.Model, x: Any) -> int:
    """How many numbers a model gives for an example, where means of several models' can be judged.

    That needs a loss of targets and outputs alone, and float outputs; else 0.

    Args:
        model: as its builder gave it.
        x: a few inputs that it takes.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
        >>> model.compile(loss="mse")
        >>> numbers(model, np.zeros([2, 4]))
        3
    """
    if not model.compiled or model.loss is None:
        return 0
    if any(getattr(type(model), name) is not getattr(keras.Model, name) for name in OF_KERAS):
        return 0
    found = keras.tree.flatten(model(x, training=False))
    if output_kind.adding_layers(model):
        return 0
    is_float = all("float" in keras.backend.standardize_dtype(each.dtype) for each in found)
    is_plain = all(isinstance(each, tf.Tensor) and each.shape.rank for each in found)
    return sum(int(np.prod(each.shape[1:])) for each in found) if is_float and is_plain else 0


def by_row(loss: Any, y: np.ndarray, outputs: np.ndarray) -> np.ndarray | None:
    """What a loss gives for every row `[n]`; `None` where it gives one number for all of them.

    Args:
        loss: a `Loss` of Keras's or a function.
        y: targets `[n, ...]`.
        outputs: of a model `[n, ...]`.

    Example:
        >>> y, outputs = np.array([1.0, 2.0]), np.array([[1.0], [4.0]])
        >>> by_row(keras.losses.MeanSquaredError(), y, outputs).tolist()
        [0.0, 4.0]
        >>> by_row(lambda y, p: keras.ops.mean(keras.ops.abs(y - p)), y, outputs) is None
        True
    """
    y, outputs = aligned(y, outputs)
    each = (loss.call if isinstance(loss, keras.losses.Loss) else loss)(y, outputs)
    each = np.asarray(each, np.float64)
    if each.shape[:1] != (len(y),):
        return None
    return each.reshape(len(y), -1).mean(axis=1)


def aligned(y: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and outputs of one rank, as Keras makes them before it calls a loss.

    But a single column stays, so that a mean over the last axis leaves the rows.
    """
    if y.ndim == 1 and outputs.ndim == 2 and outputs.shape[1] == 1:
        return y[:, None], outputs
    if outputs.ndim == 1 and y.ndim == 2 and y.shape[1] == 1:
        return y, outputs[:, None]
    return y, outputs


def _single_loss(model: keras.Model) -> Any:
    """The one loss of a model as an object or a function; `None` where there is no such."""
    loss = model.loss
    if loss is None or keras.tree.is_nested(loss):
        return None
    return keras.losses.get(loss) if isinstance(loss, str) else loss


def _tells_rows_apart(model: keras.Model, part: Part) -> bool:
    """Whether the loss of outputs and targets alone may be taken row by row."""
    is_single = part.y is not None and not nested.is_nested(part.y)
    is_plain = part.sample_weight is None or np.shape(part.sample_weight) == (len(part),)
    if _single_loss(model) is None or not is_single or not is_plain:
        return False
    if type(model).compute_loss is not keras.Model.compute_loss:
        return False
    if model._compile_config.config.get("loss_weights") is not None:
        return False
    outputs = model(fixed_batches.few(part.x, output_kind.LOOKED_AT, model), training=False)
    adds = output_kind.adding_layers(model)
    is_masked = getattr(outputs, "_keras_mask", None) is not None
    return not (keras.tree.is_nested(outputs) or is_masked or adds)


def _one_by_one(model: keras.Model, part: Part) -> np.ndarray:
    """The total loss of a model for every example alone, in one graph."""

    def loss(example: tuple) -> tf.Tensor:
        x, *given = tf.nest.map_structure(lambda array: array[None], example)
        y, weight = (*given, None, None)[:2]
        outputs = model(x, training=False)
        total = model._compute_loss(x, y, outputs, weight, training=False)
        return tf.cast(total - penalties(model), tf.float32)

    @tf.function
    def losses(examples: tuple) -> tf.Tensor:
        return tf.map_fn(loss, examples, fn_output_signature=tf.float32)

    given = batches.examples(part, AT_ONCE)
    # Traced by hand: TensorFlow warns of functions that are traced again and again.
    traced = losses.get_concrete_function(given.element_spec)
    found = [traced(batch).numpy() for batch in given]
    model._clear_losses()
    return np.concatenate(found).astype(np.float64)


def penalties(model: keras.Model) -> Any:
    """What regularizers of weights add to the loss that Keras computes."""
    if type(model).compute_loss is not keras.Model.compute_loss:
        return 0.0
    regularized = [each for each in model.trainable_weights if each.regularizer is not None]
    return sum((tf.cast(each.regularizer(each), tf.float32) for each in regularized), 0.0)


def _by_test_step(model: keras.Model, part: Part, size: int | None) -> np.ndarray:
    """What a `test_step` calls the loss of every example alone.

    Of a model that takes batches of one size only, the losses of batches `[batches]`.
    """
    found = []
    fixed_batches.reset_states(model)
    for batch in batches.examples(part, size or 1, is_fixed=size is not None):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        model.reset_metrics()
        found.append(model.test_on_batch(x, y, weight, return_dict=True)["loss"])
    return np.array(found, np.float64)
