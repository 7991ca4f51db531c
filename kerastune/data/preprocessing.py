"""Prepares inputs and targets, on arrays and again as stock layers.

It is fitted to the training part only.

A *preparation* has three faces that give the same numbers: `apply` (arrays), `inputs` (the Keras
inputs of raw data) and `graph` (raw tensors to prepared ones, in `keras.ops`, so that a saved model
needs nothing but Keras to load).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested

CHUNK = 4096  # examples looked at in one go, so that no second copy of the data is made
MOST_ASPECT = 2  # of the sides of an image without channels


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
        self._count = 0
        self._squares: Any = 0.0

    def add(self, chunk: np.ndarray) -> None:
        """Takes in more examples `[n, ...]`.

        Means and sums of squares are merged as they are, without cancellation.
        """
        chunk = chunk.astype(np.float64)
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


@dataclasses.dataclass(frozen=True)
class Numbers:
    """How one numeric input is prepared: missing values, mean and scale, shape.

    Args:
        shape: shape of one raw example.
        dtype: type of the raw input.
        new_shape: shape of one prepared example.
        fill: what replaces NaN, `[features]`, or `None`.
        mean: what is subtracted, a number or `[features]`; `None` leaves the values as they are.
        scale: what they are divided by, of the same shape.

    Example:
        >>> Numbers((1,), "float64", (1,), mean=2.0, scale=4.0).apply(
        ...     np.array([[2.0], [6.0]])
        ... ).tolist()
        [[0.0], [1.0]]
    """

    shape: tuple[int, ...]
    dtype: str
    new_shape: tuple[int, ...]
    fill: np.ndarray | None = None
    mean: Any = None
    scale: Any = None

    @property
    def is_identity(self) -> bool:
        """Whether the input is left as it is."""
        return self.fill is None and self.mean is None and self.shape == self.new_shape

    @property
    def precision(self) -> str:
        # Time stamps and the like lose their differences in float32; images have nothing to lose.
        return "float64" if len(self.shape) < 2 else "float32"

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Prepares an array `[n, *shape]`, giving float32 `[n, *new_shape]`.

        The array given is not changed.
        """
        if self.is_identity:
            return x
        x = x.astype(self.precision)
        if self.fill is not None:
            x = np.where(np.isnan(x), self.fill, x)
        if self.mean is not None:
            x -= np.asarray(self.mean, x.dtype)
            x /= np.asarray(self.scale, x.dtype)
        return x.reshape((len(x), *self.new_shape)).astype(np.float32, copy=False)

    def restore(self, x: np.ndarray) -> np.ndarray:
        """Raw values `[n, *shape]` of prepared ones, up to rounding; gaps stay filled."""
        x = np.asarray(x).reshape((len(x), *self.shape))
        return x if self.mean is None else x.astype(np.float64) * self.scale + self.mean

    def inputs(self, name: str | None = None) -> Any:
        """A Keras input for raw examples."""
        import keras

        return keras.Input(self.shape, dtype=self.dtype, name=name)

    def graph(self, x: Any) -> Any:
        """Prepares a tensor as `apply` prepares an array."""
        from keras import ops

        if self.is_identity:
            return x
        x = ops.cast(x, self.precision)
        if self.fill is not None:
            x = ops.where(ops.isnan(x), np.asarray(self.fill, self.precision), x)
        if self.mean is not None:
            x = (x - np.asarray(self.mean, self.precision)) / np.asarray(self.scale, self.precision)
        return ops.cast(ops.reshape(x, (-1, *self.new_shape)), "float32")


@dataclasses.dataclass(frozen=True)
class Entries:
    """A dict of numeric inputs, each prepared on its own; the dict stays a dict.

    Example:
        >>> Entries({"a": Numbers((), "int64", (1,))}).apply({"a": np.array([1, 2])})["a"].shape
        (2, 1)
    """

    numbers: dict[str, Numbers]

    @property
    def is_identity(self) -> bool:
        """Whether every entry is left as it is."""
        return all(entry.is_identity for entry in self.numbers.values())

    def apply(self, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Prepares every array of a dict."""
        return {name: entry.apply(x[name]) for name, entry in self.numbers.items()}

    def restore(self, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw values of every prepared array of a dict."""
        return {name: entry.restore(x[name]) for name, entry in self.numbers.items()}

    def inputs(self) -> dict[str, Any]:
        """A Keras input for every entry, under its name."""
        return {name: entry.inputs(name) for name, entry in self.numbers.items()}

    def graph(self, x: dict[str, Any]) -> dict[str, Any]:
        """Prepares every tensor of a dict."""
        return {name: entry.graph(x[name]) for name, entry in self.numbers.items()}


@dataclasses.dataclass(frozen=True)
class AsGiven:
    """Inputs that stay as they are, in any structure: those of a user's own model.

    Args:
        profiles: a `Profile`, or a structure of them.
    """

    profiles: Any
    is_identity = True

    def apply(self, x: Any) -> Any:
        """The arrays as they are."""
        return x

    restore = graph = apply

    def inputs(self) -> Any:
        """A Keras input for every array."""
        import keras

        return nested.mapped(lambda each: keras.Input(each.shape, dtype=each.dtype), self.profiles)


def fit(profiles: Any, add_channel: bool, standardize: bool) -> Numbers | Entries:
    """Fits the preparation of an array, or of a dict of arrays, to the training part.

    Args:
        profiles: a `Profile`, or a dict of them; measured if `standardize`.
        add_channel: give images `[n, height, width]` a channel axis, and single numbers `[n]` a
            feature axis; series stay as they are.
        standardize: subtract the mean and divide by the standard deviation.

    Example:
        >>> fit(profile(np.zeros([5, 8, 8])), add_channel=True, standardize=True).new_shape
        (8, 8, 1)
    """
    if isinstance(profiles, dict):
        return Entries(
            {name: fit(entry, add_channel, standardize) for name, entry in profiles.items()}
        )
    lacks_axis = len(profiles.shape) in (0, 2) and not is_series(profiles.shape, profiles.dtype)
    new_shape = (*profiles.shape, 1) if add_channel and lacks_axis else profiles.shape
    statistics = {"mean": profiles.mean, "scale": profiles.scale} if standardize else {}
    return Numbers(profiles.shape, profiles.dtype, new_shape, **statistics)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """Puts the preparation around a model: raw inputs in, and for regression the user's units out.

    It can be pickled, so tasks can be sent to worker processes. The result shares its weights with
    the model.

    Args:
        preparation: of the inputs; `Numbers`, `Entries` or a `tables.Table`.
        target_mean: offset of the outputs, a number or `[outputs]`; `None` leaves outputs as they
            are.
        target_scale: factor of the outputs, of the same shape.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> Attachment(fit(profile(np.ones([9, 4], "uint8")), False, True), 20.0, 5.0)(
        ...     model
        ... ).input.dtype
        'uint8'
    """

    preparation: Any
    target_mean: Any = None
    target_scale: Any = None

    def __call__(self, model: Any) -> Any:
        """Gives the Keras model of raw inputs.

        Raises `ValueError` if the outputs do not match the targets.
        """
        import keras

        inputs = self.preparation.inputs()
        size = next((each.shape[0] for each in getattr(model, "inputs", None) or []), None)
        if size is not None:
            inputs = nested.mapped(lambda each: _of_size(each, size), inputs)
        outputs = model(self.preparation.graph(inputs))
        if self.target_mean is not None:
            outputs = self._restore_units(outputs)
        return keras.Model(inputs, outputs)

    def _restore_units(self, outputs: Any) -> Any:
        import keras

        num_outputs = np.size(self.target_mean)
        shape = getattr(outputs, "shape", None)
        if shape is None or (len(shape) > 1 and shape[-1] != num_outputs):
            given = f"outputs {tuple(shape)}" if shape else f"a {type(outputs).__name__} of outputs"
            raise ValueError(
                f"The model has {given}, expected [examples, {num_outputs}] as the targets have."
            )
        scale, offset = (
            np.asarray(self.target_scale).tolist(),
            np.asarray(self.target_mean).tolist(),
        )
        return keras.layers.Rescaling(scale, offset, dtype="float32")(outputs)


def _of_size(tensor: Any, batch_size: int) -> Any:
    """A Keras input like another one, of batches of one size."""
    import keras

    return keras.Input(tensor.shape[1:], batch_size, dtype=tensor.dtype, name=tensor.name)
