"""What one fold's model gives for what was held out, and for the test part."""

from __future__ import annotations

import numpy as np

from kerastune.data.cross_validation_set import Foldable
from kerastune.data.folds import Fold
from kerastune.inference import any_outputs, averaging
from kerastune.models import output_kind
from kerastune.problem import OTHER, Part
from kerastune.training.trainer import Trainer, sample
from kerastune.trial import Outcome, State
from kerastune.tuner import fold_results, results
from kerastune.tuner.fold_results import Judged


def judged(
    examples: Foldable, fold: Fold, trainer: Trainer, state: State, outcome: Outcome
) -> Judged:
    """A fold's model and its metrics.

    Args:
        examples: that were folded.
        fold: what was held out.
        trainer: of the fold's problem.
        state: the weights at the end of its training.
        outcome: of its training.
    """
    if trainer.problem.kind == OTHER:
        return _by_loss(fold, trainer, state, outcome)
    problem, recipe = trainer.problem, outcome.spec.recipe
    few = sample(problem.validation.x)
    logits = output_kind.gives_logits(trainer.compiled(recipe).model, few)

    def predictions(part: Part) -> np.ndarray:
        outputs = trainer.outputs(recipe, state, part.x)
        return results.in_users_units(problem, outputs, logits)

    held_out = predictions(problem.validation)
    test = None if problem.test is None else predictions(problem.test)
    metrics = fold_results.figures(examples, examples.true[fold.held_out], held_out)
    measured = {
        f"val_{name}": value
        for name, value in outcome.evals[-1].items()
        if name not in ("step", "loss", *metrics)
    }
    member = averaging.assemble(
        [trainer.finished_model(recipe, state)], [1.0], kind=problem.kind, sample=few
    )
    member = member if problem.attach is None else problem.attach(member)
    return Judged(fold, metrics | measured, held_out, test, member, outcome.steps, outcome.seconds)


def _by_loss(fold: Fold, trainer: Trainer, state: State, outcome: Outcome) -> Judged:
    """What the model's own loss and metrics say of targets of kind `"other"`."""
    problem, found = trainer.problem, dict(outcome.evals[-1])
    metrics = {"loss": found.pop("loss"), **found}
    del metrics["step"]
    member = test = None
    if problem.output_numbers:
        member = trainer.finished_model(outcome.spec.recipe, state)
        if problem.test is not None:
            test = any_outputs.predict(member, problem.test.x)
    return Judged(fold, metrics, None, test, member, outcome.steps, outcome.seconds)
