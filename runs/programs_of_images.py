"""Programs of images as Keras users write them, on small data of their own: for keras_programs.py.

Every function gives a `Program`; data are scikit-learn's digits or drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits


@dataclasses.dataclass(frozen=True)
class Program:
    """A user's program.

    Args:
        build: gives the compiled model.
        training: what `fit` takes: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        validation: the same, for `validation_data`.
        test: the same, that the score is taken of.
        score: figure of merit of a trained model on the test part; larger is better.
        options: further arguments of `fit` and `search`.
        epochs: of the plain fit.
    """

    build: Callable[[], keras.Model]
    training: tuple
    validation: tuple
    test: tuple
    score: Callable[[keras.Model, tuple], float]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 15


def split(*arrays: np.ndarray) -> tuple[tuple, tuple, tuple]:
    """Training, validation and test part: three fifths, a fifth and a fifth of the rows."""
    rows = np.random.default_rng(0).permutation(len(arrays[0]))
    parts = np.split(rows, [3 * len(rows) // 5, 4 * len(rows) // 5])
    return tuple(tuple(array[part] for array in arrays) for part in parts)


def accuracy(model: keras.Model, test: tuple) -> float:
    """Fraction of right classes, along the last axis of what the model gives."""
    found = np.asarray(model.predict(test[0], verbose=0))
    classes = found.argmax(-1) if found.shape[-1] > 1 else found[..., 0] > 0.5
    return float((classes.reshape(np.shape(test[1])) == test[1]).mean())


def negative_error(model: keras.Model, test: tuple) -> float:
    """Minus the mean squared error."""
    found = np.asarray(model.predict(test[0], verbose=0))
    return -float(np.mean((found.reshape(np.shape(test[1])) - test[1]) ** 2))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images `[1797, 8, 8, 1]` in [0, 1], and their classes."""
    images, classes = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 16).astype("float32"), classes.astype("int64")


def image_classification() -> Program:
    """A convolutional network that gives logits."""

    def build():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(32, 3, padding="same", activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(10),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss=loss, metrics=["accuracy"])
        return model

    return Program(build, *split(*digits()), accuracy)


def segmentation() -> Program:
    """A small U-Net whose target is a mask: which pixels belong to the disk."""
    rng = np.random.default_rng(1)
    center, radius = rng.uniform(5, 11, (600, 2, 1, 1)), rng.uniform(2, 5, (600, 1, 1))
    rows, columns = np.mgrid[:16, :16]
    masks = np.hypot(rows - center[:, 0], columns - center[:, 1]) < radius
    images = masks + rng.normal(0, 0.7, masks.shape)

    def build():
        inputs = keras.Input((16, 16, 1))
        fine = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
        coarse = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(fine)
        up = layers.UpSampling2D()(coarse)
        merged = layers.Concatenate()([fine, up])
        outputs = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(merged)
        model = keras.Model(inputs, outputs)
        model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
        return model

    x, y = images[..., None].astype("float32"), masks[..., None].astype("float32")
    return Program(build, *split(x, y), accuracy)


def autoencoder() -> Program:
    """Images through a bottleneck; the targets are the inputs."""
    images, _ = digits()

    def build():
        inputs = keras.Input((8, 8, 1))
        code = layers.Dense(12, activation="relu")(layers.Flatten()(inputs))
        pixels = layers.Dense(64, activation="sigmoid")(code)
        model = keras.Model(inputs, layers.Reshape((8, 8, 1))(pixels))
        model.compile("adam", loss="binary_crossentropy")
        return model

    return Program(build, *split(images, images), negative_error)


@keras.saving.register_keras_serializable("programs")
class Sampling(layers.Layer):
    """A draw from a normal distribution, and its divergence from the standard one as a loss."""

    def call(self, inputs):
        mean, log_variance = inputs
        divergence = ops.square(mean) + ops.exp(log_variance) - 1 - log_variance
        self.add_loss(0.01 * ops.mean(ops.sum(divergence, axis=-1)))
        noise = keras.random.normal(ops.shape(mean))
        return mean + ops.exp(0.5 * log_variance) * noise


def variational_autoencoder() -> Program:
    """As the autoencoder, with a loss of its own beside the compiled one."""
    images = digits()[0].reshape(-1, 64)

    def build():
        inputs = keras.Input((64,))
        hidden = layers.Dense(32, activation="relu")(inputs)
        code = Sampling()([layers.Dense(8)(hidden), layers.Dense(8)(hidden)])
        outputs = layers.Dense(64, activation="sigmoid")(layers.Dense(32, activation="relu")(code))
        model = keras.Model(inputs, outputs)
        model.compile("adam", loss="mse")
        return model

    return Program(build, *split(images, images), negative_error)


@keras.saving.register_keras_serializable("programs")
def contrastive_loss(y_true, y_pred):
    """Hadsell et al. 2006: pairs of one class are to be near, others at least 1 apart."""
    y_true = ops.cast(y_true, y_pred.dtype)
    return y_true * ops.square(y_pred) + (1 - y_true) * ops.square(ops.maximum(1 - y_pred, 0))


@keras.saving.register_keras_serializable("programs")
class Distance(layers.Layer):
    """Euclidean distance of two codes, `[n, 1]`."""

    def call(self, inputs):
        one, other = inputs
        return ops.sqrt(ops.sum(ops.square(one - other), axis=-1, keepdims=True) + 1e-9)


def siamese() -> Program:
    """Two images, and whether they are of one class: two inputs, a loss of the user's."""
    images, classes = digits()
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, len(images), (2, 3000))
    same = rng.random(3000) < 0.4
    for row in np.flatnonzero(same):
        other[row] = rng.choice(np.flatnonzero(classes == classes[one[row]]))
    equal = (classes[one] == classes[other]).astype("float32")
    (train, held, test) = split(one, other, equal)

    def build():
        first, second = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
        code = keras.Sequential(
            [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(16)]
        )
        model = keras.Model([first, second], Distance()([code(first), code(second)]))
        model.compile("adam", loss=contrastive_loss)
        return model

    def score(model, test):
        near = np.asarray(model.predict(test[0], verbose=0))[:, 0] < 0.5
        return float((near == test[1].astype(bool)).mean())

    pairs = [([images[a], images[b]], y) for a, b, y in (train, held, test)]
    return Program(build, *pairs, score)


def transfer() -> Program:
    """A network that was trained on the first five digits, frozen behind layers of augmentation."""
    images, classes = digits()
    low = classes < 5
    base = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    source = keras.Sequential([base, layers.Dense(5, activation="softmax")])
    source.compile("adam", loss="sparse_categorical_crossentropy")
    source.fit(images[low], classes[low], epochs=10, verbose=0)

    def build():
        body = keras.models.clone_model(base)
        body.set_weights(base.get_weights())
        body.trainable = False
        inputs = keras.Input((8, 8, 1))
        moved = layers.RandomTranslation(0.1, 0.1)(inputs)
        outputs = layers.Dense(5, activation="softmax")(body(moved, training=False))
        model = keras.Model(inputs, outputs)
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return Program(build, *split(images[~low], classes[~low] - 5), accuracy)


@keras.saving.register_keras_serializable("programs")
class DepthToSpace(layers.Layer):
    """Four channels become one of twice the height and width."""

    def call(self, inputs):
        height, width = inputs.shape[1:3]
        blocks = ops.reshape(inputs, (-1, height, width, 2, 2))
        return ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (-1, 2 * height, 2 * width, 1))


def super_resolution() -> Program:
    """Images of 4 x 4 pixels in, 8 x 8 out."""
    images, _ = digits()
    small = images.reshape(-1, 4, 2, 4, 2, 1).mean((2, 4))

    def build():
        inputs = keras.Input((4, 4, 1))
        hidden = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
        hidden = layers.Conv2D(4, 3, padding="same")(hidden)
        model = keras.Model(inputs, DepthToSpace()(hidden))
        model.compile("adam", loss="mse")
        return model

    return Program(build, *split(small, images), negative_error)


@keras.saving.register_keras_serializable("programs")
class Perturbed(keras.Model):
    """Trains on inputs with noise, by a `train_step` of its own."""

    def train_step(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step((x + keras.random.normal(ops.shape(x), stddev=0.1), y, weight))


def own_train_step() -> Program:
    """A subclassed model with its own `train_step`."""

    def build():
        inputs = keras.Input((8, 8, 1))
        hidden = layers.Dense(64, activation="relu")(layers.Flatten()(inputs))
        model = Perturbed(inputs, layers.Dense(10, activation="softmax")(hidden))
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return Program(build, *split(*digits()), accuracy)


PROGRAMS = (
    image_classification,
    segmentation,
    autoencoder,
    variational_autoencoder,
    siamese,
    transfer,
    super_resolution,
    own_train_step,
)
