import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.models import regularization


@keras.saving.register_keras_serializable("test_surgery")
class Subclassed(keras.Model):
    """Regularized in every way, without a graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(
            8, "relu", kernel_regularizer="l2", activity_regularizer="l1", name="hidden"
        )
        self.blocks = [
            keras.Sequential([layers.Dense(6), layers.Dropout(0.4)]),
            layers.GaussianNoise(0.3),
        ]
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
        [
            keras.Input([5]),
            layers.Dense(4, bias_regularizer="l1", name="deep"),
            layers.AlphaDropout(0.2),
        ]
    )
    inputs = keras.Input([5])
    return keras.Model(
        inputs, layers.Dense(2)(keras.Model(inputs, inner(inputs), name="middle")(inputs))
    )


def _attention(layer):
    inputs = keras.Input([6, 4])
    return keras.Model(inputs, layer(inputs, inputs))


def _dot_attention():
    inputs = keras.Input([6, 4])
    return keras.Model(inputs, layers.Attention(dropout=0.5, name="n")([inputs, inputs]))


NOISY = {
    "dropout": (lambda: _noisy([6], layers.Dropout(0.5, name="n")), (4, 6), {"n.rate"}),
    "spatial": (
        lambda: _noisy([6, 6, 2], layers.SpatialDropout2D(0.5, name="n")),
        (4, 6, 6, 2),
        {"n.rate"},
    ),
    "gaussian dropout": (
        lambda: _noisy([6], layers.GaussianDropout(0.5, name="n")),
        (4, 6),
        {"n.rate"},
    ),
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
        lambda: _attention(
            layers.MultiHeadAttention(2, 4, dropout=0.5, name="n", activity_regularizer="l2")
        ),
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
    regularizers = regularization.switch_regularizers_off(model, x)
    assert names <= set(regularizers.names)
    assert regularizers.unreached == ()
    np.testing.assert_allclose(model(x, training=True), model(x), atol=1e-6)
    assert model.losses == []


@pytest.mark.parametrize("case", NOISY)
def test_restore_gives_the_same_behavior_and_configuration_as_before(case):
    build, shape, _ = NOISY[case]
    model, x = build(), _x(*shape)

    def configuration():
        return json.dumps(
            [layer.get_config() for layer in model._flatten_layers()], default=repr, sort_keys=True
        )

    def behavior():
        for variable, value in zip(model.variables, state, strict=True):
            variable.assign(value)
        return model(x, training=True).numpy(), [float(loss) for loss in model.losses]

    state, before = _state(model), configuration()
    outputs, losses = behavior()
    regularization.switch_regularizers_off(model, x).restore()
    assert configuration() == before
    outputs_again, losses_again = behavior()
    np.testing.assert_array_equal(outputs, outputs_again)
    assert losses == losses_again


def test_regularizers_of_any_variable_are_switched():
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
    regularizers = regularization.switch_regularizers_off(model)
    assert [name.split("/", 1)[-1] for name in regularizers.names] == [
        "activity.activity_regularizer",
        "recurrent/simple_rnn_cell/recurrent_kernel.regularizer",
        "norm/gamma.regularizer",
        "out/kernel.regularizer",
        "out/bias.regularizer",
    ]
    assert model.losses == []
    regularizers.restore()
    assert [variable.regularizer for variable in model.weights] == penalties
    assert len(model.losses) == 4


@pytest.mark.parametrize("wrap", [lambda each: each, keras.optimizers.LossScaleOptimizer])
def test_weight_decay_is_switched_and_the_optimizer_can_be_saved_meanwhile(wrap):
    model = _noisy([3])
    optimizer = keras.optimizers.AdamW(weight_decay=0.3)
    model.compile(wrap(optimizer), "mse")
    regularizers = regularization.switch_regularizers_off(model)
    assert regularizers.names == ["adam_w.weight_decay"] and optimizer.weight_decay == 0.0
    # AdamW refuses a decay of None.
    keras.optimizers.deserialize(keras.optimizers.serialize(model.optimizer))
    regularizers.restore()
    assert optimizer.weight_decay == 0.3


def test_the_decay_of_muons_adam_part_is_switched_too():
    model = _noisy([3])
    model.compile(keras.optimizers.Muon(), "mse")
    assert regularization.switch_regularizers_off(model).names == [
        "muon.weight_decay",
        "muon.adam_weight_decay",
    ]


def test_a_model_that_keras_has_traced_already_is_traced_anew():
    model, x, y = _noisy([3], layers.Dropout(0.9)), _x(8, 3), np.zeros([8, 2])
    model.add(layers.Dense(1, kernel_regularizer=keras.regularizers.L2(100.0)))
    model.compile(keras.optimizers.SGD(0.0), "mse")

    def loss():
        return model.fit(x, y[:, :1], verbose=0).history["loss"][0], model.evaluate(
            x, y[:, :1], verbose=0
        )

    with_penalty = loss()
    regularizers = regularization.switch_regularizers_off(model)
    plain = loss()
    np.testing.assert_allclose(plain, np.mean(model.predict(x, verbose=0) ** 2), rtol=1e-5)
    regularizers.restore()
    np.testing.assert_allclose(loss()[1], with_penalty[1], rtol=1e-5)
    assert with_penalty[1] > plain[1] + 1


def test_a_model_without_regularizers_keeps_its_compiled_functions():
    model = _noisy([3])
    model.compile("sgd", "mse")
    model.fit(_x(4, 3), np.zeros([4, 2]), verbose=0)
    traced = model.train_function
    assert regularization.switch_regularizers_off(model, _x(4, 3)).names == []
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
    model = _noisy(
        [6, 6, 1], layers.Conv2D(2, 3), layer(), layers.BatchNormalization(), layers.Dropout(0.5)
    )
    state = _state(model)
    with caplog.at_level(logging.WARNING, "kerastune"):
        regularizers = regularization.switch_regularizers_off(model, _x(16, 6, 6, 1))
    assert regularizers.unreached == (name,)
    assert len(caplog.records) == 1 and name in caplog.text
    assert model.losses == []
    for before, after in zip(state, _state(model), strict=True):
        np.testing.assert_array_equal(before, after)


def test_randomness_of_both_kinds_is_named_together():
    model = _noisy(
        [6], DropPath(name="seeded"), TensorFlowNoise(name="seedless"), Penalty(name="penalty")
    )
    found = regularization.leftover_randomness(model, _x(4, 6))
    assert sorted(found) == ["penalty", "penalty (add_loss)", "seeded", "seedless"]


def test_randomness_in_the_models_own_call_is_the_models():
    class Model(keras.Model):
        def call(self, x, training=False):
            return x + tf.random.normal(tf.shape(x)) if training else x

    model = Model(name="mine")
    model(_x(4, 3))
    assert regularization.leftover_randomness(model, _x(4, 3)) == ["mine"]


def test_a_loss_added_by_a_subclassed_model_and_a_dict_of_inputs_are_seen():
    class Model(keras.Model):
        def call(self, x):
            self.add_loss(keras.ops.mean(x["a"]))
            return x["a"], x["b"]

    model, x = Model(name="mine"), {"a": _x(4, 3), "b": _x(4, 2)}
    model(x)
    assert regularization.leftover_randomness(model, x) == ["mine (add_loss)"]


def test_an_unbuilt_model_is_refused_with_the_remedy():
    unbuilt = keras.Sequential([layers.Dense(1)], name="later")
    for misuse in (
        lambda: regularization.switch_regularizers_off(unbuilt),
        lambda: regularization.leftover_randomness(unbuilt, _x(1, 1)),
    ):
        with pytest.raises(ValueError, match="`later` is not built yet: call it once on a batch"):
            misuse()


# Dropout at another rate (S4.1)


def test_every_layer_of_the_dropout_family_gets_the_rate_wherever_it_is():
    family = [layers.SpatialDropout1D(0.1), layers.GaussianDropout(0.2), layers.AlphaDropout(0.0)]
    inner = keras.Sequential([layers.Dropout(0.0, name="inside"), layers.GaussianNoise(0.7)])
    model = _noisy([4, 3], *family, inner)
    assert len(regularization.dropout_layers(model)) == 4
    regularization.set_dropout(model, 0.25)
    assert [layer.rate for layer in regularization.dropout_layers(model)] == [0.25] * 4
    assert inner.layers[1].stddev == 0.7
    subclassed = Subclassed()
    subclassed(_x(2, 4))
    regularization.set_dropout(subclassed, 0.25)
    assert subclassed.blocks[0].layers[1].rate == 0.25


def test_dropout_inside_attention_stays_its_own():
    inputs = keras.Input([5, 8])
    attended = layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)
    model = keras.Model(inputs, layers.Dropout(0.0, name="own")(attended))
    assert [layer.name for layer in regularization.dropout_layers(model)] == ["own"]


@pytest.mark.parametrize(
    "kind", [layers.Dropout, layers.GaussianDropout, layers.AlphaDropout, layers.SpatialDropout1D]
)
def test_a_layer_that_was_built_with_no_rate_drops_at_the_new_one_and_is_saved_with_it(
    kind, tmp_path
):
    # So many channels that the mean is no luck.
    model = keras.Sequential([keras.Input([50, 64]), kind(0.0)])
    before = len(model.variables)
    x = np.ones([8, 50, 64], "float32")
    np.testing.assert_array_equal(model(x, training=True), x)
    regularization.set_dropout(model, 0.4)
    assert len(model.variables) == before + 1  # its seeds
    with pytest.raises(ValueError):
        model.layers[0].extra = keras.Variable(1.0)  # built layers are locked again
    seen = model(x, training=True).numpy()
    assert not np.array_equal(seen, x) and not np.array_equal(seen, model(x, training=True))
    if kind is not layers.AlphaDropout:  # which keeps mean and variance of normal inputs
        assert seen.mean() == pytest.approx(1.0, abs=0.25)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").layers[0].rate == 0.4


def test_seeds_of_dropout_follow_the_global_seed_and_are_given_once():
    states = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = _noisy([4], layers.Dropout(0.0), layers.Dropout(0.5))
        regularization.make_dropout_tunable(model)
        regularization.make_dropout_tunable(model)
        states.append(
            [
                layer.seed_generator.state.numpy().tolist()
                for layer in regularization.dropout_layers(model)
            ]
        )
    assert states[0] == states[1] and states[0][0] != states[0][1]


def test_a_rate_for_a_model_without_dropout_is_refused():
    with pytest.raises(ValueError, match="`dropout`.*0.3.*no layer of the Dropout family"):
        regularization.set_dropout(_noisy([4]), 0.3)
