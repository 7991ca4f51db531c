"""Models are built for batches of any size; what takes one size or order only is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.models import model_inputs

X = np.random.default_rng(0).normal(size=(9, 5, 6)).astype("float32")


def test_a_sequential_without_an_input_is_built_and_saved_for_batches_of_any_size(tmp_path):
    model = keras.Sequential([keras.Sequential([layers.Dense(4)]), layers.Dense(2)])
    model_inputs.build(model, X)
    assert model.input_shape == (None, 5, 6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)


def test_a_subclass_is_built_by_a_call():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)

        def call(self, x):
            return self.inner(x)

    model = Own()
    model_inputs.build(model, X)
    assert model.count_params() == 21


def test_stateful_layers_are_refused_by_name():
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 6)), layers.GRU(3, stateful=True)])
    with pytest.raises(ValueError, match="layer `gru.*stateful=False.*set_weights") as caught:
        model_inputs.check_batches(model, X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [2, 4])
def test_a_batch_size_that_a_layer_needs_is_refused_and_another_is_told(size):
    x = keras.Input(batch_shape=(size, 5, 6))
    glued = keras.Model(x, layers.Dense(2)(keras.ops.reshape(x, (size, 30))))
    with pytest.raises(ValueError, match=f"takes batches of {size} only.*`shape=`"):
        model_inputs.check_batches(glued, X)
    free = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
    assert f"a batch size of {size}, which no layer needs" in model_inputs.check_batches(free, X)
    is_open = keras.Sequential([keras.Input([5, 6]), layers.Dense(2)])
    assert model_inputs.check_batches(is_open, X) == ""
