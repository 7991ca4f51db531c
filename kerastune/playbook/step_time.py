"""What a training step takes: one measurement for each network, batch size and kind of optimizer."""

from __future__ import annotations

import json

from kerastune.recipe import Recipe
from kerastune.trial import Outcome

LEAST_STEPS = 100  # of a trial that a measurement is read off: two chunks, the first of which may hold the trace


def name_of(recipe: Recipe) -> str:
    """Name of the fact that holds the seconds per step of a recipe's network, batch size and kind
    of optimizer.

    Example:
        >>> name_of(Recipe(hyperparameters={"units": 8}))
        'seconds per step/sgd-nesterov/64/{"units": 8}'
    """
    kind = "sgd-nesterov" if recipe.optimizer == "sgd" and recipe.nesterov else recipe.optimizer
    kind += f"-frozen-{recipe.frozen}" if recipe.frozen else ""
    return f"seconds per step/{kind}/{recipe.batch_size}/{json.dumps(recipe.hyperparameters, sort_keys=True)}"


def is_measured(outcome: Outcome) -> bool:
    """Whether a trial's own median over chunks says what a step takes.

    The median leaves out evaluations and the first chunk; so the first trial that is long enough is
    the calibration, if nothing ran beside it, and nothing has to be trained for it.
    """
    return is_long_enough(outcome.steps) and outcome.seconds_per_step > 0


def is_long_enough(steps: int) -> bool:
    """Whether a trial of so many steps can be measured.

    Example:
        >>> is_long_enough(50), is_long_enough(100)
        (False, True)
    """
    return steps >= LEAST_STEPS
