"""Linear decay of the learning rate as a plain function `step -> rate` (S3.1, S3.3)."""

from __future__ import annotations

import numpy as np


def linear_decay(
    step: np.ndarray | int,
    learning_rate: float,
    total_steps: int,
    interval: int = 100,
    start: int = 0,
) -> np.ndarray:
    """Rate that falls linearly to zero at the last step (S3.1, the lazy way of fastText).

    From `start` on it is `learning_rate * (1 - floor(passed / interval) * interval / (total_steps -
    start))` with `passed = step - start` for `step < total_steps`, and `0` from `total_steps` on.
    The rate is thus recomputed every `interval` steps and constant in between. Before `start` it is
    `learning_rate`.

    Args:
        step: number of updates done so far, an integer or an array of integers, `>= 0`.
        learning_rate: rate of the first step, `> 0`.
        total_steps: step from which the rate is zero, `>= 1`.
        interval: steps between two changes of the rate, `>= 1`; 1 gives a straight line.
        start: step from which the line falls, `>= 0`; not below `total_steps`, there is one drop,
            at the end.

    Returns:
        The rate, of the shape of `step`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> float(linear_decay(2000, learning_rate=0.01, total_steps=5000))
        0.006
        >>> [
        ...     round(float(rate), 4)
        ...     for rate in linear_decay(np.array([0, 99, 100, 4999, 5000]), 0.01, 5000)
        ... ]
        [0.01, 0.01, 0.0098, 0.0002, 0.0]
        >>> float(linear_decay(4000, learning_rate=0.01, total_steps=5000, start=3000))
        0.005
    """
    check_linear_decay(learning_rate, total_steps, interval, start)
    passed = np.maximum(checked_step(step) - start, 0)
    left = 1.0 - (passed // interval * interval) / max(total_steps - start, 1)
    return np.where(np.asarray(step) < total_steps, learning_rate * left, 0.0)[()]


def check_linear_decay(learning_rate: float, total_steps: int, interval: int, start: int) -> None:
    """Raises `ValueError` for arguments of `linear_decay` that are out of range."""
    if total_steps < 1:
        raise ValueError(f"`total_steps` must be >= 1, got {total_steps}.")
    check_decay(learning_rate, interval, start)


def check_decay(learning_rate: float, interval: int, start: int) -> None:
    """Raises `ValueError` for arguments of any decay that are out of range."""
    if not learning_rate > 0:
        raise ValueError(f"`learning_rate` must be > 0, got {learning_rate}.")
    if interval < 1:
        raise ValueError(f"`interval` must be >= 1 step, got {interval}.")
    if start < 0:
        raise ValueError(f"`start` must be >= 0, got {start}.")


def checked_step(step: np.ndarray | int) -> np.ndarray:
    """Steps as an array; a negative one raises `ValueError`."""
    step = np.asarray(step)
    if step.size and step.min() < 0:
        raise ValueError(f"`step` must be >= 0, got {step.min()}.")
    return step
