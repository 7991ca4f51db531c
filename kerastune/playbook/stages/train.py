"""The training of what was tuned: to the end of its steps, and longer while that pays."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING

from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context, rounded_up
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import expected_gain, full_training, untuned
from kerastune.playbook.rules.regularizers import added_weight_decay
from kerastune.playbook.rules.training_steps import STAGE, TrainingSteps, steps_of
from kerastune.playbook.stages import baseline as baseline_module
from kerastune.playbook.stages.base import Stage
from kerastune.runtime.number_format import figure
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

# Of what the first training leaves: as much for more models, or for all examples, as for a longer
# training.
LEFT_TO_OTHERS = 0.5


@dataclasses.dataclass(frozen=True)
class TrainValues(ChosenTrial):
    """What stage `train` found.

    Args:
        gain: of what was tuned over the baseline; `None` where one of them is missing.
    """

    gain: Comparison | None = None


class Train(Stage):
    """Trains the recipe for its steps and chooses what is handed to the user.

    Where the network names its steps, and a bag follows, one training of so many is enough. Of any
    other, what was tuned gets its regularizers back (P6). While the shortest training
    overfits, one of half its steps follows, whose decay ends before that. Otherwise a training of
    twice the steps follows (of all that are left where no further doubling would fit, if that is at
    least half as many again), while the last one is expected to have gained: more steps of the same
    recipe are likely to help, unless stage `regularize` saw that its own were enough. Of all of
    them the one with the highest expected score is kept: they are paid for, a longer one costs its
    user nothing any more. What an earlier stage trained already is not trained again, unless
    regularizers are switched on again. Where the first one diverges, it is trained again at a third
    of its learning rate, and at a ninth. In steps that no other length and no later stage needs,
    the recipe is trained with other seeds, and the best on validation is kept.

    Where the longest of them overfits, and stage `regularize` had no budget to try anything, one of
    all steps that are left (up to eight times as many) has weight decay of a typical strength: more
    steps alone would overfit, and what regularizes pays late. It is one training in
    the place of a comparison that would cost several, so the steps and the weight decay are kept
    together, if they are expected to gain.

    Of what was tuned and the baseline, the one with the higher expected score on validation is
    kept, since both cost the same to serve; the baseline at a tie.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        tuning: names of the stages of the search that tune; without any the recipe is trained
            just as it is given.
        stretch: times the recipe's steps that the first training takes:
            `full_training.DECAY_STRETCH` when they were found at a constant rate and the training
            decays linearly.
        leaves: fraction of what is left that a longer training leaves to what follows, in [0, 1).
        regularizes: whether a longer training may get weight decay.
    """

    name = STAGE
    question = "Which model is the final one?"
    share = 1.0
    values = TrainValues

    def __init__(
        self,
        chunk: int,
        tuning: Collection[str] = ("lr",),
        stretch: int = 1,
        leaves: float = 0.0,
        regularizes: bool = False,
    ):
        self._chunk = chunk
        self._tuning = tuning
        self._tuned = bool(tuning)
        self._stretch = stretch
        self._leaves = leaves
        self._regularizes = regularizes

    @classmethod
    def create(cls, setup: Setup) -> Train:
        is_followed = any(stage.combines for stage in setup.stages)
        return cls(
            setup.chunk,
            tuning=[stage.name for stage in setup.stages if stage.tunes],
            stretch=setup.stretch(cls),
            leaves=LEFT_TO_OTHERS if setup.refit or is_followed else 0.0,
            regularizes=setup.has("regularize"),
        )

    def propose(self, context: Context) -> list[TrialSpec]:
        steps = self._steps(context)
        if due := steps.due():
            return due
        has_model = steps.chosen[0] is not None or _baseline(context.outcomes) is not None
        return (
            []
            if has_model or not self._tuned
            else baseline_module.at_last(context, self._chunk, self.name)
        )

    def _recipe_as(self, context: Context) -> str:
        """What the recipe is: given, tuned if a stage that tunes has trained, or the network's."""
        if not self._tuned:
            return "given recipe"
        if untuned.has_tuned(self._tuning, context.outcomes):
            return "tuned recipe"
        is_kept = context.facts.keeps_all(context.recipe)
        return "network's own recipe" if is_kept else "recipe as suggested, not tuned"

    def _steps(self, context: Context) -> TrainingSteps:
        return TrainingSteps(
            self._chunk, context, self._tuned, self._stretch, self._leaves, self._regularizes
        )

    def decide(self, context: Context) -> Decision:
        steps = self._steps(context)
        (tuned, longer), baseline = steps.chosen, _baseline(context.outcomes)
        if tuned is None and baseline is None:
            why = _why_not(context.outcomes, context.facts, self.name)
            headline = "No final model: no training came to its end"
            numbers, evidence = wording.sentences([why]), sorted(context.outcomes)
            return self.decision(context, headline, numbers, evidence=evidence)
        compared, final = None, tuned or baseline
        if tuned and baseline:
            compared = full_training.compare(tuned, baseline)
            names_recipe = bool(context.facts.starting_recipe)
            change = expected_gain.TUNED_BUILT_IN if names_recipe else expected_gain.TUNED
            gain = full_training.expected_of(compared, baseline, context, change)
            final = tuned if gain.is_gain else baseline
        # The seed cuts the data, too: with another one the recipe would not see the same examples.
        after = final.spec.recipe.replace(seed=context.recipe.seed)
        if final is baseline:
            after = after.replace(total_steps=final.steps)
        parts = _kept(steps, tuned) if tuned else ["no tuned training came to its end"]
        parts += longer
        if compared:
            words = wording.expected(gain, compared, context.facts.scored_by)
            parts.append(f"against the baseline: {words}")
        return self.decision(
            context,
            f"Final model: the {'baseline' if final is baseline else self._recipe_as(context)}",
            wording.sentences(parts),
            after=after,
            evidence=_evidence([*steps.ended, *steps.seeds], baseline),
            values=TrainValues(final.spec.trial, context.spent(self.name), compared),
        )


def _evidence(runs: list[Outcome], baseline: Outcome | None) -> tuple[str, ...]:
    """Names of the recipe's trainings and of the baseline."""
    return (*(run.spec.trial for run in runs), *([baseline.spec.trial] if baseline else []))


def _kept(steps: TrainingSteps, chosen: Outcome) -> list[str]:
    """How the chosen training came to its steps, in words."""
    recipe, facts = steps.context.recipe, steps.context.facts
    kept = chosen.kept_evaluation(facts.objective)
    total, name = chosen.spec.recipe.total_steps, facts.objective.name
    wanted = steps.asked
    first = rounded_up(wanted, chosen.spec.eval_every)
    changed = ""
    if steps.stretch > 1:
        changed = (
            f" ({steps.stretch} x {recipe.total_steps}, since decay halves the mean learning rate)"
        )
    if total < first:
        changed = f" (the budget held no more; {wanted} were wanted)"
    if total > first:
        changed = f" (lengthened from {first})"
    if total < first <= max(steps_of(run) for run in steps.ended):
        changed = f" (shortened from {first}, which overfits)"
    if chosen.steps < total or chosen.diverged_at is not None:
        ended = "stopped" if chosen.diverged_at is None else "diverged"
        where = chosen.steps if chosen.diverged_at is None else chosen.diverged_at
        changed += f", {ended} at step {where},"
    added = added_weight_decay(chosen.spec.recipe, recipe)
    regularized = f" and {added}, since a shorter one overfits" if added else ""
    decay = full_training.decay_words(chosen.spec.recipe)
    if chosen.spec.recipe.learning_rate != recipe.learning_rate:
        decay += f", since {recipe.learning_rate:g} diverged"
    return [
        f"trained for {total} steps{changed} with {decay}{regularized}",
        f"the weights of step {kept['step']} are kept: validation {facts.objective.words} "
        f"{figure(kept[name])}",
    ]


def _baseline(outcomes: dict[str, Outcome]) -> Outcome | None:
    """The baseline, if it was trained and has scores."""
    baseline = outcomes.get(baseline_module.TRIAL)
    return None if baseline is None or baseline.example_scores is None else baseline


def _why_not(outcomes, facts, stage) -> str:
    for outcome in outcomes.values():
        if outcome.spec.stage == stage and outcome.diverged_at is not None:
            return f"trial {outcome.spec.trial} diverged at step {outcome.diverged_at}"
    return f"{facts.allowance} steps were left of the budget"
