"""Decodes JPEG and PNG images in TensorFlow's graph, and encodes arrays as PNG."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

FULL_SCALES = (1, 16, 255, 65535)  # what white usually is, in images that are not 8 bits


@dataclasses.dataclass(frozen=True)
class Picture:
    """How an encoded image becomes an input: its size, colors, type, and what black and white are.

    Args:
        height: of the input, in pixels.
        width: of the input, in pixels.
        channels: 1, 3 or 4; 0 for an input `[height, width]` without an axis for colors.
        dtype: of the input.
        low: value of a black pixel.
        high: value of a white pixel.

    Example:
        >>> picture = Picture(2, 2, 1, "float32", 0.0, 1.0)
        >>> image = np.array([0.0, 1.0, 1.0, 0.0], "float32").reshape(1, 2, 2, 1)
        >>> picture.decode(tf.constant(picture.encode(image))).numpy().ravel().tolist()
        [0.0, 1.0, 1.0, 0.0]
    """

    height: int
    width: int
    channels: int
    dtype: str
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """How encoded images are read, for people."""
        return (
            f"Encoded images are JPEG or PNG; they are resized to {self.height} x {self.width} "
            f"pixels with {self.channels or 1} channel(s), and black becomes {self.low:g}, white "
            f"{self.high:g}."
        )

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes JPEGs and PNGs `[n]` to `[n, height, width, ...]`.

        Those of another size are resized.
        """
        shape = (self.height, self.width, self.channels or 1)
        pixels = tf.map_fn(
            self._decode_one, encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32)
        )
        values = self.low + pixels * ((self.high - self.low) / 255)
        if tf.as_dtype(self.dtype).is_integer:
            values = tf.round(values)
        return tf.cast(values if self.channels else values[..., 0], self.dtype)

    def _decode_one(self, encoded: tf.Tensor) -> tf.Tensor:
        channels = self.channels or 1
        pixels = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        pixels = tf.ensure_shape(pixels, [None, None, channels])
        # The same size stays as it is.
        pixels = tf.image.resize(pixels, [self.height, self.width], antialias=True)
        return tf.ensure_shape(pixels, [self.height, self.width, channels])

    def encode(self, x: np.ndarray) -> list[bytes]:
        """Encodes inputs `[n, height, width, ...]` as PNG; what 8 bits can't hold is rounded."""
        pixels = np.round((np.asarray(x, np.float64) - self.low) * (255 / (self.high - self.low)))
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        return [
            tf.io.encode_png(image if self.channels else image[..., None]).numpy()
            for image in pixels
        ]


def picture(
    shape: tuple[int | None, ...],
    dtype: str,
    image: bool | tuple[float, float] | None,
    examples: np.ndarray | None = None,
) -> Picture | None:
    """How encoded images become inputs of this shape and type; `None` if they are no images.

    Args:
        shape: of one input, without the batch.
        dtype: of the input.
        image: `True` or `False` where it is known whether inputs are images, or what black and
            white are, `(low, high)`. With `None`, `[height, width, 1 or 3 or 4]`, and `[height,
            width]` of uint8, are images.
        examples: inputs `[n, ...]`, from which black and white are found out where they are not
            given.

    Raises:
        ValueError: if inputs that should be images are of another shape or have no fixed size.

    Example:
        >>> picture((28, 28), "uint8", None)
        Picture(height=28, width=28, channels=0, dtype='uint8', low=0.0, high=255.0)
    """
    looks_like_one = (len(shape) == 3 and shape[2] in (1, 3, 4)) or (
        len(shape) == 2 and dtype == "uint8"
    )
    can_be_one = (looks_like_one or len(shape) == 2) and None not in shape
    if image is False or (image is None and not (looks_like_one and can_be_one)):
        return None
    if not can_be_one:
        raise ValueError(
            f"`image` was given, but the model takes {list(shape)}; images are [height, width], or "
            "[height, width, channels] with 1, 3 or 4 channels, of a fixed size: leave `image` out."
        )
    low, high = value_range(dtype, examples) if image in (None, True) else image
    if not low < high:
        raise ValueError(
            "`image` must be the values of black and white, (low, high) with low < high, got "
            f"{image!r}."
        )
    return Picture(
        shape[0], shape[1], shape[2] if len(shape) == 3 else 0, dtype, float(low), float(high)
    )


def value_range(dtype: str, examples: np.ndarray | None) -> tuple[float, float]:
    """The values of black and white in images.

    0 and 255, or for other examples than uint8 the next full scale.

    Full scales are 1, 16, 255 and 65535; examples with negative values are symmetric about 0.

    Example:
        >>> (
        ...     value_range("float32", np.array([-0.9, 0.7])),
        ...     value_range("float64", np.array([0, 15.0])),
        ... )
        ((-1.0, 1.0), (0.0, 16.0))
    """
    if dtype == "uint8" or examples is None:
        return 0.0, 255.0
    largest = float(np.abs(examples).max(initial=0))
    high = float(next((scale for scale in FULL_SCALES if scale >= largest), largest))
    return (-high if examples.min(initial=0) < 0 else 0.0), high
