import json
import logging

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune import surgery


@keras.saving.register_keras_serializable("test_surgery")
class Subclassed(keras.Model):
    """Regularised in every way, without a graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(8, "relu", kernel_regularizer="l2", activity_regularizer="l1", name="hidden")
        self.blocks = [keras.Sequential([layers.Dense(6), layers.Dropout(0.4)]), layers.GaussianNoise(0.3)]
        self.out = layers.Dense(2, name="out")

    def call(self, x, training=False):
        x = self.hidden(x)
        for block in self.blocks:
            x = block(x, training=training)
        return self.out(x)


class TensorFlowNoise(layers.Layer):
    """Random without a Keras seed generator."""

    def call(self, x, training=False):
        return x + tf.random.normal(tf.shape(x)) if training else x


class DropPath(layers.Layer):
    """Random with a seed generator of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        return keras.random.dropout(x, 0.5, seed=self.generator) if training else x


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(x**2))
        return x


def _noisy(shape, *noisy):
    return keras.Sequential([keras.Input(shape), *noisy, layers.Flatten(), layers.Dense(2)])


def _x(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _state(model):
    return [variable.numpy() for variable in model.variables]


def _subclassed():
    model = Subclassed(name="subclassed")
    model(_x(2, 5))
    return model


def _nested():
    inner = keras.Sequential(
        [keras.Input([5]), layers.Dense(4, bias_regularizer="l1", name="deep"), layers.AlphaDropout(0.2)]
    )
    inputs = keras.Input([5])
    return keras.Model(inputs, layers.Dense(2)(keras.Model(inputs, inner(inputs), name="middle")(inputs)))


def _attention(layer):
    inputs = keras.Input([6, 4])
    return keras.Model(inputs, layer(inputs, inputs))


def _dot_attention():
    inputs = keras.Input([6, 4])
    return keras.Model(inputs, layers.Attention(dropout=0.5, name="n")([inputs, inputs]))


NOISY = {
    "dropout": (lambda: _noisy([6], layers.Dropout(0.5, name="n")), (4, 6), {"n.rate"}),
    "spatial": (lambda: _noisy([6, 6, 2], layers.SpatialDropout2D(0.5, name="n")), (4, 6, 6, 2), {"n.rate"}),
    "gaussian dropout": (lambda: _noisy([6], layers.GaussianDropout(0.5, name="n")), (4, 6), {"n.rate"}),
    "alpha": (lambda: _noisy([6], layers.AlphaDropout(0.5, name="n")), (4, 6), {"n.rate"}),
    "noise": (lambda: _noisy([6], layers.GaussianNoise(0.5, name="n")), (4, 6), {"n.stddev"}),
    "lstm": (
        lambda: _noisy([6, 3], layers.LSTM(4, dropout=0.4, recurrent_dropout=0.5, name="n")),
        (4, 6, 3),
        {"lstm_cell.dropout", "lstm_cell.recurrent_dropout"},
    ),
    "bidirectional gru": (
        lambda: _noisy([6, 3], layers.Bidirectional(layers.GRU(4, recurrent_dropout=0.5))),
        (4, 6, 3),
        {"gru_cell.recurrent_dropout"},
    ),
    "conv lstm": (
        lambda: _noisy([3, 6, 2], layers.ConvLSTM1D(4, 3, dropout=0.5)),
        (4, 3, 6, 2),
        {"conv_lstm_cell.dropout"},
    ),
    "subclassed": (
        _subclassed,
        (4, 5),
        {"dropout.rate", "gaussian_noise.stddev", "hidden.activity_regularizer"},
    ),
    "nested": (_nested, (4, 5), {"alpha_dropout.rate"}),
    "multi-head attention": (
        lambda: _attention(layers.MultiHeadAttention(2, 4, dropout=0.5, name="n", activity_regularizer="l2")),
        (4, 6, 4),
        {"n.dropout", "dropout.rate"},
    ),
    "grouped attention": (
        lambda: _attention(layers.GroupQueryAttention(4, 4, 2, dropout=0.5, name="n")),
        (4, 6, 4),
        {"n.dropout", "dropout.rate"},
    ),
    "attention": (_dot_attention, (4, 6, 4), {"n.dropout"}),
}


@pytest.fixture(autouse=True)
def _names_start_anew():
    keras.utils.clear_session()


@pytest.mark.parametrize("case", NOISY)
def test_off_means_that_training_computes_what_inference_does_and_adds_no_loss(case):
    build, shape, names = NOISY[case]
    model, x = build(), _x(*shape)
    assert np.abs(model(x, training=True).numpy() - model(x).numpy()).max() > 1e-3
    regularisers = surgery.switch_regularisers_off(model, x)
    assert names <= set(regularisers.names)
    assert regularisers.unreached == ()
    np.testing.assert_allclose(model(x, training=True), model(x), atol=1e-6)
    assert model.losses == []


@pytest.mark.parametrize("case", NOISY)
def test_restore_gives_the_same_behaviour_and_configuration_as_before(case):
    build, shape, _ = NOISY[case]
    model, x = build(), _x(*shape)

    def configuration():
        return json.dumps([layer.get_config() for layer in model._flatten_layers()], default=repr, sort_keys=True)

    def behaviour():
        for variable, value in zip(model.variables, state, strict=True):
            variable.assign(value)
        return model(x, training=True).numpy(), [float(loss) for loss in model.losses]

    state, before = _state(model), configuration()
    outputs, losses = behaviour()
    surgery.switch_regularisers_off(model, x).restore()
    assert configuration() == before
    outputs_again, losses_again = behaviour()
    np.testing.assert_array_equal(outputs, outputs_again)
    assert losses == losses_again


def test_regularisers_of_any_variable_are_switched():
    model = keras.Sequential(
        [
            keras.Input([3, 4]),
            layers.SimpleRNN(2, recurrent_regularizer="l2", name="recurrent"),
            layers.BatchNormalization(gamma_regularizer="l1", name="norm"),
            layers.ActivityRegularization(l2=0.1, name="activity"),
            layers.Dense(1, kernel_regularizer="l2", bias_regularizer="l1", name="out"),
        ]
    )
    penalties = [variable.regularizer for variable in model.weights]
    regularisers = surgery.switch_regularisers_off(model)
    assert [name.split("/", 1)[-1] for name in regularisers.names] == [
        "activity.activity_regularizer",
        "recurrent/simple_rnn_cell/recurrent_kernel.regularizer",
        "norm/gamma.regularizer",
        "out/kernel.regularizer",
        "out/bias.regularizer",
    ]
    assert model.losses == []
    regularisers.restore()
    assert [variable.regularizer for variable in model.weights] == penalties
    assert len(model.losses) == 4


@pytest.mark.parametrize("wrap", [lambda each: each, keras.optimizers.LossScaleOptimizer])
def test_weight_decay_is_switched_and_the_optimizer_can_be_saved_meanwhile(wrap):
    model = _noisy([3])
    optimizer = keras.optimizers.AdamW(weight_decay=0.3)
    model.compile(wrap(optimizer), "mse")
    regularisers = surgery.switch_regularisers_off(model)
    assert regularisers.names == ["adam_w.weight_decay"] and optimizer.weight_decay == 0.0
    keras.optimizers.deserialize(keras.optimizers.serialize(model.optimizer))  # AdamW refuses a decay of None
    regularisers.restore()
    assert optimizer.weight_decay == 0.3


def test_the_decay_of_muons_adam_part_is_switched_too():
    model = _noisy([3])
    model.compile(keras.optimizers.Muon(), "mse")
    assert surgery.switch_regularisers_off(model).names == ["muon.weight_decay", "muon.adam_weight_decay"]


def test_a_model_that_keras_has_traced_already_is_traced_anew():
    model, x, y = _noisy([3], layers.Dropout(0.9)), _x(8, 3), np.zeros([8, 2])
    model.add(layers.Dense(1, kernel_regularizer=keras.regularizers.L2(100.0)))
    model.compile(keras.optimizers.SGD(0.0), "mse")

    def loss():
        return model.fit(x, y[:, :1], verbose=0).history["loss"][0], model.evaluate(x, y[:, :1], verbose=0)

    with_penalty = loss()
    regularisers = surgery.switch_regularisers_off(model)
    plain = loss()
    np.testing.assert_allclose(plain, np.mean(model.predict(x, verbose=0) ** 2), rtol=1e-5)
    regularisers.restore()
    np.testing.assert_allclose(loss()[1], with_penalty[1], rtol=1e-5)
    assert with_penalty[1] > plain[1] + 1


def test_a_model_without_regularisers_keeps_its_compiled_functions():
    model = _noisy([3])
    model.compile("sgd", "mse")
    model.fit(_x(4, 3), np.zeros([4, 2]), verbose=0)
    traced = model.train_function
    assert surgery.switch_regularisers_off(model, _x(4, 3)).names == []
    assert model.train_function is traced


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: DropPath(name="n"), "n"),
        (lambda: TensorFlowNoise(name="n"), "n"),
        (lambda: layers.RandomTranslation(0.3, 0.3, name="n"), "n"),
        (lambda: layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)), name="n"), "n"),
        (lambda: Penalty(name="n"), "n (add_loss)"),
    ],
)
def test_what_cannot_be_reached_is_named_in_one_warning(layer, name, caplog):
    model = _noisy([6, 6, 1], layers.Conv2D(2, 3), layer(), layers.BatchNormalization(), layers.Dropout(0.5))
    state = _state(model)
    with caplog.at_level(logging.WARNING, "kerastune"):
        regularisers = surgery.switch_regularisers_off(model, _x(16, 6, 6, 1))
    assert regularisers.unreached == (name,)
    assert len(caplog.records) == 1 and name in caplog.text
    assert model.losses == []
    for before, after in zip(state, _state(model), strict=True):
        np.testing.assert_array_equal(before, after)


def test_randomness_of_both_kinds_is_named_together():
    model = _noisy([6], DropPath(name="seeded"), TensorFlowNoise(name="seedless"), Penalty(name="penalty"))
    found = surgery.leftover_randomness(model, _x(4, 6))
    assert sorted(found) == ["penalty", "penalty (add_loss)", "seeded", "seedless"]


def test_randomness_in_the_models_own_call_is_the_models():
    class Model(keras.Model):
        def call(self, x, training=False):
            return x + tf.random.normal(tf.shape(x)) if training else x

    model = Model(name="mine")
    model(_x(4, 3))
    assert surgery.leftover_randomness(model, _x(4, 3)) == ["mine"]


def test_a_loss_added_by_a_subclassed_model_and_a_dict_of_inputs_are_seen():
    class Model(keras.Model):
        def call(self, x):
            self.add_loss(keras.ops.mean(x["a"]))
            return x["a"], x["b"]

    model, x = Model(name="mine"), {"a": _x(4, 3), "b": _x(4, 2)}
    model(x)
    assert surgery.leftover_randomness(model, x) == ["mine (add_loss)"]


def test_an_unbuilt_model_is_refused_with_the_remedy():
    unbuilt = keras.Sequential([layers.Dense(1)], name="later")
    for misuse in (
        lambda: surgery.switch_regularisers_off(unbuilt),
        lambda: surgery.leftover_randomness(unbuilt, _x(1, 1)),
        lambda: surgery.initial_weights(lambda: keras.Sequential([layers.Dense(1)], name="later"), 1),
    ):
        with pytest.raises(ValueError, match="`later` is not built yet: call it once on a batch"):
            misuse()


def _conv(name, **kwargs):
    return layers.Conv2D(4, 3, padding="same", name=name, **kwargs)


def _initialised(build, seed=1):
    return surgery.initialise_by_activation(build(), build().get_weights(), seed)


def test_he_follows_the_layers_own_activation():
    def build():
        names = ["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "selu", "softmax", None]
        return keras.Sequential([keras.Input([5])] + [layers.Dense(5, each, name=str(each)) for each in names])

    assert _initialised(build) == ["relu", "leaky_relu", "gelu", "silu"]


def test_he_follows_an_activation_layer_with_others_in_between():
    def build():
        return keras.Sequential(
            [
                keras.Input([8, 8, 3]),
                _conv("a"), layers.BatchNormalization(), layers.ReLU(),
                _conv("b"), layers.MaxPooling2D(), layers.Dropout(0.1), layers.LeakyReLU(),
                layers.SeparableConv2D(4, 3, name="c"), layers.Activation("linear"), layers.Activation("relu"),
                layers.DepthwiseConv2D(2, name="d", activation="relu"),
                _conv("not e"), layers.Activation("tanh"), layers.Activation("relu"),
                layers.Conv2DTranspose(4, 3, name="f"), layers.Flatten(), layers.PReLU(),
                layers.Dense(4, name="not g"), layers.Dense(4, "relu", name="h"), layers.Dense(2, name="not i"),
            ]
        )  # fmt: skip

    assert _initialised(build) == list("abcdfh")


def test_he_goes_through_branches_bare_operations_and_nested_models():
    def build():
        inner_input = keras.Input([8, 8, 4])
        inner = keras.Model(inner_input, _conv("last inside")(layers.ReLU()(inner_input)), name="inner")
        inputs = keras.Input([8, 8, 4])
        x = inner(_conv("before nested")(inputs))
        x = layers.Add()([x, _conv("shortcut")(inputs)])
        x = keras.ops.relu(layers.BatchNormalization()(x))
        y = _conv("plus")(x) + x
        sequential = keras.Sequential([keras.Input([8, 8, 4]), layers.ReLU(), _conv("to the end")], name="tail")
        return keras.Model(inputs, sequential(y))

    assert set(_initialised(build)) == {"last inside", "before nested", "shortcut", "plus"}


def test_what_another_model_does_with_a_layer_does_not_count():
    def build():
        inputs = keras.Input([4])
        features = layers.Dense(3, name="features")(inputs)
        keras.Model(inputs, layers.ReLU()(features))
        return keras.Model(inputs, features)

    assert _initialised(build) == []


def test_in_a_subclassed_model_only_the_own_activation_is_known_but_graphs_inside_are_read():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(4, "relu", name="first")
            self.block = keras.Sequential([keras.Input([4]), layers.Dense(4, name="block"), layers.ReLU()])
            self.last = layers.Dense(4, name="last")

        def call(self, x):
            return keras.ops.relu(self.last(self.block(self.first(x))))

    def build():
        model = Model()
        model(_x(2, 4))
        return model

    assert sorted(_initialised(build)) == ["block", "first"]


def test_initialisers_the_user_chose_and_recurrent_cells_are_left():
    chosen = [
        "he_normal", "glorot_normal", "orthogonal", keras.initializers.GlorotUniform(seed=3),
        keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator()),
        keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform"),
    ]  # fmt: skip

    def build():
        dense = [layers.Dense(4, "relu", kernel_initializer=each) for each in chosen]
        return keras.Sequential([keras.Input([6, 4]), *dense, layers.LSTM(3, activation="relu"), layers.Dense(1)])

    assert _initialised(build) == []


def test_the_values_are_he_uniform_and_the_configuration_says_so():
    def build():
        return keras.Sequential([keras.Input([600]), layers.Dense(300, "relu"), layers.Dense(10)])

    model = surgery.build_initialised(build, 1)
    hidden, out = (layer.kernel.numpy() for layer in model.layers)
    limit = np.sqrt(6 / 600)
    assert 0.99 * limit < np.abs(hidden).max() <= limit
    assert np.abs(out).max() <= np.sqrt(6 / 310)
    restored = keras.Sequential.from_config(model.get_config())
    assert [type(layer.kernel_initializer).__name__ for layer in restored.layers] == ["HeUniform", "GlorotUniform"]
    # The seed is not written down: built again, it is a new draw of the same distribution.
    assert not np.array_equal(restored.layers[0].kernel, hidden)
    assert 0.99 * limit < np.abs(restored.layers[0].kernel.numpy()).max() <= limit


def test_initial_weights_depend_on_the_seed_alone():
    def build():
        return keras.Sequential(
            [keras.Input([6]), *(layers.Dense(6, "relu") for _ in range(2)), layers.Dropout(0.5), layers.Dense(2)]
        )

    first = surgery.initial_weights(build, 1)
    np.random.seed(77)
    keras.random.normal([3])
    again, other = surgery.initial_weights(build, 1), surgery.initial_weights(build, 2)
    for kernel in (0, 2, 4):
        np.testing.assert_array_equal(first[kernel], again[kernel])
        assert not np.array_equal(first[kernel], other[kernel])
    assert not np.array_equal(first[0], first[2])  # equal shapes, different positions
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(build().get_weights()[4], first[4])  # Glorot's are as the seed makes them
    build().set_weights(first)


def test_he_values_do_not_depend_on_the_rest_of_the_network():
    def build(*more):
        return lambda: keras.Sequential([keras.Input([6]), layers.Dense(6, "relu"), layers.Dense(6, "relu"), *more])

    short = surgery.initial_weights(build(), 5)
    for a, b in zip(short, surgery.initial_weights(lambda: build(layers.Dense(2))(), 5), strict=False):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 reading h5
def test_loaded_weights_stay_in_a_users_build_function(tmp_path):
    def backbone():
        return keras.Sequential([keras.Input([6]), layers.Dense(5, "relu", name="pretrained")], name="backbone")

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

    first, second = surgery.initial_weights(build, 1), surgery.initial_weights(build, 2)
    for weights in (first, second):
        np.testing.assert_array_equal(weights[0], pretrained.get_weights()[0])
    assert not np.array_equal(first[2], second[2])
    assert _initialised(build) == ["new"]


def test_a_build_that_fixes_its_own_seed_is_left_as_it_is():
    def build():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input([6]), layers.Dense(5, "relu")])

    np.testing.assert_array_equal(surgery.initial_weights(build, 3)[0], build().get_weights()[0])


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
def test_a_mask_beside_the_input_of_a_nested_model_is_no_obstacle():
    def build():
        inputs, mask = keras.Input([6, 3]), keras.Input([6], dtype="bool")
        nested = keras.Sequential([keras.Input([6, 3]), layers.LSTM(2)])
        return keras.Model([inputs, mask], nested(layers.Dense(3, name="first")(inputs), mask=mask))

    assert _initialised(build) == []


def test_two_different_networks_are_refused():
    units = iter([3, 4])
    with pytest.raises(ValueError, match="two different networks"):
        surgery.initial_weights(lambda: keras.Sequential([keras.Input([6]), layers.Dense(next(units))]), 1)
