import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers

from kerastune.models import initializers


def weights_of(build, seed):
    return initializers.build_initialized(build, seed).get_weights()


def test_an_unbuilt_model_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="`later` is not built yet: call it once on a batch"):
        weights_of(lambda: keras.Sequential([layers.Dense(1)], name="later"), 1)


def _conv(name, **kwargs):
    return layers.Conv2D(4, 3, padding="same", name=name, **kwargs)


def _initialized(build, seed=1):
    return initializers.initialize_by_activation(build(), build().get_weights(), seed)


def test_he_follows_the_layers_own_activation():
    def build():
        names = ["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "selu", "softmax", None]
        return keras.Sequential(
            [keras.Input([5])] + [layers.Dense(5, each, name=str(each)) for each in names]
        )

    assert _initialized(build) == ["relu", "leaky_relu", "gelu", "silu"]


def test_he_follows_an_activation_layer_with_others_in_between():
    def build():
        return keras.Sequential(
            [
                keras.Input([8, 8, 3]),
                _conv("a"),
                layers.BatchNormalization(),
                layers.ReLU(),
                _conv("b"),
                layers.MaxPooling2D(),
                layers.Dropout(0.1),
                layers.LeakyReLU(),
                layers.SeparableConv2D(4, 3, name="c"),
                layers.Activation("linear"),
                layers.Activation("relu"),
                layers.DepthwiseConv2D(2, name="d", activation="relu"),
                _conv("not e"),
                layers.Activation("tanh"),
                layers.Activation("relu"),
                layers.Conv2DTranspose(4, 3, name="f"),
                layers.Flatten(),
                layers.PReLU(),
                layers.Dense(4, name="not g"),
                layers.Dense(4, "relu", name="h"),
                layers.Dense(2, name="not i"),
            ]
        )

    assert _initialized(build) == list("abcdfh")


def test_he_goes_through_branches_bare_operations_and_nested_models():
    def build():
        inner_input = keras.Input([8, 8, 4])
        inner = keras.Model(
            inner_input, _conv("last inside")(layers.ReLU()(inner_input)), name="inner"
        )
        inputs = keras.Input([8, 8, 4])
        x = inner(_conv("before nested")(inputs))
        x = layers.Add()([x, _conv("shortcut")(inputs)])
        x = keras.ops.relu(layers.BatchNormalization()(x))
        y = _conv("plus")(x) + x
        sequential = keras.Sequential(
            [keras.Input([8, 8, 4]), layers.ReLU(), _conv("to the end")], name="tail"
        )
        return keras.Model(inputs, sequential(y))

    assert set(_initialized(build)) == {"last inside", "before nested", "shortcut", "plus"}


def test_what_another_model_does_with_a_layer_does_not_count():
    def build():
        inputs = keras.Input([4])
        features = layers.Dense(3, name="features")(inputs)
        keras.Model(inputs, layers.ReLU()(features))
        return keras.Model(inputs, features)

    assert _initialized(build) == []


def test_in_a_subclassed_model_only_the_own_activation_is_known_but_graphs_inside_are_read():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(4, "relu", name="first")
            self.block = keras.Sequential(
                [keras.Input([4]), layers.Dense(4, name="block"), layers.ReLU()]
            )
            self.last = layers.Dense(4, name="last")

        def call(self, x):
            return keras.ops.relu(self.last(self.block(self.first(x))))

    def build():
        model = Model()
        model(np.zeros([2, 4], "float32"))
        return model

    assert sorted(_initialized(build)) == ["block", "first"]


def test_initializers_the_user_chose_and_recurrent_cells_are_left():
    chosen = [
        "he_normal",
        "glorot_normal",
        "orthogonal",
        keras.initializers.GlorotUniform(seed=3),
        keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator()),
        keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform"),
    ]

    def build():
        dense = [layers.Dense(4, "relu", kernel_initializer=each) for each in chosen]
        return keras.Sequential(
            [keras.Input([6, 4]), *dense, layers.LSTM(3, activation="relu"), layers.Dense(1)]
        )

    assert _initialized(build) == []


def test_the_values_are_he_uniform_and_the_configuration_says_so():
    def build():
        return keras.Sequential([keras.Input([600]), layers.Dense(300, "relu"), layers.Dense(10)])

    model = initializers.build_initialized(build, 1)
    hidden, out = (layer.kernel.numpy() for layer in model.layers)
    limit = np.sqrt(6 / 600)
    assert 0.99 * limit < np.abs(hidden).max() <= limit
    assert np.abs(out).max() <= np.sqrt(6 / 310)
    restored = keras.Sequential.from_config(model.get_config())
    assert [type(layer.kernel_initializer).__name__ for layer in restored.layers] == [
        "HeUniform",
        "GlorotUniform",
    ]
    # The seed is not written down: built again, it is a new draw of the same distribution.
    assert not np.array_equal(restored.layers[0].kernel, hidden)
    assert 0.99 * limit < np.abs(restored.layers[0].kernel.numpy()).max() <= limit


def test_initial_weights_depend_on_the_seed_alone():
    def build():
        return keras.Sequential(
            [
                keras.Input([6]),
                *(layers.Dense(6, "relu") for _ in range(2)),
                layers.Dropout(0.5),
                layers.Dense(2),
            ]
        )

    first = weights_of(build, 1)
    np.random.seed(77)
    keras.random.normal([3])
    again, other = weights_of(build, 1), weights_of(build, 2)
    for kernel in (0, 2, 4):
        np.testing.assert_array_equal(first[kernel], again[kernel])
        assert not np.array_equal(first[kernel], other[kernel])
    assert not np.array_equal(first[0], first[2])  # equal shapes, different positions
    keras.utils.set_random_seed(1)
    # Glorot's are as the seed makes them.
    np.testing.assert_array_equal(build().get_weights()[4], first[4])
    build().set_weights(first)


def test_he_values_do_not_depend_on_the_rest_of_the_network():
    def build(*more):
        return lambda: keras.Sequential(
            [keras.Input([6]), layers.Dense(6, "relu"), layers.Dense(6, "relu"), *more]
        )

    short = weights_of(build(), 5)
    for a, b in zip(short, weights_of(lambda: build(layers.Dense(2))(), 5), strict=False):
        np.testing.assert_array_equal(a, b)


# Keras 3.15 reading h5.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_loaded_weights_stay_in_a_users_build_function(tmp_path):
    def backbone():
        return keras.Sequential(
            [keras.Input([6]), layers.Dense(5, "relu", name="pretrained")], name="backbone"
        )

    path = tmp_path / "backbone.weights.h5"
    pretrained = backbone()
    pretrained.save_weights(path)

    def users_build(hp):
        body = backbone()
        body.load_weights(path)
        new = layers.Dense(hp.Int("units", 4, 8), "relu", name="new")
        return keras.Sequential([keras.Input([6]), body, new, layers.Dense(2)])

    def build():
        return users_build(keras_tuner.HyperParameters())

    first, second = weights_of(build, 1), weights_of(build, 2)
    for weights in (first, second):
        np.testing.assert_array_equal(weights[0], pretrained.get_weights()[0])
    assert not np.array_equal(first[2], second[2])
    assert _initialized(build) == ["new"]


def test_a_build_that_fixes_its_own_seed_is_left_as_it_is():
    def build():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input([6]), layers.Dense(5, "relu")])

    np.testing.assert_array_equal(weights_of(build, 3)[0], build().get_weights()[0])


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
def test_a_mask_beside_the_input_of_a_nested_model_is_no_obstacle():
    def build():
        inputs, mask = keras.Input([6, 3]), keras.Input([6], dtype="bool")
        nested = keras.Sequential([keras.Input([6, 3]), layers.LSTM(2)])
        return keras.Model([inputs, mask], nested(layers.Dense(3, name="first")(inputs), mask=mask))

    assert _initialized(build) == []


def test_two_different_networks_are_refused():
    units = iter([3, 4])
    with pytest.raises(ValueError, match="two different networks"):
        weights_of(lambda: keras.Sequential([keras.Input([6]), layers.Dense(next(units))]), 1)
