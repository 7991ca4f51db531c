"""Figures of merit on arrays, and whether a difference between two models is more than noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Objective:
    """The validation value that chooses, and its direction.

    Args:
        name: as Keras logs it, without `val_`: `"accuracy"`, `"loss"` …
        direction: `"max"` or `"min"`.

    Raises:
        ValueError: for another direction.

    Example:
        >>> Objective("loss", "min").gain(0.5)
        -0.5
    """

    name: str
    direction: str

    def __post_init__(self):
        if self.direction not in ("max", "min"):
            raise ValueError(f"the direction of `{self.name}` must be max or min, got {self.direction!r}.")

    def gain(self, value: float) -> float:
        """The value, or its negative, so that larger is better."""
        return value if self.direction == "max" else -value


def best_evaluation(evals: Sequence[dict], objective: Objective) -> dict | None:
    """The evaluation with the best objective; among equals the lowest loss, then the first.

    Evaluations whose objective is not finite are passed over; `None` when nothing is left.

    Raises:
        ValueError: when the objective is not among the values.
    """
    for values in evals:
        if objective.name not in values:
            known = ", ".join(name for name in values if name != "step")
            raise ValueError(f"the objective `{objective.name}` is not among the validation values; they are: {known}.")
    sound = [values for values in evals if np.isfinite(values[objective.name])]
    if not sound:
        return None
    return max(sound, key=lambda values: (objective.gain(values[objective.name]), -values.get("loss", 0.0)))


def kept_evaluation(evals: Sequence[dict], objective: Objective, decays: bool) -> dict | None:
    """The evaluation whose weights a training keeps: the last one when its rate decays, else the best one.

    Decay fixes the horizon, so such a run is judged at its end only; and there, with the smallest steps, an evaluation
    scatters least. `None` when no objective is finite.

    Raises:
        ValueError: when the objective is not among the values.

    Example:
        >>> evals = [{"step": 50, "loss": 0.2}, {"step": 100, "loss": 0.3}]
        >>> [kept_evaluation(evals, Objective("loss", "min"), decays)["step"] for decays in (False, True)]
        [50, 100]
    """
    best = best_evaluation(evals, objective)
    if best is None or not decays:
        return best
    return next(values for values in reversed(evals) if np.isfinite(values[objective.name]))


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
    confusion = np.zeros([num_classes, num_classes])
    np.add.at(confusion, (true, predicted), 1)
    return macro_f1_of_confusion(confusion)


def macro_f1_of_confusion(confusion: np.ndarray) -> float:
    """Macro-F1 of counts `[classes, classes]` (rows are true classes); NaN when they are all zero."""
    counts = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = counts > 0
    if not present.any():
        return float("nan")
    return float(np.mean(2 * np.diag(confusion)[present] / counts[present]))


def difference(better: np.ndarray, worse: np.ndarray, seed: int = 1) -> tuple[float, float, float]:
    """Mean paired difference of two models' scores on the same examples, with its 95 % bootstrap interval.

    Args:
        better: score of every example `[n]`, larger is better (1 or 0 for right or wrong, or minus the error).
        worse: the other model's scores, in the same order.
        seed: of the bootstrap's 2,000 draws of `n` examples.

    Returns:
        The mean difference and the ends of the interval. A gain is beyond noise when the lower end is above zero.

    Example:
        >>> difference(np.ones(50), np.zeros(50))
        (1.0, 1.0, 1.0)
    """
    gains = np.asarray(better, np.float64) - np.asarray(worse, np.float64)
    generator = np.random.default_rng(seed)
    means = [gains[generator.integers(0, len(gains), len(gains))].mean() for _ in range(BOOTSTRAP_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)
