"""What the evaluations of trainings with and without decay say: where validation is best, and how
(S3.3, S3.4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerastune.analysis import curves
from kerastune.objective import Objective
from kerastune.trial import Outcome

WINDOW_SHARE = (
    0.1  # of a training: what a value is averaged over, and what is near the peak on either side
)

LITTLE = 0.1  # of what the first drop gained: nothing, for a later one


def peak_step(evals: Sequence[dict], objective: Objective) -> int | None:
    """Step of the validation's peak: the first one whose smoothed value does not differ
    significantly from the highest.

    Where validation stays on top for long, the highest value is a matter of luck, and the first
    that is as good is not. Values are averaged over a tenth of the evaluations around each (at
    least 3), fewer at the ends.

    Args:
        evals: the evaluations of one training.
        objective: the validation value that chooses; evaluations where it is not finite are passed
            over.

    Returns:
        The step, or `None` when no value is finite.

    Example:
        >>> values = [0.5, 0.6, 0.7, 0.8, 0.9, 0.8, 0.7, 0.6, 0.5]
        >>> evals = [{"step": 100 * i, "accuracy": value} for i, value in enumerate(values, 1)]
        >>> peak_step(evals, Objective("accuracy", "max"))
        500
    """
    steps, values = _series(evals, objective)
    return int(steps[_peak(values)]) if len(steps) else None


def is_flatter(decayed: Sequence[dict], undecayed: Sequence[dict], objective: Objective) -> bool:
    """Whether validation is flatter around the peak than without decay: then the interval is too
    short (S3.4).

    Compared is how much the smoothed values differ within a tenth of the steps on either side of
    the peak without decay. A rate that falls too often is soon too small for validation to rise any
    more.

    Args:
        decayed: evaluations of the training with decay.
        undecayed: those of the same training at a constant rate.
        objective: the validation value that chooses.

    Returns:
        Whether the difference is more than twice the noise of such a mean, since it is between the
        most different of
        several; `False` with fewer than 5 evaluations.
    """
    both = [_series(evals, objective) for evals in (decayed, undecayed)]
    if min(len(steps) for steps, _ in both) < curves.LEAST_EVALUATIONS:
        return False
    steps, values = both[1]
    peak, reach = steps[_peak(values)], WINDOW_SHARE * steps[-1]
    near = [_centred_means(values)[np.abs(steps - peak) <= reach] for steps, values in both]
    ranges = [np.ptp(means) if len(means) else 0.0 for means in near]
    return bool(ranges[1] - ranges[0] > 2 * _noise(values, _width(values)))


def only_first_drop_helps(
    evals: Sequence[dict], objective: Objective, drops: Sequence[int]
) -> bool:
    """Whether of a staircase only the first drop brought anything: then the interval is too long
    (S3.4).

    Compared are means over the evaluations between two drops, and over those one interval before
    the first.

    Args:
        evals: evaluations of the training with decay.
        objective: the validation value that chooses.
        drops: steps of the drops, in their order.

    Returns:
        Whether the first mean after a drop is above the one before by more than twice the noise of
        such a mean, and
        no later one above that by as much or by a tenth of the first gain; `False` when there are
        too few drops or
        evaluations to tell.

    Example:
        >>> values = [0.5, 0.7, 0.71, 0.7, 0.8, 0.81, 0.8, 0.8, 0.81, 0.8]
        >>> evals = [{"step": 100 * i, "accuracy": value} for i, value in enumerate(values, 1)]
        >>> only_first_drop_helps(evals, Objective("accuracy", "max"), drops=[400, 700])
        True
    """
    steps, values = _series(evals, objective)
    if len(drops) < 2 or len(steps) < curves.LEAST_EVALUATIONS:
        return False
    edges = [2 * drops[0] - drops[1], *drops, steps[-1]]
    levels = [values[(low < steps) & (steps <= high)] for low, high in zip(edges, edges[1:])]
    before, first = levels[:2]
    later = [level.mean() for level in levels[2:] if len(level)]
    if not (len(before) and len(first) and later):
        return False
    least, gain = 2 * _noise(values, min(len(before), len(first))), first.mean() - before.mean()
    return bool(gain > least and max(later) - first.mean() <= max(least, LITTLE * gain))


def interval_fault(staircase: Outcome, undecayed: Outcome, objective: Objective) -> str:
    """What the evaluations say against a staircase's interval, in words; empty when it seems right.

    Args:
        staircase: the training with exponential decay.
        undecayed: the same training at a constant rate.
        objective: the validation value that chooses.
    """
    recipe = staircase.spec.recipe
    drops = range(recipe.decay_start, recipe.total_steps, recipe.decay_interval)
    if is_flatter(staircase.evals, undecayed.evals, objective):
        return (
            "its interval too short, since validation is flatter around its peak than without decay"
        )
    if only_first_drop_helps(staircase.evals, objective, drops):
        return "its interval too long, since only the first drop brought anything"
    return ""


def _series(evals: Sequence[dict], objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the evaluations and the objective there, larger is better, where it is finite."""
    steps = np.array([values["step"] for values in evals], np.int64)
    values = np.array([objective.gain(values[objective.name]) for values in evals], np.float64)
    sound = np.isfinite(values)
    return steps[sound], values[sound]


def _width(values: np.ndarray) -> int:
    # An odd number, so that the mean is around its middle.
    return max(3, int(WINDOW_SHARE * len(values)) // 2 * 2 + 1)


def _noise(values: np.ndarray, width: int) -> float:
    """What a mean over `width` of the evaluations may be off by."""
    return 2 * curves.scatter(values) / np.sqrt(width)


def _centred_means(values: np.ndarray) -> np.ndarray:
    half = _width(values) // 2
    return np.array([values[max(i - half, 0) : i + half + 1].mean() for i in range(len(values))])


def _peak(values: np.ndarray) -> int:
    means = _centred_means(values)
    noise = _noise(values, _width(values)) if len(values) >= curves.LEAST_EVALUATIONS else 0.0
    return int(np.flatnonzero(means >= means.max() - noise)[0])
