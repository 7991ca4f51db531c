"""A budget plan and a study: what was planned is recorded, so that a search that goes on agrees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from kerastune.budget import FIRST_CALL
from kerastune.playbook import step_time
from kerastune.playbook.budget_plan import BudgetPlan, Progress
from kerastune.playbook.context import spent
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.study.extensions import Extension, of_number
from kerastune.trial import Outcome


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a search is.

    Args:
        outcomes: of all trials so far.
        recipe: of the last decision.
        decided: number of stages of the plan that have decided.
        known_steps: of a training, where the network names them; else 0.
    """

    outcomes: Mapping[str, Outcome]
    recipe: Recipe
    decided: int
    known_steps: int = 0


class Allowances:
    """What stages may spend, in steps, and when training stops.

    Args:
        study: where plans are recorded.
        plan: how the budget is divided.
        extension: of the search, which the budget is that of; `None` for the search itself.
    """

    def __init__(self, study: Study, plan: BudgetPlan, extension: Extension | None = None):
        self._study, self._plan = study, plan
        self._before = extension or Extension(0, "")

    def steps(self, stage: Stage, now: Standing, at_once: int = 1) -> int:
        """Steps that a stage may use in all.

        Its share of the budget is planned when it begins. With a budget in steps that is its
        allowance. With one in seconds it is the moment by which it should be done, and how many
        steps that allows is worked out anew whenever it is asked.

        Args:
            stage: that is at work.
            now: where the search is.
            at_once: segments that are trained side by side.
        """
        if not self._plan.in_seconds:
            return self._recorded(f"allowance/{stage.name}", lambda: self._in_steps(stage, now))
        done_by = self._recorded(f"done by/{stage.name}", lambda: self._done_by(stage, now))
        seconds = max(done_by - self._study.seconds(), 0.0)
        more = int(at_once * seconds / step_time.seconds_per_step(now.outcomes, now.recipe))
        has_model = any(each.example_scores is not None for each in now.outcomes.values())
        used = spent(now.outcomes, stage.name)
        return max(used + more, self._plan.least_steps(stage, has_model))

    def deadline(self, now: Standing) -> float:
        """Seconds of the budget after which training stops wherever it is."""
        first_call, refit = _first_call(now), self._refit_seconds(now)
        own = self._plan.deadline(Progress(first_call=first_call, refit=refit))
        return self._before.seconds + own

    def sentence(self, now: Standing) -> str:
        """What each stage may spend at most, in a sentence."""
        stage = self._plan.stages[now.decided] if now.decided < len(self._plan.stages) else None
        return self._plan.sentence(self._progress(now, self._refit_seconds(now)), stage)

    def _in_steps(self, stage: Stage, now: Standing) -> int:
        own = int(self._plan.share_now(stage, self._progress(now)))
        return own + (spent(now.outcomes, stage.name) if self._before.number else 0)

    def _done_by(self, stage: Stage, now: Standing) -> float:
        """Seconds of the budget that are spent when the stage has had its share."""
        progress = self._progress(now, self._refit_seconds(now))
        own = progress.spent + self._plan.share_now(stage, progress)
        return self._before.seconds + own

    def _refit_seconds(self, now: Standing) -> float:
        """Seconds of a training on all examples, planned when the stage at work begins."""
        if (fixed := self._plan.fixed_refit(now.decided)) is not None:
            return fixed
        stages = self._plan.stages
        name = stages[now.decided].name if now.decided < len(stages) else "end"
        return self._recorded(
            f"set aside/{name}", lambda: self._plan.refit_seconds(self._progress(now))
        )

    def _recorded(self, name: str, plan: Callable[[], float]) -> float:
        """A number that is planned and recorded when it is asked for first."""
        name = of_number(name, self._before.number)
        if (known := self._study.fact(name)) is None:
            known = plan()
            self._study.put_fact(name, known)
        return known

    def _progress(self, now: Standing, refit: float = 0.0) -> Progress:
        if self._plan.in_seconds:
            used = self._study.seconds() - self._before.seconds
        else:
            used = sum(outcome.steps for outcome in now.outcomes.values()) - self._before.steps
        return Progress(
            spent=used,
            total_steps=now.recipe.total_steps,
            known_steps=now.known_steps,
            seconds_per_step=step_time.seconds_per_step(now.outcomes, now.recipe),
            first_call=_first_call(now),
            refit=refit,
        )


def _first_call(now: Standing) -> float:
    """Seconds of the first trial, which traced."""
    first = next(iter(now.outcomes.values()), None)
    return FIRST_CALL if first is None else first.seconds
