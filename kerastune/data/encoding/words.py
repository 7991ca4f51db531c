"""Which of the frequent words a text has, on arrays and in the saved model."""

from __future__ import annotations

import collections
import re
from typing import Any

import numpy as np

MOST_WORDS = 500  # of a column, each of which becomes one input
LEAST_TEXTS = 3  # that a word is in
# What `keras.layers.TextVectorization` strips from texts in lower case.
PUNCTUATION = re.compile(rb"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']")


def of_text(text: str) -> set[bytes]:
    """The different words of a text as Keras's `TextVectorization` has them, in UTF-8.

    Example:
        >>> sorted(of_text("Late, again LATE!"))
        [b'again', b'late']
    """
    return set(PUNCTUATION.sub(b"", text.encode().lower()).split())


def frequent(texts: np.ndarray) -> tuple[str, ...]:
    """The words that most texts have, the most frequent first; words of few texts are left out.

    Args:
        texts: `[n]`.

    Example:
        >>> frequent(np.array(["a b", "a c", "a b d", "b"], object))
        ('a', 'b')
    """
    counts = collections.Counter(word for text in texts for word in of_text(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [word.decode() for word, count in ranked[:MOST_WORDS] if count >= LEAST_TEXTS]
    return tuple(kept)


def encoded(texts: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    """Whether each text has each word, 1 or 0, float32 `[n, words]`.

    Example:
        >>> encoded(np.array(["b a", "c"], object), ("a", "b")).tolist()
        [[1.0, 1.0], [0.0, 0.0]]
    """
    places = {word.encode(): place for place, word in enumerate(words)}
    found = np.zeros([len(texts), len(words)], np.float32)
    for row, text in enumerate(texts):
        found[row, [places[word] for word in of_text(text) if word in places]] = 1
    return found


def layer(words: tuple[str, ...]) -> Any:
    """A Keras layer that gives, of texts `[n]`, what `encoded` gives after a first column.

    The first column is for all other words.
    """
    import keras

    return keras.layers.TextVectorization(
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        output_mode="multi_hot",
        vocabulary=list(words),
    )
