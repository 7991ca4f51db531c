"""Stacked members answer as the members do; what can't be stacked says why."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.data.preprocessing import Attachment, fit
from kerastune.data.profiling import profile
from kerastune.data.tabular import fit_table
from kerastune.inference.stacking import stacked_model
from kerastune.inference.stacking.layers import RULES
from kerastune.inference.stacking.stacked import CannotStack
from kerastune.models.hypermodels import networks, text_network
from kerastune.models.hypermodels.embeddings import Columns

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (6, 12, 10, 3)).astype(np.uint8)
TABLE = GENERATOR.normal(3.0, 2.0, (6, 5))


def several(build, count=3):
    """Members of an architecture with weights that differ, biases and moving statistics too."""
    members = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        members.append(build())
        generator = np.random.default_rng(seed)
        for variable in members[-1].weights:
            variable.assign(variable.numpy() + generator.uniform(0.0, 0.2, variable.shape))
    return members


def assert_same(model, members, x):
    wanted = np.stack(
        [keras.ops.convert_to_numpy(member(x, training=False)) for member in members], axis=1
    )
    np.testing.assert_allclose(
        model(x, training=False), wanted, atol=1e-5 * max(1, np.abs(wanted).max())
    )
    assert len({each.tobytes() for each in np.moveaxis(wanted, 1, 0)}) == len(members)


def sequential(*parts, shape=(12, 10, 3)):
    return lambda: keras.Sequential([keras.Input(shape), *(part() for part in parts)])


def squeeze_and_excite():
    inputs = keras.Input((12, 10, 3))
    x = layers.Conv2D(4, 3)(inputs)
    weights = layers.Dense(4, "sigmoid")(
        layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    )
    x = layers.Concatenate()([layers.Multiply()([x, weights]), layers.AveragePooling2D(1)(x)])
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))


def embedded_columns():
    inputs = keras.Input((12, 10, 3))
    edges = ((-1.0, 0.0, 0.5), (0.0, 1.0))
    columns = Columns((0, 7), edges, categories=((8, 20),), texts=((20, 30),))
    table = networks.mlp((30,), 4, "classification", 5, columns=columns)
    return keras.Model(inputs, table(layers.Flatten()(inputs[:, 0])))


def embedded_words():
    inputs = keras.Input((12, 10, 3))
    numbers = keras.ops.cast(6 * inputs[:, :, 0, 0], "int32")
    return keras.Model(inputs, text_network.text(12, 6, 4, "classification", units=5)(numbers))


BUILDERS = {
    "mlp": lambda: networks.mlp((12, 10, 3), 4, "classification", units=6),
    "embedded": embedded_columns,
    "words": embedded_words,
    "linear": lambda: networks.mlp((12, 10, 3), 4, "regression", num_layers=0),
    "cnn": lambda: networks.cnn((12, 10, 3), 4, "classification", filters=3, dense_units=5),
    "cnn with BatchNorm": lambda: networks.cnn(
        (12, 10, 3), 4, "classification", 3, 5, batch_norm=True
    ),
    "resnet": lambda: networks.resnet((12, 10, 3), 4, "classification", blocks=1, width=3),
    "gates": squeeze_and_excite,
    "activations": sequential(
        lambda: layers.Conv2D(4, 3, activation="softmax"),
        lambda: layers.LeakyReLU(0.2),
        lambda: layers.Activation("elu"),
        lambda: layers.ELU(),
        lambda: layers.Conv2D(4, 3, strides=2, activation="gelu"),
        lambda: layers.Flatten(),
        lambda: layers.Dense(3, activation="tanh"),
        lambda: layers.Softmax(),
    ),
    "depthwise and groups": sequential(
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        lambda: layers.Conv2D(6, 1, groups=2, padding="same"),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.BatchNormalization(scale=False),
        lambda: layers.ReLU(6.0),
        lambda: layers.Dropout(0.5),
        lambda: layers.SpatialDropout2D(0.5),
        lambda: layers.UpSampling2D(2),
        lambda: layers.Cropping2D(1),
        lambda: layers.ZeroPadding2D(1),
        lambda: layers.MaxPooling2D(2),
        lambda: layers.Dense(3, activation="relu"),
        lambda: layers.Flatten(),
        lambda: layers.Dense(2),
    ),
    "normalized at once": sequential(
        lambda: layers.BatchNormalization(center=False),
        lambda: layers.Rescaling([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]),
        lambda: layers.Reshape((120, 3)),
        lambda: layers.Conv1D(4, 5, padding="causal", dilation_rate=2),
        lambda: layers.GlobalAveragePooling1D(),
        lambda: layers.Dense(2, use_bias=False),
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_stacked_members_and_branches_give_what_the_members_give(name):
    members, x = several(BUILDERS[name]), IMAGES.astype(np.float32) / 255
    for make in (stacked_model.stack, stacked_model.branches):
        assert_same(make(members), members, x)


def test_one_member_can_be_stacked_too():
    members = several(BUILDERS["cnn"], count=1)
    assert_same(stacked_model.stack(members), members, IMAGES.astype(np.float32))


def test_every_rule_is_tried_by_a_test_above_or_is_the_same_rule_as_one_that_is():
    tried = {type(layer) for build in BUILDERS.values() for layer in build()._flatten_layers()}
    assert {rule for kind, rule in RULES.items()} == {
        RULES[kind] for kind in tried if kind in RULES
    }


def test_preprocessing_is_computed_once_and_raw_inputs_go_in():
    attach = Attachment(fit(profile(IMAGES), True, True))
    members = several(lambda: attach(networks.cnn((12, 10, 3), 4, "classification", filters=3)))
    stacked = stacked_model.stack(members)
    assert_same(stacked, members, IMAGES)
    assert stacked.input.dtype == "uint8"
    kinds = [type(operation).__name__ for operation in stacked.operations]
    assert kinds.count("Cast") == [
        type(operation).__name__ for operation in members[0].operations
    ].count("Cast")


def test_columns_with_texts_and_units_of_the_targets_are_carried():
    columns = {"size (cm)": TABLE[:, 0], "city": np.array(["Bonn", "Rome"] * 3)}
    attach = Attachment(fit_table(columns, True), 150.0, 75.0)
    members = several(lambda: attach(networks.mlp((3,), 1, "regression", units=4)))
    raw = {
        "size__cm_": keras.ops.convert_to_tensor(columns["size (cm)"][:, None]),
        "city": keras.ops.convert_to_tensor(columns["city"][:, None].tolist()),
    }
    stacked = stacked_model.stack(members)
    assert_same(stacked, members, raw)
    assert set(stacked.input) == set(raw)


@pytest.mark.parametrize("make", [stacked_model.stack, stacked_model.branches])
def test_it_is_saved_and_loaded_without_kerastune(make, tmp_path):
    members = several(BUILDERS["resnet"])
    make(members).save(tmp_path / "model.keras")
    assert_same(
        keras.models.load_model(tmp_path / "model.keras"), members, IMAGES.astype(np.float32)
    )


def test_members_loaded_from_files_and_trained_with_other_regularizers_can_be_stacked(tmp_path):
    members = []
    for number, rate in enumerate((0.0, 0.3)):
        build = sequential(
            layers.Flatten,
            functools.partial(
                layers.Dense, 4, "relu", kernel_regularizer=keras.regularizers.L2(rate)
            ),
            functools.partial(layers.Dropout, rate),
            functools.partial(layers.Dense, 2),
        )
        keras.utils.set_random_seed(number)
        build().save(tmp_path / "m.keras")
        members.append(keras.models.load_model(tmp_path / "m.keras"))
    assert_same(stacked_model.stack(members), members, IMAGES.astype(np.float32) / 255)


def test_the_members_stay_as_they_are():
    members = several(BUILDERS["resnet"])
    before = [member.get_weights() for member in members]
    names = [[layer.name for layer in member.layers] for member in members]
    stacked_model.fastest(members, IMAGES.astype(np.float32), rounds=1)
    for member, weights, called in zip(members, before, names, strict=True):
        assert [layer.name for layer in member.layers] == called
        assert all(np.array_equal(a, b) for a, b in zip(member.get_weights(), weights, strict=True))


class Own(layers.Layer):
    def call(self, x):
        return x * 2.0


class OwnDense(layers.Dense):
    def call(self, x):
        return super().call(x) * 2.0


def dense(units, *more):
    return lambda: keras.Sequential(
        [keras.Input((4,)), layers.Dense(units), *(part() for part in more)]
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([dense(3), dense(5)], "different settings"),
        ([dense(3), dense(3, layers.ReLU)], "different numbers of layers"),
        ([dense(3, layers.ReLU), dense(3, layers.Softmax)], "not of the same kind"),
        ([dense(3, Own)] * 2, r"\(Own\) has no stacked form"),
        ([dense(3, lambda: OwnDense(2))] * 2, r"\(OwnDense\) has no stacked form"),
        ([dense(3, layers.LayerNormalization)] * 2, "LayerNormalization"),
        ([dense(3, lambda: layers.Activation(keras.ops.square))] * 2, "activation 'square'"),
        (
            [lambda n=n: keras.Sequential([keras.Input((n,)), layers.Dense(3)]) for n in (4, 5)],
            "different shapes",
        ),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_name_and_becomes_branches(members, said):
    members = [build() for build in members]
    with pytest.raises(CannotStack, match=said):
        stacked_model.stack(members)


def test_members_whose_preprocessing_differs_become_branches():
    members = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        attach = Attachment(fit(profile(TABLE * (seed + 1)), False, True))
        members.append(attach(networks.mlp((5,), 3, "classification", units=4)))
    model, report = stacked_model.fastest(members, TABLE, rounds=1)
    assert (
        report.kept == "branches"
        and "can't be stacked" in report.reason
        and not report.milliseconds
    )
    assert_same(model, members, TABLE)


def test_the_faster_of_both_is_kept(monkeypatch):
    members = several(dense(3))
    x = GENERATOR.normal(size=(6, 4)).astype(np.float32)
    for times, wanted in (((1.0, 2.0), "branches"), ((2.0, 1.0), "stacked")):
        measured = iter([dict(zip(("branches", "stacked"), times, strict=True))] * 2)
        monkeypatch.setattr(
            stacked_model.benchmark, "medians", lambda *_, measured=measured: next(measured)
        )
        model, report = stacked_model.fastest(members, x)
        assert report.kept == wanted and f"{wanted} is faster" in report.reason
        assert report.milliseconds["stacked"] == dict.fromkeys((1, 64), 1000 * times[1])
        assert_same(model, members, x)
    assert any(
        "Einsum" in type(layer).__name__ or layer.name.startswith("reshape")
        for layer in model.layers
    )


def test_a_single_member_is_not_measured():
    members = several(dense(3), count=1)
    model, report = stacked_model.fastest(members, np.zeros((1, 4), np.float32))
    assert "nothing to stack" in report.reason
    assert_same(model, members, np.ones((2, 4), np.float32))
