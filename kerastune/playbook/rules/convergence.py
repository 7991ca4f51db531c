"""When a trial has converged, from its training loss and its evaluations (S1.4)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from kerastune.analysis import curves
from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.trial import Outcome

VALIDATION, TRAINING_LOSS = "validation", "training loss"
LEAST_TOTAL_STEPS = (
    500  # below, a few steps of luck decide; and so many steps of a small problem take a second
)


@dataclasses.dataclass(frozen=True)
class Convergence:
    """Where a curve has converged.

    Args:
        step: the converged step.
        seen: steps that were trained.
        by: `TRAINING_LOSS` or `VALIDATION`, whichever came first.
        surely: the step that must have been passed by half as much again to be certain.
        epoch: steps after which every example has been seen, which it takes to be certain, too; 0
            if not known.
        most: steps that a training may take.
    """

    step: int
    seen: int
    by: str
    surely: int
    epoch: int = 0
    most: float = math.inf

    @property
    def total_steps(self) -> int:
        """Steps to train for: 1.5x the converged step, and at least 500.

        A curve that was not watched long enough to tell takes twice the steps that were seen; and
        none takes more than it may.
        """
        found = max(curves.total_steps(self.step), LEAST_TOTAL_STEPS)
        return int(min(found if self.is_certain else 2 * self.seen, self.most))

    @property
    def is_certain(self) -> bool:
        """Whether the curve was watched for an epoch and up to 1.5x its converged step.

        Before, the end of a curve looks like convergence, and so does what a few hundred noisy
        steps fall slowly.
        """
        return max(curves.total_steps(self.surely), self.epoch) <= self.seen


def convergence(outcome: Outcome, facts: Facts) -> Convergence:
    """Where a sound trial has converged: the earlier of training loss and validation, of those that
    are certain.

    Validation has settled when neither the objective nor the validation loss improves any more: an
    accuracy moves in jumps and looks settled early, and the loss alone turns when the model grows
    too sure of itself.
    """
    losses, settled = outcome.losses, _settled(outcome, facts.objective)
    batch_size = outcome.spec.recipe.batch_size
    epoch, most = math.ceil(facts.num_train / batch_size), facts.most_steps(batch_size)
    sure = curves.surely_flat_step(losses)
    by_loss = Convergence(
        curves.converged_step(losses), outcome.steps, TRAINING_LOSS, sure, epoch, most
    )
    by_validation = Convergence(settled, outcome.steps, VALIDATION, settled, epoch, most)
    return min(by_loss, by_validation, key=lambda found: (not found.is_certain, found.step))


def _settled(outcome: Outcome, objective: Objective) -> int:
    if not outcome.evals:
        return outcome.steps
    steps = np.array([values["step"] for values in outcome.evals])
    judges = {objective.name: objective, "loss": Objective("loss", "min")}
    return max(
        curves.settled_step(steps, np.array([judge.gain(values[name]) for values in outcome.evals]))
        for name, judge in judges.items()
        if name in outcome.evals[0]
    )
