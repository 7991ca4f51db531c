"""Views of images: flipped, moved, turned, resized, cropped."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerastune.inference.views.base import View, moved


class ImageView(View):
    """A view of images `[n, height, width, channels]`.

    Or `[n, height, width]` where they are the only input.
    """

    ranks = (3, 4)
    sure_ranks = (4,)


@keras.saving.register_keras_serializable(package="kerastune")
class Flip(ImageView):
    """Images mirrored.

    Args:
        direction: `"horizontal"` (left becomes right) or `"vertical"` (top becomes bottom).

    Raises:
        ValueError: for another direction.

    Example:
        >>> np.asarray(Flip("horizontal")(np.array([[[1, 2, 3]]]))).tolist()
        [[[3, 2, 1]]]
    """

    def __init__(self, direction: str = "horizontal", **kwargs: Any):
        super().__init__(**kwargs)
        if direction not in ("horizontal", "vertical"):
            raise ValueError(f"`direction` must be horizontal or vertical, got {direction!r}.")
        self.direction = direction

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return ops.flip(x, axis=2 if self.direction == "horizontal" else 1)


@keras.saving.register_keras_serializable(package="kerastune")
class Shift(ImageView):
    """Images moved by whole pixels; the edge fills what is left.

    Args:
        down: pixels; negative ones move up.
        right: pixels; negative ones move left.

    Example:
        >>> np.asarray(Shift(right=1)(np.array([[[1, 2, 3]]]))).tolist()
        [[[1, 1, 2]]]
    """

    def __init__(self, down: int = 0, right: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.down = down
        self.right = right

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return moved(moved(x, self.down, axis=1), self.right, axis=2)


class Resampled(ImageView):
    """A view whose pixels are interpolated linearly from those of the image.

    They are rounded if they are integers.
    """

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        sides = tuple(x.shape[1:3])
        if None in sides:
            raise ValueError(
                f"`{type(self).__name__}` needs images of a known size, got {tuple(x.shape)}."
            )
        dtype = keras.backend.standardize_dtype(x.dtype)
        images = ops.cast(x if len(x.shape) == 4 else ops.expand_dims(x, -1), "float32")
        images = self.resample(images, *sides)
        images = images if len(x.shape) == 4 else ops.squeeze(images, -1)
        return ops.cast(images if "float" in dtype else ops.round(images), dtype)

    def resample(self, images: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
        """The view of float32 images `[n, height, width, channels]`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="kerastune")
class Rotate(Resampled):
    """Images turned about their center; the edge fills the corners.

    Args:
        degrees: counter-clockwise.

    Example:
        >>> np.asarray(Rotate(90.0)(np.array([[[1, 2], [3, 4]]]))).tolist()
        [[[2, 4], [1, 3]]]
    """

    def __init__(self, degrees: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.degrees = degrees

    def resample(self, images: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return _about_center(images, [[cosine, -sine], [sine, cosine]], height, width)


@keras.saving.register_keras_serializable(package="kerastune")
class Scale(Resampled):
    """Images made larger or smaller about their center; the frame stays.

    The edge fills what is left.

    Args:
        factor: `> 0`; above 1 the image grows out of its frame.

    Raises:
        ValueError: for a factor that is not above 0.

    Example:
        >>> Scale(1.1)(np.zeros([1, 8, 8, 3], "uint8")).dtype.name
        'uint8'
    """

    def __init__(self, factor: float, **kwargs: Any):
        super().__init__(**kwargs)
        if not factor > 0:
            raise ValueError(f"`factor` must be > 0, got {factor}.")
        self.factor = factor

    def resample(self, images: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
        return _about_center(images, np.eye(2) / self.factor, height, width)


@keras.saving.register_keras_serializable(package="kerastune")
class Crop(Resampled):
    """A part of the images, resized to their size.

    Args:
        share: of both sides that the part has, above 0 and at most 1.
        down: where the part lies, 0 (at the top) to 1 (at the bottom).
        right: the same from left to right.

    Raises:
        ValueError: for a value out of range.

    Example:
        >>> np.asarray(Crop(0.5, right=1.0)(np.array([[[1.0, 2.0], [1.0, 2.0]]]))).tolist()
        [[[2.0, 2.0], [2.0, 2.0]]]
    """

    def __init__(self, share: float, down: float = 0.5, right: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 < share <= 1 or not 0 <= down <= 1 or not 0 <= right <= 1:
            raise ValueError(
                f"`share` must be in (0, 1], `down` and `right` in [0, 1], got {share}, {down}, "
                f"{right}."
            )
        self.share = share
        self.down = down
        self.right = right

    def resample(self, images: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
        rows, columns = (max(round(self.share * side), 1) for side in (height, width))
        top, left = round(self.down * (height - rows)), round(self.right * (width - columns))
        part = images[:, top : top + rows, left : left + columns]
        return ops.image.resize(part, (height, width), data_format="channels_last")


def _about_center(images, matrix, height: int, width: int):
    """Images whose pixel at `p` (right, down from the center) is taken from `matrix @ p`."""
    matrix, center = np.asarray(matrix), np.array([(width - 1) / 2, (height - 1) / 2])
    offset = center - matrix @ center
    row = [*matrix[0], offset[0], *matrix[1], offset[1], 0.0, 0.0]
    return ops.image.affine_transform(
        images, np.asarray(row, np.float32), "bilinear", "nearest", data_format="channels_last"
    )
