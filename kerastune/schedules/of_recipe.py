"""What a recipe's decay means: the only place where its values become rates."""

from __future__ import annotations

import numpy as np

from kerastune.recipe import Recipe
from kerastune.schedules.cosine import cosine_decay, warm_up
from kerastune.schedules.exponential import exponential_decay
from kerastune.schedules.linear import linear_decay


def rates(recipe: Recipe) -> np.ndarray:
    """Rate of every step of a recipe, `[1]` when it is constant, else `[total_steps]`.

    Example:
        >>> rates(
        ...     Recipe(
        ...         learning_rate=0.1,
        ...         decay="exponential",
        ...         decay_start=1,
        ...         decay_interval=2,
        ...         total_steps=4,
        ...     )
        ... )
        array([0.1  , 0.05 , 0.05 , 0.025])
    """
    if recipe.decay == "none" and not recipe.warmup_steps:
        return np.array([recipe.learning_rate])
    steps = np.arange(recipe.total_steps)
    return _decayed(recipe, steps) * warm_up(steps, recipe.warmup_steps)


def _decayed(recipe: Recipe, steps: np.ndarray) -> np.ndarray:
    rate = recipe.learning_rate
    if recipe.decay == "none":
        return np.full(len(steps), rate)
    if recipe.decay == "cosine":
        return cosine_decay(steps, rate, recipe.total_steps, recipe.decay_start)
    if recipe.decay == "exponential":
        return exponential_decay(
            steps, rate, recipe.decay_start, recipe.decay_factor, recipe.decay_interval
        )
    return linear_decay(steps, rate, recipe.total_steps, recipe.decay_interval, recipe.decay_start)
