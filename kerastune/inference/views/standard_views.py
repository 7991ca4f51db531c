"""Views worth a try, by the shape of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerastune.inference.views.base import View
from kerastune.inference.views.image_views import Crop, Flip, Rotate, Scale, Shift
from kerastune.inference.views.sequence_views import TimeShift
from kerastune.inference.views.table_views import Noise

KINDS = ("images", "sequences", "tables")
SHIFT = 0.04  # of a side: a pixel of 28
TURN = 6.0  # degrees
SCALE = 1.08
CROP = 0.9  # of both sides
TIME_SHIFT = 0.02  # of the length
NOISE = 0.1  # of a standard deviation: tables are standardized
NOISES = 4


def candidates(
    shape: Sequence | Mapping[str, Sequence], kind: str | None = None
) -> dict[str, View]:
    """Views worth a try for inputs of a shape, by name.

    Validation tells which of them keep the label.

    Args:
        shape: of one prepared example, without the batch; or a dict of such shapes, whose views are
            joined.
        kind: one of `KINDS`; the default goes by the rank: `(height, width, channels)` are images,
            `(time, features)` a sequence, and fewer a table, whose columns are taken for
            standardized.

    Raises:
        ValueError: for an unknown kind.

    Example:
        >>> list(candidates((8, 8, 1)))[:3], list(candidates((50, 2)))
        (['flip-horizontal', 'flip-vertical', 'shift-down'], ['time-later', 'time-earlier'])
    """
    if isinstance(shape, Mapping):
        return {
            name: view for each in shape.values() for name, view in candidates(each, kind).items()
        }
    kind = kind or {3: "images", 2: "sequences"}.get(
        len(shape), "tables" if len(shape) < 2 else None
    )
    if kind not in (*KINDS, None):
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}.")
    if kind == "images":
        return _of_images(*shape[:2])
    if kind == "sequences":
        steps = max(round(TIME_SHIFT * (shape[0] or 0)), 1)
        return {"time-later": TimeShift(steps), "time-earlier": TimeShift(-steps)}
    return (
        {f"noise-{seed}": Noise(NOISE, seed) for seed in range(1, NOISES + 1)}
        if kind == "tables"
        else {}
    )


def _of_images(height: int | None, width: int | None) -> dict[str, View]:
    rows, columns = (max(round(SHIFT * (side or 0)), 1) for side in (height, width))
    found: dict[str, View] = {
        f"flip-{direction}": Flip(direction) for direction in ("horizontal", "vertical")
    }
    found |= {"shift-down": Shift(rows), "shift-up": Shift(-rows)}
    found |= {"shift-right": Shift(0, columns), "shift-left": Shift(0, -columns)}
    if None in (height, width):
        return found
    found |= {"turn-left": Rotate(TURN), "turn-right": Rotate(-TURN)}
    found |= {"larger": Scale(SCALE), "smaller": Scale(1 / SCALE)}
    corners = {"top": 0.0, "bottom": 1.0}, {"left": 0.0, "right": 1.0}
    return found | {
        f"crop-{row}-{column}": Crop(CROP, down, right)
        for row, down in corners[0].items()
        for column, right in corners[1].items()
    }
