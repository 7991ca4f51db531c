"""The driver: asks the stages in their order what to train, records what came of it, and hands recipes on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from kerastune.budget import Budget
from kerastune.recipe import Recipe
from kerastune.stages.base import Decision, Facts, Stage, spent
from kerastune.study import Study
from kerastune.trial import Outcome, State, TrialSpec

PLANNED_SHARE = 0.9  # of the time that is left; the rest is for figures, saving and a slower machine
FIRST_SECONDS_PER_STEP = 0.02  # before anything was timed

logger = logging.getLogger("kerastune")


class Playbook:
    """One search: everything it knows is in the study, so it can be made anew at any time and goes on.

    Args:
        study: the record.
        stages: in the order of the playbook.
        recipe: where the first stage starts.
        facts: what is known of the data; `allowance` is filled in for every stage.
        budget: for all stages together.
        on_decision: called with every decision that is made now.

    Example:
        >>> while (spec := playbook.next()) is not None:  # doctest: +SKIP
        ...     playbook.record(*trainer.run(spec, playbook.state(spec)))
    """

    def __init__(
        self,
        study: Study,
        stages: Sequence[Stage],
        recipe: Recipe,
        facts: Facts,
        budget: Budget,
        on_decision: Callable[[Decision], None] = lambda decision: None,
    ):
        self.study = study
        self.stages = list(stages)
        self.budget = budget
        self.outcomes: dict[str, Outcome] = study.outcomes()
        self.decisions: list[Decision] = [Decision.from_dict(value) for value in study.decisions()]
        self._first = recipe
        self.objective, self.scored_by = facts.objective, facts.scored_by
        self._facts = facts
        self._on_decision = on_decision

    @property
    def recipe(self) -> Recipe:
        """The recipe of the last decision."""
        return self.decisions[-1].after if self.decisions else self._first

    @property
    def stage(self) -> Stage | None:
        """The stage that is at work; `None` when all have decided."""
        return self.stages[len(self.decisions)] if len(self.decisions) < len(self.stages) else None

    def next(self) -> TrialSpec | None:
        """The segment to train next; `None` when every stage has decided."""
        while (stage := self.stage) is not None:
            facts = self.facts(stage)
            proposed = stage.propose(self.recipe, facts, self.outcomes)
            if proposed:
                return proposed[0]
            self._decide(stage, facts)
        return None

    def plan(self) -> str:
        """What each stage may spend at most, in one sentence; what it leaves goes to the later ones."""
        unit = "steps" if self.budget.steps is not None else "s"
        left = self.budget.steps or PLANNED_SHARE * self.budget.seconds
        parts = []
        for stage in self.stages:
            if 0 < stage.share < 1:
                parts.append(f"{stage.name} at most {stage.share * left:.0f} {unit}")
                left -= stage.share * left
            elif stage.share:
                parts.append(stage.name)
        planned = ", ".join(parts) or "nothing to train"
        return f"Plan for {self.budget}: {planned}; what a stage leaves goes to the next."

    def state(self, spec: TrialSpec) -> State | None:
        """The checkpoint that a segment goes on from."""
        return self.study.checkpoint(spec.trial, "last") if spec.start else None

    def record(self, outcome: Outcome, last: State, best: State | None) -> None:
        """Takes what came of a segment. Its best weights are kept only if no earlier segment had better ones."""
        earlier = self.outcomes.get(outcome.spec.trial)
        joined = outcome.after(earlier)
        found = joined.kept_evaluation(self.objective)
        if earlier is not None and found is not None and found["step"] <= outcome.spec.start:
            best, outcome = None, dataclasses.replace(outcome, example_scores=None)
        self.study.add_segment(outcome, last if outcome.diverged_at is None else None, best)
        self.outcomes[outcome.spec.trial] = outcome.after(earlier)

    def facts(self, stage: Stage) -> Facts:
        """What a stage may know. Its share of the budget is planned when it begins, and recorded.

        With a budget in steps that is its allowance. With one in seconds it is the moment by which it should be done,
        and how many steps that allows is worked out anew whenever it is asked, from what a step has taken so far.
        """
        if self.budget.steps is not None:
            allowance = self._recorded(f"allowance/{stage.name}", lambda: int(stage.share * self._steps_left()))
        else:
            done_by = self._recorded(f"done by/{stage.name}", lambda: self._moment(stage.share))
            seconds = max(done_by - self.study.seconds(), 0.0)
            allowance = spent(self.outcomes, stage.name) + int(seconds / self._seconds_per_step())
        return dataclasses.replace(self._facts, allowance=allowance, timed=self.budget.steps is None)

    def _recorded(self, name: str, plan: Callable[[], float]) -> float:
        if (value := self.study.fact(name)) is None:
            value = plan()
            self.study.put_fact(name, value)
        return value

    def _decide(self, stage: Stage, facts: Facts) -> None:
        decision = stage.decide(self.recipe, facts, self.outcomes)
        self.study.add_decision(stage.name, decision.to_dict())
        of_stage = [name for name, outcome in self.outcomes.items() if outcome.spec.stage == stage.name]
        self.study.drop_checkpoints(of_stage)
        self.decisions.append(decision)
        logger.info("Stage %s: %s", stage.name, decision.reason)
        self._on_decision(decision)

    def _steps_left(self) -> int:
        return self.budget.steps - sum(outcome.steps for outcome in self.outcomes.values())

    def _moment(self, share: float) -> float:
        """Seconds of the budget that are spent when `share` of what is left now is."""
        now = self.study.seconds()
        return now + share * max(PLANNED_SHARE * self.budget.seconds - now, 0.0)

    def _seconds_per_step(self) -> float:
        """Of the longest trial so far with batches of the recipe, evaluations and all; the reference is left out."""
        trials = [o for o in self.outcomes.values() if o.spec.stage != "reference"] or list(self.outcomes.values())
        if len(trials) < 2:
            return FIRST_SECONDS_PER_STEP  # most of a first trial's time was tracing
        trials = [o for o in trials if o.spec.recipe.batch_size == self.recipe.batch_size] or trials
        # Among equals the last: the first one traced.
        longest = max(reversed(trials), key=lambda outcome: outcome.steps)
        if longest.evals:
            return longest.seconds / longest.steps
        # The probe alone: no evaluation yet, which costs about a tenth, and most of its time was tracing.
        return 1.1 * longest.seconds_per_step
