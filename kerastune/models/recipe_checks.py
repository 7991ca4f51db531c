"""Which regularizers and weights of a recipe a model and its data have a use for (S4.1, P7)."""

from __future__ import annotations

import keras
import numpy as np

from kerastune.data import augmentation
from kerastune.models import label_smoothing, regularization
from kerastune.problem import OTHER, Problem
from kerastune.recipe import Recipe

ABSENT = {
    "dropout": None,
    "label_smoothing": 0.0,
    "augmentation": 0.0,
    "flip": False,
    "class_weights": "none",
}


def unusable(model: keras.Model, problem: Problem) -> dict[str, str]:
    """The values of a recipe that would change nothing here, each with the reason.

    Args:
        model: a built and compiled model.
        problem: what it is trained on.

    Example:
        >>> unusable(model, problem)  # doctest: +SKIP
        {'flip': 'no input is an image'}
    """
    inputs = [np.asarray(array[:1]) for array in keras.tree.flatten(problem.validation.x)]
    has_images = any(augmentation.is_image(array) for array in inputs)
    kept = "" if problem.kind != OTHER else "targets would have to be changed with the inputs"
    has_floats = any(array.dtype.kind == "f" for array in inputs)
    reasons = {
        "dropout": ""
        if regularization.dropout_layers(model)
        else "the model has no layer of Keras's Dropout family",
        "label_smoothing": label_smoothing.why_not(model.loss),
        "augmentation": kept * has_images
        if has_floats or has_images
        else "all inputs are integers, and no images",
        "flip": kept if has_images else "no input is an image",
        "class_weights": _why_no_class_weights(problem),
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _why_no_class_weights(problem: Problem) -> str:
    if problem.kind != "classification":
        return "there are no classes"
    return "the data have class weights, which are kept" if problem.class_weight is not None else ""


def check(recipe: Recipe, reasons: dict[str, str]) -> None:
    """Raises `ValueError` for a recipe that wants what would change nothing.

    `reasons` are those of `unusable`.
    """
    for name, reason in reasons.items():
        if getattr(recipe, name) not in (ABSENT[name], 0.0):
            raise ValueError(
                f"`{name}` ({getattr(recipe, name)}) has no effect: {reason}; leave it out."
            )
