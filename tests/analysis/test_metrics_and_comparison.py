"""Figures of merit, and whether a difference is more than noise."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from kerastune.analysis import comparison, metrics
from kerastune.objective import Objective, best_evaluation

ACCURACY, LOSS = Objective("accuracy", "max"), Objective("loss", "min")


def interval(compared):
    """A gain and the ends of its interval."""
    return compared.gain, compared.low, compared.high


def test_gain_is_larger_for_better_values():
    assert ACCURACY.gain(0.9) > ACCURACY.gain(0.8)
    assert LOSS.gain(0.1) > LOSS.gain(0.2)


@pytest.mark.parametrize("direction", ["", "maximize", "MAX", None])
def test_an_objective_without_a_direction_is_refused(direction):
    with pytest.raises(ValueError, match="f1.*max or min"):
        Objective("f1", direction)


def test_the_best_evaluation_follows_the_direction():
    evals = [{"step": 1, "loss": 0.3, "accuracy": 0.9}, {"step": 2, "loss": 0.2, "accuracy": 0.8}]
    assert best_evaluation(evals, ACCURACY)["step"] == 1
    assert best_evaluation(evals, LOSS)["step"] == 2


def test_among_equals_the_lowest_loss_wins_then_the_first():
    evals = [
        {"step": step, "loss": loss, "accuracy": 0.9}
        for step, loss in [(1, 0.3), (2, 0.2), (3, 0.2)]
    ]
    assert best_evaluation(evals, ACCURACY)["step"] == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_evaluations_that_are_not_finite_are_passed_over(bad):
    evals = [{"step": 1, "loss": 1.0, "accuracy": bad}, {"step": 2, "loss": 1.0, "accuracy": 0.1}]
    assert best_evaluation(evals, ACCURACY)["step"] == 2
    assert best_evaluation(evals[:1], ACCURACY) is None
    assert best_evaluation([], ACCURACY) is None


def test_an_objective_that_was_not_measured_is_named_with_those_that_were():
    with pytest.raises(ValueError, match="`f1`.*loss, accuracy"):
        best_evaluation([{"step": 1, "loss": 1.0, "accuracy": 0.5}], Objective("f1", "max"))


def test_macro_f1_is_scikit_learns():
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    assert metrics.macro_f1(true, predicted, 4) == pytest.approx(
        f1_score(true, predicted, average="macro")
    )


def test_macro_f1_leaves_out_a_class_that_is_nowhere():
    true, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    assert metrics.macro_f1(true, predicted, 5) == metrics.macro_f1(true, predicted, 2)
    # A class that is only predicted counts, with an F1 of 0.
    assert metrics.macro_f1(np.array([0, 0]), np.array([0, 2]), 3) == pytest.approx((2 / 3 + 0) / 2)


def test_macro_f1_of_nothing_is_nan():
    assert np.isnan(metrics.macro_f1_of_confusion(np.zeros([3, 3])))


def test_a_difference_is_paired():
    # 3 % better on the very examples is beyond noise; the same means on shuffled examples would not
    # be.
    worse = (np.arange(400) < 360).astype(float)
    better = (np.arange(400) < 372).astype(float)
    mean, low, high = interval(comparison.difference(better, worse))
    assert mean == pytest.approx(0.03) and 0 < low < mean < high
    shuffled = np.random.default_rng(0).permutation(better)
    assert comparison.difference(shuffled, worse).low < 0


def test_a_difference_changes_its_sign_with_its_sides():
    generator = np.random.default_rng(1)
    a, b = generator.random(100), generator.random(100)
    mean, low, high = interval(comparison.difference(a, b))
    assert comparison.difference(b, a).gain == -mean
    assert low < mean < high


def test_equal_models_differ_by_nothing():
    assert interval(comparison.difference(np.ones(50), np.ones(50))) == (0.0, 0.0, 0.0)


def test_the_interval_is_that_of_the_normal_distribution_for_many_examples():
    gains = np.random.default_rng(2).normal(0.1, 1.0, 2000)
    mean, low, high = interval(comparison.difference(gains, np.zeros(2000)))
    half = 1.96 * gains.std() / np.sqrt(2000)
    assert low == pytest.approx(mean - half, abs=0.15 * half) and high == pytest.approx(
        mean + half, abs=0.15 * half
    )


def test_the_same_seed_gives_the_same_interval():
    gains = np.random.default_rng(3).normal(size=60)
    zero = np.zeros(60)
    assert comparison.difference(gains, zero, seed=5) == comparison.difference(gains, zero, seed=5)
    assert comparison.difference(gains, zero, seed=5) != comparison.difference(gains, zero, seed=6)


def test_scores_of_examples_have_macro_f1_as_their_mean_and_its_interval_by_bootstrap():
    generator = np.random.default_rng(1)
    true = generator.choice(4, 600, p=[0.6, 0.3, 0.1, 0.0])
    one, other = (
        np.where(generator.random(600) < share, true, generator.integers(0, 3, 600))
        for share in (0.8, 0.6)
    )
    by_example = [metrics.macro_f1_by_example(true, predicted, 4) for predicted in (one, other)]
    whole = [metrics.macro_f1(true, predicted, 4) for predicted in (one, other)]
    assert [each.mean() for each in by_example] == pytest.approx(whole)
    draws = [generator.integers(0, 600, 600) for _ in range(1000)]
    gains = [
        metrics.macro_f1(true[d], one[d], 4) - metrics.macro_f1(true[d], other[d], 4) for d in draws
    ]
    _, low, high = interval(comparison.difference(*by_example))
    assert (low, high) == pytest.approx(np.percentile(gains, [2.5, 97.5]), abs=0.02)


def test_roc_auc_by_example_has_the_mean_of_the_area_and_the_interval_of_a_bootstrap():
    generator = np.random.default_rng(0)
    true = generator.random(500) < 0.15
    one, other = (
        np.round(generator.normal(size=500) + gain * true, 1) for gain in (1.5, 1.0)
    )  # with ties
    by_example = [metrics.roc_auc_by_example(true, scores) for scores in (one, other)]
    areas = [roc_auc_score(true, scores) for scores in (one, other)]
    assert [each.mean() for each in by_example] == pytest.approx(areas)
    draws = [generator.integers(0, 500, 500) for _ in range(500)]
    gains = [roc_auc_score(true[d], one[d]) - roc_auc_score(true[d], other[d]) for d in draws]
    _, low, high = interval(comparison.difference(*by_example))
    assert (low, high) == pytest.approx(np.percentile(gains, [2.5, 97.5]), abs=0.02)
    assert metrics.roc_auc_by_example(np.ones(3, bool), np.arange(3)).tolist() == [0.5] * 3
