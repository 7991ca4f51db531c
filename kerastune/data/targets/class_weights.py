"""Weights of classes, by the labels as users have them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import checks, splits
from kerastune.data.targets.fitted import balanced
from kerastune.problem import Part, labels

OF_SIGNS = ("hinge", "squaredhinge")  # losses of two labels that are no classes


def by_class(
    weights: dict[Any, float] | str | None, classes: splits.Classes | None, part: Part
) -> dict[int, float] | None:
    """Weights by integer class of weights by the user's labels.

    Args:
        weights: by label, or `"balanced"`.
        classes: `None` where there are none.
        part: prepared; whose examples of each class are counted for `"balanced"`.

    Raises:
        ValueError: for other weights, and where there are no classes.
    """
    if weights is None:
        return None
    if weights == "balanced" and classes is not None:
        return balanced(labels(part.y), len(classes.names))
    if weights != "balanced" and not isinstance(weights, dict):
        raise ValueError(
            f"`class_weight` must be 'balanced' or a dict of label and weight, got {weights!r}."
        )
    weights = {} if weights == "balanced" else weights
    places = (
        {label: place for place, label in enumerate(classes.values.tolist())} if classes else {}
    )
    numbered = {places.get(label, label): weight for label, weight in weights.items()}
    checks.check_class_weight(numbered, classes.names if classes else ())
    return numbered


def by_label(part: Part, weights: dict[Any, float] | str | None) -> Part:
    """A training part whose examples have the weights of their labels, under a loss of signs.

    Args:
        part: not prepared.
        weights: by label, or `"balanced"`.

    Raises:
        ValueError: for other weights, and for weights of labels that there are not.

    Example:
        >>> part = Part(np.zeros([3, 2]), np.array([-1, 1, 1]))
        >>> by_label(part, {-1: 2.0}).sample_weight.tolist()
        [2.0, 1.0, 1.0]
    """
    if weights is None or nested.is_nested(part.y):
        return part
    values, places = np.unique(part.y, return_inverse=True)
    signs = splits.Classes(values, tuple(map(str, values.tolist())))
    known = by_class(weights, signs, Part(part.x, places.reshape(len(part), -1)))
    each = np.array([known.get(place, 1.0) for place in places.ravel()], np.float64)
    own = part.sample_weight
    return dataclasses.replace(part, sample_weight=each if own is None else own * each)
