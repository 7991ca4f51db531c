"""The search of stage `model`: which networks are trained, how far, and which of them wins."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kerastune.analysis import curves
from kerastune.playbook import wording
from kerastune.playbook.context import Context, evaluation_interval, rounded_up
from kerastune.playbook.rules import full_training, ranking, rate_grid
from kerastune.playbook.rules.ranking import Standing
from kerastune.playbook.rules.rate_grid import NEIGHBORS
from kerastune.playbook.rules.successive_halving import (
    Progress,
    affordable,
    cost,
    goes_no_further,
    halve,
)
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

STAGE = "model"
INCUMBENT = "model-0"
SURVIVORS = (4, 2)  # most networks that go on after the first comparison, and after later ones
FIRST_SHARE = 0.125  # of the recipe's total steps, in the first comparison
LEAST_STEPS = 200  # there
RACE_SHARE = 0.5  # of the allowance, at most, that is kept for those that go on
MOST_TRIALS = 50
RANDOM_TRIALS = 3  # for each hyperparameter, before the Bayesian oracle has something to go by
GUIDED_SECONDS = 5.0  # of a trial; the Bayesian oracle takes about as long to propose one

Sample = Callable[[list[tuple[dict[str, Any], "float | None"]], bool], "dict[str, Any] | None"]


@dataclasses.dataclass(frozen=True)
class ModelSearch:
    """What the records say about every network, and what is still to be trained; worked out once
    for each record.

    Args:
        chunk: steps in one call of the train function.
        context: of the stage; the recipe's hyperparameters are the incumbent's.
        names: of the hyperparameters that are searched.
        sample: gives the hyperparameters to try next, from those that were tried with their scores,
            and whether what was tried guides it; `None` when there are no others.
    """

    chunk: int
    context: Context
    names: tuple[str, ...]
    sample: Sample

    @property
    def recipe(self) -> Recipe:
        """What the stage was given."""
        return self.context.recipe

    @functools.cached_property
    def trained(self) -> dict[str, Outcome]:
        """The trials of all networks, in the order in which they were proposed; the incumbent is
        the first.
        """
        names = [f"model-{i}" for i in range(MOST_TRIALS)]
        return {
            name: self.context.outcomes[name] for name in names if name in self.context.outcomes
        }

    @functools.cached_property
    def every(self) -> int:
        """Steps between two evaluations."""
        first = self._first(self.chunk)
        return evaluation_interval(
            self.context.facts.num_validation, self.recipe.batch_size, self.chunk, most=first
        )

    @functools.cached_property
    def rungs(self) -> list[int]:
        """Steps after which networks are compared: twice as many each time, up to where the recipe
        had converged.
        """
        steps = [self._first(self.every)]
        last = self.recipe.total_steps / curves.MARGIN
        while steps[-1] < last:
            steps.append(rounded_up(min(2 * steps[-1], last), self.every))
        return steps

    def _first(self, unit: int) -> int:
        """Steps of the first comparison, in whole units."""
        wanted = rounded_up(max(FIRST_SHARE * self.recipe.total_steps, LEAST_STEPS), unit)
        return self.context.facts.within_epochs(wanted, self.recipe.batch_size, unit)

    def due(self) -> list[TrialSpec]:
        """The segments to train next: candidates, then who goes on, then the winner's rate."""
        return self._candidate() or self.progress.behind or self._neighbors()

    @property
    def tried(self) -> list[tuple[dict[str, Any], float | None]]:
        """Hyperparameters of every network, and how good it was after the first horizon; `None` if
        it was lost.
        """
        return [(o.spec.recipe.hyperparameters, self.score(o)) for o in self.trained.values()]

    def score(self, outcome: Outcome) -> float | None:
        """The objective after the first horizon, more being better; `None` for one that diverged or
        failed.
        """
        name = self.context.facts.objective.name
        values = [
            each[name] for each in outcome.evals if each["step"] <= self.rungs[0] and name in each
        ]
        if outcome.diverged_at is not None or not values or not np.isfinite(values[-1]):
            return None
        return self.context.facts.objective.gain(values[-1])

    def _candidate(self) -> list[TrialSpec]:
        count, first = len(self.trained), self.rungs[0]
        if count >= MOST_TRIALS or any(trial.steps > first for trial in self.trained.values()):
            return []
        if not count:
            # Two networks are the least that can be compared.
            is_affordable = 2 * first <= self.context.facts.allowance
            return [self._spec(INCUMBENT, self.recipe, first)] if is_affordable else []
        used, another, total = self._costs()
        if used + another + min(self._reserve, RACE_SHARE * total) > total and count > 1:
            return []
        values = self.sample(self.tried, self._is_guided) if used + another <= total else None
        if values is None:
            return []
        return [self._spec(f"model-{count}", self.recipe.replace(hyperparameters=values), first)]

    def _costs(self) -> tuple[float, float, float]:
        """Steps used, those that one more candidate costs, and all that there are.

        With a budget in time, what it takes to trace a new network counts as the steps that it
        would have been.
        """
        used, another = self.context.spent(STAGE), self.rungs[0]
        left = self.context.facts.allowance - used
        each = self.trained[INCUMBENT].seconds_per_step
        if self.context.facts.timed and each > 0:
            used = sum(trial.seconds for trial in self.trained.values()) / each
            another = max(another, used / len(self.trained))
        return used, another, used + left

    @property
    def _reserve(self) -> int:
        """Steps that the race after the first horizon takes, and the check of the winner's rate."""
        longer = [later - earlier for earlier, later in zip(self.rungs, self.rungs[1:])]
        racing = sum(
            SURVIVORS[min(i, len(SURVIVORS) - 1)] * steps for i, steps in enumerate(longer)
        )
        return racing + len(NEIGHBORS) * self.rungs[0]

    @property
    def _is_guided(self) -> bool:
        trials = list(self.trained.values())
        if len(trials) <= RANDOM_TRIALS * len(self.names):
            return False
        return (
            not self.context.facts.timed
            or sum(trial.seconds for trial in trials) / len(trials) >= GUIDED_SECONDS
        )

    def _spec(self, name: str, recipe: Recipe, until: int, keep_best: bool = True) -> TrialSpec:
        done = self.context.outcomes.get(name)
        trial = recipe.replace(decay="none", total_steps=until)
        return TrialSpec(
            name, STAGE, trial, done.steps if done else 0, until, self.every, keep_best
        )

    @functools.cached_property
    def progress(self) -> Progress[str]:
        """How far the networks came, the incumbent being the first of the finalists."""
        return halve(self.trained, self.rungs, SURVIVORS, self._survivors, self._go_on)

    def _survivors(self, alive: list[str], steps: int, limit: int) -> list[str]:
        """The incumbent and the most promising others, `limit` in all."""
        alive = [name for name in alive if self._is_sound(name, steps)]
        if not alive:
            return []
        ranked = ranking.promising(self.standings(alive, steps), self.context.facts.objective)
        others = [name for name in ranked if name != INCUMBENT]
        return [INCUMBENT, *others[: limit - 1]] if INCUMBENT in alive else others[:limit]

    def _is_sound(self, name: str, steps: int) -> bool:
        # Who was stopped by a callback is compared where it stopped, if that is no beginner's
        # curve.
        trial = self.trained[name]
        return trial.diverged_at is None and 2 * trial.steps >= steps

    def standings(self, names: list[str], steps: int) -> dict[str, Standing]:
        """How sound networks stand after so many steps, or as many as all of them have."""
        size, trials = self.recipe.batch_size, {name: self.trained[name] for name in names}
        return ranking.standings(trials, steps * size, size, self.context.facts.objective)[0]

    def _go_on(self, alive: list[str], steps: int) -> tuple[list[str], list[TrialSpec]]:
        """As many as the allowance holds beside the check of the winner's learning rate."""
        return affordable(
            alive,
            least=2 if INCUMBENT in alive else 1,
            left=self.context.left(STAGE),
            segment=lambda name: self._due(name, self.trained[name].spec.recipe, steps),
            reserve=lambda names: len(NEIGHBORS) * self.rungs[0],
        )

    def _due(
        self, name: str, recipe: Recipe, steps: int, keep_best: bool = True
    ) -> TrialSpec | None:
        """What a trial lacks of so many steps; `None` if nothing, or if it goes no further."""
        done = self.context.outcomes.get(name)
        is_done = done is not None and goes_no_further(done, steps)
        return None if is_done else self._spec(name, recipe, steps, keep_best)

    @functools.cached_property
    def winner(self) -> tuple[str | None, str]:
        """Name of the winner, `None` when nobody got far enough, and its gain over the incumbent in
        words.
        """
        scored = [
            name
            for name in self.progress.finalists
            if self.trained[name].example_scores is not None
        ]
        others = [name for name in scored if name != INCUMBENT]
        if not others:
            return (INCUMBENT if scored else None), ""
        best = max(others, key=lambda name: float(self.trained[name].example_scores.mean()))
        if INCUMBENT not in scored:
            return (None, "") if INCUMBENT in self.progress.finalists else (best, "")
        incumbent = self.trained[INCUMBENT]
        compared = full_training.compare(self.trained[best], incumbent)
        expected = full_training.expected_of(compared, incumbent, self.context, "model")
        gain = wording.expected(expected, compared, self.context.facts.scored_by)
        return (best if expected.is_gain else INCUMBENT), f"{best} against it: {gain}"

    def _neighbors(self) -> list[TrialSpec]:
        """The winner at half and twice its rate, as far as it went or the allowance holds."""
        if self.winner[0] in (None, INCUMBENT):
            return []
        for steps in reversed([steps for steps in self.rungs if steps <= self.progress.rung]):
            pairs = self._at_other_rates().items()
            specs = [spec for pair in pairs if (spec := self._due(*pair, steps, keep_best=False))]
            if cost(specs) <= self.context.left(STAGE):
                return specs
        return []

    def _at_other_rates(self) -> dict[str, Recipe]:
        name = self.winner[0]
        return rate_grid.neighbors(name, self.trained[name].spec.recipe)

    def at_best_rate(self) -> tuple[Outcome, bool]:
        """The winner's trial at the learning rate that falls fastest and deepest, and whether its
        neighbors were tried.
        """
        others = [self.context.outcomes.get(name) for name in self._at_other_rates()]
        return rate_grid.best(self.trained[self.winner[0]], others)
