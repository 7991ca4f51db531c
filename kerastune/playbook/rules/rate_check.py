"""Half and twice the learning rate of a setting that has won, to check it (S2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerastune.analysis import curves
from kerastune.playbook.rules import batch_grid
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

NEIGHBORS = (0.5, 2.0)  # times the winner's learning rate


def neighbors(name: str, recipe: Recipe) -> dict[str, Recipe]:
    """The recipe at the neighboring learning rates, by name of the trial.

    Example:
        >>> [each.learning_rate for each in neighbors("a", Recipe(learning_rate=0.03)).values()]
        [0.015, 0.06]
    """
    rates = {factor: batch_grid.rounded(factor * recipe.learning_rate) for factor in NEIGHBORS}
    return {f"{name}-x{f:g}": recipe.replace(learning_rate=rate) for f, rate in rates.items()}


def best(winner: Outcome, others: Sequence[Outcome | None]) -> tuple[Outcome, bool]:
    """The trial whose loss falls fastest and deepest, and whether the others were trained at all.

    Args:
        winner: the trial that has won.
        others: those at the neighboring learning rates; `None` for one that was not trained.
    """
    if None in others:
        return winner, False
    trials = [winner, *others]
    index = curves.fastest_and_deepest([_losses(trial) for trial in trials])
    return trials[index or 0], True


def _losses(outcome: Outcome) -> np.ndarray:
    # One that diverged is left out, even where the loss alone exploded and the rest looks sound.
    return outcome.losses if outcome.diverged_at is None else outcome.losses[:0]
