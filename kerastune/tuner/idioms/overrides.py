"""Loss, metrics and size of a model as KerasTuner's tuners take them, over what `build` says."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import keras_tuner


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What a tuner was given in place of what `build(hp)` compiles.

    Args:
        loss: in place of the model's; `None` leaves it.
        metrics: in place of the model's; `None` leaves them.
        max_model_size: parameters of a model, at most; `None` for any number.
    """

    loss: Any = None
    metrics: Any = None
    max_model_size: int | None = None

    def apply(self, model: keras.Model) -> None:
        """Compiles the model again.

        Raises:
            ValueError: for a model with more parameters than allowed.
        """
        most = self.max_model_size
        if most is not None and model.built and model.count_params() > most:
            raise ValueError(
                f"the model has {model.count_params():,} parameters, more than `max_model_size` "
                f"({most:,})."
            )
        given = {"loss": self.loss, "metrics": self.metrics}
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            compiled = dict(model._compile_config.config) if model.compiled else {}
            # The base class's own method: a model may override `compile` with other arguments.
            keras.Model.compile(model, **{**compiled, **given})


class Overridden(keras_tuner.HyperModel):
    """A hypermodel whose models get other losses or metrics, or may not be large.

    Args:
        hypermodel: of the user's.
        overrides: applied to each of its models.
    """

    def __init__(self, hypermodel: keras_tuner.HyperModel, overrides: Overrides):
        super().__init__(name=hypermodel.name, tunable=hypermodel.tunable)
        self._hypermodel, self._overrides = hypermodel, overrides

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The hypermodel's model, compiled again."""
        model = self._hypermodel.build(hp)
        if isinstance(model, keras.Model):
            self._overrides.apply(model)
        return model

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Those of the hypermodel."""
        self._hypermodel.declare_hyperparameters(hp)


def overridden(hypermodel: keras_tuner.HyperModel, overrides: Overrides) -> keras_tuner.HyperModel:
    """The hypermodel under these overrides; itself where there are none.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> hypermodel = BuildFunction(lambda hp: keras.Sequential([keras.layers.Dense(1)]))
        >>> overridden(hypermodel, Overrides()) is hypermodel
        True
        >>> model = overridden(hypermodel, Overrides(loss="mae")).build(None)
        >>> model.loss
        'mae'
    """
    return hypermodel if overrides == Overrides() else Overridden(hypermodel, overrides)
