"""Which of the frequent words a text has, on arrays and in the saved model."""

from __future__ import annotations

import collections
import re
from typing import Any

import numpy as np

# Words of a column, each of which becomes one input. Of docstrings of eight packages 2,000 tell the
# package as well as 10,000 words and pairs of words, and 500 are 5 points worse (linear models).
MOST_WORDS, FEWEST_WORDS = 2000, 500  # of few texts, and of very many
MOST_CELLS = 10**8  # texts times words, four bytes each
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
    """The words that most texts have, the most frequent first; words of few texts are left out, and
    of very many texts more words, since each is a column of numbers.

    Args:
        texts: `[n]`.

    Example:
        >>> frequent(np.array(["a b", "a c", "a b d", "b"], object))
        ('a', 'b')
    """
    counts = collections.Counter(word for text in texts for word in of_text(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = int(np.clip(MOST_CELLS // max(len(texts), 1), FEWEST_WORDS, MOST_WORDS))
    return tuple(word.decode() for word, count in ranked[:most] if count >= LEAST_TEXTS)


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
