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
from kerastune.data.profiling import is_series

NEAR_CLIP = 1 - 1e-7  # of the clip, from which no value is told any more
RESIZING = "resizing_to_training_size"  # name of a layer in saved models
CLIP = 3.0  # what a scaled number of a table approaches at most


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
        clip: what scaled values approach at most, on either side: `x / sqrt(1 + (x / clip)^2)`,
            which hardly changes small ones; `None` for no limit.
        any_size: whether the Keras input takes images of any size, which are resized to `shape`
            as Pillow does (bilinear, antialiased), up to a rounding of their bytes.

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
    clip: float | None = None
    any_size: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether arrays are left as they are."""
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
        if self.clip is not None:
            x /= np.sqrt(1 + np.square(x / self.clip))
        return x.reshape((len(x), *self.new_shape)).astype(np.float32, copy=False)

    def restore(self, x: np.ndarray) -> np.ndarray:
        """Raw values `[n, *shape]` of prepared ones, up to rounding; gaps stay filled."""
        x = np.asarray(x).reshape((len(x), *self.shape))
        if self.clip is not None:
            x = x.astype(np.float64)
            # Rounding may take a value beyond what is ever reached.
            inside = np.clip(x / self.clip, -NEAR_CLIP, NEAR_CLIP)
            x = self.clip * inside / np.sqrt(1 - np.square(inside))
        return x if self.mean is None else x.astype(np.float64) * self.scale + self.mean

    def inputs(self, name: str | None = None) -> Any:
        """A Keras input for raw examples."""
        import keras

        shape = (None, None, *self.shape[2:]) if self.any_size else self.shape
        return keras.Input(shape, dtype=self.dtype, name=name)

    def graph(self, x: Any) -> Any:
        """Prepares a tensor as `apply` prepares an array."""
        from keras import ops

        if self.any_size:
            x = self._resizing()(x)
        if self.is_identity:
            return x
        x = ops.cast(x, self.precision)
        if self.fill is not None:
            x = ops.where(ops.isnan(x), np.asarray(self.fill, self.precision), x)
        if self.mean is not None:
            x = (x - np.asarray(self.mean, self.precision)) / np.asarray(self.scale, self.precision)
        if self.clip is not None:
            x = x / ops.sqrt(1 + ops.square(x / self.clip))
        return ops.cast(ops.reshape(x, (-1, *self.new_shape)), "float32")

    def _resizing(self) -> Any:
        import keras
        from keras import ops

        given = self.inputs()
        x, (height, width) = ops.cast(given, "float32"), self.shape[:2]
        x = ops.einsum("oh,bhwc->bowc", _triangles(x[0, :, 0, 0], height), x)
        x = ops.einsum("ow,bhwc->bhoc", _triangles(x[0, 0, :, 0], width), x)
        return keras.Model(given, ops.cast(ops.round(x), self.dtype), name=RESIZING)


def _triangles(line: Any, size: int) -> Any:
    """Weights of the pixels of a line for each of `size` pixels: bilinear, antialiased.

    TensorFlow's own resizing with antialiasing has no kernel for XLA, and no other format knows it.

    Args:
        line: tensor of any length `[n]`.
        size: pixels that it becomes.

    Returns:
        A tensor `[size, n]`; the identity where `n` is `size`.
    """
    from keras import ops

    ones = ops.ones_like(line)
    scale = ops.sum(ones) / size
    centers = scale * (np.arange(size, dtype="float32")[:, None] + 0.5)
    apart = ops.abs(ops.cumsum(ones)[None, :] - 0.5 - centers)
    weights = ops.relu(1 - apart / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)


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


def training_size(model: Any) -> tuple[int, int] | None:
    """Height and width that a saved model resizes images to; `None` where it resizes none."""
    found = _resizing_layer(model)
    return None if found is None else found.output_shape[1:3]


def of_training_size(model: Any) -> Any:
    """The model of images that have the size of the training images already: the part behind the
    layer that resizes them. A model without that layer as it is.
    """
    import keras

    resizing = _resizing_layer(model)
    if resizing is None:
        return model
    nodes = (node for node in resizing._inbound_nodes if node.input_tensors[0] is model.inputs[0])
    return keras.Model(next(nodes).outputs[0], model.output)


def _resizing_layer(model: Any) -> Any:
    layers = getattr(model, "layers", ())
    return next((layer for layer in layers if layer.name == RESIZING), None)


def fit(
    profiles: Any,
    add_channel: bool,
    standardize: bool,
    is_robust: bool = False,
    any_size: bool = False,
) -> Numbers | Entries:
    """Fits the preparation of an array, or of a dict of arrays, to the training part.

    Args:
        profiles: a `Profile`, or a dict of them; measured if `standardize`.
        add_channel: give images `[n, height, width]` a channel axis, and single numbers `[n]` a
            feature axis; series stay as they are.
        standardize: subtract the mean and divide by the standard deviation.
        is_robust: with that, scale tables by their quartiles (`Profile.robust`) and clip them
            smoothly (Holzmüller et al. 2024, "Better by default", arXiv:2407.04491).
        any_size: as `Numbers` takes it.

    Example:
        >>> from kerastune.data.profiling import profile
        >>> fit(profile(np.zeros([5, 8, 8])), add_channel=True, standardize=True).new_shape
        (8, 8, 1)
    """
    if isinstance(profiles, dict):
        return Entries(
            {
                name: fit(entry, add_channel, standardize, is_robust)
                for name, entry in profiles.items()
            }
        )
    lacks_axis = len(profiles.shape) in (0, 2) and not is_series(profiles.shape, profiles.dtype)
    new_shape = (*profiles.shape, 1) if add_channel and lacks_axis else profiles.shape
    statistics = {"mean": profiles.mean, "scale": profiles.scale} if standardize else {}
    if standardize and is_robust and (found := profiles.robust()) is not None:
        statistics = {"mean": found[0], "scale": found[1], "clip": CLIP}
    return Numbers(profiles.shape, profiles.dtype, new_shape, any_size=any_size, **statistics)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """Puts the preparation around a model: raw inputs in, and for regression the user's units out.

    It can be pickled, so tasks can be sent to worker processes. The result shares its weights with
    the model.

    Args:
        preparation: of the inputs; `Numbers`, `Entries`, a `tabular.Table` or `texts.Texts`.
        target_mean: offset of the outputs, a number or `[outputs]`; `None` leaves outputs as they
            are.
        target_scale: factor of the outputs, of the same shape.

    Example:
        >>> import keras
        >>> from kerastune.data.profiling import profile
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
        while any(each.name == getattr(model, "name", None) for each in nested.leaves(inputs)):
            model.name += "_"  # a column has its name, and Keras refuses two of them
        try:
            return keras.Model(inputs, self._outputs(model, inputs))
        except ValueError as error:
            if "All operation names should be unique" not in str(error):
                raise
            # A column is called like one of Keras's operations, which has another name next time.
            return keras.Model(inputs, self._outputs(model, inputs))

    def _outputs(self, model: Any, inputs: Any) -> Any:
        outputs = model(self.preparation.graph(inputs))
        return outputs if self.target_mean is None else self._restore_units(outputs)

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
