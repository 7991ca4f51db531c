"""What a stage is: two pure functions of the outcomes so far."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision, Values
from kerastune.recipe import Recipe
from kerastune.trial import TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted


class Stage(abc.ABC):
    """One paragraph of the playbook, and all that belongs to it.

    `propose` and `decide` are pure: no counters, no random state, so the same records always give
    the same next trial. A new stage is a file of its own and a line in `registry.STAGES`.

    Attributes:
        name: in flags, records and the report.
        question: that it answers, the heading of its part of the report.
        values: class of what it finds, with a default for everything: a stage that had nothing to
            decide has these.
        figure: kind of its figure, a key of `report.figures.decision_figures`.
        figure_title: above that figure; empty where the kind has its own.
        share: of what is left of the budget when it begins.
        least_steps: of a budget in steps; a smaller share is left to the other stages.
        least_seconds: the same of a budget in seconds, on two busy CPU cores, tracing included.
        training_after: times the recipe's steps that are set aside for its training before this
            stage has its share.
        compares_seconds: whether it compares the steps of its trials by their seconds: the first
            of each kind is trained with nothing beside it.
        leads: whether a search begins with it: the later stages build on what it finds.
        tunes: whether it tunes the recipe that is trained.
        stretches: whether the steps that it hands on are those of a training with decay.
        combines: whether it combines what earlier stages trained: without a model it has nothing
            to train for.
        follows_training: whether it goes on from a trained model.
        stands_alone: whether it hands on another model, so that none may follow the training
            beside it.
        is_quick: whether a budget too short for a search has it, too.
        may_fail: whether a trial that can't be built or trained is passed over.
        may_run_out_of_memory: whether a trial that does is passed over.
    """

    name: str
    question: str
    share: float
    values: type[Values] = Values
    figure = "trainings"
    figure_title = ""
    least_steps = 0
    least_seconds = 0.0
    training_after = 0.0
    compares_seconds = False
    leads = False
    tunes = False
    stretches = False
    combines = False
    follows_training = False
    stands_alone = False
    is_quick = False
    may_fail = False
    may_run_out_of_memory = False

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        """Whether it is among the stages of a search that names none."""
        return True

    @classmethod
    def create(cls, setup: Setup) -> Stage:
        """The stage as a search needs it."""
        return cls()

    @abc.abstractmethod
    def propose(self, context: Context) -> list[TrialSpec]:
        """The segments to train next; an empty list when the stage can decide."""

    @abc.abstractmethod
    def decide(self, context: Context) -> Decision:
        """The decision from all outcomes."""

    def decision(
        self,
        context: Context,
        headline: str,
        numbers: str,
        *,
        after: Recipe | None = None,
        evidence: Sequence[str] = (),
        values: Values | None = None,
    ) -> Decision:
        """The decision of this stage.

        Args:
            context: that it decides from.
            headline: as in `Decision`.
            numbers: as in `Decision`.
            after: the recipe that it hands on; the one that it received without.
            evidence: names of the trials that it looked at.
            values: what it found; the defaults without.
        """
        return Decision(
            self.name,
            before=context.recipe,
            after=context.recipe if after is None else after,
            headline=headline,
            numbers=numbers,
            evidence=tuple(evidence),
            values=self.values() if values is None else values,
        )
