"""A bag in a whole search, once for real on wine: members learn from all examples but a fold, and
what is saved is their mean.
"""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from kerastune import PlaybookTuner, Recipe
from kerastune.data import folds, loading
from kerastune.models import compiling
from kerastune.objective import Objective
from kerastune.playbook.rules import expected_gain
from kerastune.problem import Part, Problem, joined
from kerastune.report import trial_tables
from kerastune.tuner import problem_facts
from kerastune.tuner.problem_facts import MOST_IN_BAG, why_no_bag

RECIPE = Recipe(total_steps=100, batch_size=16, learning_rate=0.05)


def narrow(hp):
    return keras.Sequential(
        [keras.Input([13]), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
    )


def wine():
    x, y = load_wine(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    return [(x[part], y[part]) for part in np.split(order, [130])]


def search(directory, *data, **changes):
    settings = {"budget": "1300steps", "directory": directory, "recipe": RECIPE}
    settings["stages"] = ["train", "ensemble", "tta"]
    tuner = PlaybookTuner(narrow, **{**settings, **changes})
    train, test = wine()
    given = {"test_data": test} if not data else {}
    tuner.search(*(data or train), verbose=0, **given)
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bag")
    with pytest.MonkeyPatch.context() as patched:
        # So much is expected of a bag that one is kept, whatever 20 examples say.
        patched.setattr(expected_gain, "prior", lambda *given: expected_gain.Prior(0.1, 0.001, 1))
        yield search(directory), directory / "playbook"


def members(tuner):
    return [name for name, each in tuner.latest.playbook.outcomes.items() if each.spec.repeat]


def test_the_search_ends_with_the_mean_of_models_that_each_leave_out_a_fold(searched):
    tuner, directory = searched
    values, outcomes = tuner.decisions[1].values, tuner.latest.playbook.outcomes
    # Two whole cuts, and two folds of a third in what is left.
    assert values.kept and values.weights == dict.fromkeys(members(tuner), 1 / 12)
    saved = keras.models.load_model(directory / "ensemble.keras")
    x, y = wine()[1]
    models = tuner.trained_models()
    each = np.stack([models.predictions(name, x) for name in values.weights])
    found = saved.predict(x, verbose=0)
    assert values.temperature == 1
    np.testing.assert_allclose(found, each.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found, models.ensemble_predictions(x), atol=1e-5)
    # Nothing but weights: what trained the members is not saved with each of them.
    with zipfile.ZipFile(directory / "ensemble.keras") as kept:
        assert b"optimizer" not in kept.read("model.weights.h5")
        config = json.loads(kept.read("config.json"))
    assert not any(layer.get("compile_config") for layer in config["config"]["layers"])
    assert each.std(axis=0).max() > 0.01  # they differ
    reported = json.loads((directory / "result.json").read_text())
    assert reported["exported"]["model"] in ("ensemble", "tta")
    assert np.mean(found.argmax(axis=1) == y) == pytest.approx(
        reported["ensemble"]["test"]["accuracy"]
    )
    assert sum(outcome.steps for outcome in outcomes.values()) <= 1300


def test_its_validation_figures_are_by_members_that_left_the_example_out(searched):
    tuner, _ = searched
    problem, models = tuner.latest.problem, tuner.trained_models()
    both = joined(problem.train, problem.validation)
    total, times = np.zeros([len(both), 3]), np.zeros([len(both), 1])
    for name in members(tuner):
        spec = tuner.latest.playbook.outcomes[name].spec
        rows = folds.of_all(problem, 5, spec.left_out, spec.repeat).held_out
        total[rows] += models.predictions(name, both.take(rows).x)
        times[rows] += 1
    total /= times
    assert set(times[:, 0]) == {2, 3}
    np.testing.assert_allclose(total.sum(axis=1), 1, atol=1e-5)
    last = slice(len(problem.train), None)
    right = np.mean(total[last].argmax(axis=1) == problem.validation.y)
    assert tuner.decisions[1].values.validation.before["accuracy"] == pytest.approx(right)


def test_views_are_judged_by_members_that_left_the_example_out(searched):
    decision = searched[0].decisions[2]
    assert "Views are judged on 130 examples, by models that left them out" in decision.numbers


def test_scores_on_folds_rank_nothing(searched):
    tuner, directory = searched
    ranked = [trial.trial_id for trial in tuner.oracle.get_best_trials(100)]
    assert ranked == ["train-100"]
    assert tuner.result["trial"] == "train-100"
    rows = trial_tables.records(tuner.latest.playbook.outcomes)
    assert {row["trial"] for row in rows} == {"train-100", *members(tuner)}
    report = (directory / "report.html").read_text()
    assert "Average of 12 models, each leaving out a fifth" in report
    assert "Every example is judged by those members of the ensemble that left it out" in report


def test_going_on_changes_nothing(searched):
    tuner, directory = searched
    assert search(directory.parent).result == tuner.result


def test_without_the_data_the_bag_is_read_from_the_directory(searched):
    tuner, directory = searched
    again = PlaybookTuner(narrow, directory=directory.parent, stages=["train", "ensemble", "tta"])
    x, _ = wine()[1]
    np.testing.assert_allclose(
        again.trained_models().ensemble_model().predict(x, verbose=0),
        tuner.trained_models().ensemble_predictions(x),
        atol=1e-5,
    )


def frame():
    (x, y), _ = wine()
    named = pd.DataFrame(x, columns=[f"c{i:02}" for i in range(13)])
    return named.assign(label=[f"k{each}" for each in y], who=np.arange(len(x)) % 40)


@pytest.mark.slow
def test_of_whole_groups_there_is_no_bag_and_a_line_says_why(tmp_path):
    problem = loading.load(frame(), label="label", groups="who", for_own_model=True)
    tuner = search(tmp_path, problem, budget="1000steps", stages=["train", "ensemble"])
    outcomes = tuner.latest.playbook.outcomes
    assert len(outcomes) == 10 and not members(tuner)
    assert any(
        "the validation part holds whole groups" in note for note in tuner.latest.problem.notes
    )


def made(count=200, validation=50, **changes):
    train, held_out = (Part(np.zeros([n, 13]), np.arange(n) % 3) for n in (count, validation))
    names = ("a", "b", "c")
    given = {"class_names": names, "cut": "random", **changes}
    return Problem("toy", "classification", train, held_out, **given)


def bags(problem):
    model = narrow(None)
    objective = Objective("loss", "min")
    compiling.compile_for(model, problem, "sgd", watch=True, objective=objective.name)
    return problem_facts.of(problem, objective, model).bags


def test_data_are_cut_anew_only_where_they_are_small_and_were_cut_at_random():
    most = made(MOST_IN_BAG - 50)
    assert bags(made()) and bags(most) and not bags(made(MOST_IN_BAG - 49))
    for cut, why in (("", "was given"), ("time", "the latest"), ("groups", "whole groups")):
        changed = dataclasses.replace(made(), cut=cut)
        assert not bags(changed) and why in why_no_bag(changed)
    assert not bags(made(shuffled=False)) and "in their order" in why_no_bag(made(shuffled=False))
    assert why_no_bag(made(MOST_IN_BAG)) == ""  # nobody would look for one
    rare = made()
    rare.train.y[:] = 0
    rare.validation.y[:] = 0
    rare.validation.y[:4] = 1
    assert not bags(rare) and why_no_bag(rare) == ""
    rare.train.y[0] = 1
    assert bags(rare)
