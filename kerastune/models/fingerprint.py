"""Short texts that change when the data or the model do.

A search does not go on with others than it began with.
"""

from __future__ import annotations

import json
import re
import zlib

import keras
import numpy as np

from kerastune.models import compiling
from kerastune.problem import Problem


def of_data(problem: Problem) -> str:
    """The problem's name and a checksum of the data of all parts and of its class weights.

    A stream itself is not looked at.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([2, 3]), np.array([0, 1]))
        >>> of_data(Problem("toy", "classification", part, part, class_names=("a", "b")))
        'toy 839b9885'
    """
    checksum = zlib.crc32(repr(problem.class_weight).encode())
    for part in (problem.train, problem.validation, problem.test):
        for array in (
            keras.tree.flatten([part.x, part.y, part.sample_weight]) if part is not None else []
        ):
            if array is not None:
                checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return f"{problem.name} {checksum:08x}"


def of_model(model: keras.Model) -> str:
    """Number of parameters and a checksum of architecture, loss and metrics.

    Names that Keras numbers do not count.

    Example:
        >>> models = [keras.Sequential([keras.Input([4]), keras.layers.Dense(2)]) for _ in range(2)]
        >>> of_model(models[0]) == of_model(models[1])
        True
    """
    losses = [_name(loss) for loss in keras.tree.flatten(model.loss)] if model.compiled else []
    judged = [*losses, *(compiling.metric_names(model) if model.compiled else [])]
    text = re.sub(
        r'_\d+"', '"', json.dumps([_architecture(model), judged], sort_keys=True, default=_name)
    )
    return f"{model.count_params()} parameters, {zlib.crc32(text.encode()):08x}"


def of_weights(model: keras.Model) -> str:
    """A checksum of a model's weights.

    Example:
        >>> of_weights(
        ...     keras.Sequential(
        ...         [keras.Input([4]), keras.layers.Dense(2, kernel_initializer="ones")]
        ...     )
        ... )
        'fea70723'
    """
    checksum = 0
    for value in model.get_weights():
        checksum = zlib.crc32(np.ascontiguousarray(value), checksum)
    return f"{checksum:08x}"


def _architecture(model: keras.Model):
    try:
        return model.get_config()
    except (NotImplementedError, TypeError, ValueError):  # a subclassed model need not have one
        return [
            [type(layer).__name__, *(list(v.shape) for v in layer._trainable_variables)]
            for layer in model._flatten_layers()
        ]


def _name(thing) -> str:
    named = getattr(thing, "name", None) or getattr(thing, "__name__", type(thing).__name__)
    return thing if isinstance(thing, str) else named
