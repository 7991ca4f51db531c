"""The built-in network for texts, as a function that gives an uncompiled Keras model."""

from __future__ import annotations

import keras
from keras import layers

from kerastune.models.hypermodels import embeddings, networks


def text(
    length: int, largest_id: int, num_outputs: int, kind: str, units: int = embeddings.UNITS_OF_WORD
) -> keras.Model:
    """`embeddings.of_ids` of a text's words, and one layer on it, nearly as fastText (Joulin et al.
    2016, arXiv:1607.01759).

    Args:
        length: ids of a text, at least 1.
        largest_id: of a word, at least 1; 0 stands behind a text's end.
        num_outputs: number of classes, or of numbers to predict.
        kind: `"classification"` (softmax) or `"regression"` (linear).
        units: width of an embedding, at least 1.

    Returns:
        An uncompiled model `[batch, length] -> [batch, num_outputs]`, of integers.

    Raises:
        ValueError: if `kind` is neither of the two.

    Example:
        >>> text(40, 2000, 4, "classification").count_params()
        128324
    """
    inputs = layers.Input((length,), dtype="int32")
    x = layers.Dropout(0.0)(embeddings.of_ids(inputs, largest_id, units))
    return keras.Model(inputs, networks.head(x, num_outputs, kind), name="text")
