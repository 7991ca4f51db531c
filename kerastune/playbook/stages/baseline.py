"""The baseline: what a Keras user does today, Adam at 1e-3 with batches of 32, trained until it has
converged.

Where nothing follows, there is nothing to save time for: then it is trained to the end of what the
budget gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.stages.base import (
    Context,
    Decision,
    Facts,
    Stage,
    evaluation_interval,
    rounded_up,
)
from kerastune.recipe import Recipe
from kerastune.trial import TrialSpec, best_evaluation

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted

TRIAL = "baseline"
FIRST_STEPS = 500


class Baseline(Stage):
    """Trains the baseline that the result is compared with.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
    """

    name = "baseline"
    question = "What would a Keras user have?"
    share = 0.25
    is_known = True
    least_steps = 50
    least_seconds = 3.0

    def __init__(self, chunk: int):
        self._chunk = chunk

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.baseline

    @classmethod
    def create(cls, setup: Setup) -> Baseline:
        return cls(setup.chunk)

    def propose(self, context: Context) -> list[TrialSpec]:
        baseline = baseline_recipe(context.recipe, context.facts)
        done = context.outcomes.get(TRIAL)
        every = done.spec.eval_every if done else self._interval(baseline, context.facts)
        limit = context.facts.allowance // every * every
        if done is None:
            until = min(rounded_up(FIRST_STEPS, every), limit)
            return (
                [TrialSpec(TRIAL, self.name, baseline, 0, until, every, keep_best=True)]
                if until
                else []
            )
        until = min(2 * done.steps, limit)
        stopped_itself = done.steps < done.spec.until
        if done.diverged_at is not None or stopped_itself or until <= done.steps:
            return []
        if convergence(done, context.facts).is_certain and not context.facts.is_short:
            return []
        return [TrialSpec(TRIAL, self.name, baseline, done.steps, until, every, keep_best=True)]

    def _interval(self, baseline: Recipe, facts: Facts) -> int:
        return evaluation_interval(
            facts.num_validation, baseline.batch_size, self._chunk, most=facts.allowance
        )

    def decide(self, context: Context) -> Decision:
        done = context.outcomes.get(TRIAL)
        if done is None:
            reason = f"No baseline was trained: its quarter of the budget, {context.facts.allowance} steps, is too little."
            return Decision(self.name, context.recipe, context.recipe, reason, ())
        if done.diverged_at is not None:
            reason = f"The baseline (Adam, rate 0.001, batches of 32) diverged at step {done.diverged_at}."
            return Decision(
                self.name,
                context.recipe,
                context.recipe,
                reason,
                (TRIAL,),
                {"diverged_at": done.diverged_at},
            )
        best = best_evaluation(done.evals, context.facts.objective)
        name = context.facts.objective.name
        if best is None:
            reason = f"In {done.steps} steps the baseline (Adam, rate 0.001) had no finite validation {name}."
            return Decision(
                self.name, context.recipe, context.recipe, reason, (TRIAL,), {"steps": done.steps}
            )
        has_converged = convergence(done, context.facts).is_certain and not context.facts.is_short
        ended = "until it had converged" if has_converged else "for its whole allowance"
        ended = "until it was stopped" if done.steps < done.spec.until else ended
        reason = (
            f"The baseline (Adam, rate 0.001, batches of 32), trained {ended} ({done.steps} steps), "
            f"reaches a validation {name} of {best[name]:.4g} at step {best['step']}."
        )
        return Decision(
            self.name,
            context.recipe,
            context.recipe,
            reason,
            (TRIAL,),
            {"steps": done.steps, name: best[name]},
        )


def baseline_recipe(recipe: Recipe, facts: Facts) -> Recipe:
    """What a Keras user does today with the same model: nothing switched off, frozen or initialized
    by rule.
    """
    batch_size = min(32, facts.num_train or 32)
    if facts.fixed_batch_size:
        batch_size = recipe.batch_size
    return recipe.replace(
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=batch_size,
        decay="none",
        initializers="keep",
        regularizers="on",
        frozen=0,
        head_fraction=0.0,
        layer_decay=1.0,
        layer_rate=(),
    )
