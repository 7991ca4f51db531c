"""Chooses the views that are averaged, and their weights, on arrays of predictions (S4.7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from kerastune.analysis import calibration, comparison, ensemble_selection
from kerastune.analysis.calibration import Temperature
from kerastune.analysis.comparison import Comparison

IDENTITY = "identity"  # the example as it is
MOST_VIEWS = 8  # that are averaged: each costs a whole prediction


@dataclasses.dataclass(frozen=True)
class Choice:
    """What came of choosing views.

    Args:
        weights: by name, only those above 0, sum 1; the identity alone when nothing helps beyond
            noise.
        tried: the weights that the whole validation part asks for, kept or not.
        gain: of averaging over the identity alone, cross-fitted, in example scores.
        loss_gain: the same as a fall of the loss (`selection.losses`), both without a temperature.
        alone: what is gained when a view takes the identity's place, by name: a great loss tells
            that the view does not keep the label, or that the model has not learnt it.
        added: what is gained when the identity and that one view are averaged, by name.
        temperature: of the mean over the views, kept or not, and its cross-fitted predictions.
    """

    weights: dict[str, float]
    tried: dict[str, float]
    gain: Comparison
    loss_gain: Comparison
    alone: dict[str, Comparison]
    added: dict[str, Comparison]
    temperature: Temperature

    @property
    def is_kept(self) -> bool:
        """Whether anything but the identity is looked at."""
        return set(self.weights) != {IDENTITY}


def weigh(predictions: np.ndarray, targets: np.ndarray, most: int = MOST_VIEWS) -> np.ndarray:
    """Weights of views `[views]`, sum 1, by greedy selection on the loss of their mean.

    Few views get any.

    Args:
        predictions: probabilities `[views, n, classes]`, or numbers `[views, n, outputs]`.
        targets: integer classes `[n]`, or numbers `[n, outputs]`.
        most: views at most.

    Example:
        >>> said = np.array([[[0.6, 0.4]], [[0.9, 0.1]], [[0.1, 0.9]]])
        >>> weigh(said, np.array([0])).tolist()
        [0.0, 1.0, 0.0]
    """
    values = np.asarray(predictions, np.float64)
    return ensemble_selection.greedy(
        values, lambda mean: float(ensemble_selection.losses(mean, targets).mean()), most=most
    )


def cross_fitted(
    predictions: np.ndarray, targets: np.ndarray, most: int = MOST_VIEWS, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Averaged predictions with weights that were found without the example.

    `[n, classes or outputs]`.

    Args:
        predictions: as in `weigh`.
        targets: as in `weigh`; their classes are spread evenly over the folds.
        most: views at most.
        seed: of the folds.

    Returns:
        Those without temperature, and with one that was found with the weights; numbers have none.
    """
    place = ensemble_selection.fold_of_each(
        targets, min(ensemble_selection.FOLDS, len(targets)), seed
    )
    before, after = np.empty(predictions.shape[1:]), np.empty(predictions.shape[1:])
    for fold in np.unique(place):
        held_out = place == fold
        weights = weigh(predictions[:, ~held_out], targets[~held_out], most)
        temperature = _best_temperature(weights, predictions[:, ~held_out], targets[~held_out])
        before[held_out] = np.tensordot(weights, predictions[:, held_out], axes=1)
        after[held_out] = calibration.tempered(before[held_out], temperature)
    return before, after


def _best_temperature(weights: np.ndarray, predictions: np.ndarray, targets: np.ndarray) -> float:
    if not ensemble_selection.are_classes(targets):
        return 1.0
    return calibration.best_temperature(np.tensordot(weights, predictions, axes=1), targets)


def choose(
    predictions: Mapping[str, np.ndarray],
    targets: np.ndarray,
    measure: str = "accuracy",
    most: int = MOST_VIEWS,
) -> Choice:
    """Chooses the views that are averaged, and their weights.

    The identity alone where the cross-fitted gain is not significant.

    Args:
        predictions: of every candidate `[n, classes or outputs]` by name, the identity's among
            them.
        targets: integer classes `[n]`, or numbers `[n, outputs]`.
        measure: what scores of examples measure, as `Facts.scored_by`.
        most: views at most.

    Raises:
        ValueError: when the identity is missing, or predictions differ in shape or are not finite.

    Example:
        >>> right, wrong = np.tile([0.9, 0.1], [50, 1]), np.tile([0.2, 0.8], [50, 1])
        >>> choose({"identity": wrong, "flip": right}, np.zeros(50, int)).weights
        {'flip': 1.0}
    """
    _check(predictions, targets)
    names = [IDENTITY, *(name for name in predictions if name != IDENTITY)]
    stacked = np.stack([predictions[name] for name in names])
    plain = ensemble_selection.example_scores(stacked[0], targets, measure)

    def gain(averaged: np.ndarray) -> Comparison:
        return comparison.difference(
            ensemble_selection.example_scores(averaged, targets, measure), plain
        )

    alone = {name: gain(each) for name, each in zip(names[1:], stacked[1:], strict=True)}
    added = {
        name: gain((stacked[0] + each) / 2)
        for name, each in zip(names[1:], stacked[1:], strict=True)
    }
    weights = weigh(stacked, targets, most)
    tried = {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}
    before, after = cross_fitted(stacked, targets, most)
    temperature = ensemble_selection.judged(
        _best_temperature(weights, stacked, targets), before, after, targets
    )
    gained = gain(before)
    loss_gain = comparison.difference(
        *(-ensemble_selection.losses(each, targets) for each in (before, stacked[0]))
    )
    kept = tried if gained.sign > 0 else {IDENTITY: 1.0}
    return Choice(kept, tried, gained, loss_gain, alone, added, temperature)


def _check(predictions: Mapping[str, np.ndarray], targets: np.ndarray) -> None:
    if IDENTITY not in predictions:
        raise ValueError(
            f"`predictions` must have those of the unchanged examples, under {IDENTITY!r}."
        )
    shape = np.shape(predictions[IDENTITY])
    for name, each in predictions.items():
        if np.shape(each) != shape or len(shape) != 2 or shape[0] != len(targets):
            raise ValueError(
                f"predictions of view `{name}` must be [{len(targets)} examples, classes or "
                f"outputs] like the identity's, got {np.shape(each)}."
            )
        if not np.isfinite(each).all():
            raise ValueError(f"predictions of view `{name}` are not finite: leave it out.")
