"""The last stage that trains: an ensemble of what was trained on the way and of new seeds, where it
beats the best single model (S4.5).

Every whole training of the search that kept its weights is a candidate: they are paid for. What is
left of the budget trains the chosen recipe again with other seeds and, where that is asked for, on
all folds but one of the training part. Validation has chosen the recipe already, so members,
weights, mean and temperature are cross-fitted over folds of it for every figure that is reported;
the ones handed on are fitted on all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kerastune.analysis import ensemble_selection
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, rounded_up
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import full_training
from kerastune.playbook.rules.ensemble_choice import judge, judge_by_loss
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, TrainedModels, Wanted

MEMBERS = 10  # at most: what each of them adds shrinks, and a user waits for all of them
EVALUATED = 1 / 3  # of a training step, per example: an evaluated one has no backward pass


@dataclasses.dataclass(frozen=True)
class Validation:
    """What the stage is told of the validation part, by a floor that has models.

    Args:
        targets: integer classes `[n]`, or numbers `[n]` or `[n, outputs]`, as the models are
            trained for; `None` where the model's own loss judges.
        predict: gives the predictions of a trial's kept weights: probabilities `[n, classes]`,
            numbers `[n, outputs]`, or all outputs `[n, numbers]`.
        figures: gives figures of merit by name, of such predictions.
        losses: gives the loss of every example `[n]`, of all outputs `[n, numbers]`; `None` where
            there are targets.
        most: candidates whose predictions may be held at once; `None` for any number.
    """

    targets: np.ndarray | None
    predict: Callable[[str], np.ndarray]
    figures: Callable[[np.ndarray], dict[str, float]]
    losses: Callable[[np.ndarray], np.ndarray] | None = None
    most: int | None = None


@dataclasses.dataclass(frozen=True)
class ValidationFigures:
    """Figures of merit on the validation part, by name, cross-fitted.

    Args:
        single: of the single model.
        before: of what is handed on, without its temperature; empty where nothing is.
        after: the same with it.
    """

    single: dict[str, float] = dataclasses.field(default_factory=dict)
    before: dict[str, float] = dataclasses.field(default_factory=dict)
    after: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EnsembleValues(ChosenTrial):
    """What stage `ensemble` found; `trial` is the best single model.

    Args:
        weights: of the members, by their trials.
        mean: how members are averaged, a key of `ensemble_selection.MEANS`.
        temperature: of their mean.
        kept: whether there is an ensemble; else the trial alone has all the weight.
        gain: of an ensemble over the trial alone, in scores of examples; `None` where nothing was
            compared.
        loss_gain: the same as a fall of the loss, without temperatures.
        temperature_gain: of the temperature, as a fall of the log-likelihood loss.
        disagreement: of the members, `[members, members]`.
        validation: figures of merit.
        reliability: curves before and after the temperature, `[bins, 3]`; none for numbers.
    """

    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    mean: str = "arithmetic"
    temperature: float = 1.0
    kept: bool = False
    gain: Comparison | None = None
    loss_gain: Comparison | None = None
    temperature_gain: Comparison | None = None
    disagreement: tuple[tuple[float, ...], ...] = ()
    validation: ValidationFigures = ValidationFigures()
    reliability: dict[str, tuple[tuple[float, ...], ...]] = dataclasses.field(default_factory=dict)

    @property
    def trials(self) -> tuple[str, ...]:
        return (*super().trials, *self.weights)


class Ensemble(Stage):
    """Chooses the members of an ensemble, and whether it is worth more than one model.

    Args:
        models: of the trials, whose `validation` is asked for when the stage decides.
        members: most of them, `>= 2`.
        folds: of the training part, so many of the new trainings leaving out one each (Krogh &
            Vedelsby 1995, "Neural Network Ensembles, Cross Validation, and Active Learning"); 0 for
            none. The validation part is in no fold.

    Raises:
        ValueError: for fewer than two members, or folds that are not 0 or 2 to `members - 1`.
    """

    name = "ensemble"
    question = "Do several models together do better?"
    share = 1.0
    values = EnsembleValues
    combines = True
    figure = "ensemble"
    follows_training = True

    def __init__(self, models: TrainedModels | None = None, members: int = MEMBERS, folds: int = 0):
        if members < 2:
            raise ValueError(
                f"`members` must be at least 2, got {members}; leave the ensemble out for one "
                "model."
            )
        if folds and not 2 <= folds < members:
            raise ValueError(
                f"`member_folds` must be 0, or at least 2 and less than `members` ({members}), got "
                f"{folds}: one member is the recipe on all examples."
            )
        self._models = models
        self._members = members
        self._folds = folds

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.ensemble

    @classmethod
    def create(cls, setup: Setup) -> Ensemble:
        return cls(setup.models, setup.members, setup.folds)

    def propose(self, context: Context) -> list[TrialSpec]:
        single = of_recipe(context.recipe, context.outcomes)
        if single is None:
            return []
        every = single.spec.eval_every
        total = rounded_up(context.recipe.total_steps, every)
        left = context.left(self.name) - _cost_of_predicting(context)
        wanted = self._wanted(context.replace(recipe=context.recipe.over(total)))
        return [
            dataclasses.replace(
                full_training.segment(name, self.name, wanted[name][0], done, every),
                **wanted[name][1],
            )
            for name, done in full_training.affordable(wanted, total, left, context.outcomes)
        ]

    def _wanted(self, context: Context) -> dict[str, tuple[Recipe, dict[str, int]]]:
        """By name of the trial how to train, and without which fold; members of folds first."""
        specs = [context.outcomes[name].spec for name in candidates(context.outcomes)]
        # An earlier stage may have trained the recipe with one of the seeds.
        paid = [spec.recipe for spec in specs if spec.stage != self.name]
        wanted = {}
        for number in range(1, self._members):
            other = context.recipe.replace(seed=context.recipe.seed + number)
            if number <= self._folds:
                wanted[f"ensemble-fold-{number}"] = (
                    other,
                    {"folds": self._folds, "left_out": number},
                )
            elif other not in paid:
                wanted[f"ensemble-seed-{other.seed}"] = other, {}
        return wanted

    def decide(self, context: Context) -> Decision:
        single = of_recipe(context.recipe, context.outcomes)
        if single is None:
            numbers = "No whole training kept its weights."
            return self.decision(context, "No ensemble: nothing to combine", numbers)
        known = self._models.validation()
        names = _first(single.spec.trial, context.outcomes, known.most)
        predictions = np.stack([known.predict(name) for name in names])
        if known.losses is None:
            verdict = judge(predictions, known.targets, context.facts.scored_by, self._members)
        else:
            verdict = judge_by_loss(predictions, known.losses, self._members)
        weights = dict(zip(names, verdict.blend.weights.tolist()))
        values = EnsembleValues(
            trial=names[0],
            steps_spent=context.spent(self.name),
            weights={name: weight for name, weight in weights.items() if weight},
            mean=verdict.blend.mean,
            temperature=verdict.blend.temperature,
            kept=verdict.is_kept,
            gain=verdict.gain,
            loss_gain=verdict.loss_gain,
            temperature_gain=verdict.temperature_gain,
            disagreement=tuple(map(tuple, verdict.disagreement.tolist())),
            validation=ValidationFigures(
                single=known.figures(predictions[0]),
                before=known.figures(verdict.before),
                after=known.figures(verdict.after),
            ),
            reliability={}
            if known.targets is None
            else ensemble_selection.reliability(verdict.before, verdict.after, known.targets),
        )
        numbers = _numbers(names, values, context.facts)
        return self.decision(
            context, _headline(names, values), numbers, evidence=names, values=values
        )


def candidates(outcomes: dict[str, Outcome]) -> list[str]:
    """Names of the trainings that may be members: those whose weights were kept, of the best
    evaluation, also where a callback of the user's stopped them.
    """
    return [
        name
        for name, outcome in outcomes.items()
        if outcome.diverged_at is None
        and outcome.example_scores is not None
        and outcome.weights_kept
    ]


def _first(single: str, outcomes: dict[str, Outcome], most: int | None) -> list[str]:
    """The single model's trial, then the other candidates; the best of them where there are more
    than `most`.
    """
    others = [name for name in candidates(outcomes) if name != single]
    if most is not None and len(others) >= most:
        best = sorted(others, key=lambda name: -float(outcomes[name].example_scores.mean()))
        others = [name for name in others if name in best[: most - 1]]
    return [single, *others]


def of_recipe(recipe: Recipe, outcomes: dict[str, Outcome]) -> Outcome | None:
    """The training of the recipe that was handed on, else the candidate with the best scores;
    `None` without any.
    """

    def rank(outcome: Outcome):
        trained = outcome.spec.recipe
        # The baseline has no total steps of its own.
        is_chosen = recipe in (trained, trained.replace(total_steps=outcome.steps))
        return outcome.spec.stage != Ensemble.name, is_chosen, float(outcome.example_scores.mean())

    return max((outcomes[name] for name in candidates(outcomes)), key=rank, default=None)


def _cost_of_predicting(context: Context) -> int:
    """Steps in whose time all candidates, and one more, predict the validation part; none of a
    budget in steps.
    """
    count = len(candidates(context.outcomes)) + 1
    return (
        round(EVALUATED * count * context.facts.num_validation / context.recipe.batch_size)
        if context.facts.timed
        else 0
    )


def _headline(names: list[str], values: EnsembleValues) -> str:
    if values.kept:
        return f"Ensemble of {len(values.weights)} models"
    if len(names) == 1:
        return "No ensemble: there is one training only"
    return "No ensemble: the gain over one model is not significant"


def _numbers(names: list[str], values: EnsembleValues, facts: Facts) -> str:
    parts = []
    if len(names) > 1:
        gain, measure = values.gain, facts.scored_by
        parts.append(
            f"on validation {wording.gained(gain.gain, measure)} against {names[0]} alone "
            f"({wording.confidence(gain, measure)}, cross-fitted over {ensemble_selection.FOLDS} "
            f"folds), {wording.verdict(gain)}"
        )
    if values.kept:
        members = ", ".join(f"{name} {weight:.2g}" for name, weight in values.weights.items())
        of = f"{len(values.weights)} of {len(names)} trainings"
        parts.append(f"it is the {values.mean} mean of {of} ({members})")
    else:
        parts.append(f"the single model is that of trial {names[0]}")
    if (count := len(values.disagreement)) > 1:
        apart = sum(map(sum, values.disagreement)) / (count * count - count)
        unit = f"{apart:.2g} standard deviations apart"
        classes = f"disagree on {100 * apart:.2g} % of the examples"
        parts.append(f"two members {classes if facts.num_classes else f'are {unit}'} on average")
    if facts.num_classes:
        parts.append(calibrated(values.temperature, values.validation))
    return wording.sentences(parts)


def calibrated(temperature: float, validation: ValidationFigures) -> str:
    """What a temperature did, in words."""
    before, after = validation.before, validation.after
    if temperature == 1:
        found = f"{before['nll']:.3g} (ECE {before['ece']:.2g})"
        return f"no temperature lowers its log-likelihood loss of {found} significantly"
    moved = ", ".join(
        f"{words} {before[name]:.3g} to {after[name]:.3g}"
        for name, words in (
            ("nll", "log-likelihood loss"),
            ("ece", "ECE"),
            ("brier", "Brier score"),
        )
    )
    return f"a temperature of {temperature:.3g} takes it from {moved}"
