"""Learning rates that are compared: those of stage `lr`, and half and twice that of a setting that
has won, to check it (S2.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerastune.analysis import curves
from kerastune.playbook.context import Context
from kerastune.playbook.rules import batch_grid, unmoved
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

HIGHEST, LOWEST = 10.0, 1e-7
FINER = (0.3, 0.5, 2.0, 3.0)  # times the best coarse rate (S1.2: 0.003, 0.005 ... 0.03 around 0.01)
NEIGHBORS = (0.5, 2.0)  # times the winner's learning rate
Tried = Mapping[float, Outcome]  # by learning rate


def coarse(context: Context, tried: Tried, horizon: int) -> list[float]:
    """Decades around the suggested rate; one more beyond the best while that is on the edge."""
    center = int(np.clip(np.round(np.log10(context.recipe.learning_rate)), -5, 0))
    decades = {center - 1, center, center + 1}
    if unmoved.is_so_far(tried):
        decades |= set(range(center, round(np.log10(HIGHEST)) + 1))
    while all(_decade(d) in tried for d in decades):
        done = {_decade(d): tried[_decade(d)] for d in decades}
        best = leader(done, horizon, context.facts.guess)
        beyond = max(decades) + 1 if best == _decade(max(decades)) else min(decades) - 1
        on_edge = best is None or best in (_decade(max(decades)), _decade(min(decades)))
        if not on_edge or not LOWEST <= _decade(beyond) <= HIGHEST:
            break
        decades.add(beyond)
    return [_decade(d) for d in sorted(decades)]


def finer(context: Context, tried: Tried, horizon: int) -> list[float]:
    """Rates between the best decade and its neighbors (S1.2): those beside the better neighbor
    first, and of these the one halfway.
    """
    decades = {
        rate: outcome for rate, outcome in tried.items() if rate == _decade(round(np.log10(rate)))
    }
    best = leader(decades, horizon, context.facts.guess)
    if best is None:
        return []
    center = round(np.log10(best))
    above, below = (
        last(decades[rate], horizon) if rate in decades else np.inf
        for rate in (_decade(center + 1), _decade(center - 1))
    )
    is_above = np.nan_to_num(above, nan=np.inf) < np.nan_to_num(below, nan=np.inf)
    ordered = sorted(FINER, key=lambda each: ((each > 1) != is_above, -abs(np.log(each))))
    return [_rounded(best * factor) for factor in ordered]


def _decade(exponent: int) -> float:
    return float(f"1e{int(exponent)}")


def _rounded(rate: float) -> float:
    return float(f"{rate:.1g}")


def leader(tried: Tried, horizon: int, guess: float) -> float | None:
    """Rate whose curve falls fastest and deepest; ties and equals go to the lower rate."""
    rates = sorted(tried)
    index = curves.fastest_and_deepest([curve(tried[rate], horizon) for rate in rates], guess)
    return None if index is None else rates[index]


def curve(outcome: Outcome, horizon: int | None) -> np.ndarray:
    """Losses up to a horizon; those of a trial that diverged end in NaN, so that no rule takes it
    for a sound one.
    """
    losses = outcome.losses[:horizon]
    return np.append(losses, np.nan) if outcome.diverged_at is not None else losses


def last(outcome: Outcome, horizon: int) -> float:
    """The smoothed loss at a horizon; NaN of a trial that diverged."""
    return float(curves.smoothed(curve(outcome, horizon))[-1])


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
