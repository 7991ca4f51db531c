"""Compiles a model for a problem: its own loss and metrics, or those that fit the targets."""

from __future__ import annotations

from typing import Any

import keras

from kerastune.models import keras_metrics, output_kind
from kerastune.models.label_smoothing import SmoothedCrossentropy
from kerastune.models.output_kind import OutputKind
from kerastune.objective import Objective
from kerastune.problem import OTHER, Problem
from kerastune.runtime import naming

_SUITED = {
    "classification": "classification",
    "regression": "regression",
    OTHER: "such targets",
}


def compile_for(
    model: keras.Model,
    problem: Problem,
    optimizer: keras.optimizers.Optimizer | str,
    steps_per_execution: int | None = None,
    watch: bool = False,
    smoothed: bool = False,
    objective: str | None = None,
) -> None:
    """Compiles a model with this optimizer.

    As its builder compiled it, or else with loss and metrics for the problem.

    Args:
        model: a built model.
        problem: tells what loss fits a model that was not compiled.
        optimizer: takes the place of the builder's.
        steps_per_execution: steps in one call of the train function; as its builder had it by
            default.
        watch: whether macro-F1 is measured too when classes are imbalanced. It is kerastune's own
            metric, which a model that is saved should not need.
        smoothed: whether the training loss is one whose labels can be smoothed, a
            `SmoothedCrossentropy`.
        objective: name of the value that chooses; measured too where the model does not and
            `measures` knows it. This is for tuning as well, not for a model that is saved.

    Raises:
        ValueError: when it should be and can't.
    """
    settings = dict(model._compile_config.config) if model.compiled else {}
    wanted = ["macro_f1"] if watch and problem.imbalanced else []
    known = None
    if not model.compiled:
        if problem.kind == OTHER:
            raise ValueError(
                f"model `{model.name}` is not compiled, and its targets do not tell the loss: "
                "compile it."
            )
        known = _known(model, problem)
        settings = _default_settings(known, problem)
    if objective not in (None, "loss", *wanted, *_measured(model, settings)):
        wanted.append(objective)
    if wanted and problem.kind != OTHER and _is_flat(settings.get("metrics")):
        added = _added_metrics(wanted, problem, known or _known(model, problem))
        settings["metrics"] = [*(settings.get("metrics") or []), *added]
    if smoothed:
        settings["loss"] = SmoothedCrossentropy(settings.get("loss"))
    changes: dict[str, Any] = {"optimizer": optimizer}
    if steps_per_execution is not None:
        changes["steps_per_execution"] = steps_per_execution
    # The base class's own method: a model may override `compile` with other arguments.
    keras.Model.compile(model, **{**settings, **changes})


def forget(model: keras.Model) -> None:
    """Takes optimizer, loss and metrics off a model that is part of another one.

    Keras saves and loads them with every part: with Adam, three times the size and the time.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> model.compile("adam", "mse")
        >>> forget(model)
        >>> model.compiled, model.optimizer
        (False, None)
    """
    model.compiled, model.optimizer = False, None


def _known(model: keras.Model, problem: Problem) -> OutputKind:
    x = output_kind.first_examples(problem.validation.x)
    return output_kind.of(model, x, problem.kind)


def _added_metrics(
    wanted: list[str], problem: Problem, known: OutputKind
) -> list[keras.metrics.Metric]:
    """The metrics of these names, as far as they are known."""
    made = [keras_metrics.make(name, problem, known.activation) for name in wanted]
    return [metric for metric in made if metric is not None]


def _measured(model: keras.Model, settings: dict) -> list[str]:
    return metric_names(model) if model.compiled else _names(settings.get("metrics"))


def _is_flat(metrics) -> bool:
    """Whether metrics are those of one output, or there are none."""
    return (
        metrics is None
        or isinstance(metrics, (list, tuple))
        and not any(isinstance(each, (list, tuple, dict)) for each in metrics)
    )


def _default_settings(known: OutputKind, problem: Problem) -> dict:
    if known.kind == "regression":
        return {
            "loss": "mean_squared_error",
            "metrics": [keras.metrics.MeanAbsoluteError(name="mae")],
        }
    logits = known.are_logits
    if known.is_binary:
        loss = keras.losses.BinaryCrossentropy(from_logits=logits)
        accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=known.threshold)
    elif problem.validation.y.ndim == 2 and problem.validation.y.shape[1] > 1:
        loss, accuracy = keras.losses.CategoricalCrossentropy(from_logits=logits), "accuracy"
    else:
        loss, accuracy = keras.losses.SparseCategoricalCrossentropy(from_logits=logits), "accuracy"
    return {"loss": loss, "metrics": [accuracy]}


def default_objective(model: keras.Model, problem: Problem) -> Objective:
    """The default objective: ROC AUC, macro-F1, accuracy, or else the loss.

    With imbalanced classes the area under the ROC curve where the user's model measures it, else
    macro-F1 (P1); accuracy otherwise, where a compiled model measures it.
    """
    names = metric_names(model)
    if problem.kind == OTHER:
        return Objective("loss", "min")
    if problem.imbalanced and (area := roc_auc(model, problem)):
        return Objective(area, "max")
    if problem.imbalanced and "macro_f1" in names:
        return Objective("macro_f1", "max")
    if problem.kind == "classification":
        for name in ("accuracy", "acc"):
            if name in names:
                return Objective(name, "max")
    return Objective("loss", "min")


def roc_auc(model: keras.Model, problem: Problem) -> str | None:
    """Name of the model's metric that is the area under the ROC curve of two classes."""
    if problem.num_classes != 2:
        return None
    return next((_called(metric) for metric in _given_metrics(model) if _is_roc(metric)), None)


def _is_roc(metric) -> bool:
    if isinstance(metric, str):
        return metric.lower() == "auc"
    settings = metric.get_config() if isinstance(metric, keras.metrics.AUC) else {}
    return settings.get("curve") == "ROC" and not settings["multi_label"]


def check_objective(objective: Objective, model: keras.Model, kind: str = "classification") -> None:
    """Raises `ValueError` when a compiled model does not measure the objective."""
    names = ["loss", *metric_names(model)]
    if objective.name not in names:
        known = [f"val_{name}" for name in (*names, *keras_metrics.known(kind))]
        hint = naming.did_you_mean(f"val_{objective.name.lower()}", known)
        raise ValueError(
            f"`objective` (val_{objective.name}) is neither a metric of the model nor one of "
            f"Keras for {_SUITED[kind]}{hint or '.'} The model has: "
            f"{', '.join(f'val_{name}' for name in names)}."
        )


def metric_names(model: keras.Model) -> list[str]:
    """Names of a compiled model's metrics in the logs, before Keras has made them."""
    compiled = model._compile_metrics
    names = [name for metrics in _by_kind(model) for name in _in_logs(metrics, model)]
    return names + [
        metric.name for metric in model.metrics if metric is not compiled and metric.name != "loss"
    ]


def _by_kind(model: keras.Model) -> list:
    """Metrics as they were given to `compile`: plain ones and weighted ones."""
    compiled = model._compile_metrics
    return [compiled._user_metrics, compiled._user_weighted_metrics] if compiled else []


def _given_metrics(model: keras.Model) -> list:
    return [metric for metric in keras.tree.flatten(_by_kind(model)) if metric]


def _in_logs(metrics, model: keras.Model) -> list[str]:
    """Names of metrics in the logs: those of several outputs begin with that of the output."""
    if isinstance(metrics, dict):
        by_output = metrics
    elif isinstance(metrics, (list, tuple)) and any(isinstance(m, (list, tuple)) for m in metrics):
        by_output = dict(zip(getattr(model, "output_names", ()), metrics, strict=False))
    else:
        return _names(metrics)
    return [f"{output}_{name}" for output, each in by_output.items() for name in _names(each)]


def _names(metrics) -> list[str]:
    return [_called(metric) for metric in keras.tree.flatten(metrics) if metric]


def _called(metric) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "name", "") or metric.__name__
