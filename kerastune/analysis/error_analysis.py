"""What a model gets wrong: confused classes, confidence, worst mistakes."""

from __future__ import annotations

import numpy as np

from kerastune.analysis import calibration, metrics
from kerastune.analysis.comparison import Z


def probabilities(outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Probabilities `[n, classes]` of a classifier's outputs.

    Outputs are `[n, classes]`, or `[n, 1]` for class 1 of two.

    Args:
        outputs: logits or probabilities.
        logits: which of them.

    Example:
        >>> probabilities(np.array([[0.0], [9.0]]), logits=True).round(2).tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    outputs = np.asarray(outputs, np.float64)
    if outputs.shape[1] == 1:
        first = 1 / (1 + np.exp(-np.clip(outputs, -500, 500))) if logits else outputs
        return np.concatenate([1 - first, first], axis=1)
    return calibration.softmax(outputs) if logits else outputs


def by_class(confusion: np.ndarray) -> np.ndarray:
    """Precision, recall, F1 and number of examples of every class `[classes, 4]`.

    What is not defined (a class never predicted, or without examples) is NaN.

    Args:
        confusion: counts `[classes, classes]`; rows are true classes.

    Example:
        >>> by_class(np.array([[3, 1], [0, 4]])).round(2).tolist()
        [[1.0, 0.75, 0.86, 4.0], [0.8, 1.0, 0.89, 4.0]]
    """
    right, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.stack(
            [right / predicted, right / true, 2 * right / (true + predicted), true], axis=1
        )


def most_confused(confusion: np.ndarray, most: int = 10) -> list[tuple[int, int, int]]:
    """The most frequent confusions: true class, predicted class, number of times.

    Example:
        >>> most_confused(np.array([[3, 1], [2, 4]]))
        [(1, 0, 2), (0, 1, 1)]
    """
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [tuple(int(i) for i in np.unravel_index(place, wrong.shape)) for place in order]
    return [
        (true, predicted, int(wrong[true, predicted]))
        for true, predicted in pairs
        if wrong[true, predicted]
    ]


def worst(outputs: np.ndarray, true: np.ndarray, is_classification: bool, most: int) -> np.ndarray:
    """Indices of the worst mistakes, the worst first.

    Wrong classes by confidence, or numbers by their error.

    Args:
        outputs: probabilities `[n, classes]`, or numbers `[n, outputs]`.
        true: integer classes `[n]`, or numbers `[n, outputs]`.
        is_classification: which of them.
        most: so many at most.

    Example:
        >>> worst(
        ...     np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), np.array([1, 0, 1]), True, most=5
        ... ).tolist()
        [0, 1]
    """
    if not is_classification:
        errors = np.abs(outputs - true) / np.maximum(np.std(true, axis=0), 1e-12)
        return np.argsort(-errors.mean(axis=1), kind="stable")[:most]
    wrong = np.flatnonzero(outputs.argmax(axis=1) != true)
    return wrong[np.argsort(-outputs[wrong].max(axis=1), kind="stable")][:most]


def with_interval(
    outputs: np.ndarray, true: np.ndarray, measure: str
) -> tuple[float, float, float]:
    """A figure of merit of one model and the ends of its 95 % interval.

    No end is where the figure can't be. A share of right answers has Wilson's interval (1927),
    which is sound near 0 and 1. So have macro-F1 and ROC AUC, of as many examples as give a share
    its variance (Korn & Graubard 1998, "Confidence Intervals for Proportions"). An error has the
    normal one.

    Args:
        outputs: probabilities `[n, classes]`, or numbers `[n, outputs]`.
        true: integer classes `[n]`, or numbers `[n, outputs]`.
        measure: `"accuracy"`, `"macro-F1"`, `"ROC AUC"` of class 1, or `"mean absolute error"`.

    Example:
        >>> [
        ...     round(float(end), 2)
        ...     for end in with_interval(
        ...         np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), "accuracy"
        ...     )
        ... ]
        [1.0, 0.51, 1.0]
    """
    if measure == "mean absolute error":
        each = np.abs(outputs - true).mean(axis=1)
        mean, half = float(each.mean()), Z * each.std() / np.sqrt(len(each))
        return mean, max(float(mean - half), 0.0), float(mean + half)
    predicted, count = outputs.argmax(axis=1), float(len(true))
    if measure == "ROC AUC":
        each = metrics.roc_auc_by_example(true == 1, outputs[:, 1])
    elif measure == "macro-F1":
        each = metrics.macro_f1_by_example(true, predicted, outputs.shape[1])
    else:
        return wilson(float(np.mean(predicted == true)), count)
    share = float(each.mean().clip(0.0, 1.0))
    spread = share * (1 - share)
    return wilson(share, spread * count / each.var() if spread and each.var() else count)


def wilson(share: float, count: float) -> tuple[float, float, float]:
    """A share and the ends of Wilson's 95 % interval, within 0 and 1.

    Args:
        share: of right answers, 0 to 1.
        count: of the examples, `> 0`.

    Example:
        >>> [round(end, 2) for end in wilson(1.0, 4)]
        [1.0, 0.51, 1.0]
    """
    middle, half = (
        share + Z**2 / (2 * count),
        Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)),
    )
    low, high = (float((middle + sign * half) / (1 + Z**2 / count)) for sign in (-1, 1))
    return share, max(min(low, share), 0.0), min(max(high, share), 1.0)
