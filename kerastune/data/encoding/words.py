"""The frequent words of texts, on arrays and in the saved model: which of them a text has, or their
ids in order.
"""

from __future__ import annotations

import collections
import re
from typing import Any

import numpy as np

# Words of a column, each of which becomes one input. Of docstrings of eight packages 2,000 tell the
# package as well as 10,000 words and pairs of words, and 500 are 5 points worse (linear models).
MOST_WORDS, FEWEST_WORDS = 2000, 500  # of few texts, and of very many
MOST_CELLS = 10**8  # texts times words, four bytes each
# Words that have ids. Of 30,000 glosses of WordNet 10,000 words tell five points more than
# 2,000 do, and pairs of words nothing more.
MOST_IDS = 20_000
FIRST_ID = 2  # of a word; 0 is behind a text's end, 1 any other word
MOST_LENGTH = 500  # words of a text that have ids
MOST_WHOLE = 99  # percent of the texts that are no longer than what is kept of them
LEAST_TEXTS = 3  # that a word is in
# What `keras.layers.TextVectorization` strips from texts in lower case.
PUNCTUATION = re.compile(rb"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']")


def of_text(text: str) -> list[bytes]:
    """The words of a text as Keras's `TextVectorization` has them, in UTF-8.

    Example:
        >>> of_text("Late, again LATE!")
        [b'late', b'again', b'late']
    """
    return PUNCTUATION.sub(b"", text.encode().lower()).split()


def frequent(texts: np.ndarray, most: int = 0) -> tuple[str, ...]:
    """The words that most texts have, the most frequent first; words of few texts are left out.

    Args:
        texts: `[n]`.
        most: words; by default as many as may be a column of numbers each, fewer of very many
            texts.

    Example:
        >>> frequent(np.array(["a b", "a c", "a b d", "b"], object))
        ('a', 'b')
    """
    counts = collections.Counter(word for text in texts for word in set(of_text(text)))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = most or int(np.clip(MOST_CELLS // max(len(texts), 1), FEWEST_WORDS, MOST_WORDS))
    return tuple(word.decode() for word, count in ranked[:most] if count >= LEAST_TEXTS)


def known(name: str, texts: np.ndarray, most: int = 0) -> tuple[str, ...]:
    """The words of `frequent` of a column.

    Raises:
        ValueError: where there are none.
    """
    found = frequent(texts, most)
    if not found:
        raise ValueError(
            f"No word of column '{name}' is in {LEAST_TEXTS} training texts: `types` can make it a "
            "category, and `ignore` leaves it out."
        )
    return found


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
    return _vectorization(words, output_mode="multi_hot")


def length(texts: np.ndarray) -> int:
    """Words that are kept of each text: all of nearly every one.

    Example:
        >>> length(np.array(["a b", "a"], object))
        2
    """
    lengths = [len(of_text(text)) for text in texts]
    return int(np.clip(np.ceil(np.percentile(lengths, MOST_WHOLE)), 1, MOST_LENGTH))


def ids(texts: np.ndarray, words: tuple[str, ...], length: int) -> np.ndarray:
    """The ids of the first words of each text, int32 `[n, length]`.

    Example:
        >>> ids(np.array(["b a", "c", "a a b"], object), ("a", "b"), 2).tolist()
        [[3, 2], [1, 0], [2, 2]]
    """
    ids_of = {word.encode(): each for each, word in enumerate(words, FIRST_ID)}
    found = np.zeros([len(texts), length], np.int32)
    for row, text in enumerate(texts):
        kept = of_text(text)[:length]
        found[row, : len(kept)] = [ids_of.get(word, FIRST_ID - 1) for word in kept]
    return found


def id_layer(words: tuple[str, ...], length: int) -> Any:
    """A Keras layer that gives, of texts `[n]`, what `ids` gives."""
    return _vectorization(words, output_mode="int", output_sequence_length=length)


def _vectorization(words: tuple[str, ...], **settings: Any) -> Any:
    import keras

    return keras.layers.TextVectorization(
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        vocabulary=list(words),
        **settings,
    )
