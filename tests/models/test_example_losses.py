"""The loss of single examples is what Keras calls the loss of that example alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerastune.models import example_losses
from kerastune.problem import Part

X = np.random.default_rng(1).normal(size=(12, 4)).astype("float32")
Y = X[:, 0] * 2 + 1


def root(y, outputs):
    return ops.sqrt(ops.mean(ops.square(y - outputs)))


def by_last_axis(y, outputs):
    return ops.mean(ops.abs(y - outputs), axis=-1)


def spread(y, outputs):
    return by_last_axis(ops.reshape(y, (-1, 1)), outputs)


class Own(keras.losses.Loss):
    def call(self, y, outputs):
        return ops.mean(ops.square(ops.reshape(y, ops.shape(outputs)) - outputs), axis=-1)


def compiled(loss, *last, model=keras.Model, **settings):
    keras.utils.set_random_seed(3)
    x = keras.Input([4])
    hidden = layers.Dense(6, "relu")(x)
    outputs = [layer(hidden) for layer in last]
    made = model(x, outputs if len(outputs) > 1 else outputs[0])
    made.compile("sgd", loss, **settings)
    return made


def alone(model, part):
    """What `evaluate` says of every example, asked for one at a time."""
    found = []
    for place in range(len(part)):
        y = keras.tree.map_structure(lambda array, i=place: array[i : i + 1], part.y)
        found.append(model.evaluate(part.x[place : place + 1], y, verbose=0, return_dict=True))
    return [each["loss"] for each in found]


@pytest.mark.parametrize("loss", ["mse", "huber", root, by_last_axis, spread, Own()])
@pytest.mark.parametrize("y", [Y, Y[:, None]])
def test_losses_of_numbers(loss, y):
    model, part = compiled(loss, layers.Dense(1)), Part(X, y)
    found = example_losses.of(model, part)
    assert found.shape == (12,)
    np.testing.assert_allclose(found, alone(model, part), rtol=1e-4)


def test_losses_of_dense_targets_and_several_labels():
    for last, y, loss in (
        (layers.Dense(3, "sigmoid"), (X[:, :3] > 0).astype(int), "binary_crossentropy"),
        (
            layers.Reshape([2, 3]),
            (X[:, :2] > 0).astype(int),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
    ):
        model, part = compiled(loss, last), Part(X, y)
        np.testing.assert_allclose(example_losses.of(model, part), alone(model, part), rtol=1e-4)


@pytest.mark.parametrize("names", [None, ("price", "up")])
def test_the_total_of_several_outputs_has_its_weights(names):
    last = [layers.Dense(1, name="price"), layers.Dense(1, "sigmoid", name="up")]
    y = (Y, (Y > 0).astype(int))
    losses, weights = ["mse", "binary_crossentropy"], [0.5, 3.0]
    if names:
        losses, weights, y = (dict(zip(names, each)) for each in (losses, weights, y))
    model, part = compiled(losses, *last, loss_weights=weights), Part(X, y)
    np.testing.assert_allclose(example_losses.of(model, part), alone(model, part), rtol=1e-4)


def test_penalties_of_weights_are_left_out_and_what_layers_add_is_not():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean(ops.square(x)))
            return x

    penalized = layers.Dense(1, kernel_regularizer="l2")
    model, part = compiled(root, penalized), Part(X, Y)
    np.testing.assert_allclose(
        example_losses.of(model, part), np.abs(model.predict(X, verbose=0)[:, 0] - Y), rtol=1e-4
    )
    model = compiled("mse", keras.Sequential([layers.Dense(1), Adds()]))
    np.testing.assert_allclose(example_losses.of(model, part), alone(model, part), rtol=1e-4)


def test_models_without_targets_and_with_steps_of_their_own():
    class Rebuilds(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(ops.square(x - y_pred))

    class Tests(keras.Model):
        def test_step(self, data):
            x = keras.utils.unpack_x_y_sample_weight(data)[0]
            return {"loss": ops.max(ops.abs(x - self(x, training=False)))}

    for own, rule in (
        (Rebuilds, lambda e: np.mean(e**2, axis=1)),
        (Tests, lambda e: e.max(axis=1)),
    ):
        model = compiled(None, layers.Dense(4), model=own)
        errors = np.abs(X - model.predict(X, verbose=0))
        np.testing.assert_allclose(example_losses.of(model, Part(X, None)), rule(errors), rtol=1e-4)


def test_masked_steps_do_not_count():
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 1], [2, 0, 0, 0]])
    model = keras.Sequential(
        [keras.Input([4]), layers.Embedding(4, 3, mask_zero=True), layers.Dense(2, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    part = Part(tokens, tokens % 2)
    found = example_losses.of(model, part)
    right = np.take_along_axis(model.predict(tokens, verbose=0), (tokens % 2)[..., None], axis=2)
    each = np.where(tokens > 0, -np.log(right[..., 0]), 0).sum(axis=1) / (tokens > 0).sum(axis=1)
    np.testing.assert_allclose(found, each, rtol=1e-4)


def test_weights_of_examples_scale_their_loss():
    weight = np.arange(12.0)
    model = compiled("mse", layers.Dense(1))
    plain = example_losses.of(model, Part(X, Y))
    weighed = example_losses.of(model, Part(X, Y, weight))
    np.testing.assert_allclose(weighed, plain * weight / weight.mean(), rtol=1e-5)
