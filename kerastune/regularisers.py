"""Which regularisers and weights of a recipe a model and its data have a use for (S4.1, P7)."""

from __future__ import annotations

import keras
import numpy as np

from kerastune import augment, smoothing, surgery
from kerastune.recipe import Recipe
from kerastune.task import Task

ABSENT = {"dropout": None, "label_smoothing": 0.0, "augmentation": 0.0, "flip": False, "class_weights": "none"}


def unusable(model: keras.Model, task: Task) -> dict[str, str]:
    """The values of a recipe that would change nothing here, by name, each with the reason in words.

    Args:
        model: a built and compiled model.
        task: what it is trained on.

    Example:
        >>> unusable(model, task)  # doctest: +SKIP
        {'flip': 'no input is an image'}
    """
    inputs = [np.asarray(array[:1]) for array in keras.tree.flatten(task.validation.x)]
    has_images = any(augment.is_image(array) for array in inputs)
    has_floats = any(array.dtype.kind == "f" for array in inputs)
    reasons = {
        "dropout": "" if surgery.dropout_layers(model) else "the model has no layer of Keras's Dropout family",
        "label_smoothing": smoothing.why_not(model.loss),
        "augmentation": "" if has_floats or has_images else "all inputs are integers, and no images",
        "flip": "" if has_images else "no input is an image",
        "class_weights": _why_no_class_weights(task),
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _why_no_class_weights(task: Task) -> str:
    if task.kind != "classification":
        return "there are no classes"
    return "the data came with class weights, which are kept" if task.class_weight is not None else ""


def check(recipe: Recipe, reasons: dict[str, str]) -> None:
    """Raises `ValueError` for a recipe that wants what would change nothing; `reasons` are those of `unusable`."""
    for name, reason in reasons.items():
        if getattr(recipe, name) not in (ABSENT[name], 0.0):
            raise ValueError(f"`{name}` ({getattr(recipe, name)}) has no use here: {reason}; leave it out.")
