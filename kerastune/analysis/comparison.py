"""Whether a difference between two models is more than chance: paired, with its 95 % interval."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_DRAWS = 2000
Z = 1.96  # standard errors on either side of a 95 % interval of a normal distribution


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A mean paired difference of two models' scores with its 95 % interval.

    Args:
        gain: mean over all examples and seeds; above 0 where the first model is better.
        low: lower end of the interval.
        high: upper end.
        seeds: how many seeds both models were trained with.
        std: standard deviation of the seeds' means; 0 of a single seed.
        first: the comparison with the first seed alone, where there may be others.
        failed_seed: with which the first model came to no end, so that nothing was won.
        mirrored: the comparison that decides where this one is not significant: the first model
            looks at the mirror images, too.

    Example:
        >>> Comparison(0.02, 0.01, 0.03).sign, Comparison(0.02, -0.01, 0.05).is_significant
        (1, False)
    """

    gain: float
    low: float
    high: float
    seeds: int = 1
    std: float = 0.0
    first: Comparison | None = None
    failed_seed: int | None = None
    mirrored: Comparison | None = None

    @property
    def sign(self) -> int:
        """1 for a significant gain, -1 for a significant loss, 0 where the interval includes 0."""
        if self.failed_seed is not None:
            return 0
        if self.mirrored is not None:
            return self.mirrored.sign
        return int(np.sign(self.gain)) if self.low > 0 or self.high < 0 else 0

    @property
    def is_significant(self) -> bool:
        """Whether the two models differ by more than chance."""
        return self.sign != 0

    @property
    def expects_gain(self) -> bool:
        """Whether the first model is expected to be better: the mean says so, however uncertain.

        For a choice between models that cost the same to serve.

        Example:
            >>> Comparison(0.02, -0.01, 0.05).expects_gain, Comparison(0.0, 0.0, 0.0).expects_gain
            (True, False)
        """
        if self.failed_seed is not None:
            return False
        return (self.mirrored or self).gain > 0

    @property
    def error(self) -> float:
        """The standard error of the gain."""
        return (self.high - self.low) / (2 * Z)


def named(compared: Comparison) -> dict[str, float]:
    """A gain and the ends of its 95 % interval by name, as plain values.

    Example:
        >>> named(Comparison(0.2, 0.1, 0.3))
        {'mean': 0.2, 'low': 0.1, 'high': 0.3}
    """
    return {"mean": compared.gain, "low": compared.low, "high": compared.high}


def difference(better: np.ndarray, worse: np.ndarray, seed: int = 1) -> Comparison:
    """Mean paired difference of two models' scores on the same examples, with its 95 % bootstrap
    interval.

    Args:
        better: score of every example `[n]`, larger is better (1 or 0 for right or wrong, or minus
            the error).
        worse: the other model's scores, in the same order.
        seed: of the bootstrap's 2,000 draws of `n` examples.

    Example:
        >>> named(difference(np.ones(50), np.zeros(50)))
        {'mean': 1.0, 'low': 1.0, 'high': 1.0}
    """
    gains = np.asarray(better, np.float64) - np.asarray(worse, np.float64)
    return Comparison(*_bootstrap(gains.tobytes(), seed))


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


def repeated_difference(
    better: Sequence[np.ndarray], worse: Sequence[np.ndarray], seed: int = 1
) -> Comparison:
    """Mean paired difference of two settings that were each trained with several seeds.

    The bootstrap over examples tells how the mean would differ with other examples, the seeds' own
    means how it would with other weights and batches: their variances are added. What of the seeds'
    variance is only noise of the examples is left out, since the bootstrap has it already (a
    two-way layout without repetition: Searle, Casella and McCulloch 1992, "Variance Components",
    4). A std of few seeds is uncertain, so the interval is Student's, with the degrees of freedom
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
    of_mean = difference(gains.mean(axis=0), np.zeros(count), seed)
    if num_seeds == 1:
        return of_mean
    from scipy import stats

    of_each = gains.mean(axis=1, keepdims=True)
    std = float(of_each.std(ddof=1))
    of_seeds = max(std**2 - (gains - of_each).var(axis=0, ddof=1).mean() / count, 0.0) / num_seeds
    if of_seeds == 0:
        return dataclasses.replace(of_mean, seeds=num_seeds, std=std)
    of_examples = of_mean.error**2
    variance = of_seeds + of_examples
    freedom = variance**2 / (of_seeds**2 / (num_seeds - 1) + of_examples**2 / max(count - 1, 1))
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance))
    mean = of_mean.gain
    return Comparison(mean, mean - half, mean + half, num_seeds, std)
