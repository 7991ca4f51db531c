"""Stages over whole trainings, and the walk of those that try one thing after another on the best
so far.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerastune.analysis import comparison
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.rules import full_training, regularizers
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

FAILED = float("-inf")


class WholeTrainings(Stage):
    """A stage whose trials are whole trainings, compared at their end.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        stretch: times the recipe's steps that a training takes; 1 when they were stretched already.
    """

    least_steps = 1000
    least_seconds = 3.0

    def __init__(self, chunk: int, stretch: int = 1):
        self._chunk = chunk
        self._stretch = stretch

    @classmethod
    def create(cls, setup: Setup) -> WholeTrainings:
        return cls(setup.chunk, setup.stretch(cls))

    def _due(self, name: str, recipe: Recipe, context: Context) -> list[TrialSpec]:
        """The next segment of a training; none where it has ended."""
        done = context.outcomes.get(name)
        if done is not None and full_training.has_ended(done):
            return []
        every = context.evaluation_interval(self._chunk, recipe.total_steps)
        return [full_training.segment(name, self.name, recipe, done, every)]

    def _fits(self, name: str, recipe: Recipe, context: Context) -> bool:
        """Whether the allowance holds a training: one that was begun is finished, since what is
        left is an estimate.
        """
        return name in context.outcomes or recipe.total_steps <= context.left(self.name)


@dataclasses.dataclass(frozen=True)
class Tried:
    """One thing that a stage tried.

    Args:
        trial: its training.
        words: what people call it.
        gain: over the best so far.
        is_kept: whether it became the best so far.
    """

    trial: str
    words: str
    gain: Comparison
    is_kept: bool = False


@dataclasses.dataclass
class Walk:
    """How far a stage came: the best training so far, what was found, and the segments that are
    due.

    Args:
        best: the training whose recipe is the best so far.
        parts: of the numbers, one per thing that was tried.
        due: segments to train next.
        seen: names of the trials that were looked at.
        gains: of everything that was tried, for the picture.
        headline: of a walk that ended early; empty of any other.
    """

    best: Outcome | None = None
    parts: list[str] = dataclasses.field(default_factory=list)
    due: list[TrialSpec] = dataclasses.field(default_factory=list)
    seen: list[str] = dataclasses.field(default_factory=list)
    gains: list[Tried] = dataclasses.field(default_factory=list)
    headline: str = ""

    def gain(self, outcome: Outcome) -> float:
        """Mean gain of a training over the best so far on the validation examples; minus infinity
        if it failed.
        """
        if not full_training.is_comparable(outcome):
            return FAILED
        return float((outcome.example_scores - self.best.example_scores).mean())

    def note(self, outcome: Outcome, words: str) -> None:
        """Adds a training's gain over the best so far to what the picture shows."""
        gain = comparison.difference(outcome.example_scores, self.best.example_scores)
        self.gains.append(Tried(outcome.spec.trial, words, gain))

    def keep(self, outcome: Outcome) -> None:
        """Makes a training that was noted the best so far."""
        self.best = outcome
        self.gains = [
            dataclasses.replace(each, is_kept=each.is_kept or each.trial == outcome.spec.trial)
            for each in self.gains
        ]

    @property
    def numbers(self) -> str:
        """What was found, as sentences."""
        return wording.sentences(self.parts)


class WalkingStage(WholeTrainings):
    """A stage that tries one thing after another, each on top of the best so far.

    What it proposes and what it decides are both read from the walk so far.
    """

    def propose(self, context: Context) -> list[TrialSpec]:
        return self._walk(context).due

    @abc.abstractmethod
    def _walk(self, context: Context) -> Walk:
        """The walk as far as the outcomes go."""

    def _train(self, walk: Walk, name: str, recipe: Recipe, context: Context) -> bool:
        """Adds what is due of a training, and gives whether it can be had."""
        if not self._fits(name, recipe, context):
            return False
        walk.seen += [context.outcomes[name].spec.trial] if name in context.outcomes else []
        walk.due += self._due(name, recipe, context)
        return True

    def _climb(
        self,
        walk: Walk,
        trainings: Sequence[tuple[str, Recipe | None]],
        first: int,
        is_passed: bool,
        context: Context,
    ) -> tuple[list[float | None], bool]:
        """Trains the levels of one thing as far as they lead uphill.

        Args:
            walk: its best training is what gains are measured from.
            trainings: name and recipe of every level, from weak to strong; no recipe at the level
                that is there already.
            first: index of the level that is tried first.
            is_passed: whether a later thing was begun: with a budget in time, what it did not hold
                then stays untried.
            context: of the stage.

        Returns:
            The gain of every level, `None` for what was not tried; and whether the budget held no
            more of them.
        """
        gains: list[float | None] = [0.0 if recipe is None else None for _, recipe in trainings]
        is_lost = False
        while (level := regularizers.uphill(gains, first, is_lost)) is not None:
            name, recipe = trainings[level]
            if (
                is_passed
                and name not in context.outcomes
                or not self._train(walk, name, recipe, context)
            ):
                return gains, True
            if walk.due:
                return gains, False
            gains[level] = walk.gain(context.outcomes[name])
            if level == first and gains[level] > FAILED:
                is_lost = full_training.compare(context.outcomes[name], walk.best).sign < 0
        return gains, False
