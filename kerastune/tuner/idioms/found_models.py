"""`tuner.hypermodel`: builds what was found, so that *build, then fit* trains the found recipe."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from kerastune.models import compiling, initializers, layer_groups, model_inputs, regularization
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.training import optimizers
from kerastune.training.compiled_model import sample
from kerastune.trial import TrialSpec

# The authoritative spec in a trial's values; the other names are for people.
SPEC = "kerastune/spec"


class FoundModels(keras_tuner.HyperModel):
    """A hypermodel whose models are compiled as a search found best.

    Values that no search gave build what the user's hypermodel builds.

    Args:
        hypermodel: of the user's.
        problem: gives the data of the search; `None` where they are not known.

    Example:
        >>> from kerastune.models.hypermodels import BuildFunction
        >>> mine = BuildFunction(lambda hp: keras.Sequential(name="mine"))
        >>> FoundModels(mine, lambda: None).build(keras_tuner.HyperParameters()).name
        'mine'
    """

    def __init__(self, hypermodel: keras_tuner.HyperModel, problem: Callable[[], Problem | None]):
        super().__init__(name=hypermodel.name, tunable=hypermodel.tunable)
        self.given, self._problem = hypermodel, problem

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A new model; of a trial's hyperparameters with the optimizer, learning rate and schedule
        of that trial, its initial weights, and what it switched off or froze.

        Its `fit` takes the trial's batch size where no other is given.
        """
        if SPEC not in hp.values:
            return self.given.build(hp)
        recipe = TrialSpec.from_dict(json.loads(hp.values[SPEC])).recipe
        return found(lambda: self.given.build(hp), recipe, self._problem())

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Those of the user's hypermodel."""
        self.given.declare_hyperparameters(hp)

    def __getattr__(self, name: str) -> Any:
        if name == "given":
            raise AttributeError(name)
        return getattr(self.given, name)


def found(build: Callable[[], keras.Model], recipe: Recipe, problem: Problem | None) -> keras.Model:
    """A new model that is ready to be trained with a recipe.

    Args:
        build: makes the user's model.
        recipe: how to train it.
        problem: the data of the search; `None` where they are not known, then a model without an
            input shape is compiled, and nothing else.
    """

    def ready() -> keras.Model:
        model = build()
        if problem is not None:
            model_inputs.build(model, problem.validation.x)
        return model

    model = ready()
    if model.built:
        if recipe.initializers == "auto":
            model = initializers.build_initialized(ready, recipe.seed)
        layer_groups.freeze(layer_groups.levels(model), recipe)
        _regularize(model, recipe, problem)
    if model.compiled or problem is not None:
        optimizer = optimizers.stock(recipe, **optimizers.kept_settings(model))
        compiling.compile_for(model, problem, optimizer)
    _fit_in_batches(model, recipe.batch_size)
    return model


def _regularize(model: keras.Model, recipe: Recipe, problem: Problem | None) -> None:
    if recipe.regularizers == "off" and problem is not None:
        regularization.switch_regularizers_off(model, sample(problem.validation.x, model))
    elif recipe.dropout is not None:
        regularization.set_dropout(model, recipe.dropout)


def _fit_in_batches(model: keras.Model, batch_size: int) -> None:
    """Gives the model's `fit` a batch size of its own, for arrays with targets."""
    fit = model.fit

    @functools.wraps(fit)
    def fitted(x: Any = None, y: Any = None, *others: Any, **named: Any) -> Any:
        if y is not None and not others:
            named.setdefault("batch_size", batch_size)
        return fit(x, y, *others, **named)

    model.fit = fitted
