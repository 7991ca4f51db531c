"""Which kept weights a study gives up, so that its size does not grow with every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import baseline
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

KEEP = 20  # of the best, unless told otherwise: twice as many as an ensemble has members


def checked(keep: int) -> int:
    """The number of best weights to keep.

    Raises:
        ValueError: when it is none.

    Example:
        >>> checked(0)
        0
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
        raise ValueError(f"`keep` must be a whole number >= 0, got {keep!r}.")
    return keep


def surplus(outcomes: Mapping[str, Outcome], decisions: Sequence[Decision], keep: int) -> list[str]:
    """Trials whose weights go once a stage has decided.

    The `keep` best by their scores of the validation examples stay; of equal ones the earlier. So
    do, whatever `keep` says, those that later stages set out from or that are saved: the
    baseline, the best of every stage, what a decision names, members of an ensemble, and what has
    the recipe that was decided last.

    Args:
        outcomes: of all trials.
        decisions: of all stages that have decided, the last one included.
        keep: number of weights, `>= 0`.

    Example:
        >>> surplus({}, [], keep=1)
        []
    """
    kept = [
        each for each in outcomes.values() if each.example_scores is not None and each.weights_kept
    ]
    # What was scored on other examples is needed only where a decision names it.
    ranked = [each for each in kept if not each.spec.repeat]
    ranked = sorted(ranked, key=lambda outcome: -float(outcome.example_scores.mean()))
    staying = {outcome.spec.trial for outcome in ranked[:keep]} | {baseline.TRIAL}
    staying |= {outcome.spec.after for outcome in outcomes.values()}
    best_first: dict[str, str] = {}
    for outcome in ranked:
        staying.add(best_first.setdefault(outcome.spec.stage, outcome.spec.trial))
    for decision in decisions:
        staying |= set(decision.trials)
    if decisions:
        last = decisions[-1].after
        staying |= {each.spec.trial for each in kept if _is_like(each.spec.recipe, last)}
    return [outcome.spec.trial for outcome in kept if outcome.spec.trial not in staying]


def _is_like(recipe: Recipe, other: Recipe) -> bool:
    """Whether recipes differ in their number of steps alone."""
    return other.replace(total_steps=recipe.total_steps) == recipe
