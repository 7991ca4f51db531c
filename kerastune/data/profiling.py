"""What is gathered of raw inputs before they are prepared: shape, type, and where numbers lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune.analysis import nested

CHUNK = 4096  # examples looked at in one go, so that no second copy of the data is made
MOST_ASPECT = 2  # of the sides of an image without channels
QUARTILES_OF = 100_000  # examples, about


class Profile:
    """Shape and type of one input, and its mean and standard deviation, gathered chunk by chunk.

    Tables `[n, features]` have a mean for every feature, and series `[n, steps, channels]` one for
    every channel; of images there is one for the whole data set.

    Args:
        shape: shape of one example.
        dtype: numpy name of its type.

    Example:
        >>> profile = Profile((2,), "float64")
        >>> profile.add(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> profile.mean.tolist(), profile.scale.tolist()
        ([2.0, 5.0], [1.0, 1.0])
    """

    def __init__(self, shape: tuple[int, ...], dtype: str):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.mean: Any = 0.0
        self._first: list[np.ndarray] = []  # examples of a table, whose quartiles are looked at
        self._count = 0
        self._squares: Any = 0.0

    def add(self, chunk: np.ndarray) -> None:
        """Takes in more examples `[n, ...]`.

        Means and sums of squares are merged as they are, without cancellation.
        """
        chunk = chunk.astype(np.float64)
        if len(self.shape) == 1 and self._count < QUARTILES_OF:
            self._first.append(chunk[: QUARTILES_OF - self._count])
        axes = 0 if len(self.shape) < 2 else None
        axes = (0, 1) if is_series(self.shape, self.dtype) else axes
        mean = chunk.mean(axis=axes)
        count = chunk.size // mean.size
        squares = np.square(chunk - mean).sum(axis=axes)
        shift = mean - self.mean
        total = self._count + count
        self.mean = self.mean + shift * count / total
        self._squares = self._squares + squares + np.square(shift) * self._count * count / total
        self._count = total

    @property
    def scale(self) -> np.ndarray:
        """Standard deviation; 1 for what is constant up to rounding.

        So dividing by it is safe.
        """
        deviation = np.sqrt(self._squares / self._count)
        return np.where(deviation > 1e-12 * np.maximum(np.abs(self.mean), 1e-12), deviation, 1.0)

    def robust(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Middle and scale of every feature of a table that few odd values do not change.

        They are the median and the distance of the quartiles, half the range where those agree, and
        1 for what is constant; `None` for what is no table, or was not measured.

        Example:
            >>> middle, scale = profile(np.array([[1.0], [2.0], [3.0], [4.0], [1e9]])).robust()
            >>> middle.tolist(), scale.tolist()
            ([3.0], [2.0])
        """
        if not self._first:
            return None
        examples = np.concatenate(self._first)
        low, middle, high = np.percentile(examples, (25, 50, 75), axis=0)
        scale = np.where(high > low, high - low, np.ptp(examples, axis=0) / 2)
        least = 1e-12 * np.maximum(np.abs(middle), 1e-12)
        return middle, np.where(scale > least, scale, 1.0)


def is_series(shape: tuple[int, ...], dtype: str) -> bool:
    """Whether examples are series `[steps, channels]`, and no images without channels.

    Bytes are images, and so is what has sides of which one is at most twice the other.

    Args:
        shape: of one example.
        dtype: name of its type.

    Example:
        >>> is_series((128, 9), "float32"), is_series((28, 28), "float32")
        (True, False)
        >>> is_series((32, 128), "uint8"), is_series((28, 28, 1), "float32")
        (False, False)
    """
    return len(shape) == 2 and dtype != "uint8" and max(shape) > MOST_ASPECT * min(shape)


def profile(x: Any, measure: bool = True) -> Any:
    """The `Profile` of an array, or of every array of a dict or another structure.

    Without `measure` only shape and type.
    """
    if nested.is_nested(x):
        return nested.mapped(lambda array: profile(array, measure), x)
    result = Profile(x.shape[1:], "string" if x.dtype.kind == "U" else str(x.dtype))
    for start in range(0, len(x) if measure else 0, CHUNK):
        result.add(x[start : start + CHUNK])
    return result
