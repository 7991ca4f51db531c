"""The hypermodel of a name, of a function, or of what is one already."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from kerastune.data.finishing import Ask
from kerastune.models import example_losses, fixed_batches, model_inputs, output_kind
from kerastune.models.hypermodels.built_in import BUILT_IN, fitting
from kerastune.models.hypermodels.hyperparameters import builder
from kerastune.models.hypermodels.pretrained import Pretrained
from kerastune.problem import Declared, Problem
from kerastune.runtime import naming


class BuildFunction(keras_tuner.HyperModel):
    """A user's `build(hp)` function as a hypermodel.

    Args:
        function: takes `hp`, gives a Keras model, compiled or not.

    Example:
        >>> hypermodel = BuildFunction(lambda hp: keras.Sequential(name="mine"))
        >>> hypermodel.build(keras_tuner.HyperParameters()).name
        'mine'
    """

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], keras.Model]):
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """What the user's function gives."""
        return self.function(hp)


def is_built_in(hypermodel: Any) -> bool:
    """Whether a hypermodel is one of ours, whose size is not searched unless that is asked for."""
    return isinstance(hypermodel, tuple(BUILT_IN.values()))


def asking(hypermodel: keras_tuner.HyperModel, given: dict[str, Any]) -> Ask | None:
    """A function that tells, from a few inputs, what a user's model says of its targets.

    Args:
        hypermodel: that builds the model.
        given: values of its hyperparameters.

    Returns:
        The function; `None` for networks of ours, which learn any class or number.
    """
    if is_built_in(hypermodel) or isinstance(hypermodel, Pretrained):
        return None
    build = builder(hypermodel)

    def ask(x: Any) -> Declared:
        model = build(given)
        fixed_batches.check_stateful(model)
        if x is not None:
            model_inputs.check(model, x)
        found = output_kind.declared(model, x)
        has_size = found.batch_size is not None
        if x is None or has_size or not output_kind.takes(model, x):
            return found
        return dataclasses.replace(found, numbers=example_losses.numbers(model, x))

    return ask


def takes_columns(hypermodel: keras_tuner.HyperModel, given: dict[str, Any]) -> bool:
    """Whether the model that a user's hypermodel builds takes a dict of columns.

    Args:
        hypermodel: that builds the model.
        given: values of its hyperparameters.
    """
    if is_built_in(hypermodel) or isinstance(hypermodel, Pretrained):
        return False
    return model_inputs.takes_columns(builder(hypermodel)(given))


def load(name: str, problem: Problem) -> keras_tuner.HyperModel:
    """The hypermodel that `--model` names.

    Args:
        name: `mlp`, `cnn`, `resnet`, `series` or `text`; empty for what suits the data; or
            `module:name` of something of the user's, found from the working directory too: a
            `build(hp)` function, a HyperModel, or a subclass of HyperModel that needs no arguments.
        problem: sizes the built-in ones; the user's own are left as they are.

    Raises:
        ValueError: in one line, if there is no such network, module or name, if it is something
            else, or if the network does not suit the data. An error inside the user's module comes
            as it is.

    Example:
        >>> import numpy as np
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 4]), np.arange(9.0))
        >>> load("mlp", Problem("toy", "regression", part, part)).name
        'mlp'
    """
    name = name or fitting(problem)
    if ":" in name:
        return _as_hypermodel(naming.imported(name, "model"), name)
    if name not in BUILT_IN:
        hint = naming.did_you_mean(name, BUILT_IN)
        raise ValueError(
            f"model `{name}` must be one of {', '.join(BUILT_IN)} or module:name of your own{hint}."
        )
    return BUILT_IN[name](problem)


def of(model: str | keras_tuner.HyperModel | Callable, problem: Problem) -> keras_tuner.HyperModel:
    """The hypermodel of a name, or of a `build(hp)` function.

    What is one already stays as it is.
    """
    return (
        load(model, problem)
        if isinstance(model, str)
        else _as_hypermodel(model, getattr(model, "__name__", "given"))
    )


def _as_hypermodel(found, name: str) -> keras_tuner.HyperModel:
    if isinstance(found, keras_tuner.HyperModel):
        return found
    if inspect.isclass(found) and issubclass(found, keras_tuner.HyperModel):
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            raise ValueError(
                f"model `{name}` cannot be made without arguments ({error}); name an instance of "
                "it."
            ) from None
        return found()
    if inspect.isclass(found) or isinstance(found, keras.layers.Layer) or not callable(found):
        kind = (
            f"the class {found.__name__}"
            if inspect.isclass(found)
            else f"of type {type(found).__name__}"
        )
        raise ValueError(
            f"model `{name}` must be a build(hp) function or a KerasTuner HyperModel, but is "
            f"{kind}."
        )
    return BuildFunction(found)
