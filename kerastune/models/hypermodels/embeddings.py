"""What the built-in networks make of columns, categories and words before their layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

FREQUENCIES, EMBEDDED = 16, 8  # of a column or a category
NO_BIN = 1e18  # width of a bin that is not there: any number is in its middle
FREQUENCY = 0.1  # standard deviation of the frequencies at the start, in periods per unit
WEIGHTED = 4  # by which a weight of an input is learned quicker than a kernel
CATEGORY = 0.3  # standard deviation of the embedding of a category at the start
UNITS_OF_WORD = 64  # of the embedding of a word


@dataclasses.dataclass(frozen=True)
class Columns:
    """What `of_columns` embeds of a row of inputs.

    Args:
        numbers: indices of columns that are also given as `periodic`.
        edges: of the bins of each of these columns, for `piecewise`, rising; empty for none.
        categories: where the inputs of each category begin and end, for `of_category`.
        texts: where the words of each text begin and end, for `of_words`.
        largest_id: of a word, if all inputs are ids of words, for `of_ids`; else 0.
    """

    numbers: tuple[int, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    categories: tuple[tuple[int, int], ...] = ()
    texts: tuple[tuple[int, int], ...] = ()
    largest_id: int = 0


def of_columns(x: keras.KerasTensor, columns: Columns, weighted: bool) -> keras.KerasTensor:
    """A row of inputs with what is embedded in its place.

    Args:
        x: `[batch, inputs]`.
        columns: of the inputs.
        weighted: whether what is left as it is has `feature_weights`.

    Returns:
        `[batch, features]`.

    Example:
        >>> columns = Columns(numbers=(0,), categories=((8, 60),))
        >>> of_columns(keras.Input((60,)), columns, weighted=True).shape
        (None, 24)
    """
    if columns.largest_id:
        return of_ids(x, columns.largest_id)
    parts = [periodic(x, columns.numbers)] if columns.numbers else []
    parts += [piecewise(x, columns.numbers, columns.edges)] if columns.edges else []
    parts += [of_category(_between(x, *ends)) for ends in columns.categories]
    parts += [of_words(_between(x, *ends)) for ends in columns.texts]
    gone = {i for ends in columns.categories + columns.texts for i in range(*ends)}
    if left := [index for index in range(x.shape[-1]) if index not in gone]:
        rest = ops.take(x, left, axis=1) if gone else x
        parts.insert(0, feature_weights(rest) if weighted else rest)
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _between(x: keras.KerasTensor, begin: int, end: int) -> keras.KerasTensor:
    return ops.take(x, list(range(begin, end)), axis=1)


def feature_weights(x: keras.KerasTensor) -> keras.KerasTensor:
    """Features `[batch, n]`, each times a weight that is learned: 1 at the start.

    Example:
        >>> feature_weights(keras.Input((5,))).shape
        (None, 5)
    """
    learned = layers.EinsumDense("bc,c->bc", output_shape=x.shape[1:], kernel_initializer="zeros")
    return layers.Add()([x, layers.Rescaling(WEIGHTED)(learned(x))])


def periodic(x: keras.KerasTensor, columns: Sequence[int]) -> keras.KerasTensor:
    """Cosines of each column at learned frequencies and phases, and a dense layer on them for each.

    A dense network learns a target slowly that changes quickly with a number (Gorishniy et al.
    2022, "On Embeddings for Numerical Features in Tabular Deep Learning", arXiv:2203.05556). Stock
    Keras layers, so that a saved model loads without kerastune.

    Args:
        x: `[batch, columns]`, of about unit size.
        columns: indices of those that are embedded.

    Returns:
        `[batch, len(columns) * EMBEDDED]`.

    Example:
        >>> periodic(keras.Input((5,)), [0, 3]).shape
        (None, 16)
    """
    count = len(columns)
    waves = layers.EinsumDense(
        "bc,cf->bcf",
        output_shape=(count, FREQUENCIES),
        bias_axes="cf",
        kernel_initializer=_normal(2 * math.pi * FREQUENCY),
        bias_initializer=keras.initializers.RandomUniform(-math.pi, math.pi),
    )(ops.take(x, list(columns), axis=1))
    return _dense_by_column(ops.cos(waves))


def piecewise(
    x: keras.KerasTensor, columns: Sequence[int], edges: Sequence[Sequence[float]]
) -> keras.KerasTensor:
    """How far each column is through each of its bins, and a dense layer on that for each column.

    A bin has -1/2 for numbers below it, 1/2 above it, and rises in between (Gorishniy et al. 2022,
    arXiv:2203.05556, "piecewise linear encoding", centered). With as many examples in each, the
    network sees ranks beside values: it tells numbers apart where most of them are.

    Args:
        x: `[batch, columns]`.
        columns: indices of those that are embedded.
        edges: of the bins of each of these, rising; at least two.

    Returns:
        `[batch, len(columns) * EMBEDDED]`.

    Example:
        >>> piecewise(keras.Input((5,)), [0, 3], [(-1.0, 0.0, 2.0), (0.0, 1.0)]).shape
        (None, 16)
    """
    count, bins = len(columns), max(map(len, edges)) - 1
    middles, widths = [], []
    for column in edges:
        middles += _padded(np.add(column[1:], column[:-1]) / 2, bins, 0.0)
        widths += _padded(np.diff(column), bins, NO_BIN)
    repeated = ops.take(x, [index for index in columns for _ in range(bins)], axis=1)
    # In float32, since half precision has no room for narrow bins.
    normalize = layers.Normalization(
        mean=middles, variance=np.square(widths).tolist(), dtype="float32"
    )
    passed = ops.clip(normalize(repeated), -0.5, 0.5)
    return _dense_by_column(layers.Reshape((count, bins))(passed))


def _dense_by_column(x: keras.KerasTensor) -> keras.KerasTensor:
    """A dense layer of its own for each column of `[batch, columns, features]`, flattened."""
    _, count, features = x.shape
    embedded = layers.EinsumDense(
        "bcf,cfe->bce",
        output_shape=(count, EMBEDDED),
        bias_axes="ce",
        activation="relu",
        kernel_initializer=_uniform(features),
    )(x)
    return layers.Flatten()(embedded)


def _padded(values: Sequence[float], length: int, value: float) -> list[float]:
    return [*map(float, values), *[value] * (length - len(values))]


def of_category(x: keras.KerasTensor) -> keras.KerasTensor:
    """The embedding of a category, and zeros for one that is not known.

    As RealMLP has it of columns with more than nine categories (Holzmüller et al. 2024,
    arXiv:2407.04491), smaller at the start.

    Args:
        x: `[batch, categories]`, 1 for that of the example, else 0.

    Returns:
        `[batch, EMBEDDED]`.

    Example:
        >>> of_category(keras.Input((52,))).shape
        (None, 8)
    """
    return layers.Dense(EMBEDDED, use_bias=False, kernel_initializer=_normal(CATEGORY))(x)


def of_words(x: keras.KerasTensor, units: int = UNITS_OF_WORD) -> keras.KerasTensor:
    """The sum of the embeddings of the words that texts have, over the root of how many there are.

    Args:
        x: `[batch, words]`, 1 for those that a text has, else 0.
        units: width of an embedding.

    Returns:
        `[batch, units]`; zeros for a text without any of the words.

    Example:
        >>> of_words(keras.Input((2000,))).shape
        (None, 64)
    """
    embed = layers.Dense(units, use_bias=False, kernel_initializer=_uniform(units))
    return embed(_unit(x))


def of_ids(x: keras.KerasTensor, largest_id: int, units: int = UNITS_OF_WORD) -> keras.KerasTensor:
    """The sum of the embeddings of a text's words, over the root of how many there are.

    Of stock Keras layers, nearly as fastText has it (Joulin et al. 2016, "Bag of Tricks for
    Efficient Text Classification", arXiv:1607.01759), where it is the mean.

    Args:
        x: `[batch, length]`, ids of the words of texts, from 1; 0 behind a text's end.
        largest_id: of a word.
        units: width of an embedding.

    Returns:
        `[batch, units]`; zeros for a text without words.

    Example:
        >>> of_ids(keras.Input((40,), dtype="int32"), 2000).shape
        (None, 64)
    """
    embedded = layers.Embedding(largest_id + 1, units, embeddings_initializer=_uniform(units))(x)
    weights = _unit(ops.cast(ops.greater(x, 0), "float32"))
    return layers.Dot(axes=(1, 1))([embedded, weights])


def _unit(x: keras.KerasTensor) -> keras.KerasTensor:
    """Rows of unit length; in float32, since half precision makes NaN of a row of zeros."""
    return layers.UnitNormalization(dtype="float32")(x)


def _normal(deviation: float) -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _uniform(size: int) -> keras.Initializer:
    scale = size**-0.5
    return keras.initializers.RandomUniform(-scale, scale)
