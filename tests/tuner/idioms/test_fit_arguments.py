"""Arguments of `fit` that `search` takes: each is honored where it has a meaning."""

import keras
import numpy as np
import pytest

from kerastune import PlaybookTuner
from kerastune.data.batches import order
from kerastune.tuner.idioms.fit_arguments import FitArguments, taken

GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=[320, 5]).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def build(hp):
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")]
    return keras.Sequential([keras.Input([5]), *layers])


def searched(directory, **given):
    tuner = PlaybookTuner(build, directory=directory, budget="3000steps")
    tuner.search(X, Y, verbose=0, **given)
    return tuner


@pytest.mark.slow
def test_no_training_is_longer_than_its_epochs_and_all_have_the_batch_size(tmp_path):
    tuner = searched(tmp_path, epochs=30, batch_size=20, validation_split=0.25)
    outcomes = tuner.latest.playbook.outcomes.values()
    assert {outcome.spec.recipe.batch_size for outcome in outcomes} == {20}
    assert max(outcome.steps for outcome in outcomes) * 20 <= 30 * 240
    assert tuner.recipe.batch_size == 20
    chosen = tuner.latest.playbook.outcomes[tuner.result["trial"]]
    assert chosen.steps == chosen.spec.recipe.total_steps


@pytest.mark.slow
def test_few_epochs_hold_for_the_shortest_trials_too(tmp_path):
    tuner = searched(tmp_path, epochs=4, batch_size=64)
    outcomes = tuner.latest.playbook.outcomes.values()
    assert max(outcome.steps for outcome in outcomes) * 64 <= 4 * 320
    assert len(tuner.get_best_models()) == 1


def test_the_last_examples_are_held_out_as_fit_does_it(tmp_path):
    weights = np.linspace(0.5, 1.5, 320)
    tuner = PlaybookTuner(build, directory=tmp_path, budget="1000steps", stages=["start"])
    tuner.search(X, Y.tolist(), validation_split=0.2, sample_weight=weights, verbose=0)
    problem = tuner.latest.problem
    np.testing.assert_array_equal(problem.validation.x, X[256:])
    np.testing.assert_array_equal(problem.validation.sample_weight, weights[256:])
    assert len(problem.train) == 256


def test_inputs_by_name_are_cut_like_arrays():
    x, y, validation, weight = FitArguments(validation_split=0.5).cut(
        {"a": X, "b": X[:, :2]}, Y, None, None
    )
    assert x["b"].shape == validation[0]["b"].shape == (160, 2)
    assert len(y) == 160 and len(validation) == 2 and weight is None


def test_validation_data_count_for_more_than_a_split():
    given = (X[:9], Y[:9])
    assert FitArguments(validation_split=0.5).cut(X, Y, given, None)[2] is given


def test_without_shuffling_the_examples_come_in_their_order(tmp_path):
    assert order(5, 3, None, 1, 3).tolist() == [3, 4, 0, 1, 2, 3]
    tuner = PlaybookTuner(build, directory=tmp_path, budget="1000steps", stages=["start"])
    tuner.search(X, Y, shuffle=False, verbose=0)
    assert not tuner.latest.problem.shuffled


@pytest.mark.parametrize(
    "given, words",
    [
        ({"epochs": 0}, "`epochs` must be an integer >= 1, got 0"),
        ({"batch_size": "32"}, "`batch_size` must be an integer >= 1, got '32'"),
        ({"validation_split": 1.5}, r"`validation_split` must be a fraction in \[0, 1\)"),
        ({"validation_batch_size": 0}, "`validation_batch_size` must be an integer >= 1"),
        ({"shuffle": "batch"}, "`shuffle` must be True or False, got 'batch'"),
        ({"initial_epoch": 3}, "`initial_epoch` can't be given to search"),
    ],
)
def test_bad_values_are_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        taken(dict(given))


def test_a_split_that_leaves_a_part_empty_or_of_no_arrays_is_refused():
    with pytest.raises(ValueError, match=r"\(0.999\) of 320 examples leaves a part empty"):
        FitArguments(validation_split=0.999).cut(X, Y, None, None)
    with pytest.raises(ValueError, match="is for arrays, got generator: pass validation_data"):
        FitArguments(validation_split=0.1).cut((row for row in X), None, None, None)
