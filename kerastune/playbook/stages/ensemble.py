"""The last stage that trains: an ensemble of what was trained on the way and of new seeds, where it
beats the best single model (S4.5).

Every whole training of the search that kept its weights is a candidate: they are paid for. What is
left of the budget trains the chosen recipe again with other seeds and, where that is asked for, on
all folds but one of the training part. Validation has chosen the recipe already, so members,
weights, mean and temperature are cross-fitted over folds of it for every figure that is reported;
the ones handed on are fitted on all.

Of small data whose validation part was cut off at random, the budget trains a bag (`rules.bag`) in
the place of seeds: models of the recipe that each leave out a fold of training and validation part
together. Small data have too few validation examples to show what that gains, and it costs them
little to serve, so the expected gain decides.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from kerastune.analysis import ensemble_selection
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, rounded_up
from kerastune.playbook.decision import Decision
from kerastune.playbook.ensemble_values import (
    EnsembleValues,
    LeftOut,
    Validation,
    ValidationFigures,
    calibrated,
)
from kerastune.playbook.rules import bag, full_training
from kerastune.playbook.rules.ensemble_choice import judge, judge_by_loss
from kerastune.playbook.rules.expected_gain import Expected
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, TrainedModels, Wanted

MEMBERS = 10  # at most: what each of them adds shrinks, and a user waits for all of them
EVALUATED = 1 / 3  # of a training step, per example: an evaluated one has no backward pass


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
        every, whole = single.spec.eval_every, _whole(context, single)
        left = context.left(self.name) - self._cost_of_predicting(context)
        spared = left * (bag.SPARE if context.facts.timed else 1.0)
        given = whole.recipe, every, spared, context.facts
        steps = bag.member_steps(*given, context.outcomes)
        repeats = self._repeats(whole, steps)
        if context.facts.timed and bag.members(repeats, context.outcomes):
            spared = left * bag.SPARE_LATER
        wanted = {name: each for repeat in repeats for name, each in repeat.items()}
        due = bag.due(repeats, steps, spared, context.outcomes)
        if not due and not bag.members(repeats, context.outcomes):
            wanted = self._wanted(whole)
            total = whole.recipe.total_steps
            due = full_training.affordable(wanted, total, left, context.outcomes)
        return [
            dataclasses.replace(
                full_training.segment(name, self.name, wanted[name][0], done, every),
                **wanted[name][1],
            )
            for name, done in due
        ]

    def _repeats(self, context: Context, steps: int) -> list[bag.Repeat]:
        """The trainings of a bag, of so many steps each; none where data or user want none."""
        if not context.facts.bags or self._folds:
            return []
        recipe, extensions = context.recipe.over(steps), context.facts.extension
        most = bag.MORE_MEMBERS * self._members
        return bag.repeats(recipe, most, context.outcomes, extensions)

    def _members_of_bag(self, context: Context) -> list[str]:
        """Names of the members of the longest whole bag; none without one."""
        lengths = sorted(set(bag.begun(context.recipe, context.outcomes)), reverse=True)
        found = (bag.members(self._repeats(context, n), context.outcomes) for n in lengths)
        return next(filter(None, found), [])

    def _cost_of_predicting(self, context: Context) -> int:
        """Steps in whose time all candidates, and one more, predict the validation part, and every
        member of a bag the fold that it leaves out; none of a budget in steps.
        """
        facts = context.facts
        if not facts.timed:
            return 0
        examples = (len(candidates(context.outcomes)) + 1) * facts.num_validation
        if facts.bags:
            folds = bag.MORE_MEMBERS * self._members / bag.FOLDS
            examples += folds * (facts.num_train + facts.num_validation)
        return round(EVALUATED * examples / context.recipe.batch_size)

    def _wanted(self, context: Context) -> dict[str, tuple[Recipe, dict[str, int]]]:
        """By name of the trial how to train, and without which fold; members of folds first."""
        specs = [context.outcomes[name].spec for name in candidates(context.outcomes)]
        # An earlier stage may have trained the recipe with one of the seeds.
        paid = [spec.recipe for spec in specs if spec.stage != self.name]
        wanted: dict[str, tuple[Recipe, dict[str, int]]] = {}

        def add(name: str, recipe: Recipe, **fold: int) -> None:
            wanted[full_training.unused(name, recipe, context.outcomes)] = recipe, fold

        for number in range(1, self._members):
            other = context.recipe.replace(seed=context.recipe.seed + number)
            if number <= self._folds:
                add(f"ensemble-fold-{number}", other, folds=self._folds, left_out=number)
            elif other not in paid:
                add(f"ensemble-seed-{other.seed}", other)
        return wanted

    def decide(self, context: Context) -> Decision:
        single = of_recipe(context.recipe, context.outcomes)
        if single is None:
            numbers = "No whole training kept its weights."
            return self.decision(context, "No ensemble: nothing to combine", numbers)
        known = self._models.validation()
        bagged, told = self._bagged(single, known, context)
        if bagged is not None and bagged.kept:
            headline = f"Average of {len(bagged.weights)} models, each leaving out {bag.FRACTION}"
            evidence = (single.spec.trial, *bagged.weights)
            numbers = wording.sentences(told)
            return self.decision(context, headline, numbers, evidence=evidence, values=bagged)
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
        numbers = wording.sentences([*told, *_numbers(names, values, context.facts)])
        return self.decision(
            context, _headline(names, values), numbers, evidence=names, values=values
        )

    def _bagged(
        self, single: Outcome, known: Validation, context: Context
    ) -> tuple[EnsembleValues | None, list[str]]:
        """What a bag is worth against the single model, also in words; `None` where there is
        none.
        """
        names = self._members_of_bag(_whole(context, single))
        if not names:
            return None, []
        trial, facts = single.spec.trial, context.facts
        alone, left_out = known.predict(trial), self._models.left_out()
        verdict = bag.judge(names, left_out, alone, facts.scored_by)
        repeats = len({context.outcomes[name].spec.repeat for name in names})
        missed = bag.part_missed(len(names), max(len(names) // bag.FOLDS, 1))
        given = single, context, bag.CHANGE, missed
        expected = full_training.expected_of_mean(verdict.gain, *given)
        found = known.figures(verdict.predictions[-len(alone) :])
        values = EnsembleValues(
            trial=trial,
            steps_spent=context.spent(self.name),
            weights={name: 1 / len(names) for name in names},
            repeats=repeats,
            kept=expected.is_gain,
            gain=verdict.gain,
            loss_gain=verdict.loss_gain,
            validation=ValidationFigures(single=known.figures(alone), before=found, after=found),
            reliability=ensemble_selection.reliability(
                verdict.predictions, verdict.predictions, left_out.targets
            ),
        )
        return values, _in_words(values, left_out, expected, facts)


def _whole(context: Context, single: Outcome) -> Context:
    """A context whose recipe ends with an evaluation."""
    total = rounded_up(context.recipe.total_steps, single.spec.eval_every)
    return context.replace(recipe=context.recipe.over(total))


def candidates(outcomes: dict[str, Outcome]) -> list[str]:
    """Names of the trainings that may be chosen as members: those whose weights were kept, of the
    best evaluation, also where a callback of the user's stopped them; none that has seen validation
    examples.
    """
    return [
        name
        for name, outcome in outcomes.items()
        if outcome.diverged_at is None
        and outcome.example_scores is not None
        and outcome.weights_kept
        and not outcome.spec.repeat
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


def _headline(names: list[str], values: EnsembleValues) -> str:
    if values.kept and len(values.weights) == 1:
        return f"No ensemble: training {next(iter(values.weights))} alone is better"
    if values.kept:
        return f"Ensemble of {len(values.weights)} models"
    if len(names) == 1:
        return "No ensemble: there is one training only"
    return "No ensemble: the gain over one model is not significant"


def _in_words(
    values: EnsembleValues, left_out: LeftOut, expected: Expected, facts: Facts
) -> list[str]:
    """A bag in words."""
    count, cuts = len(left_out.targets), f"{values.repeats} cut{'s' * (values.repeats > 1)}"
    what = f"the mean of {len(values.weights)} models, each without one of {bag.FOLDS} folds of the"
    what += f" {count:,} training and validation examples ({cuts})"
    told = f"against {values.trial} alone: "
    told += wording.expected(expected, values.gain, facts.scored_by)
    if not values.kept:
        return [f"{what}, is left out", told]
    judged = "examples are judged by the models that left them out"
    number = len(values.weights)
    more = f"as many models again would add {100 * bag.part_of_twice(number):.0f} % of what a mean"
    is_full = number >= bag.MOST_REPEATS * bag.FOLDS
    return [f"it is {what}", told, judged, *[f"{more} gains over one model"] * is_full]


def _numbers(names: list[str], values: EnsembleValues, facts: Facts) -> list[str]:
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
    return parts
