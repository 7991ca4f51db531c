"""Figures of merit on arrays, and whether a difference between two models is more than noise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_DRAWS = 2000
Z = 1.96  # standard errors on either side of a 95 % interval of a normal distribution
# The same of Student's, by degrees of freedom; in between they are read off straight lines over one
# over the freedom.
STUDENT = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    7: 2.365,
    10: 2.228,
    20: 2.086,
    60: 2.0,
    10**9: Z,
}


def named(interval: tuple[float, float, float]) -> dict[str, float]:
    """A mean and the ends of its 95 % interval by name.

    Example:
        >>> named((0.2, 0.1, 0.3))
        {'mean': 0.2, 'low': 0.1, 'high': 0.3}
    """
    return dict(zip(("mean", "low", "high"), interval))


def difference(better: np.ndarray, worse: np.ndarray, seed: int = 1) -> tuple[float, float, float]:
    """Mean paired difference of two models' scores on the same examples, with its 95 % bootstrap
    interval.

    Args:
        better: score of every example `[n]`, larger is better (1 or 0 for right or wrong, or minus
            the error).
        worse: the other model's scores, in the same order.
        seed: of the bootstrap's 2,000 draws of `n` examples.

    Returns:
        The mean difference and the ends of the interval. A gain is beyond noise when the lower end
        is above zero.

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
    means = [
        gains[generator.integers(0, len(gains), len(gains))].mean() for _ in range(BOOTSTRAP_DRAWS)
    ]
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


def repeated_difference(
    better: Sequence[np.ndarray], worse: Sequence[np.ndarray], seed: int = 1
) -> Gain:
    """Mean paired difference of two settings that were each trained with several seeds.

    The bootstrap over examples tells how the mean would differ with other examples, the seeds' own
    means how it would with other weights and batches: their variances are added. What of the seeds'
    variance is only noise of the examples is left out, since the bootstrap has it already (a
    two-way layout without repetition: Searle, Casella and McCulloch 1992, "Variance Components",
    4). Few seeds know their spread badly, so the interval is Student's, with the degrees of freedom
    of Satterthwaite (1946, Biometrics Bulletin 2): nearly normal where the examples' noise
    prevails, and up to 12.7 standard errors wide where two seeds disagree. One seed gives the
    interval of `difference`.

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
    of_seeds = (
        max(spread**2 - (gains - of_each).var(axis=0, ddof=1).mean() / count, 0.0) / num_seeds
    )
    if of_seeds == 0:
        return Gain(mean, low, high, num_seeds, spread)
    of_examples = ((high - low) / (2 * Z)) ** 2
    variance = of_seeds + of_examples
    freedom = variance**2 / (of_seeds**2 / (num_seeds - 1) + of_examples**2 / max(count - 1, 1))
    half = float(
        np.interp(1 / freedom, [1 / f for f in reversed(STUDENT)], [*reversed(STUDENT.values())])
    )
    half *= float(np.sqrt(variance))
    return Gain(mean, mean - half, mean + half, num_seeds, spread)
