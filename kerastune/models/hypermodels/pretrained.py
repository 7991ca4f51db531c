"""A hypermodel of a model that brings its weights, with a new head for the data."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kerastune.data import preprocessing
from kerastune.models import fingerprint, layer_groups, model_inputs, pretrained, saved_models
from kerastune.models.hypermodels import shapes
from kerastune.problem import Problem
from kerastune.runtime import naming


class Pretrained(keras_tuner.HyperModel):
    """A model that brings weights, with a new head for the data (S4.2).

    The old head goes (`pretrained.with_new_head`). The model of a function that has as many outputs
    as the data want is taken as it is: it has the right head already.

    Args:
        source: a `.keras` file; a Keras model; a function that builds one, from `hp` or from
            nothing, such as those of `keras.applications`; or the name of one, `module:function`.
        problem: what the head is for; `PlaybookTuner` tells it when the search begins. Without it,
            the model comes as it is.

    Raises:
        ValueError: for a file that is not there, and for data that the model does not take.

    Example:
        >>> import numpy as np
        >>> from kerastune.problem import Part
        >>> old = keras.Sequential([keras.Input([4]), keras.layers.Dense(5)])
        >>> part = Part(np.zeros([9, 4]), np.arange(9) % 3)
        >>> problem = Problem("toy", "classification", part, part, class_names=("a", "b", "c"))
        >>> hypermodel = Pretrained(old, problem)
        >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
        (None, 3)
    """

    def __init__(
        self, source: str | keras.Model | Callable[..., keras.Model], problem: Problem | None = None
    ):
        super().__init__(name="pretrained")
        self._is_function = False
        self._load = self._loader(source)
        self._outputs: tuple[int, str] | None = None
        # What tells a search with one source from a search with another.
        self.settings: dict[str, str] = {}
        if problem is not None:
            self.suit(problem)

    def suit(self, problem: Problem) -> None:
        """Takes outputs and kind from the data, which are not kept.

        Their inputs must be those of the model.
        """
        self._outputs = shapes.num_outputs(problem), problem.kind
        model = self._load(keras_tuner.HyperParameters())
        model_inputs.check(model, problem.validation.x, "the pretrained model")
        _check_size(model, problem.validation.x)
        self.settings = {"weights of the pretrained model": fingerprint.of_weights(model)}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled model with its weights and its new head.

        Of a function, as it comes.
        """
        model = self._load(hp)
        if self._outputs is None or (
            self._is_function and model.output_shape[1:] == self._outputs[:1]
        ):
            return model
        return pretrained.with_new_head(model, *self._outputs)

    def _loader(self, source) -> Callable[[keras_tuner.HyperParameters], keras.Model]:
        if isinstance(source, keras.Model):
            # Read from a file like any other: what a layer knows besides its weights comes along.
            self._kept = tempfile.TemporaryDirectory()
            source, model = Path(self._kept.name) / "pretrained.keras", source
            model.save(source)
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if path.is_file():
                return lambda hp: _all_trainable(saved_models.load(path, compiled=False))
            if ":" not in str(source):
                raise ValueError(
                    f"pretrained `{source}` is not a file; name a .keras file or module:function."
                )
            source = naming.imported(str(source), "pretrained")
        if not callable(source):
            raise ValueError(
                f"pretrained must be a .keras file, a model or a function, got {source!r}."
            )
        self._is_function = True
        needed = [
            each
            for each in inspect.signature(source).parameters.values()
            if each.default is each.empty
        ]
        return lambda hp: _model_of(source(hp) if needed else source())


def _check_size(model: keras.Model, x: Any) -> None:
    size = preprocessing.training_size(model)
    if size is not None and tuple(x.shape[1:3]) != size:
        raise ValueError(
            f"the pretrained model resizes images to {size[0]} x {size[1]}, and these have "
            f"{x.shape[1]} x {x.shape[2]} pixels: let `image_size` be {size[0]}."
        )


def _all_trainable(model: keras.Model) -> keras.Model:
    """What an earlier fine-tuning froze is not frozen for this one."""
    # A model's own setter does not reach into one that was loaded inside it.
    for layer in layer_groups.forward(model):
        layer.trainable = True
    return model


def _model_of(made) -> keras.Model:
    if not isinstance(made, keras.Model):
        raise ValueError(
            "pretrained: the function must return a Keras model, it returned "
            f"{type(made).__name__}."
        )
    return made
