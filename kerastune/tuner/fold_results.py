"""What a cross-validation comes to: figures of every fold, and all out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerastune.analysis import error_analysis, fold_scores, metrics
from kerastune.data.cross_validation_set import Foldable
from kerastune.data.folds import Fold
from kerastune.inference import any_outputs, averaging
from kerastune.inference.any_outputs import OutputJudge
from kerastune.models import compiling, output_kind, scoring
from kerastune.problem import OTHER, Part, Problem
from kerastune.report import examples as small
from kerastune.report.predictions import MOST_MISTAKES, Mistakes, Predictions
from kerastune.training.trainer import Trainer, sample
from kerastune.trial import Outcome, State
from kerastune.tuner import results

HELD_OUT = "held-out"  # name of the part that all folds together have held out


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one fold's model gave.

    Args:
        fold: what was trained on, and what was held out.
        metrics: by name, on what was held out.
        held_out: probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units, of
            what was held out; `None` of targets of kind `"other"`.
        test: the same of the test part, or `any_outputs.rows`; `None` without one.
        member: the model, raw inputs in and probabilities or the user's units out; `None` where its
            outputs can't be averaged.
        steps: that it was trained.
        seconds: that this took.
    """

    fold: Fold
    metrics: dict[str, float]
    held_out: np.ndarray | None
    test: np.ndarray | None
    member: keras.Model | None
    steps: int
    seconds: float


def figures(examples: Foldable, true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Figures of merit of predictions, by name.

    Args:
        examples: that were folded.
        true: integer classes `[n]`, or numbers `[n, outputs]` in the user's units.
        said: probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units.

    Returns:
        Those that are finite.
    """
    part = Part(np.zeros([len(true), 1]), true)
    names = examples.classes.names if examples.classes is not None else ()
    problem = Problem(examples.raw.name, examples.kind, part, part, class_names=names)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scoring.figures(problem, part, said, logits=False)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def judge(
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
    found = figures(examples, examples.true[fold.held_out], held_out)
    measured = {
        f"val_{name}": value
        for name, value in outcome.evals[-1].items()
        if name not in ("step", "loss", *found)
    }
    single = trainer.finished_model(recipe, state, trains=False)
    member = averaging.assemble([single], [1.0], kind=problem.kind, sample=few)
    compiling.forget(single)
    member = member if problem.attach is None else problem.attach(member)
    return Judged(fold, found | measured, held_out, test, member, outcome.steps, outcome.seconds)


def _by_loss(fold: Fold, trainer: Trainer, state: State, outcome: Outcome) -> Judged:
    """What the model's own loss and metrics say of targets of kind `"other"`."""
    problem, found = trainer.problem, dict(outcome.evals[-1])
    found = {"loss": found.pop("loss"), **found}
    del found["step"]
    member = test = None
    if problem.output_numbers:
        member = trainer.finished_model(outcome.spec.recipe, state, trains=False)
        if problem.test is not None:
            test = any_outputs.predict(member, problem.test.x)
    return Judged(fold, found, None, test, member, outcome.steps, outcome.seconds)


def held_out_once(examples: Foldable, judged: list[Judged]) -> tuple[Foldable, list[Judged]]:
    """The examples that some fold holds out: all, but for the earliest of folds by time."""
    held = np.unique(np.concatenate([each.fold.held_out for each in judged]))
    if len(held) == len(examples):
        return examples, judged

    def among(fold: Fold) -> Fold:
        return dataclasses.replace(fold, held_out=np.searchsorted(held, fold.held_out))

    found = [dataclasses.replace(each, fold=among(each.fold)) for each in judged]
    return examples.only(held), found


def out_of_fold(examples: Foldable, judged: list[Judged]) -> dict[str, np.ndarray]:
    """The arrays of `out_of_fold.npz` by name.

    Every prediction is by a model that was not trained on the row.
    """
    of_fold = np.zeros([judged[-1].fold.repeat, len(examples)], np.int32)
    for each in judged:
        of_fold[each.fold.repeat - 1, each.fold.held_out] = each.fold.number
    found = {"fold": of_fold, "row": examples.rows}
    if (first := judged[0].held_out) is not None:
        predictions = np.zeros([*of_fold.shape, first.shape[1]], first.dtype)
        for each in judged:
            predictions[each.fold.repeat - 1, each.fold.held_out] = each.held_out
        found |= {"predictions": predictions, "true": examples.true}
    if examples.groups is not None:
        found["groups"] = examples.groups
    return found | {
        "class_names": np.array(examples.classes.names if examples.classes else (), np.str_)
    }


def kept(examples: Foldable, predictions: np.ndarray) -> Predictions:
    """What was held out as a report takes it: the mean over the repeats, with the worst mistakes.

    Args:
        examples: that were folded.
        predictions: out of fold `[repeats, n, classes or outputs]`.
    """
    names = tuple(map(str, examples.classes.names)) if examples.classes is not None else ()
    outputs, true = predictions.mean(axis=0), examples.true
    found = error_analysis.worst(outputs, true, bool(names), MOST_MISTAKES)
    x = examples.inputs(found)
    pictures = small.pictures(x)
    columns, rows = ((), np.zeros([0, 0], np.str_)) if pictures is not None else small.columns(x)
    mistakes = Mistakes(HELD_OUT, found, pictures, columns, rows)
    return Predictions(names, {HELD_OUT: true}, {"folds": {HELD_OUT: outputs}}, "folds", mistakes)


def result(
    examples: Foldable, judged: list[Judged], predictions: np.ndarray | None
) -> dict[str, Any]:
    """What `crossval.json` holds.

    Figures by fold, their summary, those of all held-out examples (not of kind `"other"`), and
    those of the ensemble on the test part.
    """
    sizes = [
        [len(each.fold.train) for each in judged],
        [len(each.fold.held_out) for each in judged],
    ]
    is_classification = examples.classes is not None
    found = {
        "examples": len(examples),
        "classes": []
        if examples.classes is None
        else [str(name) for name in examples.classes.names],
        "stratified": is_classification and examples.times is None,
        "grouped": examples.groups is not None,
        "by time": examples.times is not None,
        "by fold": [_row(each) for each in judged],
        "summary": fold_scores.summary([each.metrics for each in judged], *sizes),
        "out of fold": {} if predictions is None else _of_all(examples, predictions),
    }
    if judged[0].test is not None:
        averaged = np.mean([each.test for each in judged], axis=0)
        if examples.kind == OTHER:
            judge = OutputJudge(judged[0].member, examples.raw.parts["test"])
            told = judge.figures(averaged)
        else:
            told = figures(examples, examples.true_test, averaged)
        found["ensemble on the test part"] = told
    return found


def _of_all(examples: Foldable, predictions: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy or MAE of all held-out examples, with its interval."""
    if examples.classes is not None:
        scored, each = "accuracy", (predictions.argmax(axis=-1) == examples.true).mean(axis=0)
    else:
        scored, each = "mae", np.abs(predictions - examples.true).mean(axis=(0, 2))
    return {scored: fold_scores.pooled(each, examples.groups, metrics.limits(scored))}


def _row(judged: Judged) -> dict[str, Any]:
    return {
        "name": judged.fold.name,
        "trained on": len(judged.fold.train),
        "held out": len(judged.fold.held_out),
        "metrics": judged.metrics,
        "steps": judged.steps,
        "seconds": round(judged.seconds, 2),
    }
