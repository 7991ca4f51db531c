"""Chooses the models of an ensemble by a loss of any kind, on arrays of outputs.

Outputs of a model are a row of numbers for every example, whatever they mean, and are averaged as
they are. What a loss says of an average is worked out once, and used in every fold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kerastune.analysis import ensemble_selection

Losses = Callable[[np.ndarray], np.ndarray]
WORK = 2e9  # numbers that all averages together may have
FEWEST = 3  # draws of the greedy selection
HELD = 2**30  # bytes of outputs of candidates at once


def most_held(num_examples: int, numbers: int) -> int:
    """Candidates whose outputs, so many numbers for each example, may be held at once.

    Example:
        >>> most_held(1000, 10), most_held(2000, 512 * 512)
        (26843, 0)
    """
    return HELD // max(4 * num_examples * numbers, 1)


def average(outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean `[examples, numbers]` in float32, with no copy of what is averaged.

    Args:
        outputs: of the members `[members, examples, numbers]`.
        weights: of the members `[members]`, sum 1.

    Example:
        >>> average(np.array([[[0.0, 2.0]], [[4.0, 2.0]]]), np.array([0.75, 0.25])).tolist()
        [[1.0, 2.0]]
    """
    total = np.zeros(outputs.shape[1:], np.float32)
    for member in np.flatnonzero(weights):
        total += np.float32(weights[member]) * outputs[member]
    return total


class Averages:
    """Losses of weighted means of some outputs, each worked out once.

    Args:
        outputs: of all candidates `[members, examples, numbers]`, finite.
        losses: gives the loss of every example `[n]` of outputs `[n, numbers]`.

    Raises:
        ValueError: for outputs that are not finite.

    Example:
        >>> found = Averages(np.array([[[0.0]], [[4.0]]]), lambda mean: mean[:, 0] ** 2)
        >>> found.losses(np.array([0.5, 0.5])).tolist()
        [4.0]
    """

    def __init__(self, outputs: np.ndarray, losses: Losses):
        for member, values in enumerate(outputs):
            if not np.isfinite(values).all():
                raise ValueError(f"outputs of member {member} are not finite: leave it out.")
        self.outputs, self._losses = outputs, losses
        self._known: dict[tuple[float, ...], np.ndarray] = {}

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """The loss of every example `[n]` under these weights `[members]`."""
        key = tuple(np.round(weights, 9).tolist())
        if key not in self._known:
            self._known[key] = np.asarray(self._losses(average(self.outputs, weights)), np.float64)
        return self._known[key]

    @property
    def draws(self) -> int:
        """Draws of the selection: as many as for classes, fewer of large outputs."""
        a_draw = 2 * self.outputs.size
        return int(np.clip(WORK // a_draw, FEWEST, ensemble_selection.SIZE))

    def fit(self, most: int, chosen: np.ndarray | None = None) -> np.ndarray:
        """Weights `[members]` of the least mean loss, by `ensemble_selection.greedy`.

        Args:
            most: members at most.
            chosen: places of the examples that count `[k]`; all by default.
        """
        chosen = np.arange(self.outputs.shape[1]) if chosen is None else chosen
        single = np.eye(len(self.outputs))
        return ensemble_selection.greedy(
            single, lambda weights: float(self.losses(weights)[chosen].mean()), self.draws, most
        )

    def cross_fitted(self, most: int, folds: int = ensemble_selection.FOLDS, seed: int = 1):
        """Outputs `[n, numbers]` and losses `[n]` of every example, by an ensemble that was fitted
        without it; as `ensemble_selection.cross_fitted`.
        """
        count = self.outputs.shape[1]
        outputs, losses = np.empty(self.outputs.shape[1:], np.float32), np.empty(count)
        place = ensemble_selection.fold_of_each(np.zeros(count), min(folds, count), seed)
        for fold in np.unique(place):
            held_out = place == fold
            weights = self.fit(most, np.flatnonzero(~held_out))
            outputs[held_out] = average(self.outputs, weights)[held_out]
            losses[held_out] = self.losses(weights)[held_out]
        return outputs, losses


def disagreement(outputs: np.ndarray) -> np.ndarray:
    """How much every two members differ, `[members, members]`, 0 on the diagonal.

    Root mean squared difference, in standard deviations of each number over the examples.

    Example:
        >>> disagreement(np.array([[[0.0], [2.0]], [[1.0], [3.0]]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    spread = np.mean(outputs, axis=0).std(axis=0)
    moving = spread > 0
    apart = np.zeros([len(outputs)] * 2)
    if not moving.any():
        return apart
    for one in range(len(outputs)):
        for other in range(one):
            differences = (outputs[one] - outputs[other])[:, moving] / spread[moving]
            apart[one, other] = apart[other, one] = np.sqrt(np.mean(np.square(differences)))
    return apart
