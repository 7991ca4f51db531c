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
        if flip:
            self._layers.append(layers.RandomFlip("horizontal", **settings))

    def __call__(self, x, step):
        """The inputs `x`, a tensor or a structure of them, as the training sees them at `step`."""
        arrays = [tf.convert_to_tensor(array) for array in tf.nest.flatten(x)]
        changed = [
            self._changed(a, StepSeeds(self._seed, index, step)) for index, a in enumerate(arrays)
        ]
        return tf.nest.pack_sequence_as(x, changed)

    def _changed(self, array, seeds: StepSeeds):
        if is_image(array):
            return self._through_layers(array, seeds)
        if not array.dtype.is_floating or not self._strength:
            return array
        if array.shape.rank == 3:
            return shifted_in_time(array, self._strength, seeds.next())
        return array + self._strength * tf.random.stateless_normal(
            tf.shape(array), seeds.next(), dtype=array.dtype
        )

    def _through_layers(self, images, seeds: StepSeeds):
        changed = tf.cast(images if images.shape.rank == 4 else images[..., None], tf.float32)
        for layer in self._layers:
            transformation = layer.get_random_transformation(changed, training=True, seed=seeds)
            changed = layer.transform_images(changed, transformation, training=True)
        changed = changed if images.dtype.is_floating else tf.round(changed)
        return tf.cast(tf.reshape(changed, tf.shape(images)), images.dtype)


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
