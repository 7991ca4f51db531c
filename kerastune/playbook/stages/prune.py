"""Pruning of the final model: how many of its weights can be zero before validation notices (S4.4).

For every sparsity the trained model is fine-tuned for half its steps, at the rates of its own
recipe from the start (Renda, Frankle and Carbin 2020, "Comparing Rewinding and Fine-tuning in
Neural Network Pruning", arXiv:2003.02389); the sparsity grows in the first half of them. Each is
compared with the model as it was, paired on validation examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerastune.analysis import comparison, sparsity
from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, rounded_up
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import full_training
from kerastune.playbook.stages import ensemble
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, TrainedModels, Wanted

SPARSITIES = (0.5, 0.8, 0.9)
FINE_TUNING = 0.5  # steps of one, as a share of the recipe's


@dataclasses.dataclass(frozen=True)
class Pruned:
    """A model of one sparsity.

    Args:
        trial: its training.
        sparsity: fraction of zeros in its kernels.
        steps: that it was trained for.
        value: its validation objective; `None`, as all that follow, where it came to no end.
        gain: over the model that is not pruned.
        zeros: fraction of zeros in all its weights.
        bytes: of its weights.
        gzip_bytes: the same, compressed.
    """

    trial: str
    sparsity: float
    steps: int
    value: float | None = None
    gain: Comparison | None = None
    zeros: float | None = None
    bytes: int | None = None
    gzip_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class PruneValues(ChosenTrial):
    """What stage `prune` found.

    Args:
        unpruned: trial of the model that is not pruned.
        kept: whether a pruned model is the final one.
        sparsity: of the final model.
        curve: all sparsities, the model that is not pruned first.
        objective: the validation value that chooses.
        scored_by: what gains measure.
    """

    unpruned: str | None = None
    kept: bool = False
    sparsity: float = 0.0
    curve: tuple[Pruned, ...] = ()
    objective: str = ""
    scored_by: str = "accuracy"


class Prune(Stage):
    """Prunes what was trained to several sparsities, and keeps the largest one without a
    significant loss.

    Sparsities are tried from the smallest on, and the first that loses significantly ends what can
    be kept: one that does not lose behind one that does is luck. A sparsity of 0 shows what
    fine-tuning alone does.

    Args:
        sparsities: shares of zeros, in `[0, 1)`; each once, in any order.
        models: of the trials, whose `weights` are asked for when the stage decides, for their size.

    Raises:
        ValueError: for no sparsity, one out of range, or one that is given twice.
    """

    name = "prune"
    question = "How many weights can be zero?"
    share = 1.0
    values = PruneValues
    combines = True
    figure = "pruning"
    follows_training = True
    stands_alone = True

    def __init__(self, sparsities: Sequence[float], models: TrainedModels | None = None):
        self._sparsities = checked(sparsities)
        self._models = models

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return False

    @classmethod
    def create(cls, setup: Setup) -> Prune:
        return cls(setup.sparsities, setup.models)

    def propose(self, context: Context) -> list[TrialSpec]:
        unpruned = _unpruned(context)
        if unpruned is None:
            return []
        every = unpruned.spec.eval_every
        total = max(rounded_up(FINE_TUNING * unpruned.spec.recipe.total_steps, every), every)
        left = context.left(self.name)
        tuned = _fine_tuning(unpruned.spec.recipe, total)
        shares = {trial_name(share): share for share in self._sparsities}
        due = []
        for name, done in full_training.affordable(shares, total, left, context.outcomes):
            spec = full_training.segment(name, self.name, tuned, done, every)
            due.append(dataclasses.replace(spec, after=unpruned.spec.trial, sparsity=shares[name]))
        return due

    def decide(self, context: Context) -> Decision:
        unpruned = _unpruned(context)
        if unpruned is None:
            numbers = "No whole training kept its weights."
            return self.decision(context, "No pruning: nothing to prune", numbers)
        tried = [
            context.outcomes[name]
            for name in map(trial_name, self._sparsities)
            if name in context.outcomes
        ]
        curve = [self._pruned(outcome, unpruned, context.facts) for outcome in (unpruned, *tried)]
        kept = _largest_without_loss(curve[1:])
        values = PruneValues(
            trial=kept.trial if kept else unpruned.spec.trial,
            steps_spent=context.spent(self.name),
            unpruned=unpruned.spec.trial,
            kept=kept is not None,
            sparsity=kept.sparsity if kept else 0.0,
            curve=tuple(curve),
            objective=context.facts.objective.name,
            scored_by=context.facts.scored_by,
        )
        left_out = [
            share for share in self._sparsities if trial_name(share) not in context.outcomes
        ]
        return self.decision(
            context,
            f"Pruned to {_percent(kept)} zeros" if kept else "No pruning",
            _numbers(values, kept, left_out),
            evidence=[point.trial for point in curve],
            values=values,
        )

    def _pruned(self, outcome: Outcome, unpruned: Outcome, facts: Facts) -> Pruned:
        """What is known of one model: its size, and what it gains over the unpruned one, if it came
        to its end.

        The unpruned one may have been stopped at a constant rate: it is what was handed on.
        """
        point = Pruned(outcome.spec.trial, outcome.spec.sparsity, outcome.steps)
        if outcome is not unpruned and not full_training.is_comparable(outcome):
            return point
        weights = list(self._models.weights(outcome.spec.trial))
        return dataclasses.replace(
            point,
            value=outcome.kept_evaluation(facts.objective)[facts.objective.name],
            gain=comparison.difference(outcome.example_scores, unpruned.example_scores),
            zeros=sparsity.zeros(weights),
            bytes=sum(array.nbytes for array in weights),
            gzip_bytes=sparsity.gzipped(weights),
        )


def checked(sparsities: Sequence[float]) -> tuple[float, ...]:
    """The sparsities from the smallest on.

    Raises:
        ValueError: for none, one out of range, or one that is given twice.

    Example:
        >>> checked([0.8, 0.5])
        (0.5, 0.8)
    """
    found = tuple(sorted(sparsity.check(share) for share in sparsities))
    if not found:
        raise ValueError(
            "`sparsity` must be one share in [0, 1) at least, as 0.5,0.8,0.9, got none."
        )
    for share, other in zip(found, found[1:]):
        if trial_name(share) == trial_name(other):
            raise ValueError(f"`sparsity` has {other:g} twice; give each once.")
    return found


def trial_name(share: float) -> str:
    """Name of the trial that prunes to a sparsity.

    Example:
        >>> trial_name(0.8), trial_name(0.975)
        ('prune-80', 'prune-97.5')
    """
    return f"prune-{100 * share:.6g}"


def _unpruned(context: Context) -> Outcome | None:
    """The training of the recipe that was handed on."""
    return ensemble.of_recipe(
        context.recipe,
        {name: o for name, o in context.outcomes.items() if o.spec.stage != Prune.name},
    )


def _fine_tuning(recipe: Recipe, total: int) -> Recipe:
    """The recipe for so many steps; the rate always falls, so that the end is what is judged."""
    if recipe.decay == "none":
        return recipe.replace(total_steps=total, decay="linear", decay_start=0)
    return recipe.over(total)


def _largest_without_loss(curve: Sequence[Pruned]) -> Pruned | None:
    kept = None
    for point in curve:
        if point.gain is None or point.gain.high < 0:
            break
        kept = point if point.sparsity else kept
    return kept


def _numbers(values: PruneValues, kept: Pruned | None, left_out: Sequence[float]) -> str:
    unpruned, tried = values.curve[0], values.curve[1:]
    parts = []
    if kept is None:
        parts.append(f"the final model is that of trial {unpruned.trial}")
    else:
        before, after = unpruned.gzip_bytes, kept.gzip_bytes
        gain = _gained(kept, values.scored_by)
        parts.append(f"on validation {gain}, against {values.unpruned}")
        parts.append(
            f"gzipped, {before / 1000:.4g} kB of weights are {after / 1000:.4g} kB, "
            f"{before / after:.3g} times less"
        )
    parts += [
        f"{_percent(point)}: {_gained(point, values.scored_by)}"
        for point in tried
        if point is not kept
    ]
    if left_out:
        shares = ", ".join(f"{100 * share:g} %" for share in left_out)
        parts.append(f"the budget held no more, so {shares} was not tried")
    return wording.sentences(parts)


def _percent(point: Pruned) -> str:
    return f"{100 * point.sparsity:g} %"


def _gained(point: Pruned, measure: str) -> str:
    if point.gain is None:
        return f"came to no end (step {point.steps})"
    return f"{wording.gain(point.gain, measure)}, {wording.verdict(point.gain)}"
