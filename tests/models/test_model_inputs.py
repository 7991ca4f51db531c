"""Models are built for batches of any size."""

import keras
import numpy as np
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
