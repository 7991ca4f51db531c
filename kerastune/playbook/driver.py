"""The driver: asks the stages in their order what to train, and records what came of it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from kerastune.budget import Budget
from kerastune.objective import kept_evaluation
from kerastune.playbook import extending, retention, step_time, waves
from kerastune.playbook.allowances import Allowances, Standing
from kerastune.playbook.budget_plan import BudgetPlan
from kerastune.playbook.context import Context, Facts, spent
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.study import extensions
from kerastune.study.database import Study
from kerastune.study.extensions import Extension
from kerastune.trial import Outcome, State, TrialSpec

logger = logging.getLogger("kerastune")


class Playbook:
    """One search. All that it knows is in the study, so it can be made anew and goes on.

    How the budget is divided says `budget_plan`. However short the time, the last stage that trains
    a model of its own has 50 steps: a search ends with a model.

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
        extension: whose budget it is; `None` for that of the search itself.

    Attributes:
        stages: that decide within the budget: of an extension those that are open again.
        jobs: segments that are trained side by side, at most; a budget in seconds holds more steps
            then.
        is_short: whether the budget is too short for a search, so that all of it is one training's.
        kept: number of the extension whose models are handed out, 0 for the search itself; `None`
            for the latest.

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
        extension: Extension | None = None,
    ):
        self.study = study
        self._before = extension or Extension(0, "")
        self.stages = extending.stages_of(extension, stages) if extension else list(stages)
        self.budget = budget
        plan = BudgetPlan(budget, self.stages, refit)
        self.is_short = plan.is_short
        self._allowances = Allowances(study, plan, extension)
        self.jobs = 1
        known = waves.recorded(study)
        outcomes = waves.in_order(study.outcomes(), known)
        self.outcomes = {name: self._timed(outcome) for name, outcome in outcomes.items()}
        self._wave, self._num_waves = (known[-1] if known else []), len(known)
        self._in_flight: dict[str, TrialSpec] = {}
        self.decisions = [registry.decision(plain) for plain in study.decisions()]
        self.kept = extensions.kept(study, self._before.number)
        self._first = recipe
        if extension:
            earlier = self.decisions[: extension.decided]
            built_on = extensions.built_on(study, extension.number)
            self._first = extending.first_recipe(extending.in_force(earlier, built_on))
        self._passed = self._passed_before()
        self.objective, self.scored_by = facts.objective, facts.scored_by
        self._facts = facts
        self._on_decision = on_decision

    @property
    def recipe(self) -> Recipe:
        """The recipe of the last decision; when all have decided, of the last one in force."""
        if self.stage is None and self.in_force:
            return self.in_force[-1].after
        own = self._own_decisions
        return own[-1].after if own else self._first

    @property
    def stage(self) -> Stage | None:
        """The stage that is at work; `None` when all have decided, or one ended the search."""
        is_over = self.decisions and self.decisions[-1].ends_search
        return None if is_over else next(iter(self.stages[self.decided :]), None)

    @property
    def decided(self) -> int:
        """How many of the stages have decided, or had nothing to do."""
        return len(self._own_decisions) + len(self._passed)

    @property
    def keeps_recipe(self) -> bool:
        """Whether no stage changes what the network names, learning rate and all, however long the
        budget.
        """
        decided = self.in_force
        recipe = extending.first_recipe(decided) if decided else self.recipe
        return self._facts.keeps_all(recipe)

    @property
    def in_force(self) -> list[Decision]:
        """The decisions that the models are made of."""
        return extending.in_force(self.decisions, self._built_on)

    @property
    def kept(self) -> int | None:
        """Number of the extension whose models are handed out; `None` before that is known."""
        return self._kept

    @kept.setter
    def kept(self, number: int | None) -> None:
        self._kept = number
        latest = self._before.number if number is None else number
        self._built_on = extensions.built_on(self.study, latest)

    @property
    def _own_decisions(self) -> list[Decision]:
        return self.decisions[self._before.decided :]

    def _passed_before(self) -> set[str]:
        """Stages that had nothing to do before one that has decided."""
        own = [decision.stage for decision in self._own_decisions]
        if not (own and self._before.number):
            return set()
        names = [stage.name for stage in self.stages]
        return set(names[: names.index(own[-1])]) - set(own)

    def next(self) -> TrialSpec | None:
        """The segment to train next; `None` when all stages have decided or all are in flight."""
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
            if stage.name in self._before.again and not spent(self.outcomes, stage.name):
                self._passed.add(stage.name)
            else:
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
        """Whether nothing may run beside a segment, since its seconds per step will be compared.

        That is so for the first of each network, batch size and kind of optimizer (`step_time`).
        """
        is_compared = self.budget.steps is None and any(
            stage.name == spec.stage and stage.compares_seconds for stage in self.stages
        )
        if not is_compared or not step_time.is_long_enough(spec.until):
            return False
        return self.study.fact(step_time.name_of(spec.recipe)) is None

    def plan(self) -> str:
        """What each stage may spend at most, and what is left out, in a sentence."""
        return self._allowances.sentence(self._now())

    def learn(self, **known) -> None:
        """Replaces facts about the network, once a stage has changed it."""
        self._facts = dataclasses.replace(self._facts, **known)

    def state(self, spec: TrialSpec) -> State | None:
        """The checkpoint that a segment goes on from, or the weights that it sets out from."""
        if spec.start:
            return self.study.checkpoint(spec.trial, "last")
        if not spec.after:
            return None
        # A trained network's first loss is so low that any bump would be an explosion: a fresh
        # one's counts.
        first_loss = float(self.outcomes[spec.after].losses[0])
        return State(0, self.study.checkpoint(spec.after, "best").model, [], first_loss)

    def record(
        self, outcome: Outcome, last: State | None, best: State | None, alone: bool = True
    ) -> None:
        """Takes what came of a segment.

        Its best weights are kept only if no earlier segment had better ones.

        Args:
            outcome: of the segment.
            last: the state at its end; `None` when it failed.
            best: the weights of its best evaluation, if they are to be kept.
            alone: whether nothing was trained beside it, so that its seconds per step may be
                compared.
        """
        spec = outcome.spec
        if not self._is_best(outcome):
            best = None
            outcome = dataclasses.replace(outcome, example_scores=None, mirrored_scores=None)
        self.study.add_segment(outcome, last if outcome.diverged_at is None else None, best)
        # Its curves stay in the study until they are used.
        joined = self.study.outcome(spec.trial)
        time = step_time.name_of(spec.recipe)
        if alone and step_time.is_measured(joined) and self.study.fact(time) is None:
            self.study.put_fact(time, joined.seconds_per_step)
        self.outcomes[spec.trial] = self._timed(joined)
        self._in_flight.pop(spec.trial, None)
        if self._wave and not waves.missing(self._wave, self.outcomes):
            self.outcomes = waves.in_order(self.outcomes, [self._wave])
            self._wave = []

    def facts(self, stage: Stage, at_once: int = 1) -> Facts:
        """What a stage may know, its allowance for so many segments at once among it."""
        others = frozenset()
        if self._before.number:
            known = extensions.read(self.study)
            others = extending.others_trained(self.recipe, self.decisions, known)
        return dataclasses.replace(
            self._facts,
            others_trained=others,
            extension=self._before.number,
            allowance=self._allowances.steps(stage, self._now(), at_once),
            timed=self.budget.steps is None,
        )

    def deadline(self) -> float:
        """Seconds of the budget after which training stops wherever it is."""
        return self._allowances.deadline(self._now())

    def seconds_left(self) -> float:
        """Seconds until training stops wherever it is; infinite with a budget in steps."""
        return self.deadline() - self.study.seconds()

    def _propose(self, stage: Stage) -> tuple[list[TrialSpec], Facts]:
        """What a stage proposes, and the facts that it was told.

        So many segments at once take so many times less of a budget in seconds, as far as there are
        jobs; how many a stage proposes depends on what it may spend. It is told the most that
        agrees with what it proposes then.
        """
        at_once = self.jobs if self.budget.steps is None else 1
        while True:
            facts = self.facts(stage, at_once)
            proposed = stage.propose(Context(self.recipe, facts, self.outcomes))
            if not proposed or len(proposed) >= at_once:
                break
            at_once = len(proposed)
        if self.budget.steps is not None and len(proposed) > 1:
            waves.put(self.study, self._num_waves, proposed)
            self._wave, self._num_waves = proposed, self._num_waves + 1
        return proposed, facts

    def _decide(self, stage: Stage, facts: Facts) -> None:
        decision = stage.decide(Context(self.recipe, facts, self.outcomes))
        decision = dataclasses.replace(decision, extension=self._before.number)
        keep = self.study.setting("keep")
        keep = retention.KEEP if keep is None else keep
        forget = retention.surplus(self.outcomes, [*self.decisions, decision], keep)
        of_stage = [
            name for name, outcome in self.outcomes.items() if outcome.spec.stage == stage.name
        ]
        self.study.add_decision(decision.key, decision.to_dict(), forget, of_stage)
        self.outcomes |= {name: self._timed(self.study.outcome(name)) for name in forget}
        self.decisions.append(decision)
        logger.info("Stage %s: %s.", decision.name, decision.headline)
        logger.info("  %s", decision.numbers)
        self._on_decision(decision)

    def _now(self) -> Standing:
        known = self._facts.known_steps(self.recipe)
        return Standing(self.outcomes, self.recipe, self.decided, known)

    def _is_best(self, outcome: Outcome) -> bool:
        """Whether the weights that a trial keeps are those of this segment, if it has any."""
        earlier = self.outcomes.get(outcome.spec.trial)
        evals = outcome.evals if earlier is None else earlier.evals + outcome.evals
        found = kept_evaluation(evals, self.objective, outcome.spec.sparsity > 0)
        return earlier is None or found is None or found["step"] > outcome.spec.start

    def _timed(self, outcome: Outcome) -> Outcome:
        """The outcome with the seconds per step of its kind, once that was timed."""
        seconds = self.study.fact(step_time.name_of(outcome.spec.recipe))
        return outcome if seconds is None else outcome.timed(seconds)
