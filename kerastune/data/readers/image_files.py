"""Decodes image files as people have them: any depth, orientation, transparency and color space."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MOST_PIXELS = 200_000_000  # of a file: more is refused before it is decoded
ORIENTATION = 0x0112  # the EXIF tag


def decode(path: Path, size: int) -> np.ndarray:
    """An image file as bytes `[size, size, 3]`, as a viewer shows it.

    Of an animation the first frame is taken. 16 bits are scaled to 8, orientation is applied, what
    is transparent lies on white, and CMYK becomes RGB. Sizes change by averaging (bilinear).

    Args:
        path: of the file.
        size: height and width, in pixels.

    Raises:
        ValueError: in a few words, for a file that is empty, broken, too large or no image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (2, 2), "red").save(path)
        >>> decode(path, 1).tolist()
        [[[255, 0, 0]]]
    """
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size == 0:
        raise ValueError("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise ValueError(f"has {width} x {height} pixels, which are too many")
                return _sized(image, size)
    except UnidentifiedImageError as error:
        raise ValueError("is no image of a known format") from error
    except Image.DecompressionBombError as error:
        raise ValueError("has too many pixels") from error
    except (OSError, SyntaxError, EOFError, IndexError, OverflowError, TypeError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"is broken ({words})") from error


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """An image in memory as bytes `[size, size, 3]`, as `decode` gives those of files.

    Args:
        image: values from 0 to 255, `[height, width]` or `[height, width, 1, 3 or 4]`.
        size: height and width, in pixels.

    Raises:
        ValueError: with one line, for other shapes and values.

    Example:
        >>> resized(np.full([2, 4], 7.0), 1).tolist()
        [[[7, 7, 7]]]
    """
    from PIL import Image

    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not array.size or array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise ValueError(
            f"An image has the shape {np.shape(image)}; expected [height, width], or [height, "
            "width, channels] with 1, 3 or 4 channels."
        )
    array = _bytes(array)
    return array if array.shape == (size, size, 3) else _sized(Image.fromarray(array), size)


def _bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    is_number = array.dtype.kind in "iuf"
    is_in_range = is_number and bool((array >= 0).all() and (array <= 255).all())
    is_scaled = is_in_range and array.max() <= 1 and bool((array != np.floor(array)).any())
    if not is_in_range or is_scaled:
        found = f"{array.min():.3g} to {array.max():.3g}" if is_number else f"of {array.dtype}"
        raise ValueError(f"Images must have values from 0 to 255, got {found}: scale them.")
    return np.round(array).astype(np.uint8)


def _sized(image, size: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(_shown(image).resize((size, size), Image.Resampling.BILINEAR))


def _shown(image):
    """The first frame in RGB, turned and on white."""
    from PIL import Image, ImageOps

    image.seek(0)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image):
    """Gray values of 16 bits, or of more, as 8: white is the largest value of the depth."""
    from PIL import Image

    values = np.asarray(image, np.float64)
    largest = float(values.max(initial=0.0))
    white = next((depth for depth in (1.0, 255.0, 65535.0) if largest <= depth), largest)
    if image.mode != "F":
        white = max(white, 65535.0)
    return Image.fromarray(np.round(values.clip(0) * (255 / white)).astype(np.uint8))
