"""Whole trainings, which are judged at their end: how they are cut into segments, and how two of
them compare.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from kerastune.analysis import comparison
from kerastune.analysis.comparison import Comparison
from kerastune.playbook.context import Context, Facts, evaluation_interval, rounded_up
from kerastune.playbook.rules import expected_gain
from kerastune.playbook.rules.expected_gain import Expected
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

DECAY_STRETCH = (
    2  # linear decay halves the mean rate: it takes twice the steps to go as far as a constant one
)
# Of one training, so that an interruption costs a quarter of it at most, or `LEAST_SEGMENT` steps:
# each begins with some tenths of a second.
SEGMENTS = 4
LEAST_SEGMENT = 500


def segment(
    trial: str,
    stage: str,
    recipe: Recipe,
    done: Outcome | None,
    every: int,
    follows_clock: bool = False,
) -> TrialSpec:
    """The next quarter of a training of `recipe.total_steps` steps, or `LEAST_SEGMENT` of them,
    evaluated at its end at least.

    Args:
        trial: name of the trial.
        stage: name of the stage.
        recipe: how to train; its steps are a multiple of `every`.
        done: what was trained so far.
        every: steps between two evaluations.
        follows_clock: as `TrialSpec.follows_clock`.

    Example:
        >>> recipe = Recipe(total_steps=2200)
        >>> [segment("a", "train", recipe, None, every).until for every in (50, 200)]
        [550, 600]
    """
    total, start = recipe.total_steps, done.steps if done else 0
    until = min(start + rounded_up(max(total / SEGMENTS, LEAST_SEGMENT), every), total)
    return TrialSpec(
        trial, stage, recipe, start, until, every, keep_best=True, follows_clock=follows_clock
    )


def unused(name: str, recipe: Recipe, outcomes: Mapping[str, Outcome]) -> str:
    """The name of a training, with a number behind it where one of another recipe has it: after an
    extension the recipe may be another one.

    Example:
        >>> unused("train-600", Recipe(), {})
        'train-600'
    """
    numbered = (f"{name}{f'-again{count}' if count else ''}" for count in itertools.count())
    return next(
        each for each in numbered if each not in outcomes or outcomes[each].spec.recipe == recipe
    )


def affordable(
    trials: Iterable[str], total: int, left: int, outcomes: dict[str, Outcome]
) -> list[tuple[str, Outcome | None]]:
    """Of trainings of `total` steps, those that go on or begin, in their order; those that ended
    are left out.

    Args:
        trials: their names.
        total: steps of each.
        left: steps that are left for all of them; what was begun is finished, even if it takes
            more.
        outcomes: by name of the trial, what was trained so far.

    Returns:
        Names, with what was trained of each.

    Example:
        >>> affordable(["a", "b", "c"], total=100, left=250, outcomes={})
        [('a', None), ('b', None)]
    """
    due = []
    for trial in trials:
        done = outcomes.get(trial)
        if done is not None and has_ended(done):
            continue
        left -= total - (done.steps if done else 0)
        if done is None and left < 0:
            break
        due.append((trial, done))
    return due


def has_ended(outcome: Outcome) -> bool:
    """Whether a training goes no further: it came to its end, diverged, or was stopped."""
    if outcome.diverged_at is not None or outcome.steps < outcome.spec.until:
        return True
    return outcome.steps >= outcome.spec.recipe.total_steps


def is_comparable(outcome: Outcome | None) -> bool:
    """Whether a training has scores that may be compared with another's.

    A run with decay has them at its end only. One at a constant rate has them wherever a callback
    of the user's stopped it: its best weights count. One that was evaluated on another part has
    none.
    """
    if (
        outcome is None
        or outcome.spec.repeat
        or outcome.diverged_at is not None
        or outcome.example_scores is None
    ):
        return False
    return has_ended(outcome) and (outcome.spec.recipe.decay == "none" or not was_stopped(outcome))


def is_same_network(outcome: Outcome, facts: Facts) -> bool:
    """Whether a training had on what regularizes the network itself, or there is nothing of it to
    switch.
    """
    recipe = outcome.spec.recipe
    return recipe.regularizers == "on" or not (facts.regularized or recipe.dropout)


def planned(recipe: Recipe, facts: Facts, stretch: int, chunk: int) -> Recipe:
    """The recipe of a whole training with what regularizes on, its steps stretched and in whole
    evaluations.
    """
    wanted = rounded_up(stretch * recipe.total_steps, chunk)
    every = evaluation_interval(facts.num_validation, recipe.batch_size, chunk, most=wanted)
    return recipe.replace(regularizers="on").over(rounded_up(wanted, every))


def trained_before(stages: tuple[str, ...], base: Recipe, context: Context) -> Outcome | None:
    """The first whole training of this very recipe by one of these stages, if there is any, as one
    of `base`.

    It may have had off what regularizes, where there was nothing to switch: what comes on top of it
    has it on.
    """
    for outcome in context.outcomes.values():
        same = outcome.spec.recipe.replace(regularizers="on") == base and is_same_network(
            outcome, context.facts
        )
        if outcome.spec.stage in stages and same and is_comparable(outcome):
            return dataclasses.replace(outcome, spec=dataclasses.replace(outcome.spec, recipe=base))
    return None


def was_stopped(outcome: Outcome) -> bool:
    """Whether something other than divergence ended a training before its last step."""
    return outcome.diverged_at is None and outcome.steps < outcome.spec.until


def compare(better: Outcome, worse: Outcome) -> Comparison:
    """The paired gain of a training over another, on the validation examples.

    Args:
        better: the setting that would replace the other one.
        worse: the other one.
    """
    return comparison.difference(better.example_scores, worse.example_scores)


def expected(better: Outcome, worse: Outcome, context: Context, change: str) -> Expected:
    """The expected gain of one training over another.

    Args:
        better: the setting that would replace the other one.
        worse: the other one.
        context: of the stage.
        change: what sets them apart, as `expected_gain.prior` takes it.
    """
    compared = compare_mirrored(better, worse)
    return expected_of(compared, worse, context, change)


def expected_of(compared: Comparison, worse: Outcome, context: Context, change: str) -> Expected:
    """The expected gain of a comparison that was made; `worse` gives the scale of its scores."""
    prior = _prior(change, worse, context)
    return expected_gain.expected(compared, prior, *_units(worse, context))


def expected_of_mean(
    compared: Comparison, worse: Outcome, context: Context, change: str, part: float
) -> Expected:
    """The expected gain of a mean of models, single ones of which were compared; `part` of what was
    recorded for it is not in the comparison.
    """
    prior = _prior(change, worse, context)
    prior = dataclasses.replace(prior, mean=part * prior.mean, std=part * prior.std)
    return expected_gain.expected_of_mean(compared, prior, *_units(worse, context))


def _prior(change: str, worse: Outcome, context: Context) -> expected_gain.Prior:
    recorded_as = context.facts.recorded_as(worse.spec.recipe)
    return expected_gain.prior(change, context.facts.data, recorded_as)


def _units(worse: Outcome, context: Context) -> tuple[float, float]:
    """The scale of the scores, and the standard deviation over seeds in units of it."""
    facts, scale = context.facts, 1.0
    if facts.scored_by == "loss":
        # Of a regression gains are recorded in units of the targets' variance, or of a larger loss.
        least = 1.0 if facts.data == "regression" else 1e-12
        scale = max(abs(float(np.mean(worse.example_scores))), least)
    return scale, expected_gain.seed_std(facts.data, facts.num_train)


def compare_mirrored(better: Outcome, worse: Outcome) -> Comparison:
    """As `compare`; where a flip is not significant, its network looks at the mirror images, too.

    Who learnt from both mirror images can be asked about both, and need not be: what that gains is
    part of what the flip is worth, what it loses is not.
    """
    found = compare(better, worse)
    if found.is_significant or better.mirrored_scores is None or worse.mirrored_scores is not None:
        return found
    both = comparison.difference(better.mirrored_scores, worse.example_scores)
    return dataclasses.replace(found, mirrored=both) if both.gain > found.gain else found


def decay_words(recipe: Recipe) -> str:
    """How the rate of a recipe falls, for people.

    Example:
        >>> decay_words(Recipe(learning_rate=0.1))
        'linear decay from 0.1'
        >>> decay_words(Recipe(learning_rate=0.1, decay_start=1350))
        'linear decay from 0.1, beginning at step 1350'
    """
    rate = f"{recipe.learning_rate:.3g}"
    if recipe.decay == "none":
        return f"a constant learning rate of {rate}"
    if recipe.decay in ("linear", "cosine"):
        return f"{recipe.decay} decay from {rate}" + (
            f", beginning at step {recipe.decay_start}" * (recipe.decay_start > 0)
        )
    drops = f"times {recipe.decay_factor:g} at step {recipe.decay_start} and every "
    drops += f"{recipe.decay_interval} steps after"
    return f"exponential decay from {rate}, {drops}"
