"""Whether a model can be saved is known before a search, and its weights are kept anyway."""

import keras
import numpy as np

from kerastune.models import model_inputs, saved_models
from kerastune.tuner import records


class Unnamed(keras.Model):
    """Needs an argument that Keras does not know how to save."""

    def __init__(self, table):
        super().__init__()
        self.table, self.out = table, keras.layers.Dense(2)

    def call(self, x):
        return self.out(x)


@keras.saving.register_keras_serializable("saving")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def unsaved():
    model = Unnamed(np.arange(3))
    model(np.zeros([1, 4], "float32"))
    return model


def test_a_model_that_keras_can_not_save_is_told_in_one_line_and_keeps_its_weights(tmp_path):
    model = unsaved()
    why = saved_models.why_not_saved(model)
    assert why and "\n" not in why
    records.save(model, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]
    again = unsaved()
    again.load_weights(tmp_path / "model.weights.h5")
    for mine, saved in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, saved)


def test_modules_of_a_users_own_layers_are_named():
    plain = [keras.Input([4]), keras.layers.Dense(2)]
    assert saved_models.modules_of(keras.Sequential(plain)) == []
    own = keras.Sequential([*plain, Doubled()])
    assert saved_models.modules_of(own) == [Doubled.__module__]
    assert saved_models.why_not_saved(own) == ""


def test_a_model_of_named_inputs_takes_the_columns_of_a_table():
    inputs = {name: keras.Input([1], name=name) for name in ("age", "income")}
    named = keras.Model(inputs, keras.layers.Concatenate()(list(inputs.values())))
    assert model_inputs.takes_columns(named)
    assert not model_inputs.takes_columns(keras.Sequential([keras.Input([2]), Doubled()]))
