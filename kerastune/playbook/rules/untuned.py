"""Says of a search that tuned nothing that it did not, and which budget would."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kerastune.budget import UNITS, Budget
from kerastune.playbook.budget_plan import BudgetPlan
from kerastune.playbook.stages.base import Stage
from kerastune.trial import Outcome

TIMES = 4  # the budget that held nothing, at least
SECONDS = tuple(UNITS["m"] * minutes for minutes in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 240, 480))
STEPS = tuple(number * 10**power for power in range(3, 9) for number in (1, 2, 5))


def sentence(
    budget: Budget, stages: Sequence[Stage], outcomes: Mapping[str, Outcome], refit: float = 0.0
) -> str:
    """One sentence where stages that tune trained nothing; empty otherwise.

    Args:
        budget: of the search.
        stages: of the search.
        outcomes: of all its trials.
        refit: times the recipe's steps that a training on all examples takes at the end.

    Example:
        >>> sentence(Budget.parse("10s"), [], {})
        ''
    """
    tuning = {stage.name for stage in stages if stage.tunes}
    if not tuning or has_tuned(tuning, outcomes):
        return ""
    if budget.steps is not None:
        short = f"{budget.steps:,} steps are too few for a search"
    else:
        short = f"{budget.seconds:g} s is too short for a search on this machine"
    return f"Not tuned: {short}{_advice(budget, stages, refit)}"


def has_tuned(tuning: Collection[str], outcomes: Mapping[str, Outcome]) -> bool:
    """Whether a stage that tunes has trained.

    Args:
        tuning: names of the stages that tune.
        outcomes: of all trials.
    """
    return any(outcome.spec.stage in tuning for outcome in outcomes.values())


def _advice(budget: Budget, stages: Sequence[Stage], refit: float) -> str:
    if budget.steps is not None:
        larger = (Budget(steps=steps) for steps in STEPS if steps >= TIMES * budget.steps)
    else:
        larger = (Budget(seconds=each) for each in SECONDS if each >= TIMES * budget.seconds)
    enough = next((each for each in larger if not BudgetPlan(each, stages, refit).is_short), None)
    return "." if enough is None else f"; try a budget of {_short(enough)}."


def _short(budget: Budget) -> str:
    """A budget as people write it.

    Example:
        >>> _short(Budget(seconds=120.0)), _short(Budget(seconds=30.0)), _short(Budget(steps=5000))
        ('2m', '30s', '5000steps')
    """
    if budget.steps is not None:
        return str(budget)
    unit = next(unit for unit in ("h", "m", "s") if budget.seconds >= UNITS[unit])
    return f"{budget.seconds / UNITS[unit]:g}{unit}"
