"""Whether rare classes weigh more in the loss (P7): with imbalanced classes, balanced weights
against none.
"""

from __future__ import annotations

import dataclasses

from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import full_training
from kerastune.playbook.rules.hill_climb import WholeTrainings
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.finetune import FineTune
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

BASE, BALANCED = "weights-none", "weights-balanced"


@dataclasses.dataclass(frozen=True)
class WeightsValues(ChosenTrial):
    """What stage `weights` found.

    Args:
        class_weights: of the recipe that it hands on.
    """

    class_weights: str = "none"


class Weights(WholeTrainings):
    """Tries balanced class weights where classes are imbalanced and the data came with no weights
    of their own.

    One whole training with weights is compared, paired, with one without, which stage `decay` has
    mostly paid for. Weights are kept where they are expected to gain.
    """

    name = "weights"
    question = "Should rare classes weigh more?"
    share = 0.3
    values = WeightsValues
    tunes = True

    def propose(self, context: Context) -> list[TrialSpec]:
        if _why_not(context.recipe, context.facts):
            return []
        base, pair = self._pair(context)
        due = [spec for name, each in pair.items() for spec in self._due(name, each, context)]
        cost = sum(spec.recipe.total_steps for spec in due)
        # What was begun is finished: with a budget in time, what is left of it is only an estimate.
        if (
            not any(spec.start for spec in due)
            and context.spent(self.name) + cost > context.facts.allowance
        ):
            return []
        return due

    def decide(self, context: Context) -> Decision:
        base, pair = self._pair(context)
        balanced, after = context.outcomes.get(BALANCED), context.recipe
        chosen = base if full_training.is_comparable(base) else None
        evidence = _evidence(base, balanced)
        headline = "No class weights"
        if why_not := _why_not(context.recipe, context.facts):
            headline, numbers, evidence = "Class weights not tried", why_not, ()
        elif not (full_training.is_comparable(base) and full_training.is_comparable(balanced)):
            cost = sum(each.total_steps for each in pair.values())
            numbers = f"the stage has {context.facts.allowance} steps for trainings of {cost}"
            if balanced is not None or BASE in context.outcomes:
                numbers = "its trainings did not come to an end that can be compared"
        else:
            compared = full_training.compare(balanced, base)
            expected = full_training.expected_of(compared, base, context, "class_weights")
            if expected.is_gain:
                headline = "Balanced class weights"
                chosen, after = balanced, context.recipe.replace(class_weights="balanced")
            gain = wording.expected(expected, compared, context.facts.scored_by)
            total = balanced.spec.recipe.total_steps
            numbers = f"balanced class weights against none, {total} steps each: {gain}"
        values = WeightsValues(
            trial=chosen.spec.trial if chosen else None,
            steps_spent=context.spent(self.name),
            class_weights=after.class_weights,
        )
        numbers = wording.sentences([numbers])
        return self.decision(
            context, headline, numbers, after=after, evidence=evidence, values=values
        )

    def _pair(self, context: Context) -> tuple[Outcome | None, dict[str, Recipe]]:
        """The training without weights so far, and what this stage trains itself: that too, unless
        it was paid for.
        """
        base = full_training.planned(context.recipe, context.facts, self._stretch, self._chunk)
        balanced = {BALANCED: base.replace(class_weights="balanced")}
        known = full_training.trained_before((FineTune.name, Decay.name), base, context)
        return (
            (known, balanced) if known else (context.outcomes.get(BASE), {BASE: base, **balanced})
        )


def _why_not(recipe: Recipe, facts: Facts) -> str:
    """Why there is nothing to try, in words; empty where there is."""
    if "class_weights" in facts.unusable:
        return facts.unusable["class_weights"]
    if not facts.imbalanced:
        return "no class is three times as large as another"
    return "the recipe has them already" if recipe.class_weights == "balanced" else ""


def _evidence(base: Outcome | None, balanced: Outcome | None) -> tuple[str, ...]:
    return tuple(outcome.spec.trial for outcome in (base, balanced) if outcome is not None)
