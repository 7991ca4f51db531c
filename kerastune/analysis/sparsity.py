"""Magnitude pruning as rules on arrays: schedule, masks and savings (S4.4)."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import numpy as np

SCOPES = ("global", "layer")
POWER = 3  # of the schedule: fast while weights are redundant, slow where every one counts


def check(sparsity: float, name: str = "sparsity") -> float:
    """The sparsity as a float, if it is a share in [0, 1); else `ValueError` naming it.

    Example:
        >>> check(0.8)
        0.8
    """
    is_number = isinstance(sparsity, (int, float, np.number)) and not isinstance(sparsity, bool)
    if not is_number or not 0 <= sparsity < 1:
        raise ValueError(
            f"`{name}` must be a fraction in [0, 1), as 0.8 for 80 % zeros, got {sparsity!r}."
        )
    return float(sparsity)


def check_schedule(sparsity: float, begin_step: int, end_step: int, every: int) -> None:
    """Raises `ValueError` for a schedule that `at` can't follow."""
    check(sparsity)
    for name, value, least in (("begin_step", begin_step, 0), ("every", every, 1)):
        if value < least:
            raise ValueError(f"`{name}` must be >= {least}, got {value}.")
    if end_step < begin_step:
        raise ValueError(f"`end_step` ({end_step}) must be >= `begin_step` ({begin_step}).")


def at(step: int, sparsity: float, begin_step: int, end_step: int, every: int) -> float:
    """The sparsity after `step` steps.

    0 before `begin_step`, then a cubic in stairs that ends at `end_step`.

    `sparsity * (1 - (1 - t) ** 3)` with `t` from 0 to 1 (Zhu and Gupta 2017, "To prune, or not to
    prune", arXiv:1710.01878, with an initial sparsity of 0). It is worked out anew every `every`
    steps, and at `end_step`.

    Args:
        step: steps done, `>= 0`.
        sparsity: at the end, in `[0, 1)`.
        begin_step: from which it grows.
        end_step: at which it is reached, `>= begin_step`; equal ones are one cut.
        every: steps between two changes, `>= 1`.

    Example:
        >>> [round(at(step, 0.8, 0, 100, 50), 3) for step in (0, 49, 50, 99, 100, 500)]
        [0.0, 0.0, 0.7, 0.7, 0.8, 0.8]
    """
    if step < begin_step:
        return 0.0
    if step >= end_step:
        return float(sparsity)
    changed = begin_step + (step - begin_step) // every * every
    left = 1 - (changed - begin_step) / (end_step - begin_step)
    return float(sparsity * (1 - left**POWER))


def masks(
    kernels: Sequence[np.ndarray], sparsity: float, scope: str = "global"
) -> list[np.ndarray]:
    """Masks of 0 and 1 that keep the largest magnitudes, one per kernel, float32.

    Exactly `floor(sparsity * weights)` are zero, whatever ties there are: of all kernels together
    with the scope `"global"`, of each with `"layer"`. One exception: the largest weight of every
    kernel stays, since a layer without any lets nothing through. A weight that is not a number
    counts as the largest, so that it is noticed.

    Args:
        kernels: arrays of any shapes.
        sparsity: share of zeros, in `[0, 1)`.
        scope: `"global"` or `"layer"`.

    Raises:
        ValueError: for another sparsity or scope.

    Example:
        >>> kernels = [np.array([0.1, -3.0]), np.array([2.0, 1.0])]
        >>> [mask.tolist() for mask in masks(kernels, 0.5)]
        [[0.0, 1.0], [1.0, 0.0]]
        >>> [mask.tolist() for mask in masks(kernels, 0.25)]
        [[0.0, 1.0], [1.0, 1.0]]
    """
    check(sparsity)
    check_scope(scope)
    magnitudes = [_ranked(kernel) for kernel in kernels]
    if scope == "layer" or len(magnitudes) < 2:
        kept = [_keep_largest(each, sparsity) for each in magnitudes]
    else:
        ends = np.cumsum([len(each) for each in magnitudes])[:-1]
        kept = np.split(_keep_largest(np.concatenate(magnitudes), sparsity), ends)
    return [mask.reshape(np.shape(kernel)) for mask, kernel in zip(kept, kernels, strict=True)]


def check_scope(scope: str) -> None:
    """Raises `ValueError` for a scope that is not known."""
    if scope not in SCOPES:
        raise ValueError(f"`scope` must be one of {', '.join(SCOPES)}, got {scope!r}.")


def zeros(arrays: Sequence[np.ndarray]) -> float:
    """Share of all entries that are exactly zero.

    Example:
        >>> zeros([np.array([0.0, 1.0]), np.array([[0.0], [0.0]])])
        0.75
    """
    count = sum(np.size(array) for array in arrays)
    return 1 - sum(int(np.count_nonzero(array)) for array in arrays) / max(count, 1)


def gzipped(arrays: Sequence[np.ndarray]) -> int:
    """Bytes of the arrays' own bytes, one after the other, after gzip at its best level.

    Example:
        >>> gzipped([np.zeros(10_000, np.float32)]) < 200
        True
    """
    return len(
        gzip.compress(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays), mtime=0)
    )


def _ranked(kernel: np.ndarray) -> np.ndarray:
    """Magnitudes `[weights]` whose largest can't be pruned."""
    found = np.nan_to_num(np.abs(np.asarray(kernel, np.float64)).ravel(), nan=np.inf)
    if len(found):
        found[found.argmax()] = np.inf
    return found


def _keep_largest(magnitudes: np.ndarray, sparsity: float) -> np.ndarray:
    count = min(int(sparsity * len(magnitudes)), int(np.isfinite(magnitudes).sum()))
    kept = np.ones(len(magnitudes), np.float32)
    if count:
        kept[np.argpartition(magnitudes, count - 1)[:count]] = 0
    return kept
