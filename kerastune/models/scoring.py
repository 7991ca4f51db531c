"""What a model is judged by: scores of single examples, and figures in the user's units."""

from __future__ import annotations

import keras
import numpy as np

from kerastune.analysis import calibration, error_analysis, metrics
from kerastune.data import batches
from kerastune.models import compiling, example_losses, fixed_batches, output_kind
from kerastune.models.output_kind import OutputKind
from kerastune.objective import Objective
from kerastune.problem import OTHER, Part, Problem, labels

OF_RARE_CLASSES = ("precision", "recall", "auc")


def scored_by(model: keras.Model, problem: Problem, objective: Objective) -> str:
    """What the scores of single examples measure: the objective, or what is nearest to it.

    `"ROC AUC"` for the metric of that area of two classes, `"macro-F1"` for an objective with `f1`
    in its name and, where classes are imbalanced, for one of precision, recall or AUC, since all of
    these see what happens to rare classes; `"loss"` for a loss of the user's own choice, and for
    targets that are neither one class nor one row of numbers per example. Any other objective has
    `"accuracy"`, or `"explained variance"` for regression: minus the share of the targets' variance
    that is not explained.
    """
    if problem.kind == OTHER:
        return "loss"
    if objective.name == compiling.roc_auc(model, problem):
        return "ROC AUC"
    is_classification = problem.kind == "classification"
    of_rare_classes = ("f1", *(OF_RARE_CLASSES if problem.imbalanced else ()))
    if is_classification and any(word in objective.name for word in of_rare_classes):
        return "macro-F1"
    loss = _loss_name(model)
    is_squared = "squared_error" in loss and not is_classification
    if objective.name == "loss" and loss and not is_squared:
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
    outputs: np.ndarray | None,
    objective: Objective,
    known: OutputKind | None = None,
) -> np.ndarray:
    """Score of every example `[n]` by what `scored_by` names, larger is better.

    Args:
        model: the compiled model that gave the outputs.
        problem: what is learnt.
        part: whose examples these are.
        outputs: of the model `[n, outputs]`; `None` for targets of kind `"other"`.
        objective: the validation value that chooses.
        known: what the outputs mean; found out from the model where it is not given.
    """
    measure = scored_by(model, problem, objective)
    if measure == "loss":
        return -example_losses.of(model, part, outputs)
    if measure == "explained variance":
        errors = (outputs - part.y.reshape(outputs.shape)) / problem.target_std
        return -np.mean(errors**2, axis=-1, dtype=np.float64)
    if known is None:
        x = output_kind.first_examples(problem.validation.x)
        known = output_kind.of(model, x, problem.kind)
    true = labels(part.y)
    if measure == "ROC AUC":
        return metrics.roc_auc_by_example(
            true == 1, error_analysis.probabilities(outputs, known.are_logits)[:, 1]
        )
    predicted = output_kind.predicted_classes(outputs, known.are_logits)
    if measure == "macro-F1":
        return metrics.macro_f1_by_example(true, predicted, problem.num_classes)
    return (predicted == true).astype(np.float64)


def measured(model: keras.Model, part: Part) -> dict[str, float]:
    """Loss and metrics of a compiled model on a part, by name; single numbers only."""
    size = fixed_batches.size_of(model)
    given = batches.examples(part, size or output_kind.PREDICTION_BATCH, is_fixed=size is not None)
    fixed_batches.reset_states(model)
    found = model.evaluate(given, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items() if np.ndim(value) == 0}


def figures(problem: Problem, part: Part, outputs: np.ndarray, logits: bool) -> dict[str, float]:
    """Metrics: accuracy, macro-F1, of two classes ROC AUC, and calibration; or MAE, RMSE and R2.

    Those of numbers are in the user's units. Not for targets of kind `"other"`, see `measured`.
    """
    if problem.kind == "classification":
        true, predicted = labels(part.y), output_kind.predicted_classes(outputs, logits)
        found = error_analysis.probabilities(outputs, logits)
        area = metrics.roc_auc_by_example(true == 1, found[:, 1]).mean()
        return {
            "accuracy": metrics.accuracy(true, predicted),
            "macro_f1": metrics.macro_f1(true, predicted, problem.num_classes),
            **({"roc_auc": float(area)} if problem.num_classes == 2 else {}),
            **calibration.figures(found, true),
        }
    errors = (outputs - part.y.reshape(outputs.shape)).astype(np.float64)
    variance = np.var(part.y.astype(np.float64).reshape(outputs.shape), axis=0)
    return {
        "mae": float(np.mean(np.abs(errors) * problem.target_scale)),
        "rmse": float(np.sqrt(np.mean((errors * problem.target_scale) ** 2))),
        "r2": float(np.mean(1.0 - np.mean(errors**2, axis=0) / variance)),
    }
