"""The objective as users of KerasTuner give it."""

from __future__ import annotations

import re
from typing import Any

import keras_tuner
from keras_tuner.engine.metrics_tracking import infer_metric_direction

from kerastune.objective import Objective

# Of which more is better, where KerasTuner says otherwise or does not know.
MORE_IS_BETTER = (
    *("accuracy", "auc", "precision", "recall", "f1", "f1_score", "fbeta_score", "r2", "r2_score"),
    *("cosine_similarity", "mean_io_u", "io_u", "binary_io_u", "one_hot_io_u", "one_hot_mean_io_u"),
    *("precision_at_recall", "recall_at_precision", "concordance_correlation"),
    *("pearson_correlation",),
)
LESS_IS_BETTER = ("loss", "error", "mae", "mse", "mape", "msle", "rmse", "crossentropy")


def parse_objective(objective: keras_tuner.Objective | str | None) -> Objective | None:
    """The objective that a user gave.

    Args:
        objective: KerasTuner's, or text like `"val_accuracy"` or `"val_accuracy:max"`; `None` or an
            empty text for none.

    Raises:
        ValueError: for several objectives, a direction that can't be told from the name, or a value
            that is not of the validation part.

    Example:
        >>> parse_objective("val_accuracy"), parse_objective("val_mine:min").direction
        (Objective(name='accuracy', direction='max'), 'min')
    """
    refuse_several(objective)
    if isinstance(objective, keras_tuner.Objective):
        return Objective(_of_validation(objective.name), objective.direction)
    if objective is None or objective == "":
        return None
    if not isinstance(objective, str):
        raise ValueError(
            "`objective` must be a name such as 'val_accuracy' or a keras_tuner.Objective, "
            f"got {objective!r}."
        )
    if ":" in objective:
        return Objective.parse(objective)
    return Objective(_of_validation(objective), _direction(objective))


def as_keras_tuner(objective: Objective | None) -> keras_tuner.Objective | None:
    """The objective as KerasTuner has it.

    Example:
        >>> as_keras_tuner(Objective("accuracy", "max")).name
        'val_accuracy'
    """
    if objective is None:
        return None
    return keras_tuner.Objective(f"val_{objective.name}", objective.direction)


def refuse_several(objective: Any) -> None:
    """Raises `ValueError` for a list of objectives, in whatever form."""
    several = getattr(objective, "objectives", objective)
    if isinstance(several, (list, tuple)):
        names = ", ".join(str(getattr(each, "name", each)) for each in several)
        raise ValueError(
            f"`objective` must be one value, got a list of {len(several)} ({names}): give the one "
            "that chooses; the report shows the others that the model measures."
        )


def direction(name: str) -> str | None:
    """`"max"` or `"min"`, told from a metric's name; `None` where it can't be.

    The name of an output may precede it, and a number of Keras's may follow.

    Example:
        >>> direction("val_loss"), direction("val_f1_score"), direction("val_digit_accuracy_1")
        ('min', 'max', 'max')
        >>> direction("val_profit")
    """
    name = re.sub(r"_\d+$", "", name.removeprefix("val_"))
    if _ends_in(name, MORE_IS_BETTER):
        return "max"
    if _ends_in(name, LESS_IS_BETTER):
        return "min"
    return infer_metric_direction(name)


def _of_validation(name: str) -> str:
    """The name as the model's metric has it."""
    if not name.startswith("val_"):
        raise ValueError(
            f"`objective` must be a validation value: write 'val_{name}', got {name!r}."
        )
    return name[4:]


def _direction(name: str) -> str:
    found = direction(name)
    if found is None:
        raise ValueError(
            f"`objective` ({name!r}) needs its direction, which its name does not tell: write "
            f"keras_tuner.Objective({name!r}, 'max'), or 'min'."
        )
    return found


def _ends_in(name: str, endings: tuple[str, ...]) -> bool:
    return any(name == ending or name.endswith(f"_{ending}") for ending in endings)
