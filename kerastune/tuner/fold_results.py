"""What a cross-validation comes to: figures of every fold, and all out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerastune.analysis import error_analysis
from kerastune.data import folds
from kerastune.data.cross_validation_set import Foldable
from kerastune.data.folds import Fold
from kerastune.models import scoring
from kerastune.problem import Part, Problem
from kerastune.report import examples as small
from kerastune.report.predictions import MOST_MISTAKES, Mistakes, Predictions

HELD_OUT = "held-out"  # name of the part that all folds together have held out


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one fold's model gave.

    Args:
        fold: what was trained on, and what was held out.
        metrics: by name, on what was held out.
        held_out: probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units, of
            what was held out.
        test: the same of the test part; `None` without one.
        member: the model, raw inputs in and probabilities or the user's units out.
        steps: that it was trained.
        seconds: that this took.
    """

    fold: Fold
    metrics: dict[str, float]
    held_out: np.ndarray
    test: np.ndarray | None
    member: keras.Model
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
    repeats = judged[-1].fold.repeat
    predictions = np.zeros(
        [repeats, len(examples), judged[0].held_out.shape[1]], judged[0].held_out.dtype
    )
    of_fold = np.zeros([repeats, len(examples)], np.int32)
    for each in judged:
        predictions[each.fold.repeat - 1, each.fold.held_out] = each.held_out
        of_fold[each.fold.repeat - 1, each.fold.held_out] = each.fold.number
    found = {
        "predictions": predictions,
        "fold": of_fold,
        "true": examples.true,
        "row": examples.rows,
    }
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


def result(examples: Foldable, judged: list[Judged], predictions: np.ndarray) -> dict[str, Any]:
    """What `crossval.json` holds.

    Figures by fold, their summary, those of all held-out examples, and those of the ensemble on the
    test part.
    """
    sizes = [
        [len(each.fold.train) for each in judged],
        [len(each.fold.held_out) for each in judged],
    ]
    is_classification = examples.classes is not None
    if is_classification:
        scored, each = "accuracy", (predictions.argmax(axis=-1) == examples.true).mean(axis=0)
    else:
        scored, each = "mae", np.abs(predictions - examples.true).mean(axis=(0, 2))
    found = {
        "examples": len(examples),
        "classes": []
        if examples.classes is None
        else [str(name) for name in examples.classes.names],
        "stratified": is_classification and examples.times is None,
        "grouped": examples.groups is not None,
        "by time": examples.times is not None,
        "by fold": [_row(each) for each in judged],
        "summary": folds.summary([each.metrics for each in judged], *sizes),
        "out of fold": {scored: folds.pooled(each, examples.groups, is_classification)},
    }
    if judged[0].test is not None:
        averaged = np.mean([each.test for each in judged], axis=0)
        found["ensemble on the test part"] = figures(examples, examples.true_test, averaged)
    return found


def _row(judged: Judged) -> dict[str, Any]:
    return {
        "name": judged.fold.name,
        "trained on": len(judged.fold.train),
        "held out": len(judged.fold.held_out),
        "metrics": judged.metrics,
        "steps": judged.steps,
        "seconds": round(judged.seconds, 2),
    }
