"""Views: the same example seen a little differently, with its label kept (S4.7).

Every view is a registered Keras layer without weights: deterministic, the same for an example
whatever else is in its batch, and made of Keras's own operations, so that it works inside a
SavedModel.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

KINDS = ("images", "sequences", "tables")
SHIFT = 0.04  # of a side: a pixel of 28
TURN = 6.0  # degrees
SCALE = 1.08
CROP = 0.9  # of both sides
TIME_SHIFT = 0.02  # of the length
NOISE = 0.1  # of a standard deviation: tables are standardized
NOISES = 4

register = keras.saving.register_keras_serializable(package="kerastune")


class View(keras.layers.Layer):
    """A layer that shows an input differently, in the same shape and type.

    Nothing is filled with a constant: what a move leaves empty is filled from the edge. So a view
    of raw pixels is, up to the rounding of integers, the view of standardized ones.
    """

    ranks: tuple[int, ...]  # of a batch that the view takes
    sure_ranks: tuple[int, ...]  # of an entry among several inputs that the view is meant for

    def __init__(self, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})

    def takes(self, x: Any, ranks: tuple[int, ...]) -> bool:
        """Whether the view is meant for an input of this rank and type."""
        return len(x.shape) in ranks and keras.backend.standardize_dtype(x.dtype) not in (
            "string",
            "bool",
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        arguments = [
            name for name in inspect.signature(type(self).__init__).parameters if name in vars(self)
        ]
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}


class ImageView(View):
    """A view of images `[n, height, width, channels]`, or `[n, height, width]` where they are the
    only input.
    """

    ranks = (3, 4)
    sure_ranks = (4,)


@register
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

    def __init__(self, direction: str = "horizontal", **kwargs):
        super().__init__(**kwargs)
        if direction not in ("horizontal", "vertical"):
            raise ValueError(f"`direction` must be horizontal or vertical, got {direction!r}.")
        self.direction = direction

    def call(self, x):
        return ops.flip(x, axis=2 if self.direction == "horizontal" else 1)


@register
class Shift(ImageView):
    """Images moved by whole pixels; the edge fills what is left.

    Args:
        down: pixels; negative ones move up.
        right: pixels; negative ones move left.

    Example:
        >>> np.asarray(Shift(right=1)(np.array([[[1, 2, 3]]]))).tolist()
        [[[1, 1, 2]]]
    """

    def __init__(self, down: int = 0, right: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.down = down
        self.right = right

    def call(self, x):
        return _moved(_moved(x, self.down, axis=1), self.right, axis=2)


class Resampled(ImageView):
    """A view whose pixels lie between those of the image, which are interpolated linearly and, if
    integers, rounded.
    """

    def call(self, x):
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

    def resample(self, images, height: int, width: int):
        """The view of float32 images `[n, height, width, channels]`."""
        raise NotImplementedError


@register
class Rotate(Resampled):
    """Images turned about their center; the edge fills the corners.

    Args:
        degrees: counter-clockwise.

    Example:
        >>> np.asarray(Rotate(90.0)(np.array([[[1, 2], [3, 4]]]))).tolist()
        [[[2, 4], [1, 3]]]
    """

    def __init__(self, degrees: float, **kwargs):
        super().__init__(**kwargs)
        self.degrees = degrees

    def resample(self, images, height, width):
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return _about_center(images, [[cosine, -sine], [sine, cosine]], height, width)


@register
class Scale(Resampled):
    """Images enlarged or made smaller about their center, in a frame that stays; the edge fills
    what is left.

    Args:
        factor: `> 0`; above 1 the image grows out of its frame.

    Raises:
        ValueError: for a factor that is not above 0.

    Example:
        >>> Scale(1.1)(np.zeros([1, 8, 8, 3], "uint8")).dtype.name
        'uint8'
    """

    def __init__(self, factor: float, **kwargs):
        super().__init__(**kwargs)
        if not factor > 0:
            raise ValueError(f"`factor` must be > 0, got {factor}.")
        self.factor = factor

    def resample(self, images, height, width):
        return _about_center(images, np.eye(2) / self.factor, height, width)


@register
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

    def __init__(self, share: float, down: float = 0.5, right: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        if not 0 < share <= 1 or not 0 <= down <= 1 or not 0 <= right <= 1:
            raise ValueError(
                f"`share` must be in (0, 1], `down` and `right` in [0, 1], got {share}, {down}, "
                f"{right}."
            )
        self.share = share
        self.down = down
        self.right = right

    def resample(self, images, height, width):
        rows, columns = (max(round(self.share * side), 1) for side in (height, width))
        top, left = round(self.down * (height - rows)), round(self.right * (width - columns))
        part = images[:, top : top + rows, left : left + columns]
        return ops.image.resize(part, (height, width), data_format="channels_last")


@register
class TimeShift(View):
    """Sequences `[n, time, features]` moved in time; the first or last step fills what is left.

    Args:
        steps: later; negative ones move to earlier.

    Example:
        >>> np.asarray(TimeShift(-1)(np.array([[[1.0], [2.0], [3.0]]]))).ravel().tolist()
        [2.0, 3.0, 3.0]
    """

    ranks = sure_ranks = (3,)

    def __init__(self, steps: int, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, x):
        return _moved(x, self.steps, axis=1)


@register
class Noise(View):
    """Floating inputs of any rank from 1 with one seeded draw of noise added, the same for every
    example.

    So what an example is given does not depend on its place in a batch; several seeds make several
    views.

    Args:
        stddev: of the noise, in the inputs' units; those of a prepared table are standard
            deviations.
        seed: of the draw, `>= 0`.

    Example:
        >>> x = np.zeros([2, 3], "float32")
        >>> bool((np.asarray(Noise(0.1, 1)(x)) == np.asarray(Noise(0.1, 1)(x))).all())
        True
    """

    ranks = sure_ranks = tuple(range(1, 6))

    def __init__(self, stddev: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed = seed

    def takes(self, x, ranks):
        return super().takes(x, ranks) and "float" in keras.backend.standardize_dtype(x.dtype)

    def call(self, x):
        shape = tuple(x.shape[1:])
        if None in shape:
            raise ValueError(f"`Noise` needs inputs of a known shape, got {tuple(x.shape)}.")
        drawn = self.stddev * np.random.default_rng(self.seed).standard_normal(shape)
        return x + np.asarray(drawn, keras.backend.standardize_dtype(x.dtype))


def _moved(x, steps: int, axis: int):
    """A tensor moved along an axis, by less than its length; its first or last slice fills what is
    left.
    """
    if steps == 0:
        return x
    count, before = abs(steps), (slice(None),) * axis
    if steps > 0:
        return ops.concatenate(
            [x[(*before, slice(0, 1))]] * count + [x[(*before, slice(None, -count))]], axis=axis
        )
    return ops.concatenate(
        [x[(*before, slice(count, None))]] + [x[(*before, slice(-1, None))]] * count, axis=axis
    )


def _about_center(images, matrix, height: int, width: int):
    """Images whose pixel at `p` (right, down), counted from the center, is taken from `matrix @ p`."""
    matrix, center = np.asarray(matrix), np.array([(width - 1) / 2, (height - 1) / 2])
    offset = center - matrix @ center
    row = [*matrix[0], offset[0], *matrix[1], offset[1], 0.0, 0.0]
    return ops.image.affine_transform(
        images, np.asarray(row, np.float32), "bilinear", "nearest", data_format="channels_last"
    )


def candidates(
    shape: Sequence | Mapping[str, Sequence], kind: str | None = None
) -> dict[str, View]:
    """Views worth a try for inputs of a shape, by name; which of them keep the label is for
    validation to say.

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


def checked(view: keras.layers.Layer | Callable) -> keras.layers.Layer:
    """The layer of a view: itself, or one around a function; refuses what could not be saved and
    what is random.

    Raises:
        ValueError: for a layer or function that is not registered with Keras, one that draws at
            random, or neither.

    Example:
        >>> checked(lambda x: -x)
        Traceback (most recent call last):
        ValueError: view `<lambda>` is not registered, so no model with it can be saved or exported: write it as a \
function or layer under `@keras.saving.register_keras_serializable()`.
    """
    thing = view.function if isinstance(view, keras.layers.Lambda) else view
    kind = type(thing) if isinstance(thing, keras.layers.Layer) else thing
    if not callable(thing) or not hasattr(kind, "__name__"):
        raise ValueError(f"a view must be a Keras layer or a function of the inputs, got {view!r}.")
    is_registered = keras.saving.get_registered_name(kind) != kind.__name__
    if not is_registered and kind.__module__.split(".")[0] != "keras":
        raise ValueError(
            f"view `{kind.__name__}` is not registered, so no model with it can be saved or "
            "exported: write it as a function or layer under "
            "`@keras.saving.register_keras_serializable()`."
        )
    if not isinstance(view, keras.layers.Layer):
        return keras.layers.Lambda(view)
    if any("seed_generator" in variable.path for variable in view.variables):
        raise ValueError(
            f"view `{view.name}` ({kind.__name__}) draws at random; a view must always give the "
            "same."
        )
    return view


def apply(view: keras.layers.Layer, x: Any) -> Any:
    """The view of inputs, arrays or tensors `[n, ...]`, in the same structure, shapes and types.

    A view of this module is applied to those entries of a dict that it is meant for, and the others
    stay; a layer of the user's gets the inputs as they are.

    Raises:
        ValueError: when the view is meant for none of the inputs, or gives other shapes.

    Example:
        >>> seen = apply(Noise(0.1, 1), {"size": np.zeros([2, 3]), "color": np.array([4, 5])})
        >>> seen["color"].tolist()
        [4, 5]
    """
    if not isinstance(view, View):
        seen = view(x)
    elif isinstance(x, Mapping):
        fitting = [name for name, entry in x.items() if view.takes(entry, view.sure_ranks)]
        _refuse_nothing(view, fitting, x)
        seen = {name: view.call(entry) if name in fitting else entry for name, entry in x.items()}
    else:
        _refuse_nothing(view, view.takes(x, view.ranks), {"inputs": x})
        seen = view.call(x)
    if keras.tree.map_structure(_described, seen) != keras.tree.map_structure(_described, x):
        raise ValueError(
            f"view `{view.name}` changes the inputs' shape or type: it must give what it takes."
        )
    return seen


def _refuse_nothing(view: View, fitting, inputs: Mapping[str, Any]) -> None:
    if not fitting:
        given = ", ".join(f"{name} {_described(entry)}" for name, entry in inputs.items())
        raise ValueError(f"view `{type(view).__name__}` can't be applied to {given}: leave it out.")


def _described(x) -> str:
    return f"{keras.backend.standardize_dtype(x.dtype)}{[*x.shape[1:]]}"
