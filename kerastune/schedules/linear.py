"""Learning-rate schedules as plain functions `step -> rate` (S3.1)."""

from __future__ import annotations

import numpy as np


def linear_decay(step, learning_rate: float, total_steps: int, interval: int = 100):
    """Rate that falls linearly from the first step to zero at the last one (S3.1, the lazy way of fastText).

    `learning_rate * (1 - floor(step / interval) * interval / total_steps)` for `step < total_steps`, and `0` from
    `total_steps` on. The rate is thus recomputed every `interval` steps and constant in between.

    Args:
        step: number of updates done so far, an integer or an array of integers, `>= 0`.
        learning_rate: rate of the first step, `> 0`.
        total_steps: step from which the rate is zero, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`; 1 gives a straight line.

    Returns:
        The rate, of the shape of `step`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> float(linear_decay(2000, learning_rate=0.01, total_steps=5000))
        0.006
        >>> [round(float(rate), 4) for rate in linear_decay(np.array([0, 99, 100, 4999, 5000]), 0.01, 5000)]
        [0.01, 0.01, 0.0098, 0.0002, 0.0]
    """
    check_linear_decay(learning_rate, total_steps, interval)
    step = np.asarray(step)
    if step.size and step.min() < 0:
        raise ValueError(f"`step` must be >= 0, got {step.min()}.")
    left = 1.0 - (step // interval * interval) / total_steps
    return np.where(step < total_steps, learning_rate * left, 0.0)[()]


def check_linear_decay(learning_rate: float, total_steps: int, interval: int) -> None:
    """Raises `ValueError` for arguments of `linear_decay` that are out of range."""
    if not learning_rate > 0:
        raise ValueError(f"`learning_rate` must be > 0, got {learning_rate}.")
    if total_steps < 1:
        raise ValueError(f"`total_steps` must be >= 1, got {total_steps}.")
    if interval < 1:
        raise ValueError(f"`interval` must be >= 1 step, got {interval}.")
