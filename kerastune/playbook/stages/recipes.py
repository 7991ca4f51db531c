"""Recipes that helped on other data, tried on top of what was tuned so far.

Each is a change of the recipe, as `playbook/priors.json` has it: another learning rate or
optimizer, a later decay, label smoothing, dropout, or several of them together. What it gained on
recorded tasks of this kind of data says what to expect of it. The one that is expected to add most
for its cost is trained next, and compared with the recipe as it was on the same validation
examples; what was measured is shrunk toward what was expected (`rules/expected_gain.py`). When no
other promises more than a tie, the one with the highest expected score is kept.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kerastune.analysis import comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import expected_gain, full_training, known_recipes
from kerastune.playbook.rules.expected_gain import Expected
from kerastune.playbook.rules.hill_climb import Tried, WholeTrainings
from kerastune.playbook.rules.known_recipes import Candidate
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.finetune import FineTune
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.recipe import Recipe

BASE = "recipes-base"
LEAST_TRAININGS = 5  # that the allowance holds; fewer tell of too little
LEAST_STEPS = 300  # of a training that tells anything
LEAST_PART = 1 / 4  # of the steps that a network names: in fewer what regularizes only costs
THRIFT = 0.5  # power of the cost that a promise is divided by


@dataclasses.dataclass(frozen=True)
class RecipesValues(ChosenTrial):
    """What stage `recipes` found.

    Args:
        kept: change that was kept, in words; empty for none.
        gains: of everything that was tried.
        scored_by: what the gains measure.
    """

    kept: str = ""
    gains: tuple[Tried, ...] = ()
    scored_by: str = "accuracy"


class Recipes(WholeTrainings):
    """Tries changes that helped on other data, the most promising ones first."""

    name = "recipes"
    question = "Which recipes that helped elsewhere help here?"
    share = 0.7
    values = RecipesValues
    figure = "gains"
    figure_title = "Known recipes"
    tunes = True
    stretches = True

    def propose(self, context: Context) -> list[TrialSpec]:
        if context.facts.keeps_recipe(context.recipe):
            return []
        base, tried = self._tried(context)
        if base is None:
            recipe = self._base(context)
            # One training alone tells of nothing.
            is_enough = recipe is not None and 2 * recipe.total_steps <= context.facts.allowance
            return self._due(BASE, recipe, context) if is_enough else []
        if not full_training.is_comparable(base):
            return []
        candidates = self._candidates(base, context)
        for each in candidates:
            if each.trial in context.outcomes and (due := self._due_of(each, context)):
                return due
        best = max([0.0, *(gain.mean for _, _, gain in tried)])
        waiting = [each for each in candidates if each.trial not in context.outcomes]
        waiting = [each for each in waiting if self._fits(each.trial, each.recipe, context)]
        error = _error(base)
        promised = [(_promise(each, best, error, context), each) for each in waiting]
        promise, most = max(promised, key=lambda pair: pair[0], default=(0.0, None))
        return self._due_of(most, context) if promise > expected_gain.TIE else []

    def decide(self, context: Context) -> Decision:
        base, tried = self._tried(context)
        if base is None or not full_training.is_comparable(base) or not tried:
            why = "its first training came to no end"
            if context.facts.keeps_recipe(context.recipe):
                why = wording.KEPT
            elif base is None or not tried:
                steps = context.facts.allowance
                why = f"its {steps} steps do not hold {LEAST_TRAININGS} trainings"
            return self.decision(context, "No known recipes tried", wording.sentences([why]))
        best, outcome, gain = max(tried, key=lambda each: each[2].mean)
        kept = outcome if gain.is_gain else base
        measure = context.facts.scored_by
        parts = [
            f"{each.words}: {wording.expected(found, _compared(run, base), measure)}"
            for each, run, found in sorted(tried, key=lambda each: -each[2].mean)
        ]
        values = RecipesValues(
            kept.spec.trial,
            context.spent(self.name),
            best.words if gain.is_gain else "",
            tuple(
                Tried(run.spec.trial, each.words, _compared(run, base), run is kept)
                for each, run, _ in tried
            ),
            measure,
        )
        headline = f"Kept: {best.words}" if gain.is_gain else "The recipe stays as it is"
        planned = self._planned(context).total_steps * context.recipe.batch_size
        after = kept.spec.recipe.over(round(planned / kept.spec.recipe.batch_size))
        after = after.replace(regularizers=_regularizers(kept, context))
        return self.decision(
            context,
            wording.shortened(headline),
            wording.sentences(parts),
            after=after,
            evidence=(base.spec.trial, *(run.spec.trial for _, run, _ in tried)),
            values=values,
        )

    def _planned(self, context: Context) -> Recipe:
        return full_training.planned(context.recipe, context.facts, self._stretch, self._chunk)

    def _base(self, context: Context) -> Recipe | None:
        """The recipe as it is, in a training so short that the allowance holds several; `None`
        where it does not.

        A recipe that helps a short training, its decay included, mostly helps a long one.
        """
        begun = context.outcomes.get(BASE)
        if begun is not None:
            return begun.spec.recipe
        planned, facts = self._planned(context), context.facts
        most = facts.allowance // LEAST_TRAININGS
        if planned.total_steps <= most:
            return planned
        every = context.evaluation_interval(self._chunk, most)
        steps = most // every * every
        least = max(LEAST_STEPS, LEAST_PART * facts.known_steps(context.recipe))
        return planned.over(steps) if steps >= least else None

    def _tried(
        self, context: Context
    ) -> tuple[Outcome | None, list[tuple[Candidate, Outcome, Expected]]]:
        """The training of the recipe as it was, and every change with its training and gain."""
        outcomes, stages = context.outcomes, (FineTune.name, Decay.name, Weights.name)
        paid = full_training.trained_before(stages, self._planned(context), context)
        base = paid if paid and BASE not in outcomes and self._holds(paid, context) else None
        base = base or outcomes.get(BASE)
        if base is None or not full_training.has_ended(base):
            return None, []
        if not full_training.is_comparable(base):
            return base, []
        found = []
        for each in self._candidates(base, context):
            run = outcomes.get(each.trial)
            if full_training.is_comparable(run):
                gain = full_training.expected(run, base, context, each.name)
                found.append((each, run, gain))
        return base, found

    def _holds(self, paid: Outcome, context: Context) -> bool:
        """Whether the allowance holds others as long as a training that is paid for."""
        steps, trials = paid.spec.recipe.total_steps, context.outcomes.values()
        is_begun = any(each.spec.stage == self.name for each in trials)
        return is_begun or (LEAST_TRAININGS - 1) * steps <= context.facts.allowance

    def _candidates(self, base: Outcome, context: Context) -> list[Candidate]:
        return known_recipes.candidates(base.spec.recipe, context, self._chunk)

    def _due_of(self, each: Candidate, context: Context) -> list[TrialSpec]:
        return self._due(each.trial, each.recipe, context)


def _compared(run: Outcome, base: Outcome) -> comparison.Comparison:
    return full_training.compare_mirrored(run, base)


def _error(base: Outcome) -> float:
    """About the standard error of a paired gain: half of the examples' own."""
    scores = base.example_scores
    return 0.5 * float(scores.std()) / len(scores) ** 0.5


def _promise(each: Candidate, best: float, error: float, context: Context) -> float:
    """What a training is expected to add to the best expectation, for its cost."""
    of = context.facts.recorded_as(context.recipe)
    prior = expected_gain.prior(each.name, context.facts.data, of)
    seeds = 2**0.5 * expected_gain.seed_std(context.facts.data, context.facts.num_train)
    # How far the expectation may move once it is measured.
    told = prior.std**2 / (prior.std**2 + error**2 + seeds**2) ** 0.5
    return expected_gain.improvement(prior.mean - best, told) / each.cost**THRIFT


def _regularizers(kept: Outcome, context: Context) -> str:
    """As the stages before left them, unless the change is one of them."""
    return "on" if kept.spec.recipe.dropout is not None else context.recipe.regularizers
