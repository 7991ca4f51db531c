"""Exponential decay of the learning rate in stairs, as a plain function (S3.4)."""

from __future__ import annotations

import numpy as np

from kerastune.schedules.linear import check_decay, checked_step


def exponential_decay(
    step: np.ndarray | int,
    learning_rate: float,
    start: int,
    factor: float = 0.5,
    interval: int = 100,
) -> np.ndarray:
    """Learning rates that are multiplied by a factor at `start` and after every interval.

    The classic staircase (S3.4).

    `learning_rate * factor ** (1 + floor((step - start) / interval))` from `start` on,
    `learning_rate` before it. The first drop is at `start` itself, so with a factor of 0.5 or less
    the rate has halved from there on: the guide wants that by the best validation step without
    decay, a little before which decay starts, however long the interval.

    Args:
        step: number of updates done so far, an integer or an array of integers, `>= 0`.
        learning_rate: rate of the first step, `> 0`.
        start: step of the first drop, `>= 0`.
        factor: of every drop, in `(0, 1)`.
        interval: steps between two drops, `>= 1`.

    Returns:
        The rate, of the shape of `step`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> [
        ...     float(rate)
        ...     for rate in exponential_decay(
        ...         np.array([2699, 2700, 3000, 3200]), 0.01, 2700, 0.5, 500
        ...     )
        ... ]
        [0.01, 0.005, 0.005, 0.0025]
    """
    check_exponential_decay(learning_rate, start, factor, interval)
    passed = checked_step(step) - start
    drops = np.where(passed < 0, 0, 1 + passed // interval)
    return (learning_rate * factor ** drops.astype(np.float64))[()]


def check_exponential_decay(learning_rate: float, start: int, factor: float, interval: int) -> None:
    """Raises `ValueError` for arguments of `exponential_decay` that are out of range."""
    check_decay(learning_rate, interval, start)
    if not 0 < factor < 1:
        raise ValueError(f"`factor` must be in (0, 1), got {factor}.")
