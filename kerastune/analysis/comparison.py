"""Whether a difference between two models is more than chance: paired, with its 95 % interval."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

BOOTSTRAP_DRAWS = 2000
Z = 1.96  # standard errors on either side of a 95 % interval of a normal distribution


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A mean paired difference of two models' scores with its 95 % interval.

    Args:
        gain: mean over all examples; above 0 where the first model is better.
        low: lower end of the interval.
        high: upper end.
        mirrored: the comparison that decides where this one is not significant: the first model
            looks at the mirror images, too.

    Example:
        >>> Comparison(0.02, 0.01, 0.03).sign, Comparison(0.02, -0.01, 0.05).is_significant
        (1, False)
    """

    gain: float
    low: float
    high: float
    mirrored: Comparison | None = None

    @property
    def sign(self) -> int:
        """1 for a significant gain, -1 for a significant loss, 0 where the interval includes 0."""
        if self.mirrored is not None:
            return self.mirrored.sign
        return int(np.sign(self.gain)) if self.low > 0 or self.high < 0 else 0

    @property
    def is_significant(self) -> bool:
        """Whether the two models differ by more than chance."""
        return self.sign != 0

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
