"""Figures of merit on arrays of classes."""

from __future__ import annotations

import math
import re

import numpy as np

# The last words of metrics' names, by what their values lie within.
WITHIN = {
    (0.0, 1.0): "accuracy|acc|precision|recall|auc|roc|f1|f1 score|fbeta score|io u|iou|dice|ece|"
    "at specificity|at sensitivity|at recall|at precision|specificity|sensitivity|agreement",
    (-math.inf, 1.0): "r2|r2 score",
    (-1.0, 1.0): "cosine similarity|correlation",
    (0.0, math.inf): "error|mae|mse|rmse|mape|msle|nll|brier|hinge|huber|crossentropy|divergence|"
    "positives|negatives",
}


def limits(name: str) -> tuple[float, float]:
    """What a metric is never below, and never above, by its name; infinite where it may be.

    Example:
        >>> limits("val_head_f1_score_1"), limits("r2"), limits("val_loss")
        ((0.0, 1.0), (-inf, 1.0), (-inf, inf))
    """
    words = re.sub(r"( \d+)+$", "", name.lower().replace("_", " "))
    for ends, known in WITHIN.items():
        if re.search(rf"(^| )({known})$", words):
            return ends
    return -math.inf, math.inf


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Share of integer classes `[n]` that are predicted right.

    Example:
        >>> accuracy(np.array([0, 1]), np.array([0, 0]))
        0.5
    """
    return float(np.mean(true == predicted))


def macro_f1(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Mean over the classes of F1; a class that neither occurs nor is predicted is left out.

    Example:
        >>> round(macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), 2), 4)
        0.6667
    """
    return macro_f1_of_confusion(confusion(true, predicted, num_classes))


def confusion(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class was taken for which `[classes, classes]`; rows are true classes.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    counts = np.zeros([num_classes, num_classes], np.int64)
    np.add.at(counts, (true, predicted), 1)
    return counts


def macro_f1_by_example(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """A score of every example `[n]` whose mean is macro-F1, to compare two models by, paired.

    Macro-F1 is no mean over examples. This is what each of them adds to it, to first order (its
    influence function; Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans"), so a
    bootstrap over these scores gives the interval of macro-F1's differences.

    Example:
        >>> true, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> round(float(macro_f1_by_example(true, predicted, 2).mean()), 4) == round(
        ...     macro_f1(true, predicted, 2), 4
        ... )
        True
    """
    classes = np.arange(num_classes)[:, None]
    is_true, is_predicted = true == classes, predicted == classes
    named = is_true + is_predicted.astype(np.float64)
    counts = named.mean(axis=1, keepdims=True)
    present = counts[:, 0] > 0
    right, named, counts = (
        (2.0 * (is_true & is_predicted))[present],
        named[present],
        counts[present],
    )
    f1 = right.mean(axis=1, keepdims=True) / counts
    return (f1 + (right - f1 * named) / counts).mean(axis=0)


def roc_auc_by_example(is_positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A score of every example `[n]` whose mean is the area under the ROC curve, to compare two
    models by, paired.

    What each example adds to the area, to first order (DeLong, DeLong & Clarke-Pearson 1988,
    "Comparing the Areas under Two or More Correlated ROC Curves"): a positive one by the share of
    the negative ones below it, a negative one by the share of the positive ones above it. With one
    class alone all are 0.5.

    Args:
        is_positive: `[n]`, boolean.
        scores: `[n]`; larger ones are to be positive. Equal ones count half.

    Example:
        >>> found = roc_auc_by_example(np.array([0, 1, 0, 1]) == 1, np.array([0.1, 0.4, 0.3, 0.2]))
        >>> float(found.mean())
        0.75
    """
    is_positive = np.asarray(is_positive, bool)
    positives, total = int(is_positive.sum()), len(is_positive)
    if positives in (0, total):
        return np.full(total, 0.5)
    among_all = _ranks(scores)
    share = np.empty(total)
    share[is_positive] = (among_all[is_positive] - _ranks(scores[is_positive])) / (
        total - positives
    )
    share[~is_positive] = 1 - (among_all[~is_positive] - _ranks(scores[~is_positive])) / positives
    area = share[is_positive].mean()
    weight = np.where(is_positive, total / positives, total / (total - positives))
    return area + weight * (share - area)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal scores have the mean of theirs."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def macro_f1_of_confusion(confusion: np.ndarray) -> float:
    """Macro-F1 of counts `[true classes, classes]`; NaN when they are all zero."""
    counts = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = counts > 0
    if not present.any():
        return float("nan")
    return float(np.mean(2 * np.diag(confusion)[present] / counts[present]))
