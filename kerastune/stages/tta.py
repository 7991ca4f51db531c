"""Test-time augmentation: which views of an example are averaged, and whether that helps at all (S4.7).

Views are chosen and weighed by their validation loss. What that gains is judged on examples which had no part in it:
chosen on all folds of the validation part but one, the views predict that one. Only a gain beyond noise is kept.
A mean over views is less certain than what it is taken of, so it has a temperature of its own, found the same way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from kerastune import calibration, scores, selection
from kerastune.calibration import Temperature
from kerastune.recipe import Recipe
from kerastune.stages.base import Decision, Facts, Stage
from kerastune.stages.ensemble import calibrated
from kerastune.trial import Outcome, TrialSpec

IDENTITY = "identity"  # the example as it is
MOST_VIEWS = 8  # that are averaged: each costs a whole prediction
NAMED = 3  # views that lose most, named in a sentence

Interval = tuple[float, float, float]  # mean difference and the ends of its 95 % interval
Look = Callable[[], tuple[Mapping[str, np.ndarray], np.ndarray]]  # predictions by view, and the targets


@dataclasses.dataclass(frozen=True)
class Choice:
    """What came of choosing views.

    Args:
        weights: by name, only those above 0, sum 1; the identity alone when nothing helps beyond noise.
        tried: the weights that the whole validation part asks for, kept or not.
        gain: of averaging over the identity alone, cross-fitted, in example scores.
        loss_gain: the same as a fall of the loss (`selection.losses`), both without a temperature.
        alone: what is gained when a view takes the identity's place, by name: a great loss tells that the view does not
            keep the label, or that the model has not learnt it.
        added: what is gained when the identity and that one view are averaged, by name.
        temperature: of the mean over the views, kept or not, and its cross-fitted predictions.
    """

    weights: dict[str, float]
    tried: dict[str, float]
    gain: Interval
    loss_gain: Interval
    alone: dict[str, Interval]
    added: dict[str, Interval]
    temperature: Temperature

    @property
    def is_kept(self) -> bool:
        """Whether anything but the identity is looked at."""
        return set(self.weights) != {IDENTITY}


def weigh(predictions: np.ndarray, targets: np.ndarray, most: int = MOST_VIEWS) -> np.ndarray:
    """Weights of views `[views]`, sum 1, by greedy selection on the loss of their mean; few views get any.

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
    return selection.greedy(values, lambda mean: float(selection.losses(mean, targets).mean()), most=most)


def cross_fitted(
    predictions: np.ndarray, targets: np.ndarray, most: int = MOST_VIEWS, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Averaged predictions `[n, classes or outputs]` of every example, with weights found without it.

    Args:
        predictions: as in `weigh`.
        targets: as in `weigh`; their classes are spread evenly over the folds.
        most: views at most.
        seed: of the folds.

    Returns:
        Those without temperature, and with one that was found with the weights; numbers have none.
    """
    place = selection.fold_of_each(targets, min(selection.FOLDS, len(targets)), seed)
    before, after = np.empty(predictions.shape[1:]), np.empty(predictions.shape[1:])
    for fold in np.unique(place):
        held_out = place == fold
        weights = weigh(predictions[:, ~held_out], targets[~held_out], most)
        temperature = _best_temperature(weights, predictions[:, ~held_out], targets[~held_out])
        before[held_out] = np.tensordot(weights, predictions[:, held_out], axes=1)
        after[held_out] = calibration.tempered(before[held_out], temperature)
    return before, after


def _best_temperature(weights: np.ndarray, predictions: np.ndarray, targets: np.ndarray) -> float:
    if not selection.are_classes(targets):
        return 1.0
    return calibration.best_temperature(np.tensordot(weights, predictions, axes=1), targets)


def choose(
    predictions: Mapping[str, np.ndarray], targets: np.ndarray, measure: str = "accuracy", most: int = MOST_VIEWS
) -> Choice:
    """Which views are averaged with what weights; the identity alone where the cross-fitted gain is not beyond noise.

    Args:
        predictions: of every candidate `[n, classes or outputs]` by name, the identity's among them.
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
    plain = selection.example_scores(stacked[0], targets, measure)

    def gain(averaged: np.ndarray) -> Interval:
        return scores.difference(selection.example_scores(averaged, targets, measure), plain)

    alone = {name: gain(each) for name, each in zip(names[1:], stacked[1:])}
    added = {name: gain((stacked[0] + each) / 2) for name, each in zip(names[1:], stacked[1:])}
    weights = weigh(stacked, targets, most)
    tried = {name: float(weight) for name, weight in zip(names, weights) if weight > 0}
    before, after = cross_fitted(stacked, targets, most)
    temperature = selection.judged(_best_temperature(weights, stacked, targets), before, after, targets)
    gained = gain(before)
    loss_gain = scores.difference(*(-selection.losses(each, targets) for each in (before, stacked[0])))
    kept = tried if gained[1] > 0 else {IDENTITY: 1.0}
    return Choice(kept, tried, gained, loss_gain, alone, added, temperature)


def _check(predictions: Mapping[str, np.ndarray], targets: np.ndarray) -> None:
    if IDENTITY not in predictions:
        raise ValueError(f"`predictions` must have those of the examples as they are, under {IDENTITY!r}.")
    shape = np.shape(predictions[IDENTITY])
    for name, each in predictions.items():
        if np.shape(each) != shape or len(shape) != 2 or shape[0] != len(targets):
            raise ValueError(
                f"predictions of view `{name}` must be [{len(targets)} examples, classes or outputs] like the "
                f"identity's, got {np.shape(each)}."
            )
        if not np.isfinite(each).all():
            raise ValueError(f"predictions of view `{name}` are not finite: leave it out.")


class Tta(Stage):
    """Chooses the views that the final model, or ensemble, averages over; it trains nothing.

    Args:
        look: gives the predictions of every candidate view for the validation examples, by name, the identity's among
            them, and the targets, as `choose` takes them; an empty dict when there is no model or no view. Called
            once, when the stage decides.
        figures: gives figures of merit by name, of predictions for the validation examples.
    """

    name = "tta"
    share = 0.0

    def __init__(self, look: Look, figures: Callable[[np.ndarray], dict[str, float]]):
        self._look = look
        self._figures = figures

    def propose(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> list[TrialSpec]:
        return []

    def decide(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Decision:
        predictions, targets = self._look()
        if set(predictions) <= {IDENTITY}:
            none = "there is no model, or no view of such inputs, to try"
            why = "no time was left to look at a view" if predictions else none
            reason = f"Examples are predicted as they are: {why}."
            return Decision(self.name, recipe, recipe, reason, (), {"kept": False, "views": [], "weights": [1.0]})
        choice = choose(predictions, targets, facts.scored_by)
        chosen = [name for name in choice.weights if name != IDENTITY]
        values = {
            "kept": choice.is_kept,
            "views": chosen,
            "weights": [choice.weights.get(name, 0.0) for name in (IDENTITY, *chosen)],
            "tried": choice.tried,
            "gain": scores.named(choice.gain),
            "loss gain": scores.named(choice.loss_gain),
            "alone": {name: scores.named(effect) for name, effect in choice.alone.items()},
            "added": {name: scores.named(effect) for name, effect in choice.added.items()},
            "scored_by": facts.scored_by,
            "validation": {"single": self._figures(predictions[IDENTITY])},
        }
        reason = sentence(choice, facts.scored_by)
        if choice.is_kept:
            found = choice.temperature
            values |= {
                "temperature": found.value,
                "temperature gain": scores.named(found.gain),
                "reliability": selection.reliability(found.before, found.after, targets),
            }
            values["validation"] |= {"before": self._figures(found.before), "after": self._figures(found.after)}
            reason += f" For that mean, {calibrated(values)}." if facts.num_classes else ""
        return Decision(self.name, recipe, recipe, reason, (), values)


def sentence(choice: Choice, measure: str) -> str:
    """A choice in words."""
    others = [f"`{name}` ({weight:.2g})" for name, weight in choice.tried.items() if name != IDENTITY]
    mean, low, high = choice.gain
    gained = f"{scores.gained(mean, measure)} on validation (95 % interval {scores.interval(low, high, measure)})"
    if not others:
        first = f"No mean over any of {len(choice.alone)} views has a lower validation loss than the example as it is"
    elif choice.is_kept:
        own = f"The example as it is ({choice.tried[IDENTITY]:.2g}) and " if IDENTITY in choice.tried else ""
        first = f"{own}{', '.join(others)} are averaged: {gained}, cross-fitted, a gain beyond noise"
    else:
        verdict = "a loss beyond noise" if high < 0 else "within noise"
        first = f"Examples are predicted as they are: averaging them with {', '.join(others)} gives {gained}, "
        first += f"cross-fitted, {verdict}"
    return f"{first}; {_alone_in_words(choice.alone, measure)}."


def _alone_in_words(alone: Mapping[str, Interval], measure: str) -> str:
    losing = sorted((name for name in alone if alone[name][2] < 0), key=lambda name: alone[name][0])
    harmless = f"{len(alone) - len(losing)} of {len(alone)} views alone are no worse than it beyond noise"
    if not losing:
        return harmless
    worst = [
        f"`{name}` {scores.gained(alone[name][0], measure)} ({scores.interval(*alone[name][1:], measure)})"
        for name in losing[:NAMED]
    ]
    return f"{harmless}, and {len(losing)} lose: " + ("the most " if len(losing) > NAMED else "") + ", ".join(worst)
