"""Test-time augmentation: which views of an example are averaged, and whether that helps at all
(S4.7).

Views are chosen and weighed by their validation loss. What that gains is judged on examples which
had no part in it: chosen on all folds of the validation part but one, the views predict that one.
Only a significant gain is kept. A mean over views is less certain than what it is taken of, so it
has a temperature of its own, found the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune.analysis import comparison, ensemble_selection, view_selection
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.stages.base import Context, Decision, Stage
from kerastune.playbook.stages.ensemble import calibrated
from kerastune.trial import TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, TrainedModels, Wanted

NAMED = 3  # views that lose most, named in a sentence
# Predictions of the validation examples by view, the identity's among them; the targets, as
# `view_selection.choose` takes them; and the settings of every view, as plain values to record. No
# predictions where there is no model or no view.
Looked = tuple[Mapping[str, np.ndarray], np.ndarray, Mapping[str, dict[str, Any]]]


class Tta(Stage):
    """Chooses the views that the final model, or ensemble, averages over; it trains nothing.

    Args:
        models: of the trials, asked when the stage decides: `look` for what they say of views, and
            `validation` for the figures of merit of what is averaged.
    """

    name = "tta"
    question = "Does it help to look at several views of an example?"
    share = 0.0
    figure = "views"
    follows_training = True

    def __init__(self, models: TrainedModels | None = None):
        self._models = models

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.tta

    @classmethod
    def create(cls, setup: Setup) -> Tta:
        return cls(setup.models)

    def propose(self, context: Context) -> list[TrialSpec]:
        return []

    def decide(self, context: Context) -> Decision:
        predictions, targets, settings = self._models.look()
        if set(predictions) <= {view_selection.IDENTITY}:
            none = "there is no model, or no view of such inputs, to try"
            why = "no time was left to look at a view" if predictions else none
            reason = f"Examples are predicted as they are: {why}."
            return Decision(
                self.name,
                context.recipe,
                context.recipe,
                reason,
                (),
                {"kept": False, "views": [], "weights": [1.0]},
            )
        figures = self._models.validation().figures
        choice = view_selection.choose(predictions, targets, context.facts.scored_by)
        chosen = [name for name in choice.weights if name != view_selection.IDENTITY]
        values = {
            "kept": choice.is_kept,
            "views": chosen,
            "layers": {name: settings[name] for name in chosen},
            "weights": [
                choice.weights.get(name, 0.0) for name in (view_selection.IDENTITY, *chosen)
            ],
            "tried": choice.tried,
            "gain": comparison.named(choice.gain),
            "loss gain": comparison.named(choice.loss_gain),
            "alone": {name: comparison.named(effect) for name, effect in choice.alone.items()},
            "added": {name: comparison.named(effect) for name, effect in choice.added.items()},
            "scored_by": context.facts.scored_by,
            "validation": {"single": figures(predictions[view_selection.IDENTITY])},
        }
        reason = sentence(choice, context.facts.scored_by)
        if choice.is_kept:
            found = choice.temperature
            values |= {
                "temperature": found.value,
                "temperature gain": comparison.named(found.gain),
                "reliability": ensemble_selection.reliability(found.before, found.after, targets),
            }
            values["validation"] |= {
                "before": figures(found.before),
                "after": figures(found.after),
            }
            reason += f" For that mean, {calibrated(values)}." if context.facts.num_classes else ""
        return Decision(self.name, context.recipe, context.recipe, reason, (), values)


def sentence(choice: view_selection.Choice, measure: str) -> str:
    """A choice in words."""
    others = [
        f"`{name}` ({weight:.2g})"
        for name, weight in choice.tried.items()
        if name != view_selection.IDENTITY
    ]
    confidence = wording.confidence(choice.gain, measure)
    gained = f"{wording.gained(choice.gain.gain, measure)} on validation ({confidence})"
    if not others:
        first = f"No mean over any of {len(choice.alone)} views has a lower validation loss than the example as it is"
    elif choice.is_kept:
        own = (
            f"The example as it is ({choice.tried[view_selection.IDENTITY]:.2g}) and "
            if view_selection.IDENTITY in choice.tried
            else ""
        )
        first = f"{own}{', '.join(others)} are averaged: {gained}, cross-fitted, a significant gain"
    else:
        first = f"Examples are predicted as they are: averaging them with {', '.join(others)} gives {gained}, "
        first += f"cross-fitted, {wording.verdict(choice.gain)}"
    return f"{first}; {_alone_in_words(choice.alone, measure)}."


def _alone_in_words(alone: Mapping[str, Comparison], measure: str) -> str:
    losing = sorted(
        (name for name in alone if alone[name].sign < 0), key=lambda name: alone[name].gain
    )
    harmless = f"{len(alone) - len(losing)} of {len(alone)} views alone are not significantly worse than it"
    if not losing:
        return harmless
    worst = [f"`{name}` {wording.gain(alone[name], measure)}" for name in losing[:NAMED]]
    return (
        f"{harmless}, and {len(losing)} lose: "
        + ("the most " if len(losing) > NAMED else "")
        + ", ".join(worst)
    )
