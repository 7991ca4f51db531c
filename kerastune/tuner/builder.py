"""The user's model from plain values of its hyperparameters, wherever it is built: here or in a
worker.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner


class Builder:
    """Builds the model of a hypermodel; it can be sent to another process if the hypermodel can.

    Args:
        hypermodel: as KerasTuner takes it.
        space: its hyperparameters.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> builder = Builder(BuildFunction(lambda hp: keras.Sequential(name="mine")), keras_tuner.HyperParameters())
        >>> builder({}).name
        'mine'
    """

    def __init__(self, hypermodel: keras_tuner.HyperModel, space: keras_tuner.HyperParameters):
        self._hypermodel, self._space = hypermodel, space

    def __call__(self, hyperparameters: dict[str, Any]) -> keras.Model:
        """A new model.

        Raises:
            ValueError: for a hyperparameter that the model does not declare, or when no Keras model
                was built.
        """
        hp = self._space.copy()
        unknown = set(hyperparameters) - {parameter.name for parameter in hp.space}
        if unknown:
            raise ValueError(f"the model declares no hyperparameter {', '.join(sorted(unknown))}.")
        hp.values.update(hyperparameters)
        model = self._hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"build(hp) must return a Keras model, it returned {type(model).__name__}."
            )
        return model
