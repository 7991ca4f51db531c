"""Inputs that a network takes without scaling them are told of before anything is trained."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.models import input_scale

LARGE = np.array([[10.0, 700.0], [14.0, 1100.0]], np.float32)


def after_input(*first, shape=(2,), dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *first, layers.Dense(3)])


def adapted():
    layer = layers.Normalization()
    layer.adapt(LARGE)
    return layer


@pytest.mark.parametrize(
    "first",
    [[], [layers.Flatten()], [layers.Reshape([2, 1]), layers.Conv1D(4, 1), layers.Flatten()]],
)
def test_large_numbers_that_meet_weights_are_told_of_with_their_size(first):
    (note,) = input_scale.notes(after_input(*first), LARGE)
    assert "mean up to 900, std up to 200" in note


@pytest.mark.parametrize(
    "first",
    [
        layers.Rescaling(1e-3),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.Normalization(mean=[12, 900], variance=[4, 4e4]),
        adapted(),
        after_input(adapted()),
    ],
)
def test_what_scales_them_keeps_it_quiet(first):
    assert input_scale.notes(after_input(first), LARGE) == ()


def test_numbers_of_about_one_and_ids_of_an_embedding_are_no_large_numbers():
    assert input_scale.notes(after_input(), LARGE / 1000) == ()
    ids = np.arange(0, 2000, 100).reshape(10, 2)
    model = after_input(layers.Embedding(2000, 4), layers.Flatten(), dtype="int32")
    assert input_scale.notes(model, ids) == ()


def test_a_normalization_that_was_never_adapted_is_named_wherever_it_is():
    for first in (
        layers.Normalization(name="norm"),
        after_input(layers.Normalization(name="norm")),
    ):
        (note,) = input_scale.notes(after_input(first), LARGE)
        assert "`norm` was never adapted" in note


def test_of_several_inputs_and_nested_models_each_is_looked_at_where_it_goes():
    inputs = {name: keras.Input((2,), name=name) for name in ("a", "b")}
    x = layers.Concatenate()([adapted()(inputs["a"]), inputs["b"]])
    model = keras.Model(inputs, after_input(shape=(4,))(x))
    assert input_scale.notes(model, {"a": LARGE, "b": LARGE / 1000}) == ()
    assert len(input_scale.notes(model, {"a": LARGE, "b": LARGE})) == 1


def test_a_model_without_a_graph_is_left_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(LARGE)
    assert input_scale.notes(model, LARGE) == ()
