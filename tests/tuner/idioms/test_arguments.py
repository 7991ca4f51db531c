"""Constructor arguments of KerasTuner's tuners: they work, or are refused by name."""

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune import PlaybookTuner
from kerastune.tuner.samplers import searched


def build(hp):
    layers = [keras.layers.Dense(hp.Int("units", 4, 12, step=4), "tanh")]
    layers += [keras.layers.Dropout(hp.Float("drop", 0.0, 0.4, step=0.2)), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input([3]), *layers])
    model.compile("rmsprop", "mse", metrics=["mae"])
    return model


def tuner(directory, *given, **named):
    return PlaybookTuner(build, *given, directory=directory, budget="1000steps", **named)


def test_the_first_arguments_come_in_the_order_of_random_search(tmp_path):
    made = tuner(tmp_path, "val_mae", 4, None, None, True, True, 0, 3)
    assert (made.settings.objective.name, made.settings.limits.networks) == ("mae", 4)
    assert made.settings.seed == 1


@pytest.mark.parametrize(
    "given",
    [
        {"max_epochs": 10, "factor": 3, "hyperband_iterations": 1},
        {"max_trials": 3, "executions_per_trial": 2, "overwrite": True},
        {"num_initial_points": None, "alpha": 1e-4, "beta": 2.6, "logger": None},
        {"distribution_strategy": None, "tuner_id": None, "seed": None, "project_name": None},
    ],
)
def test_what_keras_tuners_examples_give_is_taken(tmp_path, given):
    assert tuner(tmp_path, "val_loss", **given).settings.limits.epochs == given.get("max_epochs")


@pytest.mark.parametrize(
    "given, words",
    [
        ({"max_retries_per_trial": 2}, r"`max_retries_per_trial` \(2\) can't be given: a trial"),
        ({"max_consecutive_failed_trials": 9}, r"`max_consecutive_failed_trials` \(9\)"),
        ({"distribution_strategy": "mirrored"}, "'mirrored'.*pass executor='processes'"),
        ({"optimizer": "adam"}, "`optimizer`.*is tuned.*recipe={'optimizer'"),
        ({"factor": 4}, r"`factor` \(4\) can't be given: the budget says"),
        ({"tuner_id": "w1"}, "`tuner_id`.*executor='processes'"),
        ({"max_trails": 4}, "no argument `max_trails`; did you mean `max_trials`"),
        ({"max_trials": 0}, "`max_trials` must be an integer >= 1, got 0"),
        ({"max_epochs": 2.5}, "`max_epochs` must be an integer >= 1, got 2.5"),
        ({"executions_per_trial": "two"}, "`executions_per_trial` must be an integer >= 1"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name_in_one_line(tmp_path, given, words):
    with pytest.raises(ValueError, match=words) as refused:
        tuner(tmp_path, "val_loss", **given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "hypermodel, words",
    [
        (None, r"must be a function build\(hp\).*got None"),
        (keras.Sequential(name="mine"), "new model at each call, got the model 'mine'"),
    ],
)
def test_what_builds_no_model_is_refused(tmp_path, hypermodel, words):
    with pytest.raises(ValueError, match=words):
        PlaybookTuner(hypermodel, directory=tmp_path)


def test_hyperparameters_that_are_given_are_the_only_ones_searched(tmp_path):
    given = keras_tuner.HyperParameters()
    given.Fixed("drop", 0.2)
    assert searched(tuner(tmp_path, hyperparameters=given.copy()).oracle.get_space()) == ["units"]
    alone = tuner(tmp_path, hyperparameters=given.copy(), tune_new_entries=False)
    assert searched(alone.oracle.get_space()) == []
    with pytest.raises(ValueError, match=r"`allow_new_entries` \(False\).*declares units too"):
        tuner(tmp_path, hyperparameters=given, allow_new_entries=False)


def test_so_many_networks_are_trained_at_most_with_another_loss_and_none_too_large(tmp_path):
    x = np.random.default_rng(0).normal(size=[200, 3]).astype("float32")
    given = {"loss": "mae", "metrics": ["mse"], "max_model_size": 60, "baseline": False}
    made = PlaybookTuner(
        build, "val_loss", 3, directory=tmp_path, budget="4000steps", stages=["model"], **given
    )
    made.search(x, x[:, :1], verbose=0)
    networks = made.latest.playbook.outcomes
    assert len({name.split("-x")[0] for name in networks}) == 3
    for outcome in networks.values():
        if outcome.error:
            assert "more than `max_model_size` (60)" in outcome.error
        else:
            assert set(outcome.evals[0]) == {"step", "loss", "mse"}


def test_a_model_that_is_too_large_is_refused_before_any_training(tmp_path):
    with pytest.raises(ValueError, match=r"has 21 parameters, more than `max_model_size` \(9\)"):
        tuner(tmp_path, max_model_size=9).search(np.ones([40, 3]), np.arange(40.0), verbose=0)
