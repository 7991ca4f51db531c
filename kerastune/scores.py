"""Figures of merit on arrays, and whether a difference between two models is more than noise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_DRAWS = 2000
Z = 1.96  # standard errors on either side of a 95 % interval of a normal distribution
# The same of Student's, by degrees of freedom; in between they are read off straight lines over one over the freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 10: 2.228, 20: 2.086, 60: 2.0, 10**9: Z}


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

    Macro-F1 is no mean over examples. This is what each of them adds to it, to first order (its influence function;
    Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans"), so a bootstrap over these scores gives the
    interval of macro-F1's differences.

    Example:
        >>> true, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> round(float(macro_f1_by_example(true, predicted, 2).mean()), 4) == round(macro_f1(true, predicted, 2), 4)
        True
    """
    classes = np.arange(num_classes)[:, None]
    is_true, is_predicted = true == classes, predicted == classes
    named = is_true + is_predicted.astype(np.float64)
    counts = named.mean(axis=1, keepdims=True)
    present = counts[:, 0] > 0
    right, named, counts = (2.0 * (is_true & is_predicted))[present], named[present], counts[present]
    f1 = right.mean(axis=1, keepdims=True) / counts
    return (f1 + (right - f1 * named) / counts).mean(axis=0)


def macro_f1_of_confusion(confusion: np.ndarray) -> float:
    """Macro-F1 of counts `[classes, classes]` (rows are true classes); NaN when they are all zero."""
    counts = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = counts > 0
    if not present.any():
        return float("nan")
    return float(np.mean(2 * np.diag(confusion)[present] / counts[present]))


def gained(mean: float, measure: str) -> str:
    """A mean difference of examples' scores in words; `measure` is what they measure: `"accuracy"`, `"loss"` ...

    Example:
        >>> gained(0.0125, "accuracy"), gained(0.1, "loss")
        ('+1.25 points of accuracy', '-0.1 of loss')
    """
    return f"{-mean:+.3g} of loss" if measure == "loss" else f"{100 * mean:+.3g} points of {measure}"


def interval(low: float, high: float, measure: str) -> str:
    """The ends of such a difference's interval, in the same units.

    Example:
        >>> interval(0.001, 0.024, "accuracy"), interval(0.1, 0.2, "loss")
        ('+0.1 to +2.4', '-0.2 to -0.1')
    """
    ends = (-high, -low) if measure == "loss" else (100 * low, 100 * high)
    return f"{ends[0]:+.3g} to {ends[1]:+.3g}"


def spread(value: float, measure: str) -> str:
    """A standard deviation of such differences, in the same units.

    Example:
        >>> spread(0.0031, "accuracy")
        '0.31'
    """
    return f"{value if measure == 'loss' else 100 * value:.3g}"


def named(interval: tuple[float, float, float]) -> dict[str, float]:
    """A mean and the ends of its 95 % interval by name.

    Example:
        >>> named((0.2, 0.1, 0.3))
        {'mean': 0.2, 'low': 0.1, 'high': 0.3}
    """
    return dict(zip(("mean", "low", "high"), interval))


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
    return _bootstrap(gains.tobytes(), seed)


@functools.lru_cache(maxsize=128)
def _bootstrap(gains: bytes, seed: int) -> tuple[float, float, float]:
    # Stages are pure functions, so they ask for the same differences again and again.
    gains = np.frombuffer(gains)
    generator = np.random.default_rng(seed)
    means = [gains[generator.integers(0, len(gains), len(gains))].mean() for _ in range(BOOTSTRAP_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Gain:
    """A mean paired difference with its 95 % interval, over one or more seeds.

    Args:
        mean: of all examples and seeds.
        low: end of the interval; the gain is beyond noise when it is above zero.
        high: the other end.
        seeds: how many seeds both models were trained with.
        spread: standard deviation of the seeds' means; 0 of a single seed, which shows none.
    """

    mean: float
    low: float
    high: float
    seeds: int = 1
    spread: float = 0.0

    @property
    def sign(self) -> int:
        """1 for a gain beyond noise, -1 for a loss beyond noise, 0 within noise."""
        return int(np.sign(self.mean)) if self.low > 0 or self.high < 0 else 0


def repeated_difference(better: Sequence[np.ndarray], worse: Sequence[np.ndarray], seed: int = 1) -> Gain:
    """Mean paired difference of two settings that were each trained with several seeds.

    The bootstrap over examples tells how the mean would differ with other examples, the seeds' own means how it would
    with other weights and batches: their variances are added. What of the seeds' variance is only noise of the examples
    is left out, since the bootstrap has it already (a two-way layout without repetition: Searle, Casella and McCulloch
    1992, "Variance Components", 4). Few seeds know their spread badly, so the interval is Student's, with the degrees
    of freedom of Satterthwaite (1946, Biometrics Bulletin 2): nearly normal where the examples' noise prevails, and up
    to 12.7 standard errors wide where two seeds disagree. One seed gives the interval of `difference`.

    Args:
        better: for every seed the score of every example `[n]`, larger is better.
        worse: the other setting's, with the same seeds and examples in the same order.
        seed: of the bootstrap.

    Example:
        >>> better, worse = np.ones(50), np.zeros(50)
        >>> repeated_difference([better, better], [worse, worse]).low
        1.0
        >>> repeated_difference([better, worse], [worse, worse]).low < 0
        True
    """
    gains = np.asarray(better, np.float64) - np.asarray(worse, np.float64)
    num_seeds, count = gains.shape
    mean, low, high = difference(gains.mean(axis=0), np.zeros(count), seed)
    if num_seeds == 1:
        return Gain(mean, low, high)
    of_each = gains.mean(axis=1, keepdims=True)
    spread = float(of_each.std(ddof=1))
    of_seeds = max(spread**2 - (gains - of_each).var(axis=0, ddof=1).mean() / count, 0.0) / num_seeds
    if of_seeds == 0:
        return Gain(mean, low, high, num_seeds, spread)
    of_examples = ((high - low) / (2 * Z)) ** 2
    variance = of_seeds + of_examples
    freedom = variance**2 / (of_seeds**2 / (num_seeds - 1) + of_examples**2 / max(count - 1, 1))
    half = float(np.interp(1 / freedom, [1 / f for f in reversed(STUDENT)], [*reversed(STUDENT.values())]))
    half *= float(np.sqrt(variance))
    return Gain(mean, mean - half, mean + half, num_seeds, spread)
