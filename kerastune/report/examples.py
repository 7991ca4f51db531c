"""What single examples look like to people: small pictures, or rows in the user's own units."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import checks
from kerastune.problem import Problem
from kerastune.runtime.number_format import number

LARGEST = 96  # pixels of a small picture's longer side
LEAST_SIDE, MOST_ASPECT = 4, 4  # of what is taken for an image
MOST_COLUMNS = 12  # of a row


def pictures(x: Any) -> np.ndarray | None:
    """Small pictures `[k, height, width, 1 or 3]` of inputs that are images.

    In 0 to 255; `None` for other inputs.

    The darkest and the lightest value of all are black and white, so that prepared images can be
    seen, too. Large images are thinned. Of a dict of inputs the first that are images are shown.

    Args:
        x: inputs `[k, height, width]` or `[k, height, width, channels]`, or a dict of them.

    Example:
        >>> pictures(np.linspace(-1, 1, 128).reshape(2, 8, 8))[1, -1, -1].tolist()
        [255]
        >>> pictures(np.zeros([2, 8])) is None
        True
    """
    for array in nested.leaves(x):
        if _are_images(array):
            return _small(array)
    return None


def _are_images(array: np.ndarray) -> bool:
    if (
        array.ndim not in (3, 4)
        or array.shape[3:] not in ((), (1,), (3,), (4,))
        or array.dtype.kind not in "fiu"
    ):
        return False
    height, width = array.shape[1:3]
    return min(height, width) >= LEAST_SIDE and max(height, width) <= MOST_ASPECT * min(
        height, width
    )


def _small(array: np.ndarray) -> np.ndarray:
    step = -(-max(array.shape[1:3]) // LARGEST)
    small = array[:, ::step, ::step].astype(np.float64)
    small = small[..., None] if small.ndim == 3 else small[..., :3]
    low, high = (small.min(), small.max()) if small.size else (0.0, 1.0)
    return np.round(255 * (small - low) / max(high - low, 1e-12)).astype(np.uint8)


def rows(problem: Problem, x: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of columns and their values as texts `[k, columns]`.

    In the units of the raw data where these are known.

    Args:
        problem: whose preparation is taken back.
        x: prepared inputs `[k, features]`, or a dict of them; what is no table has no columns.
    """
    restore = getattr(getattr(problem.attach, "preparation", None), "restore", None)
    return columns(x if restore is None else restore(x))


def columns(x: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """As `rows`, of inputs as they came.

    Example:
        >>> columns({"age": np.array([41.0]), "city": np.array(["Bonn"])})
        (('age', 'city'), array([['41', 'Bonn']], dtype='<U4'))
    """
    found: dict[str, np.ndarray] = {}
    for name, array in checks.entries(x) if nested.is_nested(x) else [("", x)]:
        array = np.asarray(array)
        if array.ndim == 1:
            found[name] = array
        elif array.ndim == 2:
            found |= {
                f"{name}[{i}]" if name else f"x{i}": column for i, column in enumerate(array.T)
            }
    shown = dict(list(found.items())[:MOST_COLUMNS])
    texts = [[_text(value) for value in column] for column in shown.values()]
    return tuple(shown), np.array(texts, np.str_).T if texts else np.zeros([0, 0], np.str_)


def _text(value: Any) -> str:
    return number(float(value)) if np.asarray(value).dtype.kind in "fiu" else str(value)
