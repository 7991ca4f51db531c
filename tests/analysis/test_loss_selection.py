"""Ensembles by a loss of any kind, on arrays where the best mean is known."""

import numpy as np
import pytest

from kerastune.analysis import ensemble_selection, loss_selection
from kerastune.analysis.loss_selection import Averages
from kerastune.playbook.rules.ensemble_choice import judge, judge_by_loss

N, NUMBERS = 200, 3


def candidates(noises, seed=1):
    random = np.random.default_rng(seed)
    true = random.normal(size=(N, NUMBERS))
    outputs = np.stack([true + noise * random.normal(size=true.shape) for noise in noises])
    return outputs.astype("float32"), true


def squared(true):
    return lambda outputs: np.mean((outputs - true) ** 2, axis=1, dtype=np.float64)


def test_by_the_squared_error_it_is_the_ensemble_of_a_regression():
    outputs, true = candidates([0.5, 0.6, 0.5, 3.0])
    found, expected = judge_by_loss(outputs, squared(true), 3), judge(outputs, true, "loss", 3)
    assert found.is_kept and expected.is_kept
    np.testing.assert_allclose(found.blend.weights, expected.blend.weights)
    assert found.gain.gain == pytest.approx(expected.gain.gain, rel=1e-5)
    np.testing.assert_allclose(found.before, expected.before, rtol=1e-4, atol=1e-5)


def test_an_average_is_judged_once_however_often_folds_ask():
    outputs, true = candidates([0.5, 0.6, 0.7])
    asked = []

    def losses(each):
        asked.append(each[0, 0])
        return squared(true)(each)

    averages = Averages(outputs, losses)
    averages.cross_fitted(most=3)
    once = len(asked)
    averages.cross_fitted(most=3)
    assert len(asked) == once == len(set(asked)) < 5 * ensemble_selection.SIZE * 3


def test_models_of_noise_alone_make_no_ensemble_and_large_outputs_few_draws():
    outputs, true = candidates([0.1, 30.0])
    verdict = judge_by_loss(outputs, squared(true), 2)
    assert not verdict.is_kept and verdict.blend.weights.tolist() == [1, 0]
    np.testing.assert_array_equal(verdict.before, outputs[0])
    large = Averages(np.broadcast_to(np.float32(0), (10, 100, 100_000)), squared(0))
    assert large.draws < 11 and loss_selection.most_held(100, 100_000) == 26


def test_outputs_that_are_not_finite_are_refused():
    outputs, true = candidates([0.1, 0.2])
    outputs[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="of member 1 are not finite"):
        Averages(outputs, squared(true))
