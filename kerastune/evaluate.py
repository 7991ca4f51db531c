"""What a model is trained for and judged by: loss, metrics, predictions, and figures in the user's units."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerastune import batches, calibration, diagnostics, measures, naming, scores
from kerastune.smoothing import SmoothedCrossentropy
from kerastune.task import Part, Task, labels

PREDICTION_BATCH = 512
OF_RARE_CLASSES = ("precision", "recall", "auc")
LOOKED_AT = 32  # examples that show what kind of outputs a model gives
_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)  # is what comes out of these


def compile_for(
    model: keras.Model,
    task: Task,
    optimizer,
    steps_per_execution: int = 1,
    watch: bool = False,
    smoothed: bool = False,
    objective: str | None = None,
) -> None:
    """Compiles a model with this optimizer: as its builder compiled it, or else with loss and metrics for the task.

    Args:
        model: a built model.
        task: tells what loss fits a model that was not compiled.
        optimizer: takes the place of the builder's.
        steps_per_execution: steps in one call of the train function.
        watch: whether macro-F1 is measured too when classes are imbalanced. It is kerastune's own metric, which a model
            that is saved should not need.
        smoothed: whether the training loss is one whose labels can be smoothed, a `SmoothedCrossentropy`.
        objective: name of the value that chooses; measured too where the model does not and `measures` knows it. This
            is for tuning as well, not for a model that is saved.

    Raises:
        ValueError: when it should be and can't.
    """
    settings = dict(model._compile_config.config) if model.compiled else _default_settings(model, task)
    wanted = ["macro_f1"] if watch and task.imbalanced else []
    if objective not in (None, "loss", *wanted, *_measured(model, settings)):
        wanted.append(objective)
    if added := _added_metrics(wanted, model, task, settings.get("metrics")):
        settings["metrics"] = [*(settings.get("metrics") or []), *added]
    if smoothed:
        settings["loss"] = SmoothedCrossentropy(settings.get("loss"))
    changes = {"optimizer": optimizer, "steps_per_execution": steps_per_execution}
    # The base class's own method: a model may override `compile` with other arguments.
    keras.Model.compile(model, **{**settings, **changes})


def _added_metrics(wanted: list[str], model: keras.Model, task: Task, metrics) -> list[keras.metrics.Metric]:
    """The metrics of these names, as far as they are known; none where the model has several outputs to measure."""
    if not wanted or not (metrics is None or _is_flat(metrics)):
        return []
    form = averaged_form(model, _first(task.validation.x), task.kind)
    made = [measures.make(name, task, form) for name in wanted]
    return [metric for metric in made if metric is not None]


def _measured(model: keras.Model, settings: dict) -> list[str]:
    return metric_names(model) if model.compiled else _names(settings.get("metrics"))


def _is_flat(metrics) -> bool:
    return isinstance(metrics, (list, tuple)) and not any(isinstance(each, (list, tuple, dict)) for each in metrics)


def _default_settings(model: keras.Model, task: Task) -> dict:
    if task.kind == "regression":
        return {"loss": "mean_squared_error", "metrics": [keras.metrics.MeanAbsoluteError(name="mae")]}
    x = _first(task.validation.x)
    logits = gives_logits(model, x)
    threshold = 0.0 if logits else 0.5
    if _outputs(model, x).shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=logits)
        accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=threshold)
    elif task.validation.y.ndim == 2 and task.validation.y.shape[1] > 1:
        loss, accuracy = keras.losses.CategoricalCrossentropy(from_logits=logits), "accuracy"
    else:
        loss, accuracy = keras.losses.SparseCategoricalCrossentropy(from_logits=logits), "accuracy"
    return {"loss": loss, "metrics": [accuracy]}


def gives_logits(model: keras.Model, x=None) -> bool:
    """Whether a classifier's outputs are logits and not probabilities.

    A softmax or sigmoid at its end tells; else, for a compiled model, what its cross-entropy was told. Where neither is
    to be seen (say, a function within `call`), the outputs for `x` do.

    Args:
        model: a built model.
        x: inputs `[batch, ...]` as the model takes them; without them, what nothing is known of counts as logits.
    """
    if _last_activation(model) in _PROBABILITIES:
        return False
    said = _said_of_logits(model.loss) if model.compiled else None
    if said is not None:
        return said
    return x is None or not _looks_like_probabilities(model, x)


def is_classifier(model: keras.Model) -> bool:
    """Whether a model gives classes: it ends in a softmax or was compiled with a cross-entropy.

    A sigmoid tells only where there is no loss to ask: a number between 0 and 1 may be what is predicted.
    """
    last = _last_activation(model)
    if model.compiled:
        return last == keras.activations.softmax or _said_of_logits(model.loss) is not None
    return last in (keras.activations.softmax, keras.activations.sigmoid)


def averaged_form(model: keras.Model, x=None, kind: str | None = None) -> Callable:
    """What is done to a model's outputs before they are averaged with others: logits become probabilities.

    A classifier's logits go through a softmax, or a sigmoid where it has a single output or a binary cross-entropy;
    probabilities, and the numbers of a regression, stay what they are.

    Args:
        model: a built model with one output.
        x: inputs `[batch, ...]`; needed where neither the model's end nor its loss tells whether it gives logits.
        kind: `"classification"` or `"regression"`; needed where the same do not tell.

    Returns:
        A function of arrays or tensors `[batch, outputs]`.

    Raises:
        ValueError: when `kind` or `x` is needed and missing, or the kind is unknown.
    """
    if kind not in (None, "classification", "regression"):
        raise ValueError(f"`kind` must be classification or regression, got {kind!r}.")
    kind = kind or kind_of(model)
    if kind == "regression" or _last_activation(model) in _PROBABILITIES:
        return keras.activations.linear
    if x is None and _said_of_logits(_loss(model)) is None:
        raise ValueError(f"model `{model.name}` does not tell whether it gives logits: give a `sample` of its inputs.")
    if not gives_logits(model, x):
        return keras.activations.linear
    single = (model.output_shape if x is None else _outputs(model, x).shape)[-1] == 1
    is_binary = "binary" in str(getattr(_loss(model), "name", _loss(model))) or single
    return keras.activations.sigmoid if is_binary else keras.activations.softmax


def averageable(model: keras.Model, x, kind: str | None = None) -> np.ndarray:
    """A model's outputs for `x` in the form that is averaged: probabilities, or numbers; see `averaged_form`."""
    return np.asarray(averaged_form(model, _first(x), kind)(predict(model, x)), np.float32)


def kind_of(model: keras.Model) -> str:
    """Whether a model's end and loss tell of a `"classification"` or of a `"regression"`.

    A softmax and any cross-entropy are a classifier's, another loss of Keras's is a regression's; a sigmoid is a
    classifier's unless such a loss speaks against it.

    Raises:
        ValueError: when neither tells.
    """
    loss, last = _loss(model), _last_activation(model)
    if last is keras.activations.softmax or _said_of_logits(loss) is not None:
        return "classification"
    if loss is not None and (isinstance(loss, str) or getattr(loss, "__module__", "").split(".")[0] == "keras"):
        return "regression"
    if last is keras.activations.sigmoid:
        return "classification"
    raise ValueError(f"model `{model.name}` does not tell whether it classifies: give its `kind`.")


def _loss(model: keras.Model):
    return model.loss if model.compiled else None


def _last_activation(model: keras.Model):
    last = model
    while isinstance(last, keras.Model) and last.layers:
        last = last.layers[-1]
    return keras.activations.softmax if isinstance(last, keras.layers.Softmax) else getattr(last, "activation", None)


def _said_of_logits(loss) -> bool | None:
    """What a cross-entropy of Keras's takes its inputs for; `None` for any other loss."""
    name = loss if isinstance(loss, str) else type(loss).__name__ if isinstance(loss, keras.losses.Loss) else ""
    return getattr(loss, "from_logits", False) if "crossentropy" in name.lower().replace("_", "") else None


def _looks_like_probabilities(model: keras.Model, x) -> bool:
    # Logits that happen to lie between 0 and 1 do not stay there when the inputs are far out.
    outputs = np.concatenate([_outputs(model, _scaled(x, factor)) for factor in (1, 100, -100)])
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _scaled(x, factor: int):
    return keras.tree.map_structure(lambda a: a * a.dtype.type(factor) if a.dtype.kind == "f" else a, x)


def _outputs(model: keras.Model, x) -> np.ndarray:
    return np.asarray(keras.ops.cast(model(x, training=False), "float32"))


def default_objective(model: keras.Model, task: Task) -> scores.Objective:
    """Macro-F1 with imbalanced classes and accuracy otherwise, where a compiled model measures it, else the loss."""
    names = metric_names(model)
    if task.imbalanced and "macro_f1" in names:
        return scores.Objective("macro_f1", "max")
    if task.kind == "classification":
        for name in ("accuracy", "acc"):
            if name in names:
                return scores.Objective(name, "max")
    return scores.Objective("loss", "min")


def check_objective(objective: scores.Objective, model: keras.Model, kind: str = "classification") -> None:
    """Raises `ValueError` when a model, compiled by `compile_for`, does not measure the objective of such a task."""
    names = ["loss", *metric_names(model)]
    if objective.name not in names:
        known = [f"val_{name}" for name in (*names, *measures.known(kind))]
        hint = naming.did_you_mean(f"val_{objective.name.lower()}", known)
        raise ValueError(
            f"`objective` (val_{objective.name}) is not measured by the model, and no metric of Keras's that suits a "
            f"{kind} without further settings{hint}; it measures: {', '.join(f'val_{name}' for name in names)}."
        )


def metric_names(model: keras.Model) -> list[str]:
    """Names of a compiled model's metrics in the logs, before Keras has made them."""
    compiled = model._compile_metrics
    names = _names([compiled._user_metrics, compiled._user_weighted_metrics]) if compiled else []
    return names + [metric.name for metric in model.metrics if metric is not compiled and metric.name != "loss"]


def _names(metrics) -> list[str]:
    given = [name for name in keras.tree.flatten(metrics) if name]
    return [name if isinstance(name, str) else getattr(name, "name", None) or name.__name__ for name in given]


def predict(model: keras.Model, x) -> np.ndarray:
    """Outputs of a model `[n, outputs]`, in float32."""
    return np.asarray(model.predict(batches.inputs(x, PREDICTION_BATCH), verbose=0), np.float32)


def predicted_classes(outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Integer classes `[n]` of outputs `[n, classes]`, or `[n, 1]` of a model with a single output for class 1."""
    if outputs.shape[-1] > 1:
        return outputs.argmax(axis=-1)
    return (outputs.reshape(len(outputs)) > (0.0 if logits else 0.5)).astype(np.int64)


def scored_by(model: keras.Model, task: Task, objective: scores.Objective) -> str:
    """What the scores of single examples measure: what the objective does, or what is nearest to it.

    `"macro-F1"` for an objective with `f1` in its name and, where classes are imbalanced, for one of precision, recall
    or AUC, since all of these see what happens to rare classes; `"loss"` for a loss of the user's own choice. Any other
    objective has `"accuracy"`, or `"explained variance"` for regression: targets have unit variance, so a squared error
    is the share of it that is not explained.
    """
    is_classification = task.kind == "classification"
    of_rare_classes = ("f1", *(OF_RARE_CLASSES if task.imbalanced else ()))
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


def example_scores(model, task: Task, part: Part, outputs: np.ndarray, objective: scores.Objective) -> np.ndarray:
    """Score of every example `[n]` by what `scored_by` names, larger is better.

    Args:
        model: the compiled model that gave the outputs.
        task: what is learnt.
        part: whose examples these are.
        outputs: of the model `[n, outputs]`.
        objective: the validation value that chooses.
    """
    measure = scored_by(model, task, objective)
    if measure == "loss":
        loss = keras.losses.get(model.loss)
        each = np.asarray((loss.call if isinstance(loss, keras.losses.Loss) else loss)(part.y, outputs), np.float64)
        weights = 1.0 if part.sample_weight is None else part.sample_weight / np.mean(part.sample_weight)
        return -each.reshape(len(part), -1).mean(axis=1) * weights
    if measure == "explained variance":
        return -np.mean((outputs - part.y.reshape(outputs.shape)) ** 2, axis=-1, dtype=np.float64)
    true, predicted = labels(part.y), predicted_classes(outputs, gives_logits(model, _first(task.validation.x)))
    if measure == "macro-F1":
        return scores.macro_f1_by_example(true, predicted, task.num_classes)
    return (predicted == true).astype(np.float64)


def _first(x):
    return keras.tree.map_structure(lambda array: array[:LOOKED_AT], x)


def figures(task: Task, part: Part, outputs: np.ndarray, logits: bool) -> dict[str, float]:
    """Figures of merit: accuracy, macro-F1 and those of calibration, or MAE, RMSE and R2 in the user's units."""
    if task.kind == "classification":
        true, predicted = labels(part.y), predicted_classes(outputs, logits)
        return {
            "accuracy": scores.accuracy(true, predicted),
            "macro_f1": scores.macro_f1(true, predicted, task.num_classes),
            **calibration.figures(diagnostics.probabilities(outputs, logits), true),
        }
    errors = (outputs - part.y.reshape(outputs.shape)).astype(np.float64)
    variance = np.var(part.y.astype(np.float64).reshape(outputs.shape), axis=0)
    return {
        "mae": float(np.mean(np.abs(errors) * task.target_scale)),
        "rmse": float(np.sqrt(np.mean((errors * task.target_scale) ** 2))),
        "r2": float(np.mean(1.0 - np.mean(errors**2, axis=0) / variance)),
    }
