"""Successive halving: all candidates are trained a little, the promising ones twice as far each
time.

Jamieson and Talwalkar 2016, arXiv:1502.07943. A stage says which candidates there are, after how
many steps or examples they are compared, who stays in, and what a candidate still needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from kerastune.trial import Outcome, TrialSpec

Candidate = TypeVar("Candidate")  # the name of a trial, or what else tells one from the others


@dataclasses.dataclass(frozen=True)
class Progress(Generic[Candidate]):
    """How far the candidates came.

    Args:
        compared: those of the last comparison.
        finalists: those that stayed in after it, in the order that `halve` was given.
        rung: steps or examples after which they were compared.
        behind: segments that the next comparison lacks; empty when there is no other one.
    """

    compared: list[Candidate]
    finalists: list[Candidate]
    rung: int
    behind: list[TrialSpec]


def halve(
    candidates: Iterable[Candidate],
    rungs: Iterable[int],
    limits: Sequence[int],
    survivors: Callable[[list[Candidate], int, int], list[Candidate]],
    go_on: Callable[[list[Candidate], int], tuple[list[Candidate], list[TrialSpec]]],
) -> Progress[Candidate]:
    """Follows candidates from comparison to comparison, as far as they were trained or can be.

    Args:
        candidates: those that were trained up to the first comparison.
        rungs: steps or examples at each comparison, ascending; at least one.
        limits: most candidates that stay in after the first comparison, the second, and so on; the
            last one holds for all later ones.
        survivors: gives those that stay in, of the candidates, the rung and the limit.
        go_on: gives those that the next rung is for, and the segments that they lack; none of
            either where nothing is to be trained any more.

    Example:
        >>> best_first = lambda alive, rung, limit: sorted(alive)[:limit]
        >>> halve("cab", [100, 200], [2, 1], best_first, lambda alive, rung: (alive, [])).finalists
        ['a']
    """
    alive, rungs, index = list(candidates), iter(rungs), 0
    rung = next(rungs)
    while True:
        compared = alive
        alive = survivors(compared, rung, limits[min(index, len(limits) - 1)])
        following = next(rungs, None)
        further, specs = ([], []) if following is None else go_on(alive, following)
        if specs or not further:
            return Progress(compared, alive, rung, specs)
        alive, rung, index = further, following, index + 1


def affordable(
    names: list[str],
    least: int,
    left: int,
    segment: Callable[[str], TrialSpec | None],
    reserve: Callable[[list[str]], int],
) -> tuple[list[str], list[TrialSpec]]:
    """As many of the first candidates as the allowance holds, and the segments that they lack.

    Args:
        names: of trials, the most promising first.
        least: candidates that are worth going on with; with fewer there are none.
        left: steps that may be spent.
        segment: gives what a trial lacks; `None` when it lacks nothing, or goes no further.
        reserve: gives the steps that such candidates leave to what comes after.
    """
    for count in range(len(names), least - 1, -1):
        specs = [spec for name in names[:count] if (spec := segment(name))]
        if cost(specs) + reserve(names[:count]) <= left:
            return names[:count], specs
    return [], []


def cost(specs: Iterable[TrialSpec]) -> int:
    """Steps of segments together."""
    return sum(spec.until - spec.start for spec in specs)


def goes_no_further(outcome: Outcome, steps: int) -> bool:
    """Whether a trial has so many steps, or diverged, or was stopped by a user's callback."""
    was_stopped = outcome.steps < outcome.spec.until
    return outcome.steps >= steps or was_stopped or outcome.diverged_at is not None
