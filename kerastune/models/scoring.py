"""What a model is judged by: scores of single examples, and figures in the user's units."""

from __future__ import annotations

import keras
import numpy as np

from kerastune.analysis import calibration, error_analysis, metrics
from kerastune.models import output_kind
from kerastune.models.output_kind import OutputKind
from kerastune.objective import Objective
from kerastune.problem import Part, Problem, labels

OF_RARE_CLASSES = ("precision", "recall", "auc")


def scored_by(model: keras.Model, problem: Problem, objective: Objective) -> str:
    """What the scores of single examples measure: the objective, or what is nearest to it.

    `"macro-F1"` for an objective with `f1` in its name and, where classes are imbalanced, for one
    of precision, recall or AUC, since all of these see what happens to rare classes; `"loss"` for a
    loss of the user's own choice. Any other objective has `"accuracy"`, or `"explained variance"`
    for regression: targets have unit variance, so a squared error is the share of it that is not
    explained.
    """
    is_classification = problem.kind == "classification"
    of_rare_classes = ("f1", *(OF_RARE_CLASSES if problem.imbalanced else ()))
    if is_classification and any(word in objective.name for word in of_rare_classes):
        return "macro-F1"
    loss = _loss_name(model)
    if objective.name == "loss" and loss and not ("squared" in loss and not is_classification):
        return "loss"
    return "accuracy" if is_classification else "explained variance"


def _loss_name(model: keras.Model) -> str:
    """Name of the one loss of a model; empty where there are several or none, or it has no name."""
    loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
    return getattr(loss, "name", None) or getattr(loss, "__name__", "")


def example_scores(
    model: keras.Model,
    problem: Problem,
    part: Part,
    outputs: np.ndarray,
    objective: Objective,
    known: OutputKind | None = None,
) -> np.ndarray:
    """Score of every example `[n]` by what `scored_by` names, larger is better.

    Args:
        model: the compiled model that gave the outputs.
        problem: what is learnt.
        part: whose examples these are.
        outputs: of the model `[n, outputs]`.
        objective: the validation value that chooses.
        known: what the outputs mean; found out from the model where it is not given.
    """
    measure = scored_by(model, problem, objective)
    if measure == "loss":
        loss = keras.losses.get(model.loss)
        each = np.asarray(
            (loss.call if isinstance(loss, keras.losses.Loss) else loss)(part.y, outputs),
            np.float64,
        )
        weights = (
            1.0 if part.sample_weight is None else part.sample_weight / np.mean(part.sample_weight)
        )
        return -each.reshape(len(part), -1).mean(axis=1) * weights
    if measure == "explained variance":
        return -np.mean((outputs - part.y.reshape(outputs.shape)) ** 2, axis=-1, dtype=np.float64)
    if known is None:
        x = output_kind.first_examples(problem.validation.x)
        known = output_kind.of(model, x, problem.kind)
    true = labels(part.y)
    predicted = output_kind.predicted_classes(outputs, known.are_logits)
    if measure == "macro-F1":
        return metrics.macro_f1_by_example(true, predicted, problem.num_classes)
    return (predicted == true).astype(np.float64)


def figures(problem: Problem, part: Part, outputs: np.ndarray, logits: bool) -> dict[str, float]:
    """Metrics: accuracy, macro-F1 and calibration, or MAE, RMSE and R2.

    Those of numbers are in the user's units.
    """
    if problem.kind == "classification":
        true, predicted = labels(part.y), output_kind.predicted_classes(outputs, logits)
        return {
            "accuracy": metrics.accuracy(true, predicted),
            "macro_f1": metrics.macro_f1(true, predicted, problem.num_classes),
            **calibration.figures(error_analysis.probabilities(outputs, logits), true),
        }
    errors = (outputs - part.y.reshape(outputs.shape)).astype(np.float64)
    variance = np.var(part.y.astype(np.float64).reshape(outputs.shape), axis=0)
    return {
        "mae": float(np.mean(np.abs(errors) * problem.target_scale)),
        "rmse": float(np.sqrt(np.mean((errors * problem.target_scale) ** 2))),
        "r2": float(np.mean(1.0 - np.mean(errors**2, axis=0) / variance)),
    }
