"""Figures of the rarer class are those of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from kerastune.analysis import rare_class


@pytest.mark.parametrize("rare", [0, 1])
@pytest.mark.parametrize("digits", [1, 9])
def test_they_are_those_of_scikit_learn(rare, digits):
    random = np.random.default_rng(rare)
    is_rare = random.random(400) < 0.1
    score = np.clip(random.normal(0.3 + 0.3 * is_rare, 0.2), 0, 1).round(digits)
    true = np.where(is_rare, rare, 1 - rare)
    probabilities = np.stack([1 - score, score][:: 1 if rare else -1], axis=1)
    found = rare_class.figures(true, probabilities)
    chosen = probabilities.argmax(axis=1) == rare
    expected = {
        "class": rare,
        "share": is_rare.mean(),
        "roc_auc": metrics.roc_auc_score(is_rare, score),
        "pr_auc": metrics.average_precision_score(is_rare, score),
        "recall": metrics.recall_score(is_rare, chosen),
        "precision": metrics.precision_score(is_rare, chosen, zero_division=0),
        "f1": metrics.f1_score(is_rare, chosen),
        "majority_accuracy": 1 - is_rare.mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    above = score >= found["threshold"]
    assert found["threshold_f1"] == pytest.approx(metrics.f1_score(is_rare, above))
    others = [metrics.f1_score(is_rare, score >= each) for each in np.unique(score)]
    assert found["threshold_f1"] == pytest.approx(max(others))


def test_a_class_without_examples_is_refused():
    with pytest.raises(ValueError, match="both must have some"):
        rare_class.figures(np.zeros(3, int), np.ones([3, 2]) / 2)
