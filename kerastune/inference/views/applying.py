"""Checks views and applies them to inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from kerastune.inference.views.base import View


def checked(view: keras.layers.Layer | Callable) -> keras.layers.Layer:
    """The layer of a view: itself, or one around a function.

    Refuses what could not be saved and what is random.

    Raises:
        ValueError: for a layer or function that is not registered with Keras, one that draws at
            random, or neither.

    Example:
        >>> checked(lambda x: -x)
        Traceback (most recent call last):
        ValueError: view `<lambda>` is not registered, ...
    """
    thing = view.function if isinstance(view, keras.layers.Lambda) else view
    kind = type(thing) if isinstance(thing, keras.layers.Layer) else thing
    if not callable(thing) or not hasattr(kind, "__name__"):
        raise ValueError(f"a view must be a Keras layer or a function of the inputs, got {view!r}.")
    is_registered = keras.saving.get_registered_name(kind) != kind.__name__
    if not is_registered and kind.__module__.split(".")[0] != "keras":
        raise ValueError(
            f"view `{kind.__name__}` is not registered, so no model with it can be saved or "
            "exported: write it as a function or layer under "
            "`@keras.saving.register_keras_serializable()`."
        )
    if not isinstance(view, keras.layers.Layer):
        return keras.layers.Lambda(view)
    if any("seed_generator" in variable.path for variable in view.variables):
        raise ValueError(
            f"view `{view.name}` ({kind.__name__}) is random; a view must be deterministic."
        )
    return view


def apply(view: keras.layers.Layer, x: Any) -> Any:
    """The view of inputs, arrays or tensors `[n, ...]`, in the same structure, shapes and types.

    A view of this module is applied to those entries of a dict that it is meant for, and the others
    stay; a layer of the user's gets the inputs as they are.

    Raises:
        ValueError: when the view is meant for none of the inputs, or gives other shapes.

    Example:
        >>> import numpy as np
        >>> from kerastune.inference.views import Noise
        >>> seen = apply(Noise(0.1, 1), {"size": np.zeros([2, 3]), "color": np.array([4, 5])})
        >>> seen["color"].tolist()
        [4, 5]
    """
    if not isinstance(view, View):
        seen = view(x)
    elif isinstance(x, Mapping):
        fitting = [name for name, entry in x.items() if view.takes(entry, view.sure_ranks)]
        _refuse_nothing(view, fitting, x)
        seen = {name: view.call(entry) if name in fitting else entry for name, entry in x.items()}
    else:
        _refuse_nothing(view, view.takes(x, view.ranks), {"inputs": x})
        seen = view.call(x)
    if keras.tree.map_structure(_described, seen) != keras.tree.map_structure(_described, x):
        raise ValueError(
            f"view `{view.name}` changes the shape or type of the inputs: it must keep both."
        )
    return seen


def _refuse_nothing(view: View, fitting, inputs: Mapping[str, Any]) -> None:
    if not fitting:
        given = ", ".join(f"{name} {_described(entry)}" for name, entry in inputs.items())
        raise ValueError(f"view `{type(view).__name__}` can't be applied to {given}: leave it out.")


def _described(x) -> str:
    return f"{keras.backend.standardize_dtype(x.dtype)}{[*x.shape[1:]]}"
