"""Searches for models whose targets are not one class or one row of numbers per example."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.datasets import load_digits

from kerastune import PlaybookTuner, Recipe, cross_validate
from kerastune.analysis import loss_selection

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
    assert problem.notes[-1].startswith("Left out: tta, calibration")
    assert [decision.stage for decision in tuner.decisions] == STAGES[:3]
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
    assert any("An ensemble needs targets" in note for note in tuner.latest.problem.notes)
    assert [decision.stage for decision in tuner.decisions] == STAGES[:2]
    with pytest.raises(ValueError, match="can't be judged on the validation part") as error:
        searched(tmp_path / "does-not", build(Coder), None)
    assert "\n" not in str(error.value)


def narrow(hp):
    x = keras.Input([64])
    hidden = layers.Dense(32, "relu")(x)
    digit, ink = layers.Dense(10, "softmax", name="digit"), layers.Dense(1, name="ink")
    model = keras.Model(x, {"digit": digit(hidden), "ink": ink(hidden)})
    losses = {"digit": "sparse_categorical_crossentropy", "ink": "mse"}
    model.compile("adam", losses, metrics={"digit": ["accuracy"], "ink": ["mae"]})
    return model


def test_several_outputs_are_averaged_where_that_lowers_their_loss_and_load_anywhere(tmp_path):
    x, y = load_digits(return_X_y=True)
    x, order = (x / 16).astype("float32"), np.random.default_rng(1).permutation(len(x))
    train, validation, test = (
        (x[part], {"digit": y[part], "ink": x[part].mean(axis=1)})
        for part in np.split(order, [500, 1200])
    )
    recipe = Recipe(total_steps=300, batch_size=32, learning_rate=0.01, optimizer="adam")
    settings = {"budget": "2000steps", "stages": STAGES[:3], "recipe": recipe, "members": 5}
    tuner = PlaybookTuner(narrow, directory=tmp_path, **settings)
    tuner.search(*train, validation_data=validation, test_data=test, verbose=0)
    values, result = tuner.decisions[-1].values, tuner.result
    assert values.kept and len(values.weights) > 1
    assert result["gain_of_ensemble"]["low"] > 0 and result["exported"]["model"] == "ensemble"
    np.savez(tmp_path / "test.npz", x=test[0])
    alone = "import sys, keras, numpy; m = keras.models.load_model(sys.argv[1]);"
    alone += "numpy.savez(sys.argv[3], **m.predict(numpy.load(sys.argv[2])['x'], verbose=0))"
    files = [tuner.run_dir.ensemble, tmp_path / "test.npz", tmp_path / "found.npz"]
    elsewhere = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", alone, *files], check=True, cwd=tmp_path, env=elsewhere)
    found, figures = np.load(tmp_path / "found.npz"), result["ensemble"]["test"]
    right = np.mean(found["digit"].argmax(axis=1) == test[1]["digit"])
    assert right == pytest.approx(figures["digit_accuracy"], abs=1e-5)
    off = np.mean(np.abs(found["ink"][:, 0] - test[1]["ink"]))
    assert off == pytest.approx(figures["ink_mae"], rel=1e-3)
    # Cross-fitted figures are of other weights, but about as good.
    model = keras.models.load_model(tuner.run_dir.ensemble)
    outputs = model.predict(validation[0], verbose=0)
    right = np.mean(outputs["digit"].argmax(axis=1) == validation[1]["digit"])
    assert right == pytest.approx(result["ensemble"]["validation"]["digit_accuracy"], abs=0.03)
    report = tuner.run_dir.report_markdown.read_text(encoding="utf-8")
    assert "Metrics by output, on the test part" in report
    (row,) = (line for line in report.splitlines() if line.startswith("| ink | MAE"))
    shown = [result[name]["test"]["ink_mae"] for name in ("baseline", "final", "ensemble")]
    assert row.split("|")[3:-1] == [f" {value:.4f} " for value in shown]


def test_what_would_not_fit_into_memory_is_no_ensemble_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_selection, "HELD", 300)
    tuner = searched(tmp_path, two_outputs, {"price": PRICE[:200], "up": UP[:200]})
    assert "ensemble would hold more than" in tuner.latest.problem.notes[-1]
    assert [decision.stage for decision in tuner.decisions] == STAGES[:2]


def test_cross_validation_tells_loss_and_metrics_of_every_fold_and_averages_the_models(tmp_path):
    y = {"price": PRICE[:200], "up": UP[:200]}
    test = X[200:], {"price": PRICE[200:], "up": UP[200:]}
    settings = {"recipe": RECIPE.replace(total_steps=100), "folds": 2, "test_data": test}
    crossed = cross_validate(two_outputs, X[:200], y, directory=tmp_path, verbose=0, **settings)
    summary, rows = crossed.result["summary"], crossed.result["by fold"]
    assert list(summary)[0] == "loss" and {"up_accuracy", "price_loss"} <= set(summary)
    assert summary["up_accuracy"]["high"] <= 1
    losses = [row["metrics"]["loss"] for row in rows]
    assert summary["loss"]["mean"] == pytest.approx(np.mean(losses))
    assert set(crossed.out_of_fold) == {"fold", "row", "class_names"}
    model = keras.models.load_model(crossed.run_dir.ensemble)
    outputs = model.predict(test[0], verbose=0)
    right = np.mean((outputs["up"][:, 0] > 0.5) == test[1]["up"])
    told = crossed.result["ensemble on the test part"]
    assert told["up_accuracy"] == pytest.approx(right, abs=1e-5)
    assert "up accuracy" in crossed.run_dir.report_markdown.read_text(encoding="utf-8")
