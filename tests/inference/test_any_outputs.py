"""Outputs that no single model gave are judged as Keras judges a model's own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerastune.inference import any_outputs
from kerastune.inference.any_outputs import OutputJudge
from kerastune.models import example_losses, scoring
from kerastune.problem import Part

RANDOM = np.random.default_rng(0)
N = 40
X = RANDOM.normal(size=(N, 5)).astype("float32")
PRICE, UP, KIND = X[:, 0] * 3, (X[:, 1] > 0).astype(int), RANDOM.integers(0, 3, N)
LOSSES = {"price": "mae", "up": "binary_crossentropy", "kind": "sparse_categorical_crossentropy"}


def heads(is_dict, **compiled):
    x = keras.Input([5])
    hidden = layers.Dense(6, "relu", kernel_regularizer="l2")(x)
    outputs = {
        "price": layers.Dense(1, name="price")(hidden),
        "up": layers.Dense(1, "sigmoid", name="up")(hidden),
        "kind": layers.Dense(3, "softmax", name="kind")(hidden),
    }
    model = keras.Model(x, outputs if is_dict else list(outputs.values()))
    model.compile("sgd", **compiled)
    return model


def single(*made, shape=(5,), dtype="float32", **compiled):
    model = keras.Sequential([keras.Input(shape, dtype=dtype), *made])
    model.compile("sgd", **compiled)
    return model


def by_name():
    y = {"price": PRICE, "up": UP, "kind": KIND}
    weights = {name: RANDOM.random(N) for name in y}
    factors = {"price": 0.1, "up": 1.0, "kind": 2.0}
    metrics = {"up": ["accuracy", "auc"]}
    model = heads(True, loss=LOSSES, loss_weights=factors, metrics=metrics)
    return model, Part(X, y, weights), True


def by_place():
    model = heads(False, loss=list(LOSSES.values()), weighted_metrics=[["mae"], None, None])
    return model, Part(X, (PRICE, UP, KIND), RANDOM.random(N)), True


def labels():
    model = single(layers.Dense(4, "sigmoid"), loss=keras.losses.BinaryFocalCrossentropy())
    return model, Part(X, RANDOM.integers(0, 2, (N, 4))), True


def pixels():
    x = RANDOM.integers(0, 255, (N, 6, 6, 1)).astype("uint8")
    made = layers.Rescaling(1 / 255), layers.Conv2D(2, 3, padding="same")
    model = single(*made, shape=(6, 6, 1), dtype="uint8", loss="mae", metrics=["mse"])
    return model, Part(x, RANDOM.random((N, 6, 6, 2)), RANDOM.random((N, 6, 6))), True


def tags():
    x = RANDOM.integers(0, 20, (N, 7)).astype("int32")
    x[:, 0], x[:, 4:] = 1, x[:, 4:] * (RANDOM.random((N, 1)) < 0.5)
    made = layers.Embedding(20, 4, mask_zero=True), layers.LSTM(4, return_sequences=True)
    loss = "sparse_categorical_crossentropy"
    model = single(*made, layers.Dense(3, "softmax"), shape=(7,), dtype="int32", loss=loss)
    return model, Part(x, RANDOM.integers(0, 3, (N, 7))), True


def one_number_for_a_batch():
    rmse = lambda y, p: ops.sqrt(ops.mean(ops.square(y - p)))  # noqa: E731
    return single(layers.Dense(2), loss=rmse), Part(X, X[:, :2]), False


@pytest.mark.parametrize("make", [by_name, by_place, labels, pixels, tags, one_number_for_a_batch])
def test_losses_of_examples_and_figures_are_those_that_keras_gives(make):
    model, part, is_by_row = make()
    outputs = any_outputs.predict(model, part.x)
    judge = OutputJudge(model, part)
    expected = example_losses._one_by_one(model, part)
    np.testing.assert_allclose(judge.losses(outputs), expected, rtol=1e-3, atol=1e-5)
    assert judge._is_by_row == is_by_row
    figures, measured = judge.figures(outputs), scoring.measured(model, part)
    assert figures == pytest.approx(measured, rel=2e-3, abs=1e-4)
    few = keras.tree.map_structure(lambda array: array[:4], part.x)
    assert example_losses.numbers(model, few) == outputs.shape[1]


def test_what_only_a_running_model_can_judge_has_no_numbers():
    class OwnStep(keras.Model):
        def train_step(self, data):
            return {}

    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean(x))
            return x

    x = keras.Input([5])
    own, adds = OwnStep(x, layers.Dense(2)(x)), single(Adds(), loss="mse")
    own.compile("sgd", "mse")
    whole = single(layers.Lambda(lambda x: ops.cast(x, "int32")), loss="mse")
    plain = keras.Sequential([keras.Input([5]), layers.Dense(2)])
    assert [example_losses.numbers(each, X[:4]) for each in (own, adds, whole, plain)] == [0] * 4
