"""Cosine decay of the learning rate, and warm-up, as plain functions `step -> rate`."""

from __future__ import annotations

import numpy as np

from kerastune.schedules.linear import check_decay, checked_step


def cosine_decay(
    step: np.ndarray | int, learning_rate: float, total_steps: int, start: int = 0
) -> np.ndarray:
    """Learning rate that falls to zero along half a cosine (Loshchilov and Hutter 2017,
    arXiv:1608.03983).

    With a `start` above 0 it is flat first, then falls.

    Args:
        step: number of updates done so far, an integer or an array of integers, `>= 0`.
        learning_rate: of the first step, `> 0`.
        total_steps: step from which the learning rate is zero, `>= 1`.
        start: step from which it falls, `>= 0`.

    Returns:
        The learning rate, of the shape of `step`.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> [round(float(rate), 4) for rate in cosine_decay(np.array([0, 50, 100]), 0.1, 100)]
        [0.1, 0.05, 0.0]
        >>> float(cosine_decay(70, 0.1, 100, start=80))
        0.1
    """
    check_cosine_decay(learning_rate, total_steps, start)
    passed = np.maximum(checked_step(step) - start, 0)
    fraction = np.minimum(passed / max(total_steps - start, 1), 1.0)
    left = 0.5 * (1 + np.cos(np.pi * fraction))
    return np.where(np.asarray(step) < total_steps, learning_rate * left, 0.0)[()]


def check_cosine_decay(learning_rate: float, total_steps: int, start: int) -> None:
    """Raises `ValueError` for arguments of `cosine_decay` that are out of range."""
    if total_steps < 1:
        raise ValueError(f"`total_steps` must be >= 1, got {total_steps}.")
    check_decay(learning_rate, 1, start)


def warm_up(step: np.ndarray | int, warmup_steps: int) -> np.ndarray:
    """What a learning rate is multiplied by while it rises linearly over its first steps.

    Args:
        step: number of updates done so far, an integer or an array of integers, `>= 0`.
        warmup_steps: steps of the rise, `>= 0`; 0 for none.

    Returns:
        Factors in `(0, 1]`, of the shape of `step`.

    Example:
        >>> warm_up(np.arange(5), 4).tolist()
        [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if warmup_steps < 0:
        raise ValueError(f"`warmup_steps` must be >= 0, got {warmup_steps}.")
    return np.minimum((checked_step(step) + 1) / max(warmup_steps, 1), 1.0)[()]
