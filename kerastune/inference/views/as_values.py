"""A view as plain values, as a decision records it, and the view that such values describe."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from kerastune.inference.views.base import View


def to_values(view: View) -> dict[str, Any]:
    """The class and the arguments of a view of `kerastune.inference.views`, ready for JSON.

    Example:
        >>> from kerastune.inference.views import Shift
        >>> to_values(Shift(right=2))
        {'view': 'Shift', 'down': 0, 'right': 2}
    """
    arguments = [name for name in inspect.signature(type(view)).parameters if name != "kwargs"]
    return {"view": type(view).__name__, **{name: getattr(view, name) for name in arguments}}


def from_values(values: dict[str, Any]) -> View:
    """The view of what `to_values` gave.

    Raises:
        ValueError: for a class that is no view.

    Example:
        >>> from_values({"view": "Scale", "factor": 1.25}).factor
        1.25
    """
    arguments = dict(values)
    name = arguments.pop("view")
    kind = keras.saving.get_registered_object(f"kerastune>{name}")
    if kind is None or not issubclass(kind, View):
        raise ValueError(f"`{name}` is not a view of kerastune.inference.views.")
    return kind(**arguments)
