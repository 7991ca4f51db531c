"""The chosen recipe once more, on training and validation data together."""

from __future__ import annotations

import dataclasses
import math

from kerastune.problem import Problem, joined
from kerastune.recipe import Recipe
from kerastune.training.trainer import Trainer
from kerastune.trial import Outcome, State, TrialSpec

REFIT = "refit"  # name of the stage


def step_factor(problem: Problem) -> float:
    """Times a recipe's steps that as many epochs take on training and validation data together."""
    return 1 + len(problem.validation) / len(problem.train)


def trial(extension: int) -> str:
    """Name of the training that follows a search, or one of its extensions.

    Example:
        >>> trial(0), trial(1)
        ('refit', 'refit-1')
    """
    return f"{REFIT}-{extension}" if extension else REFIT


def spec_of(recipe: Recipe, problem: Problem, extension: int = 0) -> TrialSpec:
    """A training of the recipe on training and validation data together, for as many epochs."""
    longer = recipe.over(round(recipe.total_steps * step_factor(problem)))
    return TrialSpec(trial(extension), REFIT, longer, 0, longer.total_steps)


def run(trainer: Trainer, spec: TrialSpec) -> tuple[Outcome, State, State | None]:
    """Trains what `spec_of` gave, to its end.

    Returns:
        As `Trainer.run`; the last state is `None` when the training diverged.
    """
    problem = trainer.problem
    joined_parts = joined(problem.train, problem.validation)
    again = trainer.on(dataclasses.replace(problem, train=joined_parts))
    # Its time was set aside, and half of a decay would be worth nothing.
    again.seconds_left = _forever
    outcome, last, _ = again.run(spec)
    return outcome, last, last if outcome.diverged_at is None else None


def _forever() -> float:
    return math.inf
