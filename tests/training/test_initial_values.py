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


def network(initializer):
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dense(2, kernel_initializer=initializer)]
    return keras.Sequential([keras.Input([3]), *layers])


@pytest.mark.parametrize("how", ["auto", "keep"])
@pytest.mark.parametrize("make", [OfTensorFlow, lambda: "glorot_uniform"])
def test_values_depend_on_the_seed_alone(make, how):
    def values(found, seed):
        return found.of(Recipe(seed=seed, initializers=how))

    seen = InitialValues(lambda recipe: network(make()))
    in_order = {seed: values(seen, seed) for seed in (1, 2, 3, 4)}
    for seed, expected in in_order.items():
        alone = values(InitialValues(lambda recipe: network(make())), seed)
        assert all(map(np.array_equal, alone, expected))
        assert all(map(np.array_equal, values(seen, seed), expected))
        if how == "auto":
            handed_out = initializers.build_initialized(lambda: network(make()), seed)
            assert all(map(np.array_equal, handed_out.get_weights(), expected))
    kernels = [each[2] for each in in_order.values()]
    assert not any(np.array_equal(*pair) for pair in zip(kernels, kernels[1:]))


@pytest.mark.parametrize("make, sets", [(OfTensorFlow, True), (lambda: "he_normal", False)])
def test_compiled_kernels_are_dropped_only_where_values_depend_on_tensorflow(
    make, sets, monkeypatch
):
    found, asked = InitialValues(lambda recipe: network(make())), []
    for seed in (1, 2):
        found.of(Recipe(seed=seed))
    monkeypatch.setattr(keras.utils, "set_random_seed", asked.append)
    found.of(Recipe(seed=3))
    assert bool(asked) == sets
