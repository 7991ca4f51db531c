"""The inputs that a model takes, and whether data fit them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerastune.analysis import nested


def shapes(model: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """Shape of one example of every input by name; empty for a model that does not tell.

    Example:
        >>> shapes(keras.Sequential([keras.Input([4], name="flowers"), keras.layers.Dense(2)]))
        {'flowers': (4,)}
    """
    tensors = getattr(model, "inputs", None) or []
    return {tensor.name: tuple(tensor.shape[1:]) for tensor in tensors}


def takes_columns(model: keras.Model) -> bool:
    """Whether a model has an input for every column of a table, or takes a dict of them.

    Example:
        >>> takes_columns(keras.Sequential([keras.Input([4])]))
        False
    """
    return len(shapes(model)) > 1 or isinstance(getattr(model, "_inputs_struct", None), dict)


def build(model: keras.Model, x: Any) -> None:
    """Makes the weights of a model that were not made yet; batches of any size fit it.

    Args:
        model: as its builder gave it; one that is built is left alone.
        x: a few inputs `[batch, ...]`.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(2)])
        >>> build(model, np.zeros([1, 4], "float32"))
        >>> model.input_shape
        (None, 4)
    """
    if not model.built and isinstance(model, keras.Sequential) and not nested.is_nested(x):
        # Called with an example, it would be saved as a model of batches of one.
        model.build((None, *np.shape(x)[1:]))
    # One without a graph whose `build` was called may still have layers without variables.
    has_graph = bool(getattr(model, "outputs", None))
    if not (has_graph or all(layer.built for layer in model._flatten_layers())):
        model(keras.tree.map_structure(lambda array: array[:1], x))


def check(model: keras.Model, x: Any, called: str = "the model") -> None:
    """Refuses data that a model does not take.

    Args:
        model: with known inputs; one without is not looked at.
        x: inputs `[n, ...]`, or a dict, list or tuple of them.
        called: what the model is called.

    Raises:
        ValueError: naming the input, with both shapes.

    Example:
        >>> model = keras.Sequential([keras.Input([4], name="flowers"), keras.layers.Dense(2)])
        >>> check(model, np.zeros([1, 3]))
        Traceback (most recent call last):
            ...
        ValueError: the model takes `flowers` [4], the data have [3]: ...
    """
    wanted = shapes(model)
    if not wanted or any(nested.is_nested(each) for each in _entries(x)):
        return  # Keras itself knows what deeper structures mean
    for name, found in _named(wanted, x, called).items():
        if not _fits(wanted[name], found):
            sides = ", ".join("any" if side is None else str(side) for side in wanted[name])
            raise ValueError(
                f"{called} takes `{name}` [{sides}], the data have {list(found)}: "
                "use data of that shape."
            )


def _entries(x: Any) -> list[Any]:
    if isinstance(x, Mapping):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _named(wanted: Mapping[str, Any], x: Any, called: str) -> dict[str, tuple[int, ...]]:
    """Shapes of examples by name of the input; refuses names and numbers of inputs that differ."""
    names = ", ".join(wanted)
    if isinstance(x, Mapping):
        if set(x) != set(wanted):
            raise ValueError(
                f"{called} takes {names}, the data have {', '.join(map(str, x))}"
                f"{_differences(wanted, x)}: give the inputs the same names."
            )
        return {name: np.shape(x[name])[1:] for name in wanted}
    entries = _entries(x)
    if len(entries) != len(wanted):
        given = f"{len(entries)} arrays" if len(entries) > 1 else "one array"
        raise ValueError(f"{called} takes {names}, the data have {given}: give the same inputs.")
    return {name: np.shape(each)[1:] for name, each in zip(wanted, entries, strict=True)}


def _differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    missing = [name for name in wanted if name not in given]
    surplus = [str(name) for name in given if name not in wanted]
    told = [f"{', '.join(missing)} missing"] if missing else []
    told += [f"{', '.join(surplus)} too many"] if surplus else []
    return f" ({'; '.join(told)})"


def _fits(wanted: tuple[int | None, ...], found: tuple[int, ...]) -> bool:
    # Keras adds a last axis of size 1, or takes it away, where one side lacks it.
    if len(wanted) + 1 == len(found) and found[-1] == 1:
        found = found[:-1]
    if len(wanted) == len(found) + 1 and wanted[-1] == 1:
        found = (*found, 1)
    sides = zip(wanted, found, strict=False)
    return len(wanted) == len(found) and all(side in (None, other) for side, other in sides)
