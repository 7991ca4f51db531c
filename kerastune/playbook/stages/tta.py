"""Test-time augmentation: which views of an example are averaged, and whether that helps at all
(S4.7).

Views are chosen and weighed by their validation loss. What that gains is judged on examples which
had no part in it: chosen on all folds of the validation part but one, the views predict that one.
The members of a bag have seen validation examples: there all examples are looked at, each by
members that left it out.
Only a significant gain is kept. A mean over views is less certain than what it is taken of, so it
has a temperature of its own, found the same way; not on top of a bag, whose predictions are less
certain than those of the few members that an example is judged by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune.analysis import ensemble_selection, view_selection
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.ensemble_values import ValidationFigures, calibrated
from kerastune.playbook.stages.base import Stage
from kerastune.trial import TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, TrainedModels, Wanted

UNAVERAGED = "No test-time augmentation: examples stay as they are"
NAMED = 3  # views that lose most, named in a sentence
# Predictions of the validation examples by view, the identity's among them (of a bag those of the
# training examples come first); the targets, as `view_selection.choose` takes them; and the
# settings of every view, as plain values to record. No predictions where there is no model or no
# view.
Looked = tuple[Mapping[str, np.ndarray], np.ndarray, Mapping[str, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class TtaValues(Values):
    """What stage `tta` found.

    Args:
        kept: whether examples are averaged over views.
        views: names of those that are, besides the example as it is.
        layers: settings of every such view, as plain values.
        weights: of the example as it is, and of the views in their order.
        tried: weights by name that were compared with the example as it is.
        gain: of the mean over the views, in scores of examples; `None` where none was tried.
        loss_gain: the same as a fall of the loss.
        alone: gain of every view in the example's place.
        added: gain of every view averaged with the example.
        scored_by: what scores of examples measure.
        validation: figures of merit.
        temperature: of the mean over the views; 1 where it is not kept, and on top of a bag.
        temperature_gain: of that, as a fall of the log-likelihood loss; `None` where it is not
            kept, and on top of a bag.
        reliability: curves before and after the temperature, `[bins, 3]`; none for numbers.
    """

    kept: bool = False
    views: tuple[str, ...] = ()
    layers: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    weights: tuple[float, ...] = (1.0,)
    tried: dict[str, float] = dataclasses.field(default_factory=dict)
    gain: Comparison | None = None
    loss_gain: Comparison | None = None
    alone: dict[str, Comparison] = dataclasses.field(default_factory=dict)
    added: dict[str, Comparison] = dataclasses.field(default_factory=dict)
    scored_by: str = "accuracy"
    validation: ValidationFigures = ValidationFigures()
    temperature: float = 1.0
    temperature_gain: Comparison | None = None
    reliability: dict[str, tuple[tuple[float, ...], ...]] = dataclasses.field(default_factory=dict)


class Tta(Stage):
    """Chooses the views that the final model, or ensemble, averages over; it trains nothing.

    Args:
        models: of the trials, asked when the stage decides: `look` for what they say of views, and
            `validation` for the figures of merit of what is averaged.
    """

    name = "tta"
    question = "Does it help to look at several views of an example?"
    share = 0.0
    values = TtaValues
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
            return self.decision(context, UNAVERAGED, wording.sentences([why]))
        count = context.facts.num_validation  # the last of the examples that are looked at
        known = self._models.validation()

        def figures(predicted: np.ndarray) -> dict[str, float]:
            return known.figures(predicted[-count:])

        choice = view_selection.choose(predictions, targets, context.facts.scored_by)
        chosen = [name for name in choice.weights if name != view_selection.IDENTITY]
        values = TtaValues(
            kept=choice.is_kept,
            views=tuple(chosen),
            layers={name: settings[name] for name in chosen},
            weights=tuple(
                choice.weights.get(name, 0.0) for name in (view_selection.IDENTITY, *chosen)
            ),
            tried=choice.tried,
            gain=choice.gain,
            loss_gain=choice.loss_gain,
            alone=choice.alone,
            added=choice.added,
            scored_by=context.facts.scored_by,
            validation=ValidationFigures(figures(predictions[view_selection.IDENTITY])),
        )
        is_left_out = len(targets) > count
        if choice.is_kept:
            found, single = choice.temperature, values.validation.single
            if is_left_out:
                found = dataclasses.replace(found, value=1.0, gain=None, after=found.before)
            values = dataclasses.replace(
                values,
                temperature=found.value,
                temperature_gain=found.gain,
                reliability=ensemble_selection.reliability(found.before, found.after, targets),
                validation=ValidationFigures(single, figures(found.before), figures(found.after)),
            )
        where = "on examples left out" if is_left_out else "on validation"
        parts = in_words(choice, context.facts.scored_by, where)
        if is_left_out:
            parts.insert(
                0, f"views are judged on {len(targets):,} examples, by models that left them out"
            )
        if choice.is_kept and context.facts.num_classes and not is_left_out:
            parts.append(f"of that mean, {calibrated(values.temperature, values.validation)}")
        return self.decision(context, _headline(choice), wording.sentences(parts), values=values)


def _headline(choice: view_selection.Choice) -> str:
    if choice.is_kept:
        count = len(choice.weights)
        return f"Test-time augmentation with {count} view{'s' * (count != 1)}"
    return UNAVERAGED


def in_words(
    choice: view_selection.Choice, measure: str, where: str = "on validation"
) -> list[str]:
    """A choice in words."""
    names = [name for name in choice.tried if name != view_selection.IDENTITY]
    views = ", ".join(f"`{name}` ({choice.tried[name]:.2g})" for name in names)
    confidence = wording.confidence(choice.gain, measure)
    gain = f"{wording.gained(choice.gain.gain, measure)} {where} ({confidence}, cross-fitted)"
    gain += f", {wording.verdict(choice.gain)}"
    if not names:
        first = f"no mean over any of {len(choice.alone)} views has a lower validation loss"
    elif view_selection.IDENTITY in choice.tried:
        own = f"the example as it is ({choice.tried[view_selection.IDENTITY]:.2g})"
        first = f"the mean of {own} and {views}: {gain}"
    else:
        first = f"the mean of {views}: {gain}"
    return [first, _alone_in_words(choice.alone, measure)]


def _alone_in_words(alone: Mapping[str, Comparison], measure: str) -> str:
    losing = sorted(
        (name for name in alone if alone[name].sign < 0), key=lambda name: alone[name].gain
    )
    harmless = f"{len(alone) - len(losing)} of {len(alone)} views alone are not significantly worse"
    if not losing:
        return harmless
    worst = [f"`{name}` {wording.gain(alone[name], measure)}" for name in losing[:NAMED]]
    return (
        f"{harmless}, and {len(losing)} lose: "
        + ("the most " if len(losing) > NAMED else "")
        + ", ".join(worst)
    )
