"""The race of stage 2: which settings are trained, how far, and who is still in after how many
examples.
"""

from __future__ import annotations

import dataclasses
import functools

from kerastune.analysis import curves
from kerastune.playbook.context import Context, evaluation_interval, rounded_up
from kerastune.playbook.rules import batch_grid, ranking, rate_grid
from kerastune.playbook.rules.batch_grid import other_optimizer
from kerastune.playbook.rules.ranking import Standing
from kerastune.playbook.rules.rate_grid import NEIGHBORS
from kerastune.playbook.rules.successive_halving import (
    Progress,
    affordable,
    cost,
    goes_no_further,
    halve,
)
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.probe import fresh_starts, suggestion
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

STAGE = "batch"
LEAST_STEPS = 200  # of the recipe's batches in the first comparison
FIRST_QUARTER = 0.25  # of the recipe's total steps, there
FIRST_SHARE = 0.5  # of the allowance that the first comparison may take
SURVIVORS = (4, 2)  # most trials that go on after the first comparison, and after later ones


@dataclasses.dataclass(frozen=True)
class Race:
    """What the records say about every setting, and what is still to be trained; worked out once
    for each record.

    Args:
        chunk: steps in one call of the train function.
        context: of the stage.
    """

    chunk: int
    context: Context

    @property
    def recipe(self) -> Recipe:
        """What the stage was given."""
        return self.context.recipe

    @property
    def incumbent(self) -> str:
        return _trial(self.recipe)

    @property
    def other(self) -> str:
        return _trial(other_optimizer(self.recipe))

    @functools.cached_property
    def evidence(self) -> Outcome | None:
        """What stage `lr` trained of the very recipe, if it went far enough to be compared with."""
        for outcome in self.context.outcomes.values():
            same = outcome.spec.recipe.replace(
                decay=self.recipe.decay, total_steps=self.recipe.total_steps
            )
            if (
                outcome.spec.stage == LearningRate.name
                and same == self.recipe
                and outcome.diverged_at is None
            ):
                return outcome if outcome.steps >= self._quarter(outcome.spec.eval_every) else None
        return None

    def _quarter(self, unit: int) -> int:
        unit = unit or self.chunk
        wanted = rounded_up(max(FIRST_QUARTER * self.recipe.total_steps, LEAST_STEPS), unit)
        return self.context.facts.within_epochs(wanted, self.recipe.batch_size, unit)

    @functools.cached_property
    def rungs(self) -> list[int]:
        """Examples after which trials are compared: twice as many each time, up to where the recipe
        had converged.
        """
        known = self.evidence
        first = self._quarter(known.spec.eval_every if known else self.chunk)
        converged = self.recipe.total_steps / curves.MARGIN
        # Nobody can train on what stage `lr` left: its checkpoints are gone.
        last = max(first, int(min(converged, known.steps) if known else converged))
        steps = [first]
        while steps[-1] < last:
            steps.append(min(2 * steps[-1], last))
        return [count * self.recipe.batch_size for count in steps]

    @functools.cached_property
    def candidates(self) -> dict[str, Recipe | None]:
        """Every setting by trial name, those first that matter most; `None` while the other's rate
        is not known. There is no other optimizer where the network's authors name theirs.
        """
        tried = [
            self.context.outcomes[spec.trial]
            for spec in self._starts
            if spec.trial in self.context.outcomes
        ]
        rate = suggestion(tried) if len(tried) == len(self._starts) else None
        other = other_optimizer(self.recipe)
        other = other.replace(learning_rate=batch_grid.rounded(rate)) if rate else None
        grid = batch_grid.in_random_order(
            batch_grid.grid(self.recipe, self.context.facts), self.recipe.seed
        )
        found = {self.incumbent: self.recipe, self.other: other}
        if self.context.facts.knows_optimizer(self.recipe):
            found.pop(self.other)
        return found | {_trial(setting): setting for setting in grid}

    @property
    def _starts(self) -> list[TrialSpec]:
        return fresh_starts(other_optimizer(self.recipe), STAGE, f"{STAGE}-probe")

    def trial(self, name: str) -> Outcome | None:
        """What is known of a trial; of the incumbent, what stage `lr` found where that will do."""
        known = self.evidence if name == self.incumbent else None
        return known or self.context.outcomes.get(name)

    @functools.cached_property
    def trained(self) -> dict[str, Outcome]:
        """The trials of all settings that were trained at all, by name."""
        return {name: trial for name in self.candidates if (trial := self.trial(name)) is not None}

    def spec(self, name: str, setting: Recipe, examples: int) -> TrialSpec | None:
        """What a trial still needs to have seen so many examples; `None` if nothing, or if it goes
        no further.
        """
        until, every = self._until(setting, examples)
        done = self.trial(name)
        if done is not None:
            if ranking.seen(done) >= examples or goes_no_further(done, until):
                return None
        trial = setting.replace(decay="none", total_steps=until)
        return TrialSpec(name, STAGE, trial, done.steps if done else 0, until, every)

    def _until(self, setting: Recipe, examples: int) -> tuple[int, int]:
        """Steps that see so many examples, in whole evaluations, and the steps between two of
        those.
        """
        first = rounded_up(self.rungs[0] / setting.batch_size, self.chunk)
        every = evaluation_interval(
            self.context.facts.num_validation, setting.batch_size, self.chunk, most=first
        )
        return rounded_up(examples / setting.batch_size, every), every

    def first(self) -> list[TrialSpec]:
        """Trials of the first comparison that are missing: all settings, or as many as half the
        allowance holds.
        """
        examples = self.rungs[0]
        planned = self._planned(examples)
        missing = []
        for name in planned:
            if name == self.other:
                missing += [
                    spec for spec in self._starts if spec.trial not in self.context.outcomes
                ]
            setting = self.candidates[name]
            spec = self.spec(name, setting, examples) if setting else None
            missing += [spec] if spec else []
        # With a budget in time, less may be left than was planned.
        left = self.context.left(STAGE)
        return [spec for i, spec in enumerate(missing) if cost(missing[: i + 1]) <= left]

    def _planned(self, examples: int) -> list[str]:
        names, steps = [], 0
        for name, setting in self.candidates.items():
            if name != self.incumbent or self.evidence is None:
                steps += self._until(setting or self.recipe, examples)[0]
            if name == self.other:
                steps += len(self._starts)
            # Two settings are the least that can be compared.
            if steps > self.context.facts.allowance * (FIRST_SHARE if len(names) > 1 else 1):
                break
            names.append(name)
        return names if len(names) > 1 else []

    @functools.cached_property
    def progress(self) -> Progress[str]:
        """How far the settings came, the incumbent being the first of the finalists."""
        return halve(self.trained, self.rungs, SURVIVORS, self._survivors, self._go_on)

    def _survivors(self, alive: list[str], examples: int, limit: int) -> list[str]:
        """The incumbent and the most promising others; `limit` of them are trained."""
        alive = [name for name in alive if self._is_sound(name, examples)]
        if not alive:
            return []
        ranked = ranking.promising(self.standings(alive, examples)[0], self.context.facts.objective)
        others = [name for name in ranked if name != self.incumbent]
        if self.incumbent not in alive:
            return others[:limit]
        return [self.incumbent, *others[: limit - (self.evidence is None)]]

    def _is_sound(self, name: str, examples: int) -> bool:
        # Who was stopped by a callback is compared where it stopped, if that is no beginner's
        # curve.
        trial = self.trial(name)
        return trial.diverged_at is None and 2 * ranking.seen(trial) >= examples

    def standings(self, names: list[str], examples: int) -> tuple[dict[str, Standing], int]:
        """How sound trials stand after so many examples, or as many as all of them have seen; and
        that number.
        """
        trials = {name: self.trial(name) for name in names}
        return ranking.standings(
            trials, examples, self.recipe.batch_size, self.context.facts.objective
        )

    def _go_on(self, alive: list[str], examples: int) -> tuple[list[str], list[TrialSpec]]:
        """As many as the allowance holds beside the check of the winner's learning rate."""
        return affordable(
            alive,
            least=2 if self.incumbent in alive else 1,
            left=self.context.left(STAGE),
            segment=lambda name: self.spec(name, self.candidates[name], examples),
            reserve=lambda names: len(NEIGHBORS) * max(map(self._first_steps, names)),
        )

    def _first_steps(self, name: str) -> int:
        """Steps of a setting up to the first comparison."""
        return self._until(self.candidates[name], self.rungs[0])[0]

    @functools.cached_property
    def winner(self) -> tuple[str | None, str]:
        """Name of the winner, `None` when nobody got far enough, and what decided."""
        race = self.progress
        if not race.finalists or race.finalists == [self.incumbent]:
            return (self.incumbent if race.finalists else None), ranking.NOISE
        return ranking.choose(self.final[0], self.incumbent, self.context.facts)

    @functools.cached_property
    def final(self) -> tuple[dict[str, Standing], int]:
        """How the finalists stand, and after how many examples."""
        return self.standings(self.progress.finalists, self.progress.rung)

    def neighbors(self) -> list[TrialSpec]:
        """The winner's setting at half and twice its rate, as far as the winner went or the
        allowance holds.
        """
        winner = self.winner[0]
        if winner in (None, self.incumbent):
            return []
        for examples in reversed([count for count in self.rungs if count <= self.progress.rung]):
            pairs = rate_grid.neighbors(winner, self.candidates[winner]).items()
            specs = [
                spec for name, setting in pairs if (spec := self.spec(name, setting, examples))
            ]
            if cost(specs) <= self.context.left(STAGE):
                return specs
        return []

    def at_best_rate(self, name: str) -> tuple[Outcome, bool]:
        """The trial of a setting at the learning rate that falls fastest and deepest, and whether
        its neighbors were tried.
        """
        others = rate_grid.neighbors(name, self.candidates[name])
        return rate_grid.best(
            self.trial(name), [self.context.outcomes.get(each) for each in others]
        )


def _trial(setting: Recipe) -> str:
    return f"{STAGE}-{batch_grid.setting_name(setting)}"
