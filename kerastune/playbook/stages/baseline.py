"""The baseline: what a Keras user does today, Adam at 1e-3 with batches of 32, trained until it has
converged.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kerastune.objective import best_evaluation
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, evaluation_interval, rounded_up
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.runtime.number_format import figure
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted

TRIAL = "baseline"
FIRST_STEPS = 500
SETTINGS = "Adam, learning rate 0.001, batches of 32"


@dataclasses.dataclass(frozen=True)
class BaselineValues(Values):
    """What stage `baseline` found.

    Args:
        steps: that it was trained for.
        value: best validation objective; `None` where none is finite.
        diverged_at: step at which it diverged.
    """

    steps: int = 0
    value: float | None = None
    diverged_at: int | None = None


class Baseline(Stage):
    """Trains the baseline that the result is compared with.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
    """

    name = "baseline"
    question = "What do Keras's defaults give?"
    share = 0.2
    values = BaselineValues
    least_steps = 50
    least_seconds = 2.0

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
        if convergence(done, context.facts).is_certain:
            return []
        return [TrialSpec(TRIAL, self.name, baseline, done.steps, until, every, keep_best=True)]

    def _interval(self, baseline: Recipe, facts: Facts) -> int:
        return evaluation_interval(
            facts.num_validation, baseline.batch_size, self._chunk, most=facts.allowance
        )

    def decide(self, context: Context) -> Decision:
        done = context.outcomes.get(TRIAL)
        if done is None:
            left = f"It has a tenth of the budget, {context.facts.allowance} steps: too few."
            return self.decision(context, "No baseline was trained", left)
        values, objective = BaselineValues(done.steps), context.facts.objective
        name, words = objective.name, objective.words
        best = best_evaluation(done.evals, objective)
        if done.diverged_at is not None:
            values = dataclasses.replace(values, diverged_at=done.diverged_at)
            headline = f"The baseline diverged at step {done.diverged_at:,}"
            numbers = f"{SETTINGS}."
        else:
            headline = f"The baseline has no finite validation {words}"
            numbers = f"{SETTINGS}, trained {_until(done, context.facts)} ({done.steps:,} steps)."
            if best is not None:
                values = dataclasses.replace(values, value=best[name])
                headline = f"Baseline: validation {words} {figure(best[name])}"
                numbers = f"At step {best['step']:,}. {numbers}"
        headline = wording.shortened(headline)
        return self.decision(context, headline, numbers, evidence=[TRIAL], values=values)


def at_last(context: Context, chunk: int, stage: str) -> list[TrialSpec]:
    """The baseline's training, where every other one was lost; none where it was tried as well.

    Args:
        context: of the stage that trains the final model.
        chunk: steps in one call of the train function, which it has however little time is left.
        stage: that asks for it.
    """
    if TRIAL in context.outcomes or not context.spent(stage):
        return []
    recipe, left = baseline_recipe(context.recipe, context.facts), context.left(stage)
    until = max(min(FIRST_STEPS, left) // chunk, 1) * chunk
    return [TrialSpec(TRIAL, stage, recipe, 0, until, chunk, keep_best=True)]


def _until(done: Outcome, facts: Facts) -> str:
    if done.steps < done.spec.until:
        return "until it was stopped"
    has_converged = convergence(done, facts).is_certain
    return "until it had converged" if has_converged else "for its whole budget"


def baseline_recipe(recipe: Recipe, facts: Facts) -> Recipe:
    """What a Keras user does today with the same model: nothing switched off, frozen, initialized
    by rule, or as the user or the network's authors have it.
    """
    size = recipe.batch_size if facts.fixed_batch_size else min(32, facts.num_train or 32)
    return Recipe(
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=size,
        total_steps=recipe.total_steps,
        decay="none",
        initializers="keep",
        regularizers="on",
        head=recipe.head,
        seed=recipe.seed,
        hyperparameters=recipe.hyperparameters,
    )
