"""How well the rarer of two classes is found."""

from __future__ import annotations

import numpy as np

from kerastune.analysis import metrics


def figures(
    true: np.ndarray, probabilities: np.ndarray, threshold: float | None = None
) -> dict[str, float]:
    """Figures of merit of the rarer of two classes.

    Args:
        true: integer classes `[n]`, both of which occur.
        probabilities: `[n, 2]`.
        threshold: of the probability of the rarer class; by default the one with the highest F1.

    Returns:
        `"class"` (0 or 1, the rarer one), its `"share"` of the examples, `"roc_auc"`, `"pr_auc"`
        (average precision), its `"recall"`, `"precision"` and `"f1"` where the likelier class is
        predicted, and `"majority_accuracy"`, of always predicting the other class; and the
        `"threshold"` of its probability, with `"threshold_recall"`, `"threshold_precision"` and
        `"threshold_f1"` of predicting it from there on. What is never predicted has a precision
        of 0.

    Raises:
        ValueError: for a class without examples.

    Example:
        >>> found = figures(np.array([0, 0, 0, 1]), np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]]))
        >>> found["roc_auc"], found["recall"], found["threshold"], found["threshold_recall"]
        (1.0, 0.0, 0.4, 1.0)
    """
    counts = np.bincount(true, minlength=2)
    if len(counts) != 2 or not counts.all():
        raise ValueError(f"`true` has {counts.tolist()} examples by class; both must have some.")
    rare = of(true)
    is_rare, score = true == rare, probabilities[:, rare].astype(np.float64)
    thresholds, hits, named = _curve(is_rare, score)
    recall, precision = hits / counts[rare], hits / named
    f1 = 2 * hits / (named + counts[rare])
    threshold = float(thresholds[np.argmax(f1)]) if threshold is None else threshold
    above = _named(is_rare, score >= threshold)
    return {
        "class": rare,
        "share": float(counts[rare] / len(true)),
        "roc_auc": float(metrics.roc_auc_by_example(is_rare, score).mean()),
        "pr_auc": float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        **_named(is_rare, probabilities.argmax(axis=1) == rare),
        "majority_accuracy": float(counts[1 - rare] / len(true)),
        "threshold": threshold,
        **{f"threshold_{name}": value for name, value in above.items()},
    }


def _named(is_rare: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """Recall, precision and F1 of examples that are said to be of the class."""
    right, said, there = (int(each.sum()) for each in (chosen & is_rare, chosen, is_rare))
    return {
        "recall": right / there,
        "precision": right / max(said, 1),
        "f1": 2 * right / (said + there),
    }


def of(true: np.ndarray) -> int:
    """The rarer of two classes; class 1 where they are equally frequent.

    Example:
        >>> of(np.array([0, 0, 1])), of(np.array([0, 1]))
        (1, 1)
    """
    counts = np.bincount(true, minlength=2)
    return int(counts[1] <= counts[0])


def _curve(is_rare: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different scores, the highest first; how many of the class, and of all, have each or more."""
    order = np.argsort(-score, kind="stable")
    score, is_rare = score[order], is_rare[order]
    last = np.flatnonzero(np.append(np.diff(score) != 0, True))
    return score[last], np.cumsum(is_rare)[last].astype(np.float64), last + 1.0
