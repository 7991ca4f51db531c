"""Selection on hand-made predictions."""

import numpy as np
import pytest

from kerastune.analysis import ensemble_selection
from kerastune.analysis.ensemble_selection import Blend

TRUE = np.repeat([0, 1], 60)


def member(wrong, sure=0.9):
    """Two-class probabilities that are right but for the examples in `wrong`."""
    given = np.where(np.isin(np.arange(len(TRUE)), list(wrong)), 1 - TRUE, TRUE)
    return np.where(given[:, None] == np.arange(2), sure, 1 - sure)


def test_greedy_finds_the_pair_that_mends_each_other():
    first, second = np.array([2.0, 0.0, 2.0, 0.0]), np.array([0.0, 2.0, 0.0, 2.0])
    values = np.stack([np.full(4, 1.5), first, np.full(4, -3.0), second])
    weights = ensemble_selection.greedy(values, lambda mean: float(np.sum((mean - 1) ** 2)))
    # The single best member is drawn first, and stays since draws are never taken back.
    assert weights[2] == 0 and weights[1] == weights[3] > 0.4


def test_greedy_keeps_the_best_prefix_of_its_draws():
    values = np.array([[1.0], [3.0]])
    losses = {1.0: 0.5, 2.0: 0.4}  # one of each is best, a third draw of either is worse
    assert ensemble_selection.greedy(
        values, lambda mean: losses.get(float(mean[0]), 1.0), size=3
    ).tolist() == [0.5, 0.5]
    assert ensemble_selection.greedy(
        values, lambda mean: losses.get(float(mean[0]), 1.0), size=1
    ).tolist() == [1.0, 0.0]


def test_among_equals_a_member_that_is_in_wins_and_the_first_before():
    values = np.array([[1.0], [1.0], [1.0]])
    assert ensemble_selection.greedy(values, lambda mean: 0.0).tolist() == [1.0, 0.0, 0.0]
    # Draw 2 is better with either; draw 3 would be as good with any: no third member comes in.
    falling = iter([3, 3, 3, 2, 2, 2, 1, 1, 1])
    weights = ensemble_selection.greedy(values, lambda mean: float(next(falling)), size=3)
    assert weights.tolist() == [1.0, 0.0, 0.0]


def test_no_more_members_than_asked_for_and_weights_are_draws():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(8, 50)) + 1
    for most in (1, 3, None):
        weights = ensemble_selection.greedy(
            values, lambda mean: float(np.mean((mean - 1) ** 2)), most=most
        )
        assert weights.sum() == pytest.approx(1)
        assert np.count_nonzero(weights) <= (most or 8) and np.count_nonzero(weights) >= min(
            most or 4, 3
        )


def test_fit_prefers_complementary_members_to_a_better_single_one():
    best, first, second, third = range(20), range(0, 30), range(30, 60), range(60, 90)
    predictions = np.stack([member(wrong) for wrong in (best, first, second, third)])
    blend = ensemble_selection.fit(predictions, TRUE)
    assert (blend.weights[2:] > 0.2).all() and blend.weights[2] == pytest.approx(
        blend.weights[3], abs=0.1
    )
    assert (blend.combine(predictions).argmax(axis=1) == TRUE).mean() > 0.99


def test_one_member_is_an_ensemble_of_its_own():
    blend = ensemble_selection.fit(member(range(12))[None], TRUE)
    assert blend.weights.tolist() == [1.0] and blend.mean == "arithmetic"
    assert blend.temperature == pytest.approx(1.0, abs=0.01)  # 0.9 are promised, and 0.9 are right


def test_the_mean_that_is_better_is_chosen():
    # Where one member is certain and the other wavers, the geometric mean believes the certain one.
    sure, wavering = member([], 0.999), np.tile([0.45, 0.55], (len(TRUE), 1))
    each = [
        np.where((np.arange(len(TRUE)) % 2 == turn)[:, None], sure, wavering) for turn in (0, 1)
    ]
    assert ensemble_selection.fit(np.stack(each), TRUE).mean == "geometric"
    # Where both are certain and contradict each other, it believes nobody and the arithmetic one
    # neither.
    assert (
        ensemble_selection.fit(np.stack([member(range(12)), member(range(12))]), TRUE).mean
        == "arithmetic"
    )


def test_means_of_two():
    predictions = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
    np.testing.assert_allclose(Blend(np.array([0.5, 0.5])).combine(predictions), [[0.7, 0.3]])
    np.testing.assert_allclose(
        Blend(np.array([0.5, 0.5]), "geometric").combine(predictions), [[0.75, 0.25]]
    )
    with pytest.raises(
        ValueError, match="`mean` must be one of arithmetic, geometric, got 'harmonic'"
    ):
        Blend(np.array([1.0, 0.0]), "harmonic").combine(predictions)


def test_a_zero_of_one_member_does_not_silence_the_others():
    predictions = np.array([[[1.0, 0.0]], [[0.01, 0.99]]])
    found = Blend(np.array([0.1, 0.9]), "geometric").combine(predictions)
    assert np.isfinite(found).all() and found[0, 1] > 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_member_that_is_not_finite_is_refused_by_number(bad):
    predictions = np.stack([member([]), member([])])
    predictions[1, 3, 0] = bad
    for function in (ensemble_selection.fit, ensemble_selection.cross_fitted):
        with pytest.raises(ValueError, match="member 1 are not finite"):
            function(predictions, TRUE)


def test_predictions_of_other_examples_are_refused():
    with pytest.raises(ValueError, match=r"must be \[members, 120 examples"):
        ensemble_selection.fit(member([])[None, :5], TRUE)


def test_no_example_is_predicted_by_what_was_fitted_on_it():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 2, 200)
    chance = generator.random((40, 200))
    predictions = np.stack([chance, 1 - chance], axis=2)
    blend = ensemble_selection.fit(predictions, true)
    before, _ = ensemble_selection.cross_fitted(predictions, true)
    fitted = ensemble_selection.example_scores(blend.combine(predictions), true, "accuracy").mean()
    honest = ensemble_selection.example_scores(before, true, "accuracy").mean()
    # Among forty members that guess, some are lucky; cross-fitting sees through it.
    assert fitted > 0.62 and 0.4 < honest < 0.6


def test_cross_fitting_is_the_same_again_and_its_folds_hold_every_class_alike():
    predictions = np.stack([member(range(i, i + 20)) for i in (0, 50, 90)])
    first, again = (ensemble_selection.cross_fitted(predictions, TRUE) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    place = ensemble_selection.fold_of_each(TRUE, 5, seed=3)
    for label in (0, 1):
        assert np.bincount(place[TRUE == label]).tolist() == [12] * 5
    assert (ensemble_selection.fold_of_each(TRUE, 5, seed=4) != place).any()


def test_numbers_are_selected_by_squared_error_and_have_no_temperature():
    generator = np.random.default_rng(1)
    targets = generator.normal(size=(300, 2))
    noise = generator.normal(size=(3, 300, 2))
    predictions = targets + noise * np.array([1.0, 1.0, 5.0])[:, None, None]
    blend = ensemble_selection.fit(predictions, targets)
    assert blend.mean == "arithmetic" and blend.temperature == 1.0
    np.testing.assert_allclose(blend.weights[:2], 0.5, atol=0.1)
    before, after = ensemble_selection.cross_fitted(predictions, targets)
    np.testing.assert_array_equal(before, after)
    assert np.mean((before - targets) ** 2) < 0.6
    single = ensemble_selection.example_scores(predictions[0], targets, "explained variance")
    assert (
        ensemble_selection.example_scores(before, targets, "explained variance").mean()
        > single.mean() + 0.3
    )


def test_disagreement_between_members():
    predictions = np.stack([member([]), member(range(30)), member(range(60))])
    np.testing.assert_allclose(
        ensemble_selection.disagreement(predictions, TRUE),
        [[0, 0.25, 0.5], [0.25, 0, 0.25], [0.5, 0.25, 0]],
    )
    numbers = np.stack([np.zeros([5, 1]), np.full([5, 1], 3.0)])
    np.testing.assert_allclose(
        ensemble_selection.disagreement(numbers, np.zeros([5, 1])), [[0, 3], [3, 0]]
    )
