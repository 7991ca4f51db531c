"""Distillation: whether a student that a larger model teaches is better than the same student alone
(S4.4).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kerastune.analysis import comparison
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import full_training
from kerastune.playbook.stages import ensemble
from kerastune.playbook.stages.base import Stage
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Wanted

# Temperature, and share of the teacher in the loss. Hinton, Vinyals and Dean 2015
# (arXiv:1503.02531) found 2.5 to 4 best for small students, and a considerably lower weight on the
# targets than on the teacher.
GRID = ((2.0, 0.5), (2.0, 0.9), (4.0, 0.5), (4.0, 0.9))


@dataclasses.dataclass(frozen=True)
class Setting:
    """A student with its teacher.

    Args:
        trial: its training.
        temperature: of teacher and student.
        mix: fraction of the loss that is the teacher's.
        value: its validation objective; `None` where it came to no end.
        gain: over the student alone.
    """

    trial: str
    temperature: float
    mix: float
    value: float | None = None
    gain: Comparison | None = None


@dataclasses.dataclass(frozen=True)
class DistillValues(ChosenTrial):
    """What stage `distill` found.

    Args:
        alone: trial of the student without its teacher.
        kept: whether the student that was taught is the final model.
        temperature: of the best setting.
        mix: of the best setting.
        grid: all settings.
        gain: of the best setting over the student alone; `None` where nothing was compared.
        scored_by: what gains measure.
    """

    alone: str | None = None
    kept: bool = False
    temperature: float = 1.0
    mix: float = 0.0
    grid: tuple[Setting, ...] = ()
    gain: Comparison | None = None
    scored_by: str = "accuracy"


class Distill(Stage):
    """Trains the student of the recipe with a teacher, over a small grid of temperatures and mixes.

    Each has the rate of the recipe, lowered as `matched_rate` says.

    The best of them on validation is compared with the student alone, paired on the validation
    examples. Both cost the same to serve, so the one with the higher expected score is kept.
    """

    name = "distill"
    question = "Does a teacher help?"
    share = 1.0
    values = DistillValues
    combines = True
    figure = "distillation"
    follows_training = True
    stands_alone = True

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return False

    def propose(self, context: Context) -> list[TrialSpec]:
        alone = _alone(context)
        if alone is None:
            return []
        left = context.left(self.name)
        settings = {trial_name(*setting): setting for setting in GRID}
        due = []
        for name, done in full_training.affordable(
            settings, alone.spec.recipe.total_steps, left, context.outcomes
        ):
            temperature, mix = settings[name]
            trained = alone.spec.recipe
            trained = trained.replace(
                learning_rate=matched_rate(trained.learning_rate, temperature, mix)
            )
            spec = full_training.segment(name, self.name, trained, done, alone.spec.eval_every)
            due.append(dataclasses.replace(spec, temperature=temperature, mix=mix))
        return due

    def decide(self, context: Context) -> Decision:
        alone, best = _alone(context), _best(context.outcomes)
        if alone is None or best is None:
            values = DistillValues(trial=None if alone is None else alone.spec.trial)
            numbers = "No student came to its end both alone and with its teacher."
            headline = "Student without a teacher: nothing to compare"
            return self.decision(context, headline, numbers, values=values)
        compared = full_training.compare(best, alone)
        expected = full_training.expected_of(compared, alone, context, "distill")
        grid = [_setting(outcome, alone, context.facts) for outcome in _grid(context.outcomes)]
        is_kept = expected.is_gain
        values = DistillValues(
            trial=best.spec.trial if is_kept else alone.spec.trial,
            steps_spent=context.spent(self.name),
            alone=alone.spec.trial,
            kept=is_kept,
            temperature=best.spec.temperature,
            mix=best.spec.mix,
            grid=tuple(grid),
            gain=compared,
            scored_by=context.facts.scored_by,
        )
        share = f"{100 * best.spec.mix:g} % of the loss from the teacher"
        setting = f"temperature {best.spec.temperature:g}, {share}"
        gain = wording.expected(expected, compared, context.facts.scored_by)
        numbers = f"The best of {len(grid)} settings ({setting}) against the student alone: {gain}."
        return self.decision(
            context,
            "Student with its teacher" if is_kept else "Student without a teacher",
            numbers,
            evidence=(alone.spec.trial, *(each.trial for each in grid)),
            values=values,
        )


def matched_rate(learning_rate: float, temperature: float, mix: float) -> float:
    """The rate with which the first steps are as long with a teacher as without.

    While the student knows nothing, gradients of the soft loss, which has the square of the
    temperature as a factor, are about the temperature times those of hard targets; the rate was
    found with the latter.

    Example:
        >>> round(matched_rate(0.1, 4.0, 0.5), 3), matched_rate(0.1, 1.0, 0.9)
        (0.04, 0.1)
    """
    return learning_rate / (1 - mix + mix * temperature)


def trial_name(temperature: float, mix: float) -> str:
    """Name of the trial with this temperature and mix.

    Example:
        >>> trial_name(2.0, 0.9)
        'distill-t2-m0.9'
    """
    return f"distill-t{temperature:g}-m{mix:g}"


def _alone(context: Context) -> Outcome | None:
    return ensemble.of_recipe(
        context.recipe,
        {name: o for name, o in context.outcomes.items() if o.spec.stage != Distill.name},
    )


def _grid(outcomes: dict[str, Outcome]) -> list[Outcome]:
    return [outcomes[trial_name(*each)] for each in GRID if trial_name(*each) in outcomes]


def _best(outcomes: dict[str, Outcome]) -> Outcome | None:
    """The setting of the best scores; at a tie the first."""
    sound = [outcome for outcome in _grid(outcomes) if full_training.is_comparable(outcome)]
    return max(sound, key=lambda outcome: float(outcome.example_scores.mean()), default=None)


def _setting(outcome: Outcome, alone: Outcome, facts: Facts) -> Setting:
    setting = Setting(outcome.spec.trial, outcome.spec.temperature, outcome.spec.mix)
    if not full_training.is_comparable(outcome):
        return setting
    return dataclasses.replace(
        setting,
        value=outcome.kept_evaluation(facts.objective)[facts.objective.name],
        gain=comparison.difference(outcome.example_scores, alone.example_scores),
    )
