"""Initial values by seed, whatever a network draws them from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune.models import initializers
from kerastune.recipe import Recipe
from kerastune.training.initial_values import InitialValues


class OfTensorFlow(keras.initializers.Initializer):
    """Draws from TensorFlow's own generator."""

    def __call__(self, shape, dtype=None):
        return tf.random.normal(shape, dtype=dtype)


class Compiled(keras.initializers.Initializer):
    """Draws in a function of TensorFlow's, whose state no earlier draw moves on."""

    def __call__(self, shape, dtype=None):
        return tf.function(lambda: tf.random.normal(shape, dtype=dtype))()


def of_keras():
    return "glorot_uniform"


def network(initializer):
    layers = [
        keras.layers.Dense(4, "relu"),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(2, kernel_initializer=initializer),
    ]
    return keras.Sequential([keras.Input([3]), *layers])


@pytest.mark.parametrize("how", ["auto", "keep"])
@pytest.mark.parametrize("make", [OfTensorFlow, Compiled, of_keras])
def test_values_depend_on_the_seed_alone(make, how):
    def values(found, seed):
        return found.of(Recipe(seed=seed, initializers=how), lambda recipe: network(make()))

    seen = InitialValues()
    in_order = {seed: values(seen, seed) for seed in (1, 2, 3, 4)}
    for seed, expected in in_order.items():
        assert all(map(np.array_equal, values(InitialValues(), seed), expected))
        assert all(map(np.array_equal, values(seen, seed), expected))
        if how == "auto":
            handed_out = initializers.build_initialized(lambda: network(make()), seed)
            values_handed_out = [variable.numpy() for variable in handed_out.variables]
            assert all(map(np.array_equal, values_handed_out, expected))
    kernels = [[each for each in values if each.shape == (4, 2)] for values in in_order.values()]
    assert not any(np.array_equal(*pair) for pair in zip(kernels, kernels[1:]))


@pytest.mark.parametrize("make, sets", [(OfTensorFlow, True), (Compiled, True), (of_keras, False)])
def test_compiled_kernels_are_dropped_only_where_values_depend_on_tensorflow(
    make, sets, monkeypatch
):
    found, asked = InitialValues(), []
    for seed in (1, 2):
        found.of(Recipe(seed=seed), lambda recipe: network(make()))
    monkeypatch.setattr(keras.utils, "set_random_seed", asked.append)
    found.of(Recipe(seed=3), lambda recipe: network(make()))
    assert bool(asked) == sets
