"""Scores of k-fold cross-validation as rules on arrays: their means and intervals (S4.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerastune.analysis import error_analysis, metrics

SHARE = 0.0, 1.0
LEVEL = 0.975  # of the quantile that is the upper end of a 95 % interval


def summary(
    by_fold: Sequence[Mapping[str, float]], num_train: Sequence[int], num_held_out: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and 95 % interval of every metric over the folds.

    The training parts of two folds share most of their examples, so their scores are not
    independent and the plain standard error `s / sqrt(J)` is too small. The interval is that of the
    corrected resampled t: the variance of the mean is `(1 / J + held out / trained on) s²`, with
    Student's quantile of J - 1 degrees of freedom. Nadeau and Bengio (2003), "Inference for the
    Generalization Error", Machine Learning 52, for random cuts; Bouckaert and Frank (2004),
    "Evaluating the Replicability of Significance Tests", PAKDD, for repeated folds. No unbiased
    estimate of that variance exists (Bengio and Grandvalet 2004), so the interval is a good rule
    and no exact one. It is cut off where the metric can't be.

    Args:
        by_fold: metrics by name, one dict for each of the J >= 2 folds of all repeats.
        num_train: examples that each fold was trained on `[J]`.
        num_held_out: examples that each held out `[J]`.

    Returns:
        By metric `{"mean", "std", "low", "high"}`. A metric that is not finite in every fold (R² of
        a single example)
        is left out.

    Example:
        >>> found = summary([{"accuracy": 0.8}, {"accuracy": 0.9}], [50, 50], [50, 50])["accuracy"]
        >>> round(found["mean"], 2), round(found["std"], 3), found["low"], found["high"]
        (0.85, 0.071, 0.0, 1.0)
    """
    from scipy import stats

    quantile = float(stats.t.ppf(LEVEL, len(by_fold) - 1))
    share = 1 / len(by_fold) + np.sum(num_held_out) / np.sum(num_train)
    found = {}
    for name in by_fold[0]:
        values = np.array([each.get(name, np.nan) for each in by_fold], np.float64)
        if np.isfinite(values).all():
            mean, std = float(values.mean()), float(values.std(ddof=1))
            half = quantile * float(np.sqrt(share)) * std
            lowest, highest = metrics.limits(name)
            low, high = max(mean - half, lowest), min(mean + half, highest)
            found[name] = {"mean": mean, "std": std, "low": low, "high": high}
    return found


def pooled(
    each: np.ndarray, groups: np.ndarray | None = None, ends: tuple[float, float] = SHARE
) -> dict[str, float]:
    """Mean score of all held-out examples with its 95 % interval.

    For other examples of the same kind.

    It has the variance of the examples alone, and not what other training data would bring;
    `summary` has that. Shares of right answers have Wilson's interval (1927). Examples of one group
    are alike, so with groups the interval is that of a sample of whole groups (Cochran 1977,
    "Sampling Techniques", 9A), with Student's quantile.

    Args:
        each: score of every example `[n]`, its mean over the repeats: 1 or 0 for right or wrong, or
            an error.
        groups: numbers or texts `[n]`, at least two different ones, or `None`.
        ends: what no score lies below or above; those of shares are 0 and 1.

    Returns:
        `{"mean", "low", "high"}`.

    Example:
        >>> {name: round(value, 2) for name, value in pooled(np.ones(4)).items()}
        {'mean': 1.0, 'low': 0.51, 'high': 1.0}
    """
    from scipy import stats

    each = np.asarray(each, np.float64)
    mean, count, z = float(each.mean()), len(each), float(stats.norm.ppf(LEVEL))
    lowest, highest = ends
    if groups is not None:
        _, places = np.unique(groups, return_inverse=True)
        sums = np.bincount(places, each - mean)
        half = float(stats.t.ppf(LEVEL, len(sums) - 1))
        half *= float(np.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum())) / count
    elif ends == SHARE:
        return dict(zip(("mean", "low", "high"), error_analysis.wilson(mean, count), strict=True))
    else:
        half = z * float(each.std(ddof=1)) / float(np.sqrt(count))
    return {"mean": mean, "low": max(mean - half, lowest), "high": min(mean + half, highest)}
