"""Chooses the models of an ensemble and their weights, on arrays of predictions.

Predictions are `[members, examples, classes]` (probabilities) or `[members, examples, outputs]`
(numbers); targets are integer classes `[examples]` or numbers `[examples, outputs]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from kerastune.analysis import calibration, metrics
from kerastune.analysis.comparison import Comparison

SIZE = 25  # draws of the greedy selection, so a weight is a multiple of 1/25 or more
FOLDS = 5
SMALLEST_DIFFERENCE = 1e-12  # of two losses, below which they are a tie


def _logarithms(predictions: np.ndarray) -> np.ndarray:
    return np.log(np.clip(predictions, calibration.LEAST, 1.0))


def _same(values: np.ndarray) -> np.ndarray:
    return values


# What is averaged, and what the average is turned into.
MEANS: dict[str, tuple[Callable, Callable]] = {
    "arithmetic": (_same, _same),
    "geometric": (_logarithms, calibration.softmax),
}


def mean_named(name: str) -> tuple[Callable, Callable]:
    """The two functions of a mean; raises `ValueError` for an unknown one.

    Example:
        >>> mean_named("median")
        Traceback (most recent call last):
        ValueError: `mean` must be one of arithmetic, geometric, got 'median'.
    """
    if name not in MEANS:
        raise ValueError(f"`mean` must be one of {', '.join(MEANS)}, got {name!r}.")
    return MEANS[name]


@dataclasses.dataclass(frozen=True)
class Blend:
    """An ensemble's arithmetic.

    Args:
        weights: of the members `[members]`, `>= 0`, sum 1.
        mean: a name of `MEANS`; geometric is in log space, renormalized.
        temperature: that the mean's logarithms are divided by, `> 0`; 1 changes nothing.

    Example:
        >>> Blend(np.array([0.5, 0.5])).combine(np.array([[[1.0, 0.0]], [[0.5, 0.5]]])).tolist()
        [[0.75, 0.25]]
    """

    weights: np.ndarray
    mean: str = "arithmetic"
    temperature: float = 1.0

    def combine(self, predictions: np.ndarray) -> np.ndarray:
        """The members' tempered mean `[examples, classes or outputs]`.

        Members of weight 0 are not used.
        """
        into, back = mean_named(self.mean)
        used = np.flatnonzero(self.weights)
        averaged = np.tensordot(self.weights[used], into(predictions[used]), axes=1)
        return calibration.tempered(back(averaged), self.temperature)


def greedy(
    values: np.ndarray,
    loss: Callable[[np.ndarray], float],
    size: int = SIZE,
    most: int | None = None,
) -> np.ndarray:
    """Weights by greedy selection with replacement.

    Each draw adds the member with which the mean of all drawn so far has the least loss (Caruana et
    al. 2004, "Ensemble selection from libraries of models"). Among equals a member that is in
    already wins, then the first. The best prefix of the draws counts, the shortest among equals.

    Args:
        values: what is averaged, `[members, ...]`.
        loss: of an average `[...]`; smaller is better, finite.
        size: number of draws, `>= 1`.
        most: different members at most; `None` for no limit.

    Returns:
        Weights `[members]`, sum 1.

    Example:
        >>> truth = np.array([1.0, 2.0])
        >>> greedy(
        ...     np.array([[0.0, 3.0], [9.0, 9.0], [2.0, 1.0]]),
        ...     lambda mean: float(np.sum((mean - truth) ** 2)),
        ... )
        array([0.5, 0. , 0.5])
    """
    counts, total = np.zeros(len(values), int), np.zeros(values.shape[1:])
    best_loss, best_counts = np.inf, counts
    for draw in range(1, size + 1):
        is_full = most is not None and np.count_nonzero(counts) >= most
        open_ones = np.flatnonzero(counts) if is_full else range(len(values))
        losses = {member: loss((total + values[member]) / draw) for member in open_ones}
        least = min(losses.values()) + SMALLEST_DIFFERENCE
        member = max((m for m in losses if losses[m] <= least), key=lambda m: (counts[m] > 0, -m))
        counts, total = counts.copy(), total + values[member]
        counts[member] += 1
        if losses[member] < best_loss - SMALLEST_DIFFERENCE:
            best_loss, best_counts = losses[member], counts
    return best_counts / best_counts.sum()


def are_classes(targets: np.ndarray) -> bool:
    """Whether targets are integer classes and not numbers."""
    return targets.dtype.kind in "iu"


def losses(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The loss of every example `[n]` that selection and weights minimize.

    Negative log-likelihood, or squared error.
    """
    if are_classes(targets):
        return calibration.log_losses(predictions, targets)
    return np.mean(
        (predictions - targets.reshape(predictions.shape)) ** 2, axis=-1, dtype=np.float64
    )


def fit(predictions: np.ndarray, targets: np.ndarray, most: int | None = None) -> Blend:
    """Chooses members, weights, mean and temperature on some examples.

    The mean is the one of the least loss, the arithmetic one among equals and for numbers. The
    temperature is that of the averaged probabilities (`calibration.best_temperature`), 1 for
    numbers.

    Args:
        predictions: of all candidates.
        targets: of the same examples.
        most: members at most.

    Raises:
        ValueError: for predictions that are not finite or do not fit the targets.
    """
    _check(predictions, targets)
    blends = []
    for name in MEANS if are_classes(targets) else ["arithmetic"]:
        into, back = MEANS[name]
        weights = greedy(
            into(predictions.astype(np.float64)),
            lambda mean, back=back: losses(back(mean), targets).mean(),
            most=most,
        )
        blends.append(Blend(weights, name))
    best = min(
        blends, key=lambda blend: round(losses(blend.combine(predictions), targets).mean(), 9)
    )
    if not are_classes(targets):
        return best
    temperature = calibration.best_temperature(best.combine(predictions), targets)
    return dataclasses.replace(best, temperature=temperature)


def _check(predictions: np.ndarray, targets: np.ndarray) -> None:
    if predictions.ndim != 3 or predictions.shape[1] != len(targets) or not len(predictions):
        raise ValueError(
            f"`predictions` must be [members, {len(targets)} examples, classes or outputs], got "
            f"{predictions.shape}."
        )
    for member, values in enumerate(predictions):
        if not np.isfinite(values).all():
            raise ValueError(
                f"predictions of member {member} are not finite: leave that model out."
            )


def judged(
    value: float, before: np.ndarray, after: np.ndarray, targets: np.ndarray
) -> calibration.Temperature:
    """`calibration.judged` for classes; numbers have no temperature.

    Args:
        value: fitted to all examples.
        before: cross-fitted predictions `[examples, classes or outputs]` without temperature.
        after: the same with it.
        targets: of the same examples.
    """
    if are_classes(targets):
        return calibration.judged(value, before, after, targets)
    return calibration.Temperature(1.0, Comparison(0.0, 0.0, 0.0), before, before)


def calibrated(predictions: np.ndarray, targets: np.ndarray) -> calibration.Temperature:
    """The temperature of one model, cross-fitted, where it helps beyond noise.

    Args:
        predictions: of the model `[examples, classes or outputs]`.
        targets: of the same examples.
    """
    only = predictions[None]
    return judged(fit(only, targets).temperature, *cross_fitted(only, targets), targets)


def reliability(
    before: np.ndarray, after: np.ndarray, targets: np.ndarray
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """`calibration.reliability` before and after a temperature as tuples; empty for numbers."""
    if not are_classes(targets):
        return {}
    both = {"before": before, "after": after}
    return {
        name: tuple(map(tuple, calibration.reliability(each, targets).tolist()))
        for name, each in both.items()
    }


def cross_fitted(
    predictions: np.ndarray,
    targets: np.ndarray,
    most: int | None = None,
    folds: int = FOLDS,
    seed: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for every example by an ensemble that was fitted without it.

    Validation has chosen the recipe already. An ensemble fitted on the same examples that judge it
    would look better than it is; this one is fitted on all folds but one, and predicts that one.

    Args:
        predictions: of all candidates.
        targets: of the same examples; classes are spread evenly over the folds.
        most: members at most.
        folds: number of folds, at most one per example.
        seed: of the folds.

    Returns:
        The averaged predictions `[examples, classes or outputs]` before and after temperature.
    """
    _check(predictions, targets)
    before = np.empty(predictions.shape[1:])
    after = np.empty(predictions.shape[1:])
    place = fold_of_each(targets, min(folds, len(targets)), seed)
    for fold in np.unique(place):
        held_out = place == fold
        blend = fit(predictions[:, ~held_out], targets[~held_out], most)
        plain = dataclasses.replace(blend, temperature=1.0).combine(predictions[:, held_out])
        before[held_out], after[held_out] = plain, calibration.tempered(plain, blend.temperature)
    return before, after


def fold_of_each(targets: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Number of the fold of every example `[n]`, at random, every class spread evenly.

    Example:
        >>> place = fold_of_each(np.array([0, 0, 0, 1, 1, 1]), 3, seed=1)
        >>> sorted(place[:3].tolist()), sorted(place[3:].tolist())
        ([0, 1, 2], [0, 1, 2])
    """
    strata = targets if are_classes(targets) else np.zeros(len(targets))
    order = np.lexsort((np.random.default_rng(seed).random(len(targets)), strata))
    place = np.empty(len(targets), int)
    place[order] = np.arange(len(targets)) % folds
    return place


def example_scores(predictions: np.ndarray, targets: np.ndarray, measure: str) -> np.ndarray:
    """Score of every example `[n]`, larger is better, to compare ensembles and models by, paired.

    Args:
        predictions: `[examples, classes or outputs]`.
        targets: of the same examples.
        measure: as `Facts.scored_by` names it: `"accuracy"`, `"macro-F1"`, `"ROC AUC"`,
            `"explained variance"`, or `"loss"` for minus the log-likelihood loss or squared error,
            whatever loss the model was trained with.
    """
    if not are_classes(targets) or measure == "loss":
        return -losses(predictions, targets)
    if measure == "ROC AUC":
        return metrics.roc_auc_by_example(targets == 1, predictions[:, 1])
    predicted = predictions.argmax(axis=1)
    if measure == "macro-F1":
        return metrics.macro_f1_by_example(targets, predicted, predictions.shape[1])
    return (predicted == targets).astype(np.float64)


def disagreement(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How much every two members differ, `[members, members]`, 0 on the diagonal.

    It is what an ensemble can gain from.

    Share of the examples to which they give different classes; for numbers, the root mean squared
    difference.

    Example:
        >>> disagreement(np.array([[[1.0, 0.0]], [[0.2, 0.8]]]), np.array([0])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if are_classes(targets):
        chosen = predictions.argmax(axis=2)
        return np.array([(chosen != each).mean(axis=1) for each in chosen])
    return np.array(
        [np.sqrt(np.mean((predictions - each) ** 2, axis=(1, 2))) for each in predictions]
    )
