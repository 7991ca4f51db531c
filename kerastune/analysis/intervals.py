"""Metrics of predictions with their 95 % intervals, for other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kerastune.analysis import metrics

DRAWS = 1000
FEWEST = 2  # examples of which an interval tells anything


def of_classes(
    true: np.ndarray, probabilities: np.ndarray, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Accuracy, macro-F1 and log-likelihood loss of predicted classes.

    Args:
        true: integer classes `[n]`.
        probabilities: `[n, classes]`.
        seed: of the bootstrap.

    Returns:
        By metric `{"value", "low", "high"}`.

    Example:
        >>> found = of_classes(np.array([0, 1] * 50), np.tile([[0.9, 0.1], [0.2, 0.8]], [50, 1]))
        >>> found["accuracy"]
        {'value': 1.0, 'low': 1.0, 'high': 1.0}
    """
    predicted, num_classes = probabilities.argmax(axis=1), probabilities.shape[1]
    losses = -np.log(np.clip(probabilities[np.arange(len(true)), true], 1e-12, 1))
    pairs = true * num_classes + predicted

    def macro_f1(rows: np.ndarray) -> float:
        counts = np.bincount(pairs[rows], minlength=num_classes**2)
        return metrics.macro_f1_of_confusion(counts.reshape(num_classes, num_classes))

    measured = {
        "accuracy": lambda rows: float((true == predicted)[rows].mean()),
        "macro_f1": macro_f1,
        "nll": lambda rows: float(losses[rows].mean()),
    }
    return bootstrapped(measured, len(true), seed)


def of_numbers(
    true: np.ndarray, predicted: np.ndarray, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Mean absolute error, root of the mean squared error, and R² of predicted numbers.

    Args:
        true: `[n, outputs]`.
        predicted: likewise.
        seed: of the bootstrap.

    Returns:
        By metric `{"value", "low", "high"}`; R² is left out where the numbers are all the same.

    Example:
        >>> of_numbers(np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]]))["mae"]["value"]
        0.5
    """
    errors = (predicted - true).astype(np.float64)
    spread = np.square(true - true.mean(axis=0)).astype(np.float64)
    measured = {
        "mae": lambda rows: float(np.abs(errors[rows]).mean()),
        "rmse": lambda rows: float(np.sqrt(np.square(errors[rows]).mean())),
    }
    if (spread.mean(axis=0) > 0).all():
        measured["r2"] = lambda rows: float(
            np.mean(1 - np.square(errors[rows]).mean(axis=0) / spread[rows].mean(axis=0))
        )
    return bootstrapped(measured, len(true), seed)


def bootstrapped(
    measured: dict[str, Callable[[np.ndarray], float]], count: int, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Metrics of all examples, with percentiles of metrics of examples drawn from them.

    Args:
        measured: by name, what gives the metric of some rows.
        count: number of examples.
        seed: of the draws.

    Returns:
        By metric `{"value", "low", "high"}`; without an interval for a single example.

    Example:
        >>> bootstrapped({"mean": lambda rows: 2.0}, 9)
        {'mean': {'value': 2.0, 'low': 2.0, 'high': 2.0}}
    """
    rows, random = np.arange(count), np.random.default_rng(seed)
    found = {name: {"value": metric(rows)} for name, metric in measured.items()}
    if count < FEWEST:
        return found
    drawn: dict[str, list[float]] = {name: [] for name in measured}
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(DRAWS):
            some = random.integers(0, count, count)
            for name, metric in measured.items():
                drawn[name].append(metric(some))
    for name, values in drawn.items():
        low, high = np.nanpercentile(values, [2.5, 97.5])
        found[name] |= {"low": float(low), "high": float(high)}
    return found
