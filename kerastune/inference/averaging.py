"""Several Keras models as one plain Keras model that averages theirs.

It needs no kerastune to be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastune.analysis import calibration, ensemble_selection
from kerastune.models import fixed_batches, output_kind
from kerastune.problem import OTHER


def assemble(
    members: Sequence[keras.Model],
    weights: Sequence[float],
    mean: str = "arithmetic",
    temperature: float = 1.0,
    kind: str = "classification",
    sample: Any = None,
    name: str = "ensemble",
) -> keras.Model:
    """One Keras model of the members' inputs that gives their weighted mean.

    It shares its variables with the members, and holds stock layers and operations beside them. A
    classifier's logits become probabilities first; a single output is the probability of class 1,
    and stays a single output.

    Args:
        members: built models that take the same inputs; they may be of one architecture, or have
            the same name.
        weights: of the members, `>= 0`; what they sum to does not matter.
        mean: `"arithmetic"` or `"geometric"` (of probabilities, in log space), as `selection.MEANS`
            has them.
        temperature: that the logarithms of the mean probabilities are divided by, `> 0`
            (`calibration.tempered`).
        kind: `"classification"`; `"regression"`, or `"other"` for outputs in any structure, which
            are averaged as they are.
        sample: a few inputs `[batch, ...]`; needed for subclassed models, which do not tell what
            they take, nor always whether they give logits.
        name: of the model.

    Returns:
        The model, not compiled. A member of weight 0 is not part of it.

    Raises:
        ValueError: for no members, weights that do not fit them, an unknown mean or kind, a
            temperature that is not above 0, or one for numbers.

    Example:
        >>> models = [
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])
        ...     for _ in range(2)
        ... ]
        >>> assemble(models, [0.6, 0.4], temperature=1.5).output_shape
        (None, 3)
    """
    shares = _checked(members, weights, mean, temperature, kind)
    used = [(member, share) for member, share in zip(members, shares, strict=True) if share > 0]
    inputs = inputs_like(used[0][0], sample)
    outputs = []
    for number, (member, _) in enumerate(used):
        outputs.append(_renamed(member, f"member_{number}", kind, sample)(inputs))
    if kind == OTHER:
        averaged = keras.tree.map_structure(lambda *each: _average(each, used), *outputs)
        return keras.Model(inputs, _named_like(used[0][0], averaged, inputs), name=name)
    if mean == "geometric":
        averaged = _from_logarithms(_average([_logarithms(each) for each in outputs], used))
    else:
        averaged = _average(outputs, used)
    return keras.Model(inputs, tempered(averaged, temperature), name=name)


def _named_like(model: keras.Model, outputs: Any, inputs: Any) -> Any:
    """Outputs under the names that a model gives its own, by which losses are told."""
    names = getattr(model, "output_names", None) or ()
    flat, taken = keras.tree.flatten(outputs), {each.name for each in keras.tree.flatten(inputs)}
    is_free = len({*names}) == len(flat) and not taken & {*names}
    if not is_free:
        return outputs
    named = [keras.layers.Identity(name=name)(each) for each, name in zip(flat, names, strict=True)]
    return keras.tree.pack_sequence_as(outputs, named)


def tempered(probabilities: Any, temperature: float) -> Any:
    """As `calibration.tempered`, for tensors.

    `[n, classes]`, or `[n, 1]` of the probability of class 1.

    Example:
        >>> ops.convert_to_numpy(tempered(ops.array([[0.8]]), 0.5)).round(4).tolist()
        [[0.9412000179290771]]
    """
    return (
        probabilities
        if temperature == 1
        else _from_logarithms(_logarithms(probabilities) / temperature)
    )


def check_temperature(temperature: float, kind: str) -> None:
    """Raises `ValueError` for a temperature that is not finite and above 0.

    Numbers may only have 1.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"`temperature` must be a finite number > 0, got {temperature}.")
    if kind == "regression" and temperature != 1:
        raise ValueError(
            f"regression has no temperature, got {temperature}: leave `temperature` out."
        )


def _checked(members, weights, mean: str, temperature: float, kind: str) -> np.ndarray:
    """The weights as shares that sum to 1."""
    ensemble_selection.mean_named(mean)
    if kind not in ("classification", "regression", OTHER):
        raise ValueError(
            "`kind` must be classification or regression, or other for outputs of any form, got "
            f"{kind!r}."
        )
    check_temperature(temperature, "classification")
    if kind != "classification" and (temperature != 1 or mean != "arithmetic"):
        raise ValueError(
            f"{kind} has an arithmetic mean and no temperature: leave `mean` and `temperature` out."
        )
    shares = np.asarray(weights, np.float64)
    if not len(members) or shares.shape != (len(members),):
        raise ValueError(
            f"`weights` must be one number for each of {len(members)} `members` (at least 1)."
        )
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum():
        raise ValueError(
            f"`weights` must be finite and >= 0, one of them above 0, got {shares.tolist()}."
        )
    return shares / shares.sum()


def inputs_like(model: keras.Model, sample: Any = None) -> Any:
    """New Keras inputs like those of a model, or else like a sample of its data.

    Args:
        model: a built model.
        sample: a few inputs `[batch, ...]`; needed for a model that does not tell what it takes.

    Raises:
        ValueError: when it is needed and missing.

    Example:
        >>> inputs_like(keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])).shape
        (None, 4)
    """
    if getattr(model, "inputs", None):
        sample = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    size = fixed_batches.size_of(model)
    if sample is None:
        raise ValueError(f"`{model.name}` has unknown input shapes: give a `sample` of its inputs.")
    if isinstance(sample, Mapping):
        return {name: _input(array, size, name) for name, array in sample.items()}
    return keras.tree.map_structure(lambda array: _input(array, size), sample)


def _input(like: Any, batch_size: int | None, name: str | None = None) -> Any:
    is_text = getattr(like.dtype, "kind", "") in ("U", "S", "O")
    dtype = "string" if is_text else keras.backend.standardize_dtype(like.dtype)
    return keras.Input(like.shape[1:], batch_size, dtype=dtype, name=name)


def _renamed(member: keras.Model, name: str, kind: str, sample: Any) -> keras.Model:
    """A member under a name of its own, giving probabilities or numbers in float32.

    It is made around the member's own layers.

    Two members may be of one name, which Keras does not take side by side.
    """
    inputs = inputs_like(member, sample)
    outputs = keras.tree.map_structure(lambda each: ops.cast(each, "float32"), member(inputs))
    if kind == "classification" and output_kind.gives_logits(member, sample):
        outputs = ops.sigmoid(outputs) if outputs.shape[-1] == 1 else ops.softmax(outputs)
    return keras.Model(inputs, outputs, name=name)


def _average(values: list, used: list) -> Any:
    total = values[0] * float(used[0][1])
    for value, (_, share) in zip(values[1:], used[1:], strict=True):
        total = total + value * float(share)
    return total


def _logarithms(probabilities) -> Any:
    """Logarithms of probabilities; of a single output its logit.

    So it is treated as two classes would be.
    """
    least = calibration.LEAST
    if probabilities.shape[-1] > 1:
        return ops.log(ops.clip(probabilities, least, 1.0))
    return ops.log(ops.clip(probabilities, least, 1.0)) - ops.log(
        ops.clip(1.0 - probabilities, least, 1.0)
    )


def _from_logarithms(values) -> Any:
    return ops.softmax(values) if values.shape[-1] > 1 else ops.sigmoid(values)
