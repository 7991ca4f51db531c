"""Searches for models whose targets are not one class or one row of numbers per example."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerastune import PlaybookTuner, Recipe

STAGES = ["baseline", "train", "ensemble", "tta"]
RECIPE = Recipe(optimizer="adam", learning_rate=0.03, total_steps=600)
X = np.random.default_rng(4).normal(size=(260, 5)).astype("float32")
PRICE = 40 + 5 * X[:, 0]
UP = (X[:, 1] > 0).astype(int)


def searched(directory, build, y, **data):
    settings = {"budget": "1000steps", "stages": STAGES, "recipe": RECIPE}
    tuner = PlaybookTuner(build, directory=directory, **settings)
    tuner.search(X[:200], y, verbose=0, **data)
    return tuner


def two_outputs(hp):
    x = keras.Input([5])
    hidden = layers.Dense(12, "relu")(x)
    price, up = layers.Dense(1, name="price")(hidden), layers.Dense(1, "sigmoid", name="up")(hidden)
    model = keras.Model(x, {"price": price, "up": up})
    losses = {"price": "mae", "up": "binary_crossentropy"}
    model.compile(
        "adam", losses, loss_weights={"price": 0.1, "up": 1.0}, metrics={"up": ["accuracy"]}
    )
    return model


def test_several_outputs_are_judged_by_their_total_and_keep_their_metrics(tmp_path):
    y = {"price": PRICE[:200], "up": UP[:200]}
    test = X[200:], {"price": PRICE[200:], "up": UP[200:]}
    tuner = searched(tmp_path, two_outputs, y, test_data=test)
    problem, figures = tuner.latest.problem, tuner.result["final"]["test"]
    assert problem.kind == "other" and tuner.latest.facts.scored_by == "loss"
    assert "ensemble, tta" in problem.notes[-1]
    assert [decision.stage for decision in tuner.decisions] == STAGES[:2]
    model = tuner.get_best_models()[0]
    evaluated = model.evaluate(*test, batch_size=len(test[0]), verbose=0, return_dict=True)
    assert evaluated == pytest.approx(figures, rel=1e-4) and "up_accuracy" in figures
    assert figures["loss"] < tuner.result["baseline"]["test"]["loss"]
    assert tuner.result["gain"]["mean"] > 0
    assert tuner.run_dir.report.is_file() and tuner.run_dir.model.is_file()


def test_a_regression_keeps_the_users_units_under_a_loss_of_the_users(tmp_path):
    def build(hp):
        model = keras.Sequential([keras.Input([5]), layers.Dense(12, "relu"), layers.Dense(1)])
        model.compile("adam", lambda y, p: ops.sqrt(ops.mean(ops.square(y - p))), metrics=["mae"])
        return model

    y = PRICE / 10
    tuner = searched(tmp_path, build, y[:200])
    assert tuner.latest.problem.attach is None
    outputs = tuner.get_best_models()[0].predict(X[200:], verbose=0)[:, 0]
    assert np.mean((outputs - y[200:]) ** 2) < 0.1 * y.var()


def test_models_without_targets_are_trained_and_those_without_a_loss_refused(tmp_path):
    class Coder(keras.Model):
        def __init__(self):
            super().__init__()
            self.code, self.out = layers.Dense(3), layers.Dense(5)

        def call(self, x):
            return self.out(self.code(x))

    class Learns(Coder):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(ops.square(x - y_pred))

    def build(made):
        def build(hp):
            model = made()
            model.compile("adam")
            return model

        return build

    tuner = searched(tmp_path / "learns", build(Learns), None)
    assert tuner.result["final"]["validation"]["loss"] < np.mean(X**2)
    with pytest.raises(ValueError, match="can't be judged on the validation part") as error:
        searched(tmp_path / "does-not", build(Coder), None)
    assert "\n" not in str(error.value)
