"""What every stage of a search may spend of its budget: numbers in, numbers out.

* A stage may spend its `share` of what is left when it begins. What it leaves goes to the later
  ones, and the last ones may spend all.
* Half of the budget is the last training's, `FINAL_FRACTION`: steps of the model that is returned
  are worth more than another momentum. Earlier stages share the other half. Where the training of
  the recipe needs more (`training_after`), the stage before it has less. Where the network names
  more steps than half of the budget holds, that training has up to `MOST_FINAL`.
* A stage whose share is below what it needs (`least_steps`, `least_seconds`) gets nothing.
* Of a budget in seconds, a part is kept for what follows the last trial, and the time of a training
  on all examples. A budget in steps does not hold that training.
* A budget that does not hold a search for a learning rate is one training's, at the learning rate
  of the probe.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from kerastune.budget import FIRST_CALL, Budget
from kerastune.playbook.stages.base import Stage

FINAL_FRACTION = 0.5  # of the budget, that the last training has at least
MOST_FINAL = 2 / 3  # of the budget, for a training of the steps that the network names
LEAST_TRAINING = 50  # steps that the last training may always take, so that there is a model


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a search is, as far as its plan depends on it.

    Args:
        spent: of the budget, in its unit.
        total_steps: of the recipe so far.
        known_steps: of a training, where the network names them; else 0.
        seconds_per_step: that a step of it takes now.
        first_call: seconds that the first trial took; `FIRST_CALL` before there is one.
        refit: seconds that are kept for a training on all examples.
    """

    spent: float = 0.0
    total_steps: int = 0
    known_steps: int = 0
    seconds_per_step: float = 0.0
    first_call: float = FIRST_CALL
    refit: float = 0.0


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """What one stage may spend, in the unit of the budget.

    Args:
        name: of the stage.
        at_most: what it may spend; 0 when it is left out, or trains nothing.
        has_rest: whether that is all that the earlier ones leave.
        lacks: what it would have, where that is less than it needs.
        needs: the least that is worth anything to it.
    """

    name: str
    at_most: float
    has_rest: bool = False
    lacks: float | None = None
    needs: float = 0.0


@dataclasses.dataclass(frozen=True)
class BudgetPlan:
    """A budget and the stages that divide it.

    Args:
        budget: for all stages together.
        stages: in the order of the playbook.
        refit: times the recipe's steps that a training on all examples takes at the end; 0 for
            none.

    Example:
        >>> from kerastune.playbook.stages.start import Start
        >>> BudgetPlan(Budget.parse("60s"), [Start()]).trials_end(Progress())
        57.0
    """

    budget: Budget
    stages: Sequence[Stage]
    refit: float = 0.0

    @property
    def in_seconds(self) -> bool:
        """Whether the budget is one in seconds, and not in steps."""
        return self.budget.steps is None

    @functools.cached_property
    def is_short(self) -> bool:
        """Whether a search is wanted that the budget does not hold, and a training that it does."""
        leading = next((stage for stage in self.stages if stage.leads), None)
        if leading is None or self.last_training in (None, leading):
            return False
        left, final = self._total, FINAL_FRACTION * self._total
        if self.in_seconds:
            left = self.budget.for_trials() / (1 + self.refit)
            final = FINAL_FRACTION * (self._total - self.refit * left)
        for stage in self.stages[: self.stages.index(leading)]:
            # The probe takes a few steps of what it may.
            if not stage.suggests:
                left -= self._if_enough(stage, self._in_search(stage, left, final))
        return not self._if_enough(leading, self._in_search(leading, left, final))

    @property
    def _total(self) -> float:
        return self.budget.seconds if self.in_seconds else self.budget.steps

    def least(self, stage: Stage) -> float:
        """What a stage needs to find anything out, in the unit of the budget."""
        return stage.least_seconds if self.in_seconds else stage.least_steps

    def final_part(self, progress: Progress) -> float:
        """What the last training has at least, in the unit of the budget.

        A training on all examples is that of the same model: what is left beside it is halved.
        """
        total = self._total - progress.refit
        known = progress.known_steps * (progress.seconds_per_step if self.in_seconds else 1)
        return max(FINAL_FRACTION * total, min(known, MOST_FINAL * total))

    def share(
        self, stage: Stage, left: float, final: float, reserve: float = 0.0, refit: float = 0.0
    ) -> float:
        """What a stage may spend, in the unit of the budget; 0 where that is less than it needs.

        Args:
            stage: one of them.
            left: of the budget.
            final: that the last training has at least, as `final_part`.
            reserve: of what is left, for the training after the stage.
            refit: of the budget, for a training on all examples.
        """
        if self.is_short:
            return stage.share * left if stage.suggests or stage.share == 1 else 0
        found = self._in_search(stage, left, max(final, reserve))
        if stage.leads:
            # A budget that is not short holds this much beside half of it.
            half = self._in_search(stage, left, FINAL_FRACTION * (self._total - refit))
            found = max(found, min(half, self.least(stage)))
        return self._if_enough(stage, found)

    def _in_search(self, stage: Stage, left: float, kept: float) -> float:
        """What a stage has of a budget that holds a search, be it enough or not.

        Args:
            stage: one of them.
            left: of the budget.
            kept: of that, for the last training, where the stage spends what that would have.
        """
        last = self.last_training
        index = self.stages.index
        precedes = last is not None and stage.share < 1 and index(stage) < index(last)
        return stage.share * max(left - kept * precedes, 0.0)

    def _if_enough(self, stage: Stage, share: float) -> float:
        return share if share >= self.least(stage) else 0.0

    def reserve(self, stage: Stage, progress: Progress) -> float:
        """What the training after the stage at work needs, in the unit of the budget."""
        steps = stage.training_after * progress.total_steps
        return steps * progress.seconds_per_step if self.in_seconds else steps

    def trials_end(self, progress: Progress) -> float:
        """What of the budget may be spent when the last trial ends."""
        if not self.in_seconds:
            return self.budget.steps
        return self.budget.for_trials(self._first_call(progress)) - progress.refit

    def deadline(self, progress: Progress) -> float:
        """Seconds after which training stops wherever it is; infinite with a budget in steps."""
        return self.budget.deadline(self._first_call(progress)) - progress.refit

    def share_now(self, stage: Stage, progress: Progress) -> float:
        """What a stage that begins now may spend, in the unit of the budget."""
        left = max(self.trials_end(progress) - progress.spent, 0.0)
        reserve = self.reserve(stage, progress)
        return self.share(stage, left, self.final_part(progress), reserve, progress.refit)

    @property
    def last_training(self) -> Stage | None:
        """The last stage that trains a model of its own."""
        own = [stage for stage in self.stages if stage.share and not stage.combines]
        return own[-1] if own else None

    def least_steps(self, stage: Stage, has_model: bool) -> int:
        """Steps that a stage may take however little time is left: a search ends with a model."""
        return 0 if has_model or stage is not self.last_training else LEAST_TRAINING

    def fixed_refit(self, decided: int) -> float | None:
        """Seconds of a training on all examples; `None` where they depend on the recipe.

        Args:
            decided: number of stages that have decided.
        """
        if not self.refit or not self.in_seconds:
            return 0.0
        if self.is_short:
            return self.budget.for_trials(0.0) * self.refit / (1 + self.refit)
        # Nobody knows its steps before a search has begun.
        return 0.0 if any(stage.leads for stage in self.stages[decided:]) else None

    def refit_seconds(self, progress: Progress) -> float:
        """Seconds of a training on all examples with the present recipe.

        At most as much again as a training has that takes all that is left.
        """
        left = self.budget.for_trials(self._first_call(progress)) - progress.spent
        most = max(left, 0.0) * self.refit / (1 + self.refit)
        return min(self.refit * progress.total_steps * progress.seconds_per_step, most)

    def stage_plans(self, progress: Progress, at_work: Stage | None = None) -> list[StagePlan]:
        """What each stage may spend if every earlier one spends all that it may.

        Args:
            progress: of the search.
            at_work: the stage that begins now; what the training after it needs is set aside.
        """
        found, left, final = [], self.trials_end(progress), self.final_part(progress)
        for stage in self.stages:
            reserve = self.reserve(stage, progress) if stage is at_work else 0.0
            share = self.share(stage, left, final, reserve, progress.refit)
            has_rest = bool(share) and share >= left
            would_have = self._in_search(stage, left, max(final, reserve))
            lacks = would_have if stage.share and not share else None
            found.append(StagePlan(stage.name, share, has_rest, lacks, self.least(stage)))
            left -= 0 if has_rest else share
        return found

    def sentence(self, progress: Progress, at_work: Stage | None) -> str:
        """What each stage may spend at most, and what is left out, in a sentence."""
        kept = ""
        if self.in_seconds:
            at_end = self.budget.seconds - self.trials_end(progress)
            kept = f"; {at_end:.3g} s are kept for the end"
        if self.is_short:
            return (
                f"Plan for {self.budget}, too short for a search: one training at the learning "
                f"rate of the probe, and no pictures{kept}."
            )
        plans = self.stage_plans(progress, at_work)
        planned = ", ".join(self._planned(each) for each in plans if each.at_most)
        left_out = ", ".join(self._left_out(each) for each in plans if each.lacks is not None)
        left_out = left_out and f"; left out, unless earlier stages leave enough: {left_out}"
        return (
            f"Plan for {self.budget}: {planned or 'nothing to train'}{left_out}{kept}; "
            "what a stage leaves goes to the next."
        )

    @property
    def _unit(self) -> str:
        return "s" if self.in_seconds else "steps"

    def _planned(self, each: StagePlan) -> str:
        return (
            each.name if each.has_rest else f"{each.name} at most {each.at_most:.0f} {self._unit}"
        )

    def _left_out(self, each: StagePlan) -> str:
        would = f"would have {each.lacks:.2g}"
        return f"{each.name} (it needs {each.needs:g} {self._unit} and {would})"

    def _first_call(self, progress: Progress) -> float:
        """Seconds of the first trial, which tell what pictures cost; 0 where none is drawn."""
        return 0.0 if self.is_short else progress.first_call
