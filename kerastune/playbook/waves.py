"""Waves: the segments that a stage proposes at once, recorded in their order.

With a budget in steps a stage is asked again only when all of a wave are recorded, and sees their
outcomes in the order of the wave. So the same search decides the same with one worker or with
sixty, however often it was killed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from kerastune.study.database import Record, Study
from kerastune.trial import Outcome, TrialSpec


def recorded(record: Record) -> list[list[TrialSpec]]:
    """Every wave of a study, the first one first; those of one segment are not among them."""
    found = []
    for index in itertools.count():
        if (wave := record.fact(_name(index))) is None:
            return found
        found.append([TrialSpec.from_dict(values) for values in wave])


def put(study: Study, index: int, wave: Sequence[TrialSpec]) -> None:
    """Records a wave before any of it is trained."""
    study.put_fact(_name(index), [spec.to_dict() for spec in wave])


def missing(wave: Sequence[TrialSpec], outcomes: Mapping[str, Outcome]) -> list[TrialSpec]:
    """The segments of a wave that were not recorded yet.

    Example:
        >>> from kerastune.recipe import Recipe
        >>> [spec.trial for spec in missing([TrialSpec("a", "lr", Recipe(), 0, 50)], {})]
        ['a']
    """
    return [
        spec
        for spec in wave
        if spec.trial not in outcomes or outcomes[spec.trial].spec.start < spec.start
    ]


def in_order(
    outcomes: Mapping[str, Outcome], waves: Sequence[Sequence[TrialSpec]]
) -> dict[str, Outcome]:
    """The outcomes with the trials of a wave in its order, whichever of them ended first.

    Args:
        outcomes: by trial, in the order in which the first segments were recorded.
        waves: those to put in order; no trial begins in two.
    """
    place = {trial: index for index, trial in enumerate(outcomes)}
    for wave in waves:
        began = [spec.trial for spec in wave if spec.start == 0 and spec.trial in place]
        place.update(zip(began, sorted(place[trial] for trial in began), strict=True))
    return {trial: outcomes[trial] for trial in sorted(place, key=place.get)}


def _name(index: int) -> str:
    return f"wave/{index}"
