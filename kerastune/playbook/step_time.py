"""What a training step takes: one time to compare with for each kind, and one to plan with."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence

from kerastune.recipe import Recipe
from kerastune.trial import Outcome

# Steps of a trial that a time is read off: two chunks, the first of which may hold the trace.
LEAST_STEPS = 100
FIRST_SECONDS_PER_STEP = 0.02  # before anything was timed
LEAST_TIMED = 50  # steps of a trial that tells what a step takes
LATEST = 3  # of such trials, which tell it together
# That a call of the train function may take on a busy machine, however few its steps.
CALL_SECONDS = 0.5
EVALUATIONS = 1.1  # times the seconds of a step alone that it takes with evaluations


def name_of(recipe: Recipe) -> str:
    """Name of the fact that holds the seconds per step of a network, batch size and optimizer.

    Example:
        >>> name_of(Recipe(hyperparameters={"units": 8}))
        'seconds per step/sgd-nesterov/64/{"units": 8}'
    """
    kind = "sgd-nesterov" if recipe.optimizer == "sgd" and recipe.nesterov else recipe.optimizer
    kind += f"-frozen-{recipe.frozen}" if recipe.frozen else ""
    values = json.dumps(recipe.hyperparameters, sort_keys=True)
    return f"seconds per step/{kind}/{recipe.batch_size}/{values}"


def is_measured(outcome: Outcome) -> bool:
    """Whether a trial's own median over chunks says what a step takes.

    The median leaves out evaluations and the first chunk. So the first trial that is long enough is
    the one that is timed, if nothing ran beside it, and nothing has to be trained for it.
    """
    return is_long_enough(outcome.steps) and outcome.seconds_per_step > 0


def is_long_enough(steps: int) -> bool:
    """Whether a trial of so many steps can be timed.

    Example:
        >>> is_long_enough(50), is_long_enough(100)
        (False, True)
    """
    return steps >= LEAST_STEPS


def seconds_per_step(outcomes: Mapping[str, Outcome], recipe: Recipe) -> float:
    """What a step of a recipe takes now, evaluations and all; plans use it, decisions do not.

    The median of the last three long trials with its network and batches: a machine that others
    use, too, may stall during any of them. Of the first one, which traced, what its steps took
    counts, and not its seconds. The baseline is left out.

    Args:
        outcomes: of all trials so far, in their order.
        recipe: that is trained next.

    Example:
        >>> seconds_per_step({}, Recipe())
        0.02
    """
    every = list(outcomes.values())
    trials = [each for each in every if each.spec.stage != "baseline"] or every
    timed = [each for each in trials if each.steps >= LEAST_TIMED]
    if not timed:
        return _of_single_steps(trials)
    alike = _alike(timed, recipe)
    longest = max(alike, key=lambda each: each.steps)
    evaluated = [each for each in alike if each.evals]
    long = [each for each in evaluated if 2 * each.steps >= longest.steps]
    if not long:
        # The probe alone: no evaluation yet, and most of its time was tracing.
        return EVALUATIONS * longest.seconds_per_step
    return statistics.median(_with_evaluations(each, evaluated[0]) for each in long[-LATEST:])


def _with_evaluations(trial: Outcome, traced: Outcome) -> float:
    """Seconds of a step of a trial, evaluations and all."""
    if trial is traced and is_measured(trial):
        return min(EVALUATIONS * trial.seconds_per_step, trial.seconds / trial.steps)
    return trial.seconds / trial.steps


def _of_single_steps(trials: Sequence[Outcome]) -> float:
    """From the probe's updates, a call each; the first one traced, so alone it says nothing."""
    calls = sorted(each.seconds_per_step for each in trials if each.steps)
    if len(calls) <= 1:
        return FIRST_SECONDS_PER_STEP
    return max(FIRST_SECONDS_PER_STEP, calls[0] - CALL_SECONDS)


def _alike(trials: Sequence[Outcome], recipe: Recipe) -> Sequence[Outcome]:
    """Those with the network and, among them, the batch size of a recipe; all where none has."""
    values, batch_size = recipe.hyperparameters, recipe.batch_size
    trials = [each for each in trials if each.spec.recipe.hyperparameters == values] or trials
    return [each for each in trials if each.spec.recipe.batch_size == batch_size] or trials
