"""Views in a whole search, for real on small pictures: which are kept, and that what is reported is
what is saved.
"""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune import PlaybookTuner, Recipe
from kerastune.analysis import calibration, view_selection
from kerastune.analysis.ensemble_selection import Blend
from kerastune.analysis.view_selection import IDENTITY
from kerastune.data import loading
from kerastune.export import from_run
from kerastune.inference import tta, views
from kerastune.playbook.rules.ensemble_choice import judge
from kerastune.playbook.stages import ensemble as stage
from kerastune.report.figures import decision_figures, plotting
from kerastune.report.predictions import Predictions
from kerastune.tuner import stage_models

RECIPE = Recipe(total_steps=100, batch_size=32, learning_rate=0.05)
SIDE = 6


def pictures(count, seed, sides=("left", "right")):
    """Noise that is brighter at the top in one class and at the bottom in the other, on one of its
    sides.

    So a mirrored picture keeps its class, and one upside down does not.
    """
    generator = np.random.default_rng(seed)
    y = np.arange(count) % 2
    x = generator.normal(128, 30, size=[count, SIDE, SIDE, 1])
    for index, side in enumerate(generator.choice(sides, count)):
        columns = slice(0, SIDE // 2) if side == "left" else slice(SIDE // 2, SIDE)
        sign = 25 if y[index] else -25
        x[index, : SIDE // 2, columns] += sign
        x[index, SIDE // 2 :, columns] -= sign
    return x.clip(0, 255).astype("uint8"), y.astype("int32")


def linear(hp):
    return keras.Sequential(
        [keras.Input([SIDE, SIDE, 1]), keras.layers.Flatten(), keras.layers.Dense(2)]
    )


def problem():
    """In training the left side tells; later it may be the right one."""
    train, validation, test = pictures(200, 0, ["left"]), pictures(600, 1), pictures(1000, 2)
    return loading.from_arrays(
        *train, validation_data=validation, test_data=test, seed=1, prepare=True
    )


def search(directory, **changes):
    settings = {
        "budget": "1000steps",
        "directory": directory,
        "recipe": RECIPE,
        "stages": ["train", "tta"],
    }
    tuner = PlaybookTuner(linear, **{**settings, **changes})
    tuner.search(problem(), verbose=0)
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    directory = tmp_path_factory.mktemp("searched")
    return search(directory), directory


def accuracy(model, x, y):
    return np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)


def test_views_that_keep_the_class_are_found_and_no_other(searched):
    tuner, _ = searched
    values = tuner.decisions[-1].values
    assert values.kept and "flip-vertical" not in values.views
    assert values.gain.low > 0 and values.alone["flip-vertical"].high < -0.3
    assert "flip-horizontal" in values.views and values.added["flip-horizontal"].low > 0
    assert tuner.recipe == tuner.decisions[0].after and tuner.result["trial"] == "train-100"


def test_the_saved_model_takes_raw_pictures_and_gives_the_reported_figures(searched):
    tuner, directory = searched
    model = keras.models.load_model(directory / "playbook" / "tta.keras")
    x, y = pictures(1000, 2)
    assert model.input.dtype == "uint8"
    reported = json.loads((directory / "playbook" / "result.json").read_text())
    assert accuracy(model, x, y) == pytest.approx(reported["tta"]["test"]["accuracy"])
    kept = Predictions.from_bytes((directory / "playbook" / "predictions.npz").read_bytes())
    assert kept.final == "tta"
    np.testing.assert_allclose(kept.outputs["tta"]["test"], model.predict(x, verbose=0), atol=1e-4)
    single = keras.models.load_model(directory / "playbook" / "model.keras")
    assert accuracy(single, x, y) == pytest.approx(reported["final"]["test"]["accuracy"])
    gain = reported["tta"]["test"]["accuracy"] - reported["final"]["test"]["accuracy"]
    assert reported["gain_of_views"]["mean"] == pytest.approx(gain) and gain > 0
    figures_found = tuner.decisions[-1].values.validation.after
    assert reported["tta"]["validation"] == figures_found
    # Cross-fitted figures are of other weights, but about as good.
    assert accuracy(model, *pictures(600, 1)) == pytest.approx(figures_found["accuracy"], abs=0.02)


def test_a_single_model_that_promises_too_much_is_exported_with_a_temperature(tmp_path):
    tuner = search(tmp_path, stages=["train"])
    exported = tuner.result["exported"]
    assert (
        exported["model"] == "calibrated"
        and exported["temperature"] > 2
        and exported["gain"]["low"] > 0
    )
    assert (
        exported["after"]["ece"] < 0.7 * exported["before"]["ece"]
        and exported["after"]["nll"] < exported["before"]["nll"]
    )
    x, y = pictures(1000, 2)
    single, calibrated = (
        keras.models.load_model(tmp_path / "playbook" / f"{n}.keras")
        for n in ("model", "calibrated")
    )
    assert calibrated.input.dtype == "uint8" and accuracy(calibrated, x, y) == accuracy(
        single, x, y
    )
    reported = tuner.result["calibrated"]["test"]
    said = calibrated.predict(x, verbose=0)
    assert -np.log(said[np.arange(len(y)), y]).mean() == pytest.approx(reported["nll"], rel=1e-3)
    assert reported["ece"] < 0.7 * tuner.result["final"]["test"]["ece"]
    alone = calibration.softmax(single.predict(x, verbose=0))
    np.testing.assert_allclose(
        said, calibration.tempered(alone, exported["temperature"]), atol=1e-3
    )
    # It is what is exported, and what the report tells of.
    exported = keras.models.load_model(from_run.release(tuner.run_dir, tmp_path, "keras", {}))
    np.testing.assert_allclose(exported.predict(x, verbose=0), said, atol=1e-6)
    text = (tmp_path / "playbook" / "report.md").read_text()
    assert "Model to use: the calibrated final model" in text
    assert "Model: calibrated. Part: test." in text


def test_export_takes_it(searched, tmp_path):
    tuner, _ = searched
    path = from_run.release(tuner.run_dir, tmp_path, "keras", {})
    x, _ = pictures(50, 3)
    expected = keras.models.load_model(tuner.run_dir.tta).predict(x, verbose=0)
    np.testing.assert_allclose(
        keras.models.load_model(path).predict(x, verbose=0), expected, atol=1e-6
    )


def test_going_on_changes_nothing_and_looks_at_nothing_again(searched, monkeypatch):
    tuner, directory = searched
    monkeypatch.setattr(tta, "predictions", None)
    # The views are those of the decision, whatever would be tried today.
    monkeypatch.setattr(views, "candidates", None)
    x, _ = pictures(50, 3)
    expected = keras.models.load_model(directory / "playbook" / "tta.keras").predict(x, verbose=0)
    (directory / "playbook" / "tta.keras").unlink()
    again = search(directory)
    assert again.result == tuner.result and again.decisions == tuner.decisions
    model = keras.models.load_model(directory / "playbook" / "tta.keras")
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)


def test_the_report_tells_of_it(searched):
    _, directory = searched
    text = (directory / "playbook" / "report.md").read_text()
    assert "The model with test-time augmentation is " in text
    assert "Does it help to look at several views of an example?" in text
    assert (directory / "playbook" / "report" / "stage-tta.png").is_file()


def test_the_picture_has_both_effects_of_every_view(searched, monkeypatch):
    tuner, _ = searched
    drawn, make = [], plotting.png
    monkeypatch.setattr(plotting, "png", lambda figure: drawn.append(figure) or make(figure))
    decision = tuner.decisions[-1]
    assert decision_figures.of_decision(decision, {}).startswith(b"\x89PNG")
    axes, reliable = drawn[0].axes
    values = decision.values
    names = sorted(values.added, key=lambda name: -values.added[name].gain)
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert [words.split(" (kept: ")[0] for words in shown] == names
    kept = {
        name: f"{name} (kept: {weight:.2g})"
        for name, weight in zip(values.views, values.weights[1:], strict=True)
    }
    assert {words for words in shown if "kept" in words} == set(kept.values())
    for way, container in zip(("alone", "added"), axes.containers, strict=True):
        np.testing.assert_allclose(
            container[0].get_xdata(), [100 * getattr(values, way)[name].gain for name in names]
        )
    shown = [text.get_text() for text in reliable.get_legend().get_texts()]
    assert f"as averaged: error {values.validation.before['ece']:.3f}" in shown


def test_it_comes_last_unless_it_is_left_out(tmp_path):
    for wanted, last in ((True, "tta"), (False, "ensemble")):
        tuner = PlaybookTuner(linear, directory=tmp_path, tta=wanted)
        assert tuner.settings.stages.names[-1] == last


@pytest.mark.slow
def test_an_ensemble_looks_at_the_views_too(tmp_path, monkeypatch):
    def keep(*arguments):
        blend = Blend(np.array([0.5, 0.2, 0.3]), "geometric", 2.0)
        return dataclasses.replace(judge(*arguments), is_kept=True, blend=blend)

    def tempered(*arguments):
        found = choose(*arguments)
        return dataclasses.replace(
            found, temperature=dataclasses.replace(found.temperature, value=1.7)
        )

    monkeypatch.setattr(stage, "judge", keep)
    choose = view_selection.choose
    monkeypatch.setattr(view_selection, "choose", tempered)
    everything, few = stage_models.candidates, ("flip-horizontal", "shift-left")
    monkeypatch.setattr(
        stage_models, "candidates", lambda x: {name: everything(x)[name] for name in few}
    )
    tuner = search(tmp_path, stages=["train", "ensemble", "tta"], members=3, budget="1000steps")
    ensemble, kept = (decision.values for decision in tuner.decisions[1:])
    assert ensemble.kept and kept.kept and set(kept.views) <= set(few)
    x, y = pictures(1000, 2)
    for name in ("ensemble", "tta"):
        model = keras.models.load_model(tmp_path / "playbook" / f"{name}.keras")
        assert accuracy(model, x, y) == pytest.approx(tuner.result[name]["test"]["accuracy"])
        said = model.predict(x, verbose=0)[np.arange(len(y)), y]
        assert -np.log(said).mean() == pytest.approx(tuner.result[name]["test"]["nll"], rel=1e-3)
    exported = tuner.result["exported"]
    assert exported["model"] == "tta" and exported["temperature"] == 1.7
    table = (
        (tmp_path / "playbook" / "report.md")
        .read_text()
        .split("From the final model to the exported model")[1]
    )
    steps = [
        line.split(" | ")[0] for line in table.splitlines() if line.startswith(("| final", r"| \+"))
    ]
    tried = ("ensemble", "temperature 2", "TTA", "temperature of TTA 1.7")
    assert steps == ["| final model", *(rf"| \+ {step}" for step in tried)]
    gain = tuner.result["tta"]["test"]["accuracy"] - tuner.result["ensemble"]["test"]["accuracy"]
    assert tuner.result["gain_of_views"]["mean"] == pytest.approx(gain)
    assert tuner.oracle.chosen_trial() == ensemble.trial == tuner.result["trial"]


def test_inputs_that_no_view_fits_are_predicted_as_they_are(tmp_path):
    def two_inputs(hp):
        inputs = {name: keras.Input([2], name=name) for name in ("a", "b")}
        return keras.Model(
            inputs,
            keras.layers.Dense(2, "softmax")(keras.layers.Concatenate()(list(inputs.values()))),
        )

    x = np.random.default_rng(0).normal(size=[200, 4]).astype("float32")
    given = {"a": x[:, :2], "b": x[:, 2:]}
    settings = {
        "budget": "1000steps",
        "recipe": RECIPE,
        "stages": ["train", "tta"],
        "directory": tmp_path,
    }
    tuner = PlaybookTuner(two_inputs, **settings)
    tuner.search(given, (x[:, 0] > 0).astype("int32"), verbose=0)
    assert "no view of such inputs" in tuner.decisions[-1].reason and "tta" not in tuner.result
    assert not (tmp_path / "playbook" / "tta.keras").exists()


def test_candidates_are_those_that_fit_shape_and_type():
    assert list(stage_models.candidates(np.zeros([3, 4], "float32"))) == [
        f"noise-{seed}" for seed in range(1, 5)
    ]
    for nothing in (
        np.zeros([3, 4], "int32"),
        np.array(["a", "b"]),
        np.zeros([3, 4], bool),
        {"a": np.zeros([3, 4])},
    ):
        assert stage_models.candidates(nothing) == {}
    assert "flip-horizontal" in stage_models.candidates(np.zeros([3, 8, 8, 1], "uint8"))


def test_once_the_time_is_over_no_further_view_is_looked_at():
    model = keras.Sequential(
        [keras.Input([SIDE, SIDE, 1]), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    x = np.zeros([3, SIDE, SIDE, 1], "float32")
    found, late = stage_models.candidates(x), iter([False, False, True])
    said = tta.predictions(model, x, found, "classification", lambda: next(late))
    assert list(said) == [IDENTITY, *list(found)[:2]]


def test_numbers_of_a_stream_are_averaged_in_the_users_units(tmp_path):
    def line(hp):
        return keras.Sequential(
            [keras.Input([20]), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
        )

    x = np.random.default_rng(0).normal(size=[900, 20]).astype("float32")
    y = 500 + 30 * x[:, 0].astype("float64")
    stream = tf.data.Dataset.from_tensor_slices((x[:100], y[:100]))
    settings = {
        "budget": "1000steps",
        "recipe": RECIPE.replace(learning_rate=0.02),
        "directory": tmp_path,
    }
    tuner = PlaybookTuner(line, stages=["train", "tta"], **settings)
    rest = {"validation_data": (x[100:400], y[100:400]), "test_data": (x[400:], y[400:])}
    tuner.search(stream, **rest, kind="regression", verbose=0)
    values = tuner.decisions[-1].values
    assert set(values.alone) == {"noise-1", "noise-2", "noise-3", "noise-4"}
    if values.kept:
        predicted = keras.models.load_model(tmp_path / "playbook" / "tta.keras").predict(
            x[400:], verbose=0
        )[:, 0]
        reported = tuner.result["tta"]["test"]["mae"]
        assert np.mean(np.abs(predicted - y[400:])) == pytest.approx(reported, rel=1e-4)
