"""A model that averages over views: what comes out, that it is saved, and what is refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.data import loading
from kerastune.inference import tta, views
from kerastune.inference.views import Flip, Noise, Shift
from kerastune.models import output_kind
from kerastune.models.hypermodels import networks

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=[7, 8, 8, 1]).astype("float32")
VIEWS = [Flip("horizontal"), Shift(right=1)]


def network(units=3, activation="softmax", shape=(8, 8, 1), **compiled):
    keras.utils.set_random_seed(1)
    stack = [
        layers.Flatten(),
        layers.Dense(6, "tanh"),
        layers.Dense(units, activation, kernel_initializer="normal"),
    ]
    model = keras.Sequential([keras.Input(shape), *stack])
    if compiled:
        model.compile("sgd", **compiled)
    return model


def by_hand(model, x, weights=(1, 1, 1), finish=lambda outputs: outputs):
    seen = [x, x[:, :, ::-1], np.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)]
    outputs = [finish(np.asarray(model(each))) for each in seen]
    return np.average(outputs, axis=0, weights=weights)


def softmax(values):
    powers = np.exp(values)
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    "model, given, finish",
    [
        (lambda: network(), {}, lambda outputs: outputs),
        (lambda: network(), {"weights": [2, 1, 0]}, lambda outputs: outputs),
        (lambda: network(1, "sigmoid"), {"weights": [0, 1, 3]}, lambda outputs: outputs),
        (lambda: network(activation=None, loss=CROSS_ENTROPY), {}, softmax),
        (lambda: network(activation=None), {"kind": "classification", "sample": IMAGES}, softmax),
        (lambda: network(1, None, loss=BINARY), {}, sigmoid),
        (lambda: network(4, None, loss=BINARY), {}, sigmoid),
        (
            lambda: network(2, None, loss="mse"),
            {"weights": [0.5, 0.25, 0.25]},
            lambda outputs: outputs,
        ),
        (lambda: network(2, None), {"kind": "regression"}, lambda outputs: outputs),
    ],
)
def test_what_comes_out_is_the_mean_over_the_views(model, given, finish):
    model = model()
    expected = by_hand(model, IMAGES, given.get("weights", (1, 1, 1)), finish)
    np.testing.assert_allclose(tta.wrap(model, VIEWS, **given)(IMAGES), expected, atol=1e-6)
    said = tta.outputs_by_view(
        model, IMAGES, VIEWS, output_kind.of(model, IMAGES, given.get("kind"))
    )
    averaged = np.average(list(said.values()), axis=0, weights=given.get("weights"))
    np.testing.assert_allclose(averaged, expected, atol=1e-6)


def test_views_that_do_nothing_change_nothing_and_weights_are_shared():
    model = network()
    wrapped = tta.wrap(model, {"none": Shift(0, 0)})
    np.testing.assert_allclose(wrapped(IMAGES), model(IMAGES), atol=1e-6)
    assert (
        wrapped.variables[0] is model.variables[0]
        and wrapped.count_params() == model.count_params()
    )
    np.testing.assert_allclose(tta.wrap(model, [])(IMAGES), model(IMAGES), atol=1e-6)


def test_predictions_are_probabilities_by_name_in_columns():
    said = tta.predictions(network(1, "sigmoid"), IMAGES, {"mirror": Flip()}, "classification")
    assert list(said) == ["identity", "mirror"] and said["mirror"].shape == (7, 2)
    np.testing.assert_allclose(said["mirror"].sum(axis=1), 1)
    np.testing.assert_allclose(
        said["mirror"][:, 1:], network(1, "sigmoid")(IMAGES[:, :, ::-1]), atol=1e-6
    )
    assert tta.predictions(network(2, None), IMAGES, {}, "regression")["identity"].shape == (7, 2)


def test_many_examples_are_seen_in_pieces(monkeypatch):
    whole = tta.predictions(network(), IMAGES, {"mirror": Flip()}, "classification")["mirror"]
    monkeypatch.setattr(tta, "CHUNK", 3)
    again = tta.predictions(network(), IMAGES, {"mirror": Flip()}, "classification")["mirror"]
    np.testing.assert_array_equal(whole, again)


def views_of_all_kinds():
    return [*VIEWS, views.Rotate(5.0), views.Crop(0.8), Noise(0.1, 1)]


def test_it_is_saved_and_loaded_as_keras_model_and_saved_model_without_a_name_of_kerastunes(
    tmp_path, monkeypatch
):
    wrapped = tta.wrap(network(), views_of_all_kinds())
    expected = np.asarray(wrapped(IMAGES))
    wrapped.save(tmp_path / "wrapped.keras")
    wrapped.export(tmp_path / "exported", verbose=False)
    registry = keras.saving.get_custom_objects()
    kept = dict(registry)
    registry.clear()
    try:
        again = keras.models.load_model(tmp_path / "wrapped.keras")
    finally:
        registry.update(kept)
    np.testing.assert_allclose(again(IMAGES), expected, atol=1e-6)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(IMAGES), expected, atol=1e-6)


@pytest.mark.slow
def test_a_process_that_knows_keras_only_loads_it(tmp_path):
    wrapped = tta.wrap(network(), views_of_all_kinds())
    wrapped.save(tmp_path / "wrapped.keras")
    np.save(tmp_path / "x.npy", IMAGES)
    code = (
        "import keras, numpy as np; "
        "print(keras.models.load_model('wrapped.keras')(np.load('x.npy')).numpy().sum())"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert float(ran.stdout.split()[-1]) == pytest.approx(len(IMAGES), rel=1e-5), ran.stderr


@keras.saving.register_keras_serializable(package="test_tta")
def negated(x):
    return -x


def test_an_own_function_is_saved_with_the_model(tmp_path):
    model = network()
    wrapped = tta.wrap(model, [negated])
    np.testing.assert_allclose(wrapped(IMAGES), (model(IMAGES) + model(-IMAGES)) / 2, atol=1e-6)
    wrapped.save(tmp_path / "wrapped.keras")
    again = keras.models.load_model(tmp_path / "wrapped.keras")
    np.testing.assert_array_equal(again(IMAGES), wrapped(IMAGES))


def test_raw_images_go_through_the_views_and_then_the_preparation():
    problem = loading.load("digits", seed=1)
    model = networks.cnn((8, 8, 1), 10, "classification", filters=2, dense_units=4)
    candidates = {
        name: view
        for name, view in views.candidates((8, 8, 1)).items()
        if name.split("-")[0] != "turn"
    }
    raw = np.round(problem.validation.x[:5, ..., 0] * 4 + 5).astype("uint8")  # any whole numbers do
    attached = problem.attach(model)
    assert attached.input.dtype != "float32" and attached.input.shape[1:] == (8, 8)
    whole = {
        name: view for name, view in candidates.items() if name.split("-")[0] in ("flip", "shift")
    }
    outside, inside = (
        tta.wrap(attached, whole, kind="classification"),
        problem.attach(tta.wrap(model, whole)),
    )
    raw = raw.astype(attached.input.dtype)
    np.testing.assert_allclose(outside(raw), inside(raw), atol=1e-5)
    assert tta.wrap(attached, candidates, kind="classification").output_shape == (None, 10)


def test_several_inputs_by_name():
    inputs = {
        "photo": keras.Input([8, 8, 1], name="photo"),
        "age": keras.Input([2], name="age"),
        "code": keras.Input([1], dtype="int32", name="code"),
    }
    flat = [
        layers.Flatten()(inputs["photo"]),
        inputs["age"],
        layers.Flatten()(layers.Embedding(3, 2)(inputs["code"])),
    ]
    model = keras.Model(inputs, layers.Dense(3, "softmax")(layers.Concatenate()(flat)))
    x = {
        "photo": IMAGES,
        "age": GENERATOR.normal(size=[7, 2]).astype("float32"),
        "code": np.ones([7, 1], "int32"),
    }
    wrapped = tta.wrap(model, [Flip()])
    expected = (model(x) + model({**x, "photo": IMAGES[:, :, ::-1]})) / 2
    np.testing.assert_allclose(wrapped(x), expected, atol=1e-6)
    np.testing.assert_allclose(
        tta.predictions(model, x, {"mirror": Flip()}, "classification")["mirror"],
        model({**x, "photo": IMAGES[:, :, ::-1]}),
        atol=1e-6,
    )
    with pytest.raises(
        ValueError, match="`TimeShift` can't be applied to photo .*, age .*, code int32"
    ):
        tta.wrap(model, [views.TimeShift(1)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.stack = network()

    def call(self, x):
        return self.stack(x)


def test_a_subclassed_model_needs_a_sample():
    model = Subclassed()
    model(IMAGES)
    with pytest.raises(ValueError, match="has unknown input shapes: give a `sample`"):
        tta.wrap(model, VIEWS, kind="classification")
    wrapped = tta.wrap(model, VIEWS, kind="classification", sample=IMAGES)
    np.testing.assert_allclose(wrapped(IMAGES), by_hand(model, IMAGES), atol=1e-6)


def own_loss(y, outputs):
    return keras.ops.mean(outputs)


@pytest.mark.parametrize(
    "model, given, words",
    [
        (
            lambda: network(activation=None),
            {},
            "may be a classifier or a regressor: give its `kind`",
        ),
        (
            lambda: network(activation=None, loss=own_loss),
            {},
            "may be a classifier or a regressor",
        ),
        (
            lambda: network(activation=None),
            {"kind": "classification"},
            "may have logits or probabilities as outputs: give a `sample`",
        ),
        (
            network,
            {"kind": "ranking"},
            "`kind` must be classification or regression, got 'ranking'",
        ),
        (network, {"weights": [1, 1]}, "`weights` must be 3 numbers"),
        (network, {"weights": [0, 0, 0]}, "not all 0"),
        (network, {"weights": [1, -1, 1]}, ">= 0"),
    ],
)
def test_what_can_not_be_told_or_does_not_fit_is_refused(model, given, words):
    with pytest.raises(ValueError, match=words):
        tta.wrap(model(), VIEWS, **given)


def test_several_outputs_and_views_for_other_inputs_are_refused():
    inputs = keras.Input([8, 8, 1])
    flat = layers.Flatten()(inputs)
    with pytest.raises(ValueError, match="has several outputs"):
        tta.wrap(
            keras.Model(inputs, [layers.Dense(1)(flat), layers.Dense(1)(flat)]),
            VIEWS,
            kind="regression",
        )
    with pytest.raises(ValueError, match="`Noise` can't be applied to inputs uint8"):
        raw = keras.Input([4], dtype="uint8")
        tta.wrap(
            keras.Model(raw, layers.Dense(1, "sigmoid")(keras.ops.cast(raw, "float32"))),
            [Noise(0.1, 1)],
        )


@pytest.mark.parametrize(
    "model, kind",
    [
        (lambda: network(), "classification"),
        (lambda: network(loss="mse"), "classification"),
        (lambda: network(1, "sigmoid"), "classification"),
        (lambda: network(1, "sigmoid", loss="mse"), "regression"),
        (lambda: network(activation=None, loss=CROSS_ENTROPY), "classification"),
        (lambda: network(1, None, loss=keras.losses.Huber()), "regression"),
        (lambda: network(1, None, loss=keras.losses.mean_absolute_error), "regression"),
    ],
)
def test_a_models_end_and_loss_tell_its_kind(model, kind):
    assert output_kind.kind_of(model()) == kind
