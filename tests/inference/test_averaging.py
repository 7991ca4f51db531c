"""An assembled model is the arithmetic of its members, saved and loaded without kerastune."""

import keras
import numpy as np
import pytest
from prepared_models import saved_and_loaded

from kerastune.analysis.ensemble_selection import Blend
from kerastune.inference import averaging

X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
WEIGHTS = np.array([0.5, 0.0, 0.3, 0.2])


def member(seed, outputs=3, activation="softmax", name="same"):
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(8, "tanh", name="hidden")
    return keras.Sequential(
        [keras.Input([4]), hidden, keras.layers.Dense(outputs, activation, name="out")], name=name
    )


def two_columns(outputs):
    return outputs if outputs.shape[-1] > 1 else np.concatenate([1 - outputs, outputs], axis=-1)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("outputs, activation", [(3, "softmax"), (1, "sigmoid")])
def test_it_is_the_blend_of_its_members_and_survives_a_file(
    mean, temperature, outputs, activation, tmp_path
):
    members = [member(seed, outputs, activation) for seed in range(4)]
    model = averaging.assemble(members, WEIGHTS, mean, temperature)
    assert model.output_shape == (None, outputs)
    given = two_columns(np.stack([each.predict(X, verbose=0) for each in members]))
    expected = Blend(WEIGHTS, mean, temperature).combine(given)
    for each in (model, saved_and_loaded(model, tmp_path)):
        np.testing.assert_allclose(two_columns(each.predict(X, verbose=0)), expected, atol=1e-5)
    assert model.count_params() == 3 * members[0].count_params()  # who weighs nothing is left out


def test_logits_become_probabilities_first():
    members = [member(0, activation=None), member(1)]
    given = np.stack([softmax(members[0].predict(X, verbose=0)), members[1].predict(X, verbose=0)])
    found = averaging.assemble(members, [3, 1]).predict(X, verbose=0)
    np.testing.assert_allclose(found, 0.75 * given[0] + 0.25 * given[1], atol=1e-6)


def test_numbers_are_averaged_as_they_are():
    members = [member(seed, 2, None) for seed in (0, 1)]
    found = averaging.assemble(members, [1, 1], kind="regression").predict(X, verbose=0)
    np.testing.assert_allclose(
        found, sum(each.predict(X, verbose=0) for each in members) / 2, atol=1e-6
    )


def test_members_may_take_dicts_and_be_subclassed():
    class Own(keras.Model):
        def __init__(self, seed):
            super().__init__(name="own")
            self.dense = keras.layers.Dense(
                2, kernel_initializer=keras.initializers.GlorotUniform(seed)
            )

        def call(self, inputs):
            return self.dense(keras.ops.concatenate([inputs["a"], inputs["b"]], axis=-1))

    x = {"a": X[:, :1], "b": X[:, 1:]}
    members = [Own(0), Own(1)]
    given = [softmax(np.asarray(each(x))) for each in members]
    with pytest.raises(ValueError, match="`own` has unknown input shapes: give a `sample`"):
        averaging.assemble(members, [1, 1])
    found = averaging.assemble(members, [1, 1], sample=x).predict(x, verbose=0)
    np.testing.assert_allclose(found, sum(given) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"members": []}, "`weights` must be one number for each of 0 `members`"),
        ({"weights": [1.0]}, "for each of 2 `members`"),
        ({"weights": [1.0, -1.0]}, "`weights` must be finite and >= 0"),
        ({"weights": [0.0, 0.0]}, "one of them above 0"),
        ({"mean": "median"}, "`mean` must be one of arithmetic, geometric, got 'median'"),
        ({"temperature": 0.0}, "`temperature` must be a finite number > 0"),
        ({"kind": "ranking"}, "`kind` must be classification or regression"),
        (
            {"kind": "regression", "temperature": 2.0},
            "regression has an arithmetic mean and no temperature",
        ),
    ],
)
def test_what_can_not_be_assembled_is_refused(changes, words):
    given = {"members": [member(0), member(1)], "weights": [1, 1], **changes}
    with pytest.raises(ValueError, match=words):
        averaging.assemble(**given)


@pytest.mark.parametrize("kind", ["U3", object])
def test_inputs_like_texts_are_of_strings(kind):
    found = averaging.inputs_like(keras.Model(), np.array([["a"], ["b"]], kind))
    assert found.shape == (None, 1) and found.dtype == "string"
