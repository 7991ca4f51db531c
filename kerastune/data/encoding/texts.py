"""Prepares a column of texts for a network that embeds words, on arrays and in the saved model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.data.encoding import words as encoding
from kerastune.data.tabular import safe_name

OTHER = "…"  # a word that has no id


@dataclasses.dataclass(frozen=True)
class Texts:
    """A table whose only input is a column of texts, as the ids of their words.

    Raw input is a dict of the column `[n, 1]`, as that of a `tabular.Table`.

    Args:
        name: of the column.
        words: that have ids, in their order.
        length: words that are kept of a text.

    Example:
        >>> Texts("note", ("late", "paid"), 3).apply({"note": np.array(["Paid late."])}).tolist()
        [[3, 2, 0]]
    """

    name: str
    words: tuple[str, ...]
    length: int

    is_identity = False

    @property
    def width(self) -> int:
        """Number of prepared inputs."""
        return self.length

    @property
    def largest_id(self) -> int:
        """Of a word."""
        return len(self.words) + encoding.FIRST_ID - 1

    @property
    def note(self) -> str:
        """What is taken of the texts, in a sentence."""
        return (
            f"Of '{self.name}', {len(self.words):,} different words are inputs, and the first "
            f"{self.length} words of every text."
        )

    def compared(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """A number for each text `[n]`, alike for the same texts."""
        return np.array([hash(str(text)) for text in columns[self.name]], np.int64)

    def apply(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """Ids of words, int32 `[n, length]`."""
        return encoding.ids(columns[self.name], self.words, self.length)

    def restore(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The column `[n]` in lower case, up to words that have no id."""
        known = np.array(["", OTHER, *self.words], object)
        return {self.name: np.array([" ".join(known[row[row > 0]]) for row in x.astype(int)])}

    def inputs(self) -> dict[str, Any]:
        """The Keras input of the column."""
        import keras

        name = safe_name(self.name)
        return {name: keras.Input((1,), dtype="string", name=name)}

    def graph(self, x: dict[str, Any]) -> Any:
        """Prepares the tensor as `apply` prepares arrays."""
        import keras

        texts = x[safe_name(self.name)][:, 0]
        return keras.ops.cast(encoding.id_layer(self.words, self.length)(texts), "int32")


def fit(name: str, texts: np.ndarray) -> Texts:
    """Fits the preparation to the texts `[n]` of the training part.

    Raises:
        ValueError: where no word is in several of them.

    Example:
        >>> fit("note", np.array(["late"] * 3, object))
        Texts(name='note', words=('late',), length=1)
    """
    found = encoding.known(name, texts, encoding.MOST_IDS)
    return Texts(name, found, encoding.length(texts))
