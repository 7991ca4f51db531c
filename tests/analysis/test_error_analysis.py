"""Confusion, confidence, intervals and worst mistakes, on numbers worked out by hand."""

import numpy as np
import pytest

from kerastune.analysis import error_analysis


def test_probabilities_of_one_output_and_of_many():
    assert error_analysis.probabilities(np.array([[0.25]]), logits=False).tolist() == [[0.75, 0.25]]
    found = error_analysis.probabilities(np.array([[1000.0, 0.0], [0.0, 0.0]]), logits=True)
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]])


def test_a_class_that_never_occurs_has_no_recall():
    precision, recall, f1, count = error_analysis.by_class(np.array([[2, 1], [0, 0]]))[1]
    assert precision == 0 and np.isnan(recall) and f1 == 0 and count == 0


def test_worst_numbers_are_those_farthest_off_in_units_of_their_spread():
    true = np.array([[0.0, 0.0], [10.0, 0.1], [20.0, 0.2]])
    # A tenth of the spread would be 0.8 and 0.008.
    outputs = true + [[1.0, 0.0], [0.0, 0.1], [0.0, 0.0]]
    assert error_analysis.worst(outputs, true, False, most=2).tolist() == [1, 0]


@pytest.mark.parametrize("measure", ["accuracy", "macro-F1", "mean absolute error"])
def test_an_interval_holds_its_value_and_narrows_with_examples(measure):
    def width(n):
        true = np.arange(n) % 2
        outputs = np.eye(2)[np.where(np.arange(n) % 10 == 0, 1 - true, true)]
        if measure == "mean absolute error":
            true, outputs = true[:, None], outputs[:, 1:]
        value, low, high = error_analysis.with_interval(outputs, true, measure)
        assert low <= value <= high
        return high - low

    assert width(1000) < width(100) / 2


@pytest.mark.parametrize("wrong", [0, 1, 11])
def test_no_interval_of_a_share_passes_its_bounds(wrong):
    true = np.repeat([0, 1], [10, 2])  # a rare class, whose every example weighs much
    predicted = np.where(np.arange(12) < wrong, 1 - true, true)
    for measure in ("accuracy", "macro-F1"):
        value, low, high = error_analysis.with_interval(np.eye(2)[predicted], true, measure)
        assert 0 <= low < value <= high <= 1 and low < high
    value, low, _ = error_analysis.with_interval(
        np.zeros([3, 1]), np.array([[0.0], [0.0], [9.0]]), "mean absolute error"
    )
    assert low == 0 < value
