"""Augmentation: random changes of training inputs that keep their labels (S4.1).

It is a function of seed and step alone.

Images go through Keras's own layers. Measured on one thread, batches of 64 images of 28x28: a
translation takes 1.4 ms, a rotation 2.2 ms, a flip 0.8 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

TURN = 0.2  # full turns per strength: at 0.1 an image is turned by up to 7 degrees


class StepSeeds(keras.random.SeedGenerator):
    """Seeds for one step.

    A function of the seed, the input, the step, and how many were drawn before.

    Keras's own generator counts in a variable, which would not know of the segments before a
    checkpoint. Any random layer or function of Keras's takes one of these as its `seed`.

    Args:
        seed: of the recipe.
        index: of the input, so that two inputs of one model do not change alike.
        step: an integer or a scalar tensor.

    Example:
        >>> first, again = (
        ...     keras.random.uniform([3], seed=StepSeeds(1, 0, step=7)) for _ in range(2)
        ... )
        >>> bool(tf.reduce_all(first == again))
        True
    """

    def __init__(self, seed: int, index: int, step: int | tf.Tensor):
        # Not `super().__init__()`, which makes the variable.
        self._entropy = [seed, index]
        self._step = tf.cast(step, tf.int32)
        self._draws = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._draws += 1
        # Keras wants 31 bits.
        word = np.random.SeedSequence([*self._entropy, self._draws]).generate_state(1)[0] >> 1
        return tf.stack([tf.constant(word, tf.int32), self._step])


class Augmentation:
    """Changes the inputs of training batches.

    Images (`is_image`) are moved, turned and flipped; the edge is repeated where nothing is left.
    Sequences `[n, time, channels]` of floats are moved in time in the same way. Other floats get
    normal noise, integers stay.

    Args:
        strength: as `Recipe.augmentation`.
        flip: as `Recipe.flip`.
        seed: of the recipe.

    Example:
        >>> Augmentation(0.1, False, seed=1)(np.zeros([4, 3], "float32"), step=0).shape
        TensorShape([4, 3])
    """

    def __init__(self, strength: float, flip: bool, seed: int):
        self._strength = strength
        self._seed = seed
        # A seed of their own, though it is never used: without one, Keras draws it from Python's
        # generator.
        settings = {"seed": 0, "data_format": "channels_last", "dtype": "float32"}
        self._layers: list = []
        if strength:
            filled = {"fill_mode": "nearest", **settings}
            self._layers.append(layers.RandomTranslation(strength, strength, **filled))
            self._layers.append(layers.RandomRotation(TURN * strength, **filled))
        self._flip = layers.RandomFlip("horizontal", **settings) if flip else None

    def __call__(self, x, step, mirrored=None):
        """The inputs as the training sees them at a step.

        Args:
            x: a tensor `[n, ...]` or a structure of them.
            step: an integer or a scalar tensor.
            mirrored: which examples are flipped, bool `[n]`, as `mirrored_at` gives them; drawn at
                random without.
        """
        arrays = [tf.convert_to_tensor(array) for array in tf.nest.flatten(x)]
        changed = [
            self._changed(a, StepSeeds(self._seed, index, step), mirrored)
            for index, a in enumerate(arrays)
        ]
        return tf.nest.pack_sequence_as(x, changed)

    def _changed(self, array, seeds: StepSeeds, mirrored):
        if is_image(array):
            if self._flip is not None and mirrored is not None:
                where = tf.reshape(mirrored, [-1] + [1] * (array.shape.rank - 1))
                array = tf.where(where, tf.reverse(array, [2]), array)
            return self._through_layers(array, seeds, draws=mirrored is None)
        if not array.dtype.is_floating or not self._strength:
            return array
        if array.shape.rank == 3:
            return shifted_in_time(array, self._strength, seeds.next())
        return array + self._strength * tf.random.stateless_normal(
            tf.shape(array), seeds.next(), dtype=array.dtype
        )

    def _through_layers(self, images, seeds: StepSeeds, draws: bool):
        changed = tf.cast(images if images.shape.rank == 4 else images[..., None], tf.float32)
        drawn = [self._flip] if self._flip is not None and draws else []
        for layer in [*self._layers, *drawn]:
            transformation = layer.get_random_transformation(changed, training=True, seed=seeds)
            changed = layer.transform_images(changed, transformation, training=True)
        changed = changed if images.dtype.is_floating else tf.round(changed)
        return tf.cast(tf.reshape(changed, tf.shape(images)), images.dtype)


def mirrored_at(
    rows: np.ndarray, num_examples: int, seed: int, start: int, batch_size: int
) -> np.ndarray:
    """Which of the examples that a training sees are flipped, bool `[len(rows)]`.

    Every example is flipped in every second epoch, so that two epochs show both its mirror images:
    alternating flip (Jordan 2024, arXiv:2404.00498). The first epoch draws.

    Args:
        rows: index of every example that is seen, as `batches.order` gives them.
        num_examples: of an epoch.
        seed: of the recipe.
        start: first step.
        batch_size: examples in a step.

    Example:
        >>> first = mirrored_at(np.array([0, 1, 2, 0, 1, 2]), 3, seed=1, start=0, batch_size=2)
        >>> bool((first[:3] != first[3:]).all())
        True
    """
    drawn = np.random.default_rng([seed, num_examples]).integers(0, 2, rows.max() + 1)
    epochs = (start * batch_size + np.arange(len(rows))) // num_examples
    return (drawn[rows] + epochs) % 2 == 1


def is_image(array: Any) -> bool:
    """Whether an input is of images.

    Floats or bytes `[n, height, width, channels]`, or bytes `[n, height, width]`.

    Floats of three axes are sequences `[n, time, channels]`, and other integers may be names of
    things, between which there is nothing.

    Example:
        >>> is_image(np.zeros([2, 8, 8, 3], "uint8")), is_image(np.zeros([2, 8, 8, 3], "int64"))
        (True, False)
    """
    if getattr(array.dtype, "kind", "") == "U":
        return False
    dtype, rank = keras.backend.standardize_dtype(array.dtype), len(array.shape)
    return rank in (3, 4) if dtype == "uint8" else rank == 4 and "float" in dtype


def shifted_in_time(
    sequences: tf.Tensor, share: float, seed: Sequence[int] | tf.Tensor
) -> tf.Tensor:
    """Sequences `[n, time, channels]`, each moved in time.

    By up to `share` of its length, and by at least one step.

    Example:
        >>> shifted_in_time(tf.zeros([4, 10, 2]), 0.25, [1, 2]).shape
        TensorShape([4, 10, 2])
    """
    length = tf.shape(sequences)[1]
    most = tf.maximum(tf.cast(tf.round(share * tf.cast(length, tf.float32)), tf.int32), 1)
    moves = tf.random.stateless_uniform(
        [tf.shape(sequences)[0], 1], seed, -most, most + 1, tf.int32
    )
    places = tf.clip_by_value(tf.range(length)[None] + moves, 0, length - 1)
    return tf.gather(sequences, places, axis=1, batch_dims=1)
