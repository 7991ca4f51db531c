"""A hypermodel's hyperparameters with given values, and the models they build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner


def settled(
    hypermodel: keras_tuner.HyperModel, given: dict[str, Any]
) -> keras_tuner.HyperParameters:
    """All hyperparameters of a hypermodel with the given values.

    Those that are not given have their defaults.

    Raises:
        ValueError: for a value of a hyperparameter that there is not.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> settled(BuildFunction(lambda hp: hp.Choice("units", [8, 16])), {"units": 16}).values
        {'units': 16}
    """
    space, known = keras_tuner.HyperParameters(), -1
    # A hyperparameter may be declared for some values of another one only.
    while len(space.space) > known:
        known = len(space.space)
        hypermodel.build(space)
        space.values.update(given)
    unknown = sorted(set(given) - {parameter.name for parameter in space.space})
    if unknown:
        raise ValueError(f"the model declares no hyperparameter {', '.join(unknown)}.")
    return space


def builder(hypermodel: keras_tuner.HyperModel) -> Callable[[dict[str, Any]], keras.Model]:
    """A function of hyperparameter values that gives a new model.

    As the trainer takes it; see `settled`.
    """

    def build(given: dict[str, Any]) -> keras.Model:
        model = hypermodel.build(settled(hypermodel, given))
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"build(hp) must return a Keras model, it returned {type(model).__name__}."
            )
        return model

    return build
