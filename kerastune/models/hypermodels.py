"""The networks that `--model` can name, as KerasTuner hypermodels sized from the data."""

from __future__ import annotations

import inspect
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from kerastune.models import fingerprint, layer_groups, networks, pretrained, saved_models
from kerastune.problem import Problem
from kerastune.runtime import naming


class Mlp(keras_tuner.HyperModel):
    """`models.mlp` with hidden layers as wide as the data warrants.

    Hyperparameters: `units` (default by `hidden_units` from the number of training examples) and
    `layers` (1 to 3, default 2).

    Args:
        problem: gives the shape of an example, the outputs and the number of training examples; not
            kept.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([100, 4]), np.arange(100) % 3)
        >>> hypermodel = Mlp(Problem("toy", "classification", part, part, class_names=("a", "b", "c")))
        >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
        (None, 3)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="mlp")
        self.input_shape, self.num_outputs, self.kind = (
            _shape(problem),
            _num_outputs(problem),
            problem.kind,
        )
        self.default_units = hidden_units(_num_examples(problem))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        units = hp.Choice("units", [32, 64, 128, 256, 512], default=self.default_units)
        num_layers = hp.Int("layers", 1, 3, default=2)
        return networks.mlp(self.input_shape, self.num_outputs, self.kind, units, num_layers)


class Cnn(keras_tuner.HyperModel):
    """`models.cnn`, whose depth follows from the size of the images.

    Hyperparameters: `filters` (8, 16 or 32, default 16), `dense_units` (32, 64 or 128, default 64),
    `deeper` (two convolutions more) and `batch_norm` (a BatchNorm behind every convolution), both
    left out by default: they cost time at every step.

    Args:
        problem: gives the shape of an example and the outputs; not kept.

    Raises:
        ValueError: if the inputs are not images.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 28, 28, 1]), np.arange(9.0))
        >>> Cnn(Problem("toy", "regression", part, part)).build(keras_tuner.HyperParameters()).output_shape
        (None, 1)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="cnn")
        self.input_shape, self.num_outputs, self.kind = (
            _shape(problem),
            _num_outputs(problem),
            problem.kind,
        )
        networks.image_shape(self.input_shape, "cnn")  # refused here, before anything is trained

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        filters = hp.Choice("filters", [8, 16, 32], default=16)
        dense_units = hp.Choice("dense_units", [32, 64, 128], default=64)
        deeper = hp.Boolean("deeper", default=False)
        batch_norm = hp.Boolean("batch_norm", default=False)
        return networks.cnn(
            self.input_shape, self.num_outputs, self.kind, filters, dense_units, deeper, batch_norm
        )


class ResNet(keras_tuner.HyperModel):
    """`models.resnet`, deeper for larger images.

    Hyperparameters: `blocks` per group (1 to 3; default 1 below 16 pixels, 2 below 64, otherwise 3:
    a small image is covered by few convolutions) and `width` (8, 16 or 32, default 16).

    Args:
        problem: gives the shape of an example and the outputs; not kept.

    Raises:
        ValueError: if the inputs are not images.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 8, 8, 1]), np.arange(9.0))
        >>> ResNet(Problem("toy", "regression", part, part)).default_blocks
        1
    """

    def __init__(self, problem: Problem):
        super().__init__(name="resnet")
        self.input_shape, self.num_outputs, self.kind = (
            _shape(problem),
            _num_outputs(problem),
            problem.kind,
        )
        side = max(networks.image_shape(self.input_shape, "resnet")[:2])
        self.default_blocks = 1 if side < 16 else 2 if side < 64 else 3

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        blocks = hp.Int("blocks", 1, 3, default=self.default_blocks)
        width = hp.Choice("width", [8, 16, 32], default=16)
        return networks.resnet(self.input_shape, self.num_outputs, self.kind, blocks, width)


class BuildFunction(keras_tuner.HyperModel):
    """A user's `build(hp)` function as a hypermodel.

    Args:
        function: takes `hp`, gives a Keras model, compiled or not.

    Example:
        >>> BuildFunction(lambda hp: keras.Sequential(name="mine")).build(keras_tuner.HyperParameters()).name
        'mine'
    """

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], keras.Model]):
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """What the user's function gives."""
        return self.function(hp)


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
        >>> old = keras.Sequential([keras.Input([4]), keras.layers.Dense(8, "relu"), keras.layers.Dense(5)])
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 4]), np.arange(9) % 3)
        >>> hypermodel = Pretrained(old, Problem("toy", "classification", part, part, class_names=("a", "b", "c")))
        >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
        (None, 3)
    """

    def __init__(self, source, problem: Problem | None = None):
        super().__init__(name="pretrained")
        self._is_function = False
        self._load = self._loader(source)
        self._outputs: tuple[int, str] | None = None
        self.settings: dict[
            str, str
        ] = {}  # what tells a search with one source from a search with another
        if problem is not None:
            self.suit(problem)

    def suit(self, problem: Problem) -> None:
        """Takes outputs and kind from the data, whose inputs must be those of the model; the data
        are not kept.
        """
        self._outputs = _num_outputs(problem), problem.kind
        model = self._load(keras_tuner.HyperParameters())
        pretrained.check_inputs(model, problem.validation.x)
        self.settings = {"weights of the pretrained model": fingerprint.of_weights(model)}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model with its weights and its new head, uncompiled; of a function's own, as it
        comes.
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
                    f"pretrained `{source}` is no file; name a .keras file or module:function."
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


def _all_trainable(model: keras.Model) -> keras.Model:
    """What an earlier fine-tuning froze is not frozen for this one."""
    for layer in layer_groups.forward(
        model
    ):  # a model's own setter does not reach into one that was loaded inside it
        layer.trainable = True
    return model


def _model_of(made) -> keras.Model:
    if not isinstance(made, keras.Model):
        raise ValueError(
            "pretrained: the function must return a Keras model, it returned "
            f"{type(made).__name__}."
        )
    return made


BUILT_IN = {"mlp": Mlp, "cnn": Cnn, "resnet": ResNet}


def is_built_in(hypermodel) -> bool:
    """Whether a hypermodel is one of ours, whose size is not searched unless that is asked for."""
    return isinstance(hypermodel, tuple(BUILT_IN.values()))


def fitting(problem: Problem) -> str:
    """Name of the built-in network for a problem: `cnn` for images `[height, width]` with or
    without channels, else `mlp`.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 4]), np.arange(9.0))
        >>> fitting(Problem("toy", "regression", part, part))
        'mlp'
    """
    shape = _shape(problem)
    return "cnn" if not isinstance(shape, dict) and len(shape) in (2, 3) else "mlp"


def load(name: str, problem: Problem) -> keras_tuner.HyperModel:
    """The hypermodel that `--model` names.

    Args:
        name: `mlp`, `cnn` or `resnet`; empty for what suits the data; or `module:name` of something
            of the user's, found from the working directory too: a `build(hp)` function, a
            HyperModel, or a subclass of HyperModel that needs no arguments.
        problem: sizes the built-in ones; the user's own are left as they are.

    Raises:
        ValueError: in one line, if there is no such network, module or name, if it is something
            else, or if the network does not suit the data. An error inside the user's module comes
            as it is.

    Example:
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
    """The hypermodel of what `load` takes by name, or of a `build(hp)` function, or what is one
    already.
    """
    return (
        load(model, problem)
        if isinstance(model, str)
        else _as_hypermodel(model, getattr(model, "__name__", "given"))
    )


def settled(
    hypermodel: keras_tuner.HyperModel, given: dict[str, Any]
) -> keras_tuner.HyperParameters:
    """All hyperparameters that a hypermodel declares, with the values that are given and defaults
    for the others.

    Raises:
        ValueError: for a value of a hyperparameter that there is not.

    Example:
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
    """A function of hyperparameter values that gives a new model, as the trainer takes it; see
    `settled`.
    """

    def build(given: dict[str, Any]) -> keras.Model:
        model = hypermodel.build(settled(hypermodel, given))
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"build(hp) must return a Keras model, it returned {type(model).__name__}."
            )
        return model

    return build


def hidden_units(num_examples: int | None) -> int:
    """Width of the hidden layers of `Mlp`: the power of two nearest to 4 sqrt(`num_examples`), from
    32 to 256.

    The weights between two such layers then grow in proportion to the examples (about 16 for each).
    Below 32 a network is hard to train however small the data; above 256 a step costs more than the
    width brings.

    Args:
        num_examples: training examples, at least 1; `None` if unknown (a stream), taken as many.

    Example:
        >>> [hidden_units(n) for n in (96, 1200, 55000, None)]
        [32, 128, 256, 256]
    """
    if num_examples is None:
        return 256
    return int(np.clip(2 ** round(math.log2(4 * math.sqrt(num_examples))), 32, 256))


def _shape(problem: Problem):
    # The validation part is always arrays; the training part may be a stream.
    x = problem.validation.x
    if isinstance(x, dict):
        return {name: np.shape(values)[1:] for name, values in x.items()}
    return np.shape(x)[1:]


def _num_outputs(problem: Problem) -> int:
    if problem.kind == "classification":
        return problem.num_classes
    shape = np.shape(problem.validation.y)
    return 1 if len(shape) == 1 else shape[1]


def _num_examples(problem: Problem) -> int | None:
    if problem.train is not None:
        return len(problem.train)
    size = int(problem.stream.cardinality())
    return size if size > 0 else None  # negative: unknown or infinite


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
