"""Measures and mends the calibration of a classifier, on arrays."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.analysis import comparison
from kerastune.analysis.comparison import Comparison

LEAST = 1e-7  # probability of which a logarithm is taken, as Keras's cross-entropies do
BINS = 15  # of equal width, by the confidence
COLDEST, HOTTEST = 0.1, 10.0  # temperatures
PRIOR_STD = 0.15  # of the logarithm of a temperature, before any example was seen


def log_losses(probabilities: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of every example `[n]`.

    Args:
        probabilities: `[n, classes]`; below `LEAST` they count as that.
        true: integer classes `[n]`.

    Example:
        >>> log_losses(np.array([[0.5, 0.5]]), np.array([1])).round(4).tolist()
        [0.6931]
    """
    given = np.asarray(probabilities, np.float64)[np.arange(len(true)), true]
    return -np.log(np.clip(given, LEAST, 1.0))


def brier(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Brier score (1950): mean squared distance to the one-hot truth, 0 to 2.

    The squares are summed over classes.

    Example:
        >>> brier(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1, 0]))
        0.25
    """
    distances = np.array(probabilities, np.float64)
    distances[np.arange(len(true)), true] -= 1
    return float(np.mean(np.sum(distances**2, axis=1)))


def reliability(probabilities: np.ndarray, true: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Confidence against accuracy, by bins of the predicted class's probability.

    Args:
        probabilities: `[n, classes]`.
        true: integer classes `[n]`.
        bins: of equal width, over 0 to 1.

    Returns:
        A row of mean confidence, accuracy and share of the examples for every bin that has any,
        `[at most bins, 3]`.

    Example:
        >>> reliability(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0])).tolist()
        [[0.8, 0.0, 0.5], [0.9, 1.0, 0.5]]
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    right = probabilities.argmax(axis=1) == true
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [
        (confidence[place == b].mean(), right[place == b].mean(), np.mean(place == b))
        for b in np.unique(place)
    ]
    return np.array(rows, np.float64)


def calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins.

    Bins count by their fraction of the examples (Naeini et al. 2015; Guo et al. 2017,
    arXiv:1706.04599).

    Example:
        >>> round(calibration_error(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0])), 4)
        0.45
    """
    promised, kept, share = reliability(probabilities, true, bins).T
    return float(np.sum(share * np.abs(promised - kept)))


def figures(probabilities: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Negative log-likelihood, expected calibration error and Brier score, by name.

    Smaller is better for all.
    """
    return {
        "nll": float(log_losses(probabilities, true).mean()),
        "ece": calibration_error(probabilities, true),
        "brier": brier(probabilities, true),
    }


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities `[..., classes]` in proportion to the exponentials of `logits`, float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return shifted / shifted.sum(axis=-1, keepdims=True)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities `[n, classes]` with their logarithms divided by a temperature.

    Above 1 they are less certain.

    Example:
        >>> tempered(np.array([[0.2, 0.8]]), 0.5).round(4).tolist()
        [[0.0588, 0.9412]]
    """
    if temperature == 1:
        return probabilities
    return softmax(np.log(np.clip(np.asarray(probabilities, np.float64), LEAST, 1.0)) / temperature)


def best_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """The temperature in [0.1, 10] that is most probable after these examples.

    It has the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), shrunk towards 1
    by a normal prior on its logarithm: a few dozen examples, all of them right, would otherwise ask
    for the coldest one, and promise too much of others. Its weight against theirs falls with their
    number. `python runs/benchmark_calibration.py` shows what it does.

    Of an ensemble it is that of the *averaged* probabilities: averaging makes them less certain, so
    members that are calibrated each give an ensemble that is not (Rahaman and Thiery 2021,
    arXiv:2007.08792).

    Args:
        probabilities: `[n, classes]`.
        true: integer classes `[n]`.

    Example:
        >>> sure, right = np.tile([0.9, 0.1], [8000, 1]), np.arange(8000) % 4 > 0
        >>> round(best_temperature(sure, 1 - right), 2)  # right in 3 of 4
        1.97
        >>> round(best_temperature(sure[:20], np.zeros(20, int)), 2)
        0.91
    """
    from scipy import optimize

    def loss(log_temperature: float) -> float:
        misfit = log_losses(tempered(probabilities, np.exp(log_temperature)), true).sum()
        return float(misfit + (log_temperature / PRIOR_STD) ** 2 / 2)

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x))


@dataclasses.dataclass(frozen=True)
class Temperature:
    """A temperature, and what it makes of probabilities that it was not fitted to.

    Args:
        value: 1 where none helps significantly.
        gain: fall of the log-likelihood loss by what was tried, kept or not.
        before: probabilities `[n, classes]` without it, or numbers `[n, outputs]`, which have none.
        after: the same with it; the same again where it is 1.
    """

    value: float
    gain: Comparison
    before: np.ndarray
    after: np.ndarray


def judged(value: float, before: np.ndarray, after: np.ndarray, true: np.ndarray) -> Temperature:
    """A temperature where it lowers the log-likelihood loss significantly, else that of 1.

    Args:
        value: fitted to all examples: the one that is handed on.
        before: probabilities `[n, classes]`.
        after: the same by temperatures that were fitted to other examples.
        true: integer classes `[n]`.

    Example:
        >>> sure, right = np.tile([0.99, 0.01], [400, 1]), np.arange(400) % 4 == 0
        >>> judged(5.0, sure, tempered(sure, 5.0), right.astype(int)).value
        5.0
        >>> judged(0.5, sure, tempered(sure, 0.5), right.astype(int)).value
        1.0
    """
    gain = comparison.difference(*(-log_losses(each, true) for each in (after, before)))
    return (
        Temperature(value, gain, before, after)
        if gain.sign > 0
        else Temperature(1.0, gain, before, before)
    )
