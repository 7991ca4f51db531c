"""The driver: asks the stages in their order what to train, records what came of it, and hands
recipes on.
"""

from __future__ import annotations

import dataclasses
import logging
import statistics
from collections.abc import Callable, Sequence

from kerastune.budget import Budget
from kerastune.playbook import retention, step_time, waves
from kerastune.playbook.stages.base import Decision, Facts, Stage, spent
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec

FIRST_SECONDS_PER_STEP = 0.02  # before anything was timed
LEAST_TIMED = 50  # steps of a trial that tells what a step takes
LATEST = 3  # of such trials, which tell it together
CALL_SECONDS = (
    0.5  # that a call of the train function may take on a busy machine, however few its steps
)
LEAST_TRAINING = 50  # steps that one stage may always train, so that there is a model

logger = logging.getLogger("kerastune")


class Playbook:
    """One search: everything it knows is in the study, so it can be made anew at any time and goes
    on.

    How the budget is divided: every stage may spend its `share` of what is left when it begins, and
    what it leaves goes to the later ones; the last ones may spend all. Stage `batch` shares what
    the training of the recipe leaves: where the budget hardly holds one, more steps are worth more
    than another momentum. A stage whose share is below what it needs to find anything out
    (`least_steps`, `least_seconds`) gets nothing, and the later ones have more. Of a budget in
    seconds a part is kept for what follows the last trial (`Budget.for_trials`), and so is the time
    of a training on all examples; training stops at `Budget.deadline`, that time before it,
    wherever it is. However short the time, the last stage that trains a model of its own has 50
    steps: a search hands over a model. A budget that does not hold both the baseline and a search
    for a rate is the baseline's alone: a rate that nothing compared is worth less than the one that
    everybody knows.

    What a stage proposes at once is a wave, whose segments may be trained side by side. With a
    budget in steps the stage is asked again when all of the wave are recorded; with one in seconds
    whenever there is room for more, since what is left of the time may no longer hold the rest.

    Args:
        study: the record.
        stages: in the order of the playbook.
        recipe: where the first stage starts.
        facts: what is known of the data; `allowance` is filled in for every stage.
        budget: for all stages together.
        on_decision: called with every decision that is made now.
        refit: times the recipe's steps that a training on all examples takes at the end, 0 for
            none. A budget in seconds sets its time aside, one in steps does not hold it.

    Attributes:
        jobs: segments that are trained side by side, at most; a budget in seconds holds more steps
            then.
        is_short: whether the budget is too short for a search, so that all of it is the baseline's.

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
        refit: float = 0.0,
    ):
        self.study = study
        self.stages = list(stages)
        self.budget = budget
        self.is_short = _holds_no_search(budget, stages, refit)
        self.jobs = 1
        known = waves.recorded(study)
        outcomes = waves.in_order(study.outcomes(), known)
        self.outcomes: dict[str, Outcome] = {
            name: self._calibrated(o) for name, o in outcomes.items()
        }
        self._wave, self._num_waves = (known[-1] if known else []), len(known)
        self._in_flight: dict[str, TrialSpec] = {}
        self.decisions: list[Decision] = [Decision.from_dict(value) for value in study.decisions()]
        self._first = recipe
        self.objective, self.scored_by = facts.objective, facts.scored_by
        self._facts = facts
        self._on_decision = on_decision
        self._refit = refit

    @property
    def recipe(self) -> Recipe:
        """The recipe of the last decision."""
        return self.decisions[-1].after if self.decisions else self._first

    @property
    def stage(self) -> Stage | None:
        """The stage that is at work; `None` when all have decided."""
        return self.stages[len(self.decisions)] if len(self.decisions) < len(self.stages) else None

    def next(self) -> TrialSpec | None:
        """The segment to train next; `None` when there is none, every stage having decided or all
        being in flight.
        """
        return next(iter(self.ready()), None)

    def ready(self) -> list[TrialSpec]:
        """The segments that may be trained now, in the order of their wave.

        Without any, those in flight must be recorded first, or every stage has decided (`stage` is
        `None`).
        """
        while (stage := self.stage) is not None:
            proposed = waves.missing(self._wave, self.outcomes)
            if not proposed:
                proposed, facts = self._propose(stage)
            if proposed or self._in_flight:
                return [spec for spec in proposed if spec.trial not in self._in_flight]
            self._decide(stage, facts)
        return []

    def begin(self, spec: TrialSpec) -> None:
        """Notes that a segment is in flight, until it is recorded or given back."""
        self._in_flight[spec.trial] = spec

    @property
    def in_flight(self) -> list[TrialSpec]:
        """Segments that were begun and not recorded yet."""
        return list(self._in_flight.values())

    def give_back(self, spec: TrialSpec) -> None:
        """Notes that nothing came of a segment in flight."""
        self._in_flight.pop(spec.trial, None)

    def runs_alone(self, spec: TrialSpec) -> bool:
        """Whether nothing may run beside a segment: its seconds per step will be compared with
        those of others.

        The first one of each network, batch size and kind of optimizer is the calibration
        (`timing`).
        """
        is_compared = any(
            stage.name == spec.stage and stage.compares_seconds for stage in self.stages
        )
        if (
            self.budget.steps is not None
            or not is_compared
            or not step_time.is_long_enough(spec.until)
        ):
            return False
        return self.study.fact(step_time.name_of(spec.recipe)) is None

    def _propose(self, stage: Stage) -> tuple[list[TrialSpec], Facts]:
        """What a stage proposes, and the facts that it was told.

        So many segments at once take so many times less of a budget in seconds, as far as there are
        jobs; how many a stage proposes depends on what it may spend. It is told the most that
        agrees with what it proposes then.
        """
        at_once = self.jobs if self.budget.steps is None else 1
        while True:
            facts = self.facts(stage, at_once)
            proposed = stage.propose(self.recipe, facts, self.outcomes)
            if not proposed or len(proposed) >= at_once:
                break
            at_once = len(proposed)
        if self.budget.steps is not None and len(proposed) > 1:
            waves.put(self.study, self._num_waves, proposed)
            self._wave, self._num_waves = proposed, self._num_waves + 1
        return proposed, facts

    def plan(self) -> str:
        """What each stage may spend at most, and what is left out unless earlier ones leave enough,
        in a sentence.
        """
        unit = "steps" if self.budget.steps is not None else "s"
        left = whole = self.budget.steps or self._for_trials()
        kept = (
            ""
            if self.budget.seconds is None
            else f"; {self.budget.seconds - whole:.3g} s are kept for the end"
        )
        if self.is_short:
            alone = ", ".join(stage.name for stage in self.stages if stage.is_known)
            return f"Plan for {self.budget}, too short for a search: {alone} alone, and no pictures{kept}."
        parts, left_out = [], []
        for stage in self.stages:
            share = self._share(stage, left)
            if 0 < share < left:
                parts.append(f"{stage.name} at most {share:.0f} {unit}")
                left -= share
            elif share:
                parts.append(stage.name)
            elif stage.share:
                would = f"{stage.share * left:.2g}"
                left_out.append(
                    f"{stage.name} (it needs {_least(stage, self.budget):g} {unit} and would have {would})"
                )
        planned = ", ".join(parts) or "nothing to train"
        gone = (
            f"; left out, unless earlier stages leave enough: {', '.join(left_out)}"
            if left_out
            else ""
        )
        return (
            f"Plan for {self.budget}: {planned}{gone}{kept}; what a stage leaves goes to the next."
        )

    def learn(self, **known) -> None:
        """Replaces facts about the network, once a stage has changed it."""
        self._facts = dataclasses.replace(self._facts, **known)

    def state(self, spec: TrialSpec) -> State | None:
        """The checkpoint that a segment goes on from, or the weights of another trial that it sets
        out from.
        """
        if spec.start:
            return self.study.checkpoint(spec.trial, "last")
        if not spec.after:
            return None
        # A trained network's first loss is so low that any bump would be an explosion: a fresh
        # one's counts.
        first_loss = float(self.outcomes[spec.after].losses[0])
        return State(0, self.study.checkpoint(spec.after, "best").model, [], first_loss)

    def record(self, outcome: Outcome, last: State, best: State | None, alone: bool = True) -> None:
        """Takes what came of a segment. Its best weights are kept only if no earlier segment had
        better ones.

        Args:
            outcome: of the segment.
            last: the state at its end.
            best: the weights of its best evaluation, if they are to be kept.
            alone: whether nothing was trained beside it, so that its seconds per step may be
                compared.
        """
        earlier = self.outcomes.get(outcome.spec.trial)
        joined = outcome.after(earlier)
        found = joined.kept_evaluation(self.objective)
        if earlier is not None and found is not None and found["step"] <= outcome.spec.start:
            best, outcome = (
                None,
                dataclasses.replace(outcome, example_scores=None, mirrored_scores=None),
            )
        self.study.add_segment(outcome, last if outcome.diverged_at is None else None, best)
        joined = self.study.outcome(
            outcome.spec.trial
        )  # its curves stay in the study until they are used
        if alone and step_time.is_measured(joined):
            self._recorded(step_time.name_of(outcome.spec.recipe), lambda: joined.seconds_per_step)
        self.outcomes[outcome.spec.trial] = self._calibrated(joined)
        self._in_flight.pop(outcome.spec.trial, None)
        if self._wave and not waves.missing(self._wave, self.outcomes):
            self.outcomes = waves.in_order(self.outcomes, [self._wave])
            self._wave = []

    def facts(self, stage: Stage, at_once: int = 1) -> Facts:
        """What a stage may know. Its share of the budget is planned when it begins, and recorded.

        With a budget in steps that is its allowance. With one in seconds it is the moment by which
        it should be done, and how many steps that allows is worked out anew whenever it is asked,
        from what a step has taken so far, and from how many segments are trained side by side.
        """
        if self.budget.steps is not None:
            planned = self._recorded(
                f"allowance/{stage.name}", lambda: int(self._share(stage, self._steps_left()))
            )
            allowance = planned
        else:
            done_by = self._recorded(f"done by/{stage.name}", lambda: self._moment(stage))
            seconds = max(done_by - self.study.seconds(), 0.0)
            allowance = spent(self.outcomes, stage.name) + int(
                at_once * seconds / self._seconds_per_step()
            )
            if stage is self._handing_over() and not self._has_model():
                allowance = max(allowance, LEAST_TRAINING)
        timed = self.budget.steps is None
        return dataclasses.replace(
            self._facts, allowance=allowance, timed=timed, is_short=self.is_short
        )

    def _handing_over(self) -> Stage | None:
        """The last stage that trains a model of its own."""
        return next(
            (stage for stage in reversed(self.stages) if stage.share and not stage.combines), None
        )

    def _has_model(self) -> bool:
        return any(outcome.example_scores is not None for outcome in self.outcomes.values())

    def _recorded(self, name: str, plan: Callable[[], float]) -> float:
        if (value := self.study.fact(name)) is None:
            value = plan()
            self.study.put_fact(name, value)
        return value

    def _decide(self, stage: Stage, facts: Facts) -> None:
        decision = stage.decide(self.recipe, facts, self.outcomes)
        keep = self.study.setting("keep")
        forget = retention.surplus(
            self.outcomes, [*self.decisions, decision], retention.KEEP if keep is None else keep
        )
        of_stage = [
            name for name, outcome in self.outcomes.items() if outcome.spec.stage == stage.name
        ]
        self.study.add_decision(stage.name, decision.to_dict(), forget, of_stage)
        self.outcomes |= {trial: self._calibrated(self.study.outcome(trial)) for trial in forget}
        self.decisions.append(decision)
        logger.info("Stage %s: %s", stage.name, decision.reason)
        self._on_decision(decision)

    def _steps_left(self) -> int:
        return self.budget.steps - sum(outcome.steps for outcome in self.outcomes.values())

    def _moment(self, stage: Stage) -> float:
        """Seconds of the budget that are spent when the stage has had its share of what is left
        now.
        """
        now = self.study.seconds()
        return now + self._share(stage, max(self._for_trials() - now, 0.0))

    def _for_trials(self) -> float:
        return self.budget.for_trials(*self._first_call()) - self._seconds_of_refit()

    def _seconds_of_refit(self) -> float:
        """What is set aside for a training on all examples: planned when the stage at work begins,
        and recorded.
        """
        if not self._refit or self.budget.seconds is None:
            return 0.0
        if self.is_short:
            return self.budget.for_trials(0.0) * self._refit / (1 + self._refit)
        if any(stage.leads for stage in self.stages[len(self.decisions) :]):
            return 0.0  # nobody knows its steps yet
        stage = "end" if self.stage is None else self.stage.name
        return self._recorded(f"set aside/{stage}", self._planned_for_refit)

    def _planned_for_refit(self) -> float:
        left = max(self.budget.for_trials(*self._first_call()) - self.study.seconds(), 0.0)
        # At most as much again as a training has that takes all that is left.
        most = left * self._refit / (1 + self._refit)
        return min(self._refit * self.recipe.total_steps * self._seconds_per_step(), most)

    def _first_call(self) -> list[float]:
        """Seconds of the first trial, once there is one; 0 where no picture is drawn, whose cost
        they tell.
        """
        if self.is_short:
            return [0.0]
        return [outcome.seconds for outcome in list(self.outcomes.values())[:1]]

    def deadline(self) -> float:
        """Seconds of the budget after which training stops where it is."""
        return self.budget.deadline(*self._first_call()) - self._seconds_of_refit()

    def seconds_left(self) -> float:
        """Seconds of the budget until training stops where it is; infinite with a budget in steps."""
        return self.deadline() - self.study.seconds()

    def _share(self, stage: Stage, left: float) -> float:
        """What a stage may spend of what is left; nothing where that is less than it needs."""
        if self.is_short:
            return left if stage.is_known else 0
        share = stage.share * max(left - self._set_aside(stage), 0.0)
        return share if share >= _least(stage, self.budget) else 0

    def _set_aside(self, stage: Stage) -> float:
        """What the training needs for which the stage at work looks for settings, in the budget's
        unit.
        """
        if stage is not self.stage:
            return 0.0  # nothing is known of it yet
        steps = stage.training_after * self.recipe.total_steps
        return steps if self.budget.steps is not None else steps * self._seconds_per_step()

    def _calibrated(self, outcome: Outcome) -> Outcome:
        """The outcome with the recorded seconds per step of its network, batch size and kind of
        optimizer.
        """
        seconds = self.study.fact(step_time.name_of(outcome.spec.recipe))
        return outcome if seconds is None else outcome.timed(seconds)

    def _seconds_per_step(self) -> float:
        """What a step of the recipe takes now, evaluations and all, to plan with; nothing is
        decided by it.

        The median of the last three long trials with its network and batches: the first one traced,
        and a machine that others use, too, may stall during any of them. The baseline is left out.
        """
        trials = [o for o in self.outcomes.values() if o.spec.stage != "baseline"] or list(
            self.outcomes.values()
        )
        timed = [o for o in trials if o.steps >= LEAST_TIMED]
        if not timed:
            # The probe's first updates: a call each. Most of the first one was tracing, so alone it
            # says nothing.
            calls = sorted(o.seconds_per_step for o in trials if o.steps)
            return (
                max(FIRST_SECONDS_PER_STEP, calls[0] - CALL_SECONDS)
                if len(calls) > 1
                else FIRST_SECONDS_PER_STEP
            )
        recipe = self.recipe
        trials = [
            o for o in timed if o.spec.recipe.hyperparameters == recipe.hyperparameters
        ] or timed
        trials = [o for o in trials if o.spec.recipe.batch_size == recipe.batch_size] or trials
        longest = max(trials, key=lambda outcome: outcome.steps)
        long = [o.seconds / o.steps for o in trials if o.evals and 2 * o.steps >= longest.steps]
        if long:
            return statistics.median(long[-LATEST:])
        # The probe alone: no evaluation yet, which costs about a tenth, and most of its time was
        # tracing.
        return 1.1 * longest.seconds_per_step


def _least(stage: Stage, budget: Budget) -> float:
    return stage.least_seconds if budget.steps is None else stage.least_steps


def _holds_no_search(budget: Budget, stages: Sequence[Stage], refit: float) -> bool:
    """Whether what is known and what leads a search are both wanted, and a budget holds only one of
    them.
    """
    left, lacking = budget.steps or budget.for_trials() / (1 + refit), []
    for stage in (wanted := [stage for stage in stages if stage.is_known or stage.leads]):
        lacking.append(stage.share * left < _least(stage, budget))
        left *= 1 - stage.share
    return len(wanted) > 1 and any(lacking)
