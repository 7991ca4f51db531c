"""Whole trainings, which are judged at their end: how they are cut into segments, and how two of them compare."""

from __future__ import annotations

import numpy as np

from kerastune import scores
from kerastune.recipe import Recipe
from kerastune.stages.base import Facts, rounded_up
from kerastune.trial import Outcome, TrialSpec

DECAY_STRETCH = 2  # linear decay halves the mean rate: it takes twice the steps to go as far as a constant one
SEGMENTS = 4  # of one training, so that an interruption costs a quarter of it at most


def segment(trial: str, stage: str, recipe: Recipe, done: Outcome | None, every: int) -> TrialSpec:
    """The next quarter of a training of `recipe.total_steps` steps, evaluated at its end at least.

    Args:
        trial: name of the trial.
        stage: name of the stage.
        recipe: how to train; its steps are a multiple of `every`.
        done: what was trained so far.
        every: steps between two evaluations.

    Example:
        >>> [segment("a", "train", Recipe(total_steps=600), None, every).until for every in (50, 200)]
        [150, 200]
    """
    total, start = recipe.total_steps, done.steps if done else 0
    until = min(start + rounded_up(total / SEGMENTS, every), total)
    return TrialSpec(trial, stage, recipe, start, until, every, keep_best=True)


def has_ended(outcome: Outcome) -> bool:
    """Whether a training goes no further: it came to its end, diverged, or was stopped."""
    if outcome.diverged_at is not None or outcome.steps < outcome.spec.until:
        return True
    return outcome.steps >= outcome.spec.recipe.total_steps


def is_comparable(outcome: Outcome | None) -> bool:
    """Whether a training has scores that may be compared with another's.

    A run with decay has them at its end only. One at a constant rate has them wherever a callback of the user's
    stopped it: its best weights count.
    """
    if outcome is None or outcome.diverged_at is not None or outcome.example_scores is None:
        return False
    return has_ended(outcome) and (outcome.spec.recipe.decay == "none" or not was_stopped(outcome))


def is_same_network(outcome: Outcome, facts: Facts) -> bool:
    """Whether a training had on what regularises the network itself, or there is nothing of it to switch."""
    recipe = outcome.spec.recipe
    return recipe.regularisers == "on" or not (facts.regularised or recipe.dropout)


def was_stopped(outcome: Outcome) -> bool:
    """Whether something other than divergence ended a training before its last step."""
    return outcome.diverged_at is None and outcome.steps < outcome.spec.until


def lengthened(recipe: Recipe, total_steps: int) -> Recipe:
    """The recipe with other total steps and a decay of the same shape.

    Example:
        >>> recipe = Recipe(decay="exponential", decay_start=900, decay_interval=200, total_steps=2000)
        >>> longer = lengthened(recipe, 4000)
        >>> longer.decay_start, longer.decay_interval
        (1800, 400)
    """
    times, changes = total_steps / recipe.total_steps, {"total_steps": total_steps}
    if recipe.decay != "none":
        changes["decay_start"] = round(times * recipe.decay_start)
    if recipe.decay == "exponential":
        changes["decay_interval"] = max(round(times * recipe.decay_interval), 1)
    return recipe.replace(**changes)


def compare(better: Outcome, worse: Outcome, facts: Facts) -> tuple[str, int]:
    """The paired gain in words, and its sign where it is beyond noise (0 within)."""
    mean, low, high = scores.difference(better.example_scores, worse.example_scores)
    sign = int(np.sign(mean)) if low > 0 or high < 0 else 0
    verdict = {1: "a gain beyond noise", -1: "a loss beyond noise", 0: "within noise"}[sign]
    gain = scores.gained(mean, facts.scored_by)
    interval = scores.interval(low, high, facts.scored_by)
    return f"{gain} on validation (95 % interval {interval}), {verdict}", sign


def decay_words(recipe: Recipe) -> str:
    """How the rate of a recipe falls, for people.

    Example:
        >>> decay_words(Recipe(learning_rate=0.1)), decay_words(Recipe(learning_rate=0.1, decay_start=1350))
        ('linear decay from 0.1', 'linear decay from 0.1, beginning at step 1350')
    """
    rate = f"{recipe.learning_rate:g}"
    if recipe.decay == "none":
        return f"a constant rate of {rate}"
    if recipe.decay == "linear":
        return f"linear decay from {rate}" + (f", beginning at step {recipe.decay_start}" * (recipe.decay_start > 0))
    drops = f"times {recipe.decay_factor:g} at step {recipe.decay_start} and every {recipe.decay_interval} steps after"
    return f"exponential decay from {rate}, {drops}"
