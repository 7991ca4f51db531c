"""The built-in networks as hypermodels, sized from the data."""

from __future__ import annotations

import dataclasses
import math

import keras
import keras_tuner
import numpy as np

from kerastune.data import profiling
from kerastune.models.hypermodels import (
    embeddings,
    networks,
    series_network,
    shapes,
    text_network,
)
from kerastune.problem import Problem

OF_TABLES = {
    "classification": {
        "optimizer": "adam",
        "learning_rate": 0.004,
        "beta_2": 0.95,
        "batch_size": 256,
        "label_smoothing": 0.1,
    },
    "regression": {
        "optimizer": "adam",
        "learning_rate": 0.007,
        "beta_2": 0.95,
        "batch_size": 256,
    },
}
EPOCHS, BATCH, LEAST_STEPS = 30, 64, 800  # of `known_steps`
MOST_STEPS = 2400  # of tables
# Of the texts of three sets that it was measured on.
OF_TEXTS = {
    "classification": {
        "optimizer": "adam",
        "learning_rate": 0.003,
        "batch_size": 64,
        "dropout": 0.25,
    }
}
# Each better than without on four sets of images that it was measured on, and both together.
OF_IMAGES = {"classification": {"optimizer": "adam", "weight_decay": 0.1, "dropout": 0.25}}


class Mlp(keras_tuner.HyperModel):
    """`models.mlp` with hidden layers as wide as the data warrants.

    `starting_recipe` has the values of a recipe that a search of this network begins with: those of
    RealMLP (arXiv:2407.04491), with the learning rate that the size of the kernels makes of it;
    `starting_steps` how long a training by them takes (`known_steps`).

    Hyperparameters: `units` (default by `hidden_units` from the number of training examples),
    `layers` (1 to 3, default 3) and, of a table with numbers, `embed_numbers` (whether they are
    also given as `embeddings.periodic` and `embeddings.piecewise`, as they are by default).

    Args:
        problem: gives the shape of an example, the outputs and the number of training examples; not
            kept.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([100, 4]), np.arange(100) % 3)
        >>> names = ("a", "b", "c")
        >>> hypermodel = Mlp(Problem("toy", "classification", part, part, class_names=names))
        >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
        (None, 3)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="mlp")
        self.input_shape, self.kind = shapes.shape(problem), problem.kind
        self.num_outputs = shapes.num_outputs(problem)
        self.default_units = hidden_units(shapes.num_examples(problem))
        self.columns = shapes.columns(problem)
        self.starting_recipe = OF_TABLES.get(problem.kind, {})
        is_table = not isinstance(self.input_shape, dict) and len(self.input_shape) == 1
        if is_table and not self.columns.largest_id:
            count = shapes.num_examples(problem)
            self.starting_steps = known_steps(count, MOST_STEPS) if count else MOST_STEPS

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        units = hp.Choice("units", [32, 64, 128, 256, 512], default=self.default_units)
        num_layers = hp.Int("layers", 1, 3, default=3)
        columns = self.columns
        if columns.numbers and not hp.Boolean("embed_numbers", default=True):
            columns = dataclasses.replace(columns, numbers=(), edges=())
        return networks.mlp(
            self.input_shape, self.num_outputs, self.kind, units, num_layers, columns
        )


class Cnn(keras_tuner.HyperModel):
    """`models.cnn`, whose depth follows from the size of the images.

    `starting_recipe` has, of classes, the weight decay and the dropout that a search begins with,
    and the optimizer that they suit; `starting_steps` how long a training takes (`known_steps`).

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
        >>> model = Cnn(Problem("toy", "regression", part, part)).build(
        ...     keras_tuner.HyperParameters()
        ... )
        >>> model.output_shape
        (None, 1)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="cnn")
        self.input_shape, self.kind = shapes.shape(problem), problem.kind
        self.num_outputs = shapes.num_outputs(problem)
        networks.image_shape(self.input_shape, "cnn")  # refused here, before anything is trained
        self.starting_recipe = OF_IMAGES.get(problem.kind, {})
        if count := shapes.num_examples(problem):
            self.starting_steps = known_steps(count)

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
        self.input_shape, self.kind = shapes.shape(problem), problem.kind
        self.num_outputs = shapes.num_outputs(problem)
        side = max(networks.image_shape(self.input_shape, "resnet")[:2])
        self.default_blocks = 1 if side < 16 else 2 if side < 64 else 3

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        blocks = hp.Int("blocks", 1, 3, default=self.default_blocks)
        width = hp.Choice("width", [8, 16, 32], default=16)
        return networks.resnet(self.input_shape, self.num_outputs, self.kind, blocks, width)


class Series(keras_tuner.HyperModel):
    """`models.hypermodels.series_network.series`, for series of measurements.

    Hyperparameters: `filters` (16, 32 or 64, default 32).

    Args:
        problem: gives the shape of an example and the outputs; not kept.

    Raises:
        ValueError: if the inputs are not series.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 100, 2]), np.arange(9.0))
        >>> Series(Problem("toy", "regression", part, part)).build(
        ...     keras_tuner.HyperParameters()
        ... ).output_shape
        (None, 1)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="series")
        self.input_shape, self.kind = shapes.shape(problem), problem.kind
        self.num_outputs = shapes.num_outputs(problem)
        series_network.series_shape(self.input_shape)  # refused here, before anything is trained

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        filters = hp.Choice("filters", [16, 32, 64], default=32)
        return series_network.series(self.input_shape, self.num_outputs, self.kind, filters)


def known_steps(num_examples: int, most: float = math.inf) -> int:
    """Steps of a training by the recipe that a network names: 30 epochs of 64 examples, at least
    800 steps.

    On the recorded tasks (`runs/universe_folds.py`), of up to 5,000 images, a quarter of them is
    0.4 points worse on the mean, and three times as many gain nothing.

    Args:
        num_examples: training examples, at least 1.
        most: steps.

    Example:
        >>> [known_steps(n) for n in (96, 3000, 55_000)], known_steps(55_000, MOST_STEPS)
        ([800, 1400, 25800], 2400)
    """
    steps = min(max(EPOCHS * num_examples / BATCH, LEAST_STEPS), most)
    return 200 * round(steps / 200)


class Text(keras_tuner.HyperModel):
    """`models.hypermodels.text_network.text`, for a column of texts.

    `starting_recipe` has the values of a recipe that a search of this network begins with.

    Hyperparameters: `units` of an embedding (32, 64 or 128, default 64).

    Args:
        problem: gives the words and the outputs; not kept.

    Raises:
        ValueError: if the inputs are no column of texts.

    Example:
        >>> from kerastune.data import loading
        >>> import pandas
        >>> frame = pandas.DataFrame({"note": ["it is late", "paid in time"] * 50})
        >>> frame["label"] = [0, 1] * 50
        >>> problem = loading.load(frame, label="label", types={"note": "text"})
        >>> Text(problem).build(keras_tuner.HyperParameters()).output_shape
        (None, 2)
    """

    def __init__(self, problem: Problem):
        super().__init__(name="text")
        found = shapes.texts(problem)
        if found is None:
            raise ValueError(
                "`text` takes a table whose only input is a column of texts; use another network, "
                "or name none for what suits the data."
            )
        self.length, self.largest_id = found.length, found.largest_id
        self.num_outputs, self.kind = shapes.num_outputs(problem), problem.kind
        self.starting_recipe = OF_TEXTS.get(problem.kind, {})

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The uncompiled network of these hyperparameters."""
        units = hp.Choice("units", [32, 64, 128], default=embeddings.UNITS_OF_WORD)
        return text_network.text(self.length, self.largest_id, self.num_outputs, self.kind, units)


BUILT_IN = {"mlp": Mlp, "cnn": Cnn, "resnet": ResNet, "series": Series, "text": Text}


def fitting(problem: Problem) -> str:
    """Name of the built-in network for a problem.

    `cnn` for images `[height, width]` with or without channels, `series` for what has two
    dimensions and is no image (`profiling.is_series`), `text` for a column of texts, else `mlp`.

    Example:
        >>> from kerastune.problem import Part
        >>> part = Part(np.zeros([9, 4]), np.arange(9.0))
        >>> fitting(Problem("toy", "regression", part, part))
        'mlp'
    """
    x = problem.validation.x
    if shapes.texts(problem):
        return "text"
    if not isinstance(x, np.ndarray):
        return "mlp"
    if profiling.is_series(x.shape[1:], str(x.dtype)):
        return "series"
    return "cnn" if x.ndim in (3, 4) else "mlp"


def hidden_units(num_examples: int | None) -> int:
    """Width of the hidden layers of `Mlp`, 32 to 256, from the number of examples.

    The power of two nearest to 4 sqrt(`num_examples`).

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
