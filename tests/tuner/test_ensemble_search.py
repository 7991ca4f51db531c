"""The ensemble in a whole search, once for real on digits: what is reported is what the saved model
gives.
"""

import json

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from kerastune import PlaybookTuner, Recipe
from kerastune.playbook.stages.ensemble import candidates
from kerastune.report.figures import decision_figures, plotting
from kerastune.report.predictions import Predictions

RECIPE = Recipe(total_steps=100, batch_size=32, learning_rate=0.05)


def narrow(hp):
    """So few units that seeds differ much, and three of them know more than one."""
    return keras.Sequential(
        [keras.Input([64]), keras.layers.Dense(6, "relu"), keras.layers.Dense(10)]
    )


def digits():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    order = np.random.default_rng(1).permutation(len(x))
    return [(x[part], y[part]) for part in np.split(order, [500, 1200])]


def search(directory, **changes):
    settings = {
        "budget": "1000steps",
        "directory": directory,
        "recipe": RECIPE,
        "stages": ["train", "ensemble"],
    }
    tuner = PlaybookTuner(narrow, **{**settings, "members": 5, **changes})
    train, validation, test = digits()
    tuner.search(*train, validation_data=validation, test_data=test, verbose=0)
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    directory = tmp_path_factory.mktemp("searched")
    return search(directory), directory


def test_the_saved_ensemble_gives_the_reported_figures(searched):
    tuner, directory = searched
    values = tuner.decisions[-1].values
    assert values.kept and 3 <= len(values.weights) <= 5
    _, (x, y), (x_test, y_test) = digits()
    model = keras.models.load_model(directory / "playbook" / "ensemble.keras")
    probabilities = model.predict(x_test, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    reported = json.loads((directory / "playbook" / "result.json").read_text())
    assert np.mean(probabilities.argmax(axis=1) == y_test) == pytest.approx(
        reported["ensemble"]["test"]["accuracy"]
    )
    nll = -np.log(probabilities[np.arange(len(y_test)), y_test]).mean()
    assert nll == pytest.approx(reported["ensemble"]["test"]["nll"], rel=1e-3)
    kept = Predictions.from_bytes((directory / "playbook" / "predictions.npz").read_bytes())
    assert kept.final == "ensemble"
    np.testing.assert_allclose(kept.outputs["ensemble"]["test"], probabilities, atol=1e-5)
    worst = kept.mistakes.indices
    assert len(worst) and np.all(probabilities[worst].argmax(axis=1) != y_test[worst])
    # Cross-fitted figures are of other weights, but about as good.
    assert np.mean(model.predict(x, verbose=0).argmax(axis=1) == y) == pytest.approx(
        reported["ensemble"]["validation"]["accuracy"], abs=0.02
    )


def test_it_is_better_than_the_single_model_which_stands_beside_it(searched):
    tuner, directory = searched
    single, ensemble = tuner.result["final"]["test"], tuner.result["ensemble"]["test"]
    assert ensemble["accuracy"] > single["accuracy"] and ensemble["nll"] < single["nll"]
    assert tuner.result["gain_of_ensemble"]["mean"] == pytest.approx(
        ensemble["accuracy"] - single["accuracy"]
    )
    assert (
        tuner.result["trial"] == tuner.decisions[0].values.trial == tuner.decisions[1].values.trial
    )
    model = keras.models.load_model(directory / "playbook" / "model.keras")
    _, _, (x_test, y_test) = digits()
    assert np.mean(model.predict(x_test, verbose=0).argmax(axis=1) == y_test) == pytest.approx(
        single["accuracy"]
    )


def test_every_candidate_is_evidence_and_the_budget_is_kept(searched):
    tuner, _ = searched
    outcomes = tuner.latest.playbook.outcomes
    assert sorted(tuner.decisions[-1].evidence) == sorted(candidates(outcomes)) == sorted(outcomes)
    assert sum(outcome.steps for outcome in outcomes.values()) <= 1000
    assert {o.spec.recipe.seed for o in outcomes.values()} == {1, 2, 3, 4, 5}


def test_the_picture_shows_members_disagreement_and_both_reliabilities(searched, monkeypatch):
    tuner, _ = searched
    drawn, make = [], plotting.png
    monkeypatch.setattr(plotting, "png", lambda figure: drawn.append(figure) or make(figure))
    decision = tuner.decisions[-1]
    assert decision_figures.of_decision(decision, tuner.latest.playbook.outcomes).startswith(
        b"\x89PNG"
    )
    weights, apart, reliable = drawn[0].axes[:3]
    assert [bar.get_width() for bar in weights.patches] == sorted(decision.values.weights.values())
    np.testing.assert_array_equal(apart.images[0].get_array(), decision.values.disagreement)
    shown = [text.get_text() for text in reliable.get_legend().get_texts()]
    temperature = f"temperature {decision.values.temperature:.3g}"
    assert [words.split(":")[0] for words in shown] == ["as promised", "as averaged", temperature]
    assert f"{decision.values.validation.after['ece']:.3f}" in shown[2]


def test_going_on_changes_nothing_and_other_members_are_refused(searched):
    tuner, directory = searched
    assert search(directory).result == tuner.result
    with pytest.raises(ValueError, match="`members` was 5"):
        search(directory, members=4)


def test_members_of_folds_learn_from_the_training_part_without_one(searched, tmp_path):
    tuner = search(tmp_path, member_folds=2, members=4)
    outcomes = tuner.latest.playbook.outcomes
    cuts = {name: (outcome.spec.folds, outcome.spec.left_out) for name, outcome in outcomes.items()}
    assert list(cuts.values()) == [(0, 0), (2, 1), (2, 2), (0, 0)]
    assert set(tuner.decisions[-1].evidence) == set(cuts)
    # Of the same seeds, those that learn from all examples have other losses.
    whole = searched[0].latest.playbook.outcomes
    assert not np.array_equal(outcomes["ensemble-fold-1"].losses, whole["ensemble-seed-2"].losses)
    assert np.array_equal(outcomes["ensemble-seed-4"].losses, whole["ensemble-seed-4"].losses)
    assert search(tmp_path, member_folds=2, members=4).result == tuner.result
    for changed, now in (({"member_folds": 3}, "3"), ({}, "not set")):
        with pytest.raises(
            ValueError, match=f"`member_folds` was 2 when this search started and is {now} now"
        ):
            search(tmp_path, **changed, members=4)


def test_folds_that_the_data_do_not_hold_are_refused_before_any_training(tmp_path):
    refused = r"^`member_folds` must be 0 here, .* got 60: .* than the smallest class has examples"
    with pytest.raises(ValueError, match=refused):
        search(tmp_path, member_folds=60, members=80)
    assert not (tmp_path / "playbook" / "study.sqlite").exists()


def test_it_follows_the_training_unless_it_is_left_out(tmp_path):
    for wanted, after in ((True, "ensemble"), (False, "tta")):
        tuner = PlaybookTuner(narrow, directory=tmp_path, ensemble=wanted)
        names = tuner.settings.stages.names
        assert names[names.index("train") + 1] == after
    with pytest.raises(ValueError, match="`members` must be at least 2"):
        PlaybookTuner(narrow, directory=tmp_path, members=1)


@pytest.mark.slow
def test_a_single_output_is_combined_too_and_a_regression_in_the_users_units(tmp_path):
    (x, y), (x_val, y_val), (x_test, y_test) = digits()

    def one_output(hp):
        return keras.Sequential(
            [keras.Input([64]), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)]
        )

    settings = {
        "budget": "1000steps",
        "recipe": RECIPE,
        "stages": ["train", "ensemble"],
        "members": 8,
    }
    for name, of in (
        ("even", lambda y: (y % 2).astype("int32")),
        ("number", lambda y: 500 + 30.0 * y),
    ):
        tuner = PlaybookTuner(one_output, directory=tmp_path, project_name=name, **settings)
        tuner.search(
            x, of(y), validation_data=(x_val, of(y_val)), test_data=(x_test, of(y_test)), verbose=0
        )
        assert tuner.decisions[-1].values.kept, name
        predicted = keras.models.load_model(tmp_path / name / "ensemble.keras").predict(
            x_test, verbose=0
        )[:, 0]
        reported = tuner.result["ensemble"]["test"]
        if name == "even":
            assert np.mean((predicted > 0.5) == of(y_test)) == pytest.approx(reported["accuracy"])
        else:
            assert np.mean(np.abs(predicted - of(y_test))) == pytest.approx(
                reported["mae"], rel=1e-4
            )
