"""A model's layers by depth: which of them are frozen (S4.2), and how fast each learns (S4.3).

Depth is counted in levels, from the input on: a layer with a kernel, and what follows it without
one, such as a BatchNorm. Nested models are looked into, and layers that the builder froze are no
levels: they stay frozen.
"""

from __future__ import annotations

import collections
import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
from keras import layers

from kerastune.recipe import Recipe, parse_layer_rate
from kerastune.runtime import naming

Levels = list[list[layers.Layer]]


def forward(model: keras.Model) -> dict[layers.Layer, tuple[str, ...]]:
    """Every layer inside a model with its path, from the input on.

    The model itself comes first, with an empty path.

    Keras numbers the names that it makes itself through the whole process (`dense_7`). Here they
    are counted within the model, so that the same architecture built twice has the same names.

    Example:
        >>> inside = keras.Sequential(
        ...     [keras.Input([4]), layers.Dense(3), layers.Dense(3)], name="backbone"
        ... )
        >>> list(forward(keras.Sequential([inside, layers.Dense(2)])).values())[1:]
        [('backbone',), ('backbone', 'dense'), ('backbone', 'dense_1'), ('dense_2',)]
    """
    found: dict[layers.Layer, tuple[str, ...]] = {}
    counts: collections.Counter[str] = collections.Counter()
    waiting = [(model, ())]
    while waiting:
        layer, path = waiting.pop()
        if layer in found or isinstance(layer, layers.InputLayer):
            continue
        if layer is not model:
            base = _base_name(layer)
            path = (*path, f"{base}_{counts[base]}" if counts[base] else base)
            counts[base] += 1
        found[layer] = path
        waiting += [(inner, path) for inner in reversed(layer._layers)]
    return found


def _base_name(layer: layers.Layer) -> str:
    """The name of a layer without the number of one that Keras made."""
    base = re.sub(r"_\d+$", "", layer.name)
    return base if base.replace("_", "") == type(layer).__name__.lower() else layer.name


def own_kernels(layer: layers.Layer) -> list[keras.Variable]:
    """The variables of rank 2 and more that a layer itself has, frozen or not."""
    return [variable for variable in layer._trainable_variables if len(variable.shape) >= 2]


def levels(model: keras.Model) -> Levels:
    """The layers with something to train, from the input on, grouped by kernels.

    Of a model as it was built.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4]), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
        ... )
        >>> [[type(layer).__name__ for layer in level] for level in levels(model)]
        [['Dense', 'BatchNormalization'], ['Dense']]
    """
    found: Levels = []
    for layer in forward(model):
        is_normal = isinstance(layer, layers.BatchNormalization) and layer.trainable
        if not is_normal and not any(variable.trainable for variable in layer._trainable_variables):
            continue
        if not found or (own_kernels(layer) and any(own_kernels(each) for each in found[-1])):
            found.append([])
        found[-1].append(layer)
    return found


def is_layered(recipe: Recipe) -> bool:
    """Whether a recipe has layers learn at different rates."""
    return recipe.layer_decay < 1 or bool(recipe.layer_rate) or recipe.head_fraction > 0


def head_steps(recipe: Recipe) -> int:
    """Steps at the beginning in which only the head moves."""
    return round(recipe.head_fraction * recipe.total_steps)


def freeze(found: Levels, recipe: Recipe) -> None:
    """Freezes the first `recipe.frozen` levels, in place, as Keras's `trainable = False` does.

    BatchNorm of a frozen layer stays in inference mode: it keeps the moving statistics that it was
    loaded with. So does one that is frozen for the head's steps only, since Keras can't switch the
    mode within a training.

    Args:
        found: `levels` of a model that was not compiled yet.
        recipe: `frozen`, `head` and `head_fraction` count.
    """
    at_first = len(found) - recipe.head if recipe.head_fraction else 0
    for index, level in enumerate(found):
        for layer in level:
            if index < recipe.frozen and layer._layers:
                # Its own only: what is inside has levels of its own.
                for variable in layer._trainable_variables:
                    variable.trainable = False
            elif index < recipe.frozen or (
                index < at_first and isinstance(layer, layers.BatchNormalization)
            ):
                layer.trainable = False


def multipliers(model: keras.Model, found: Levels, recipe: Recipe) -> np.ndarray:
    """What the rate is multiplied by, for every trainable variable: `[2, variables]`.

    The first row counts in the first `head_steps`, the second one after them.

    Args:
        model: after `freeze`.
        found: its `levels`, from before that.
        recipe: says how.
    """
    rows = []
    for level, path, variable in _variables(model, found):
        height = len(found) - 1 - level
        usual = multiplier((*path, variable.name), height, recipe.layer_decay, recipe.layer_rate)
        is_at_rest = recipe.head_fraction > 0 and height >= recipe.head
        rows.append((id(variable), [0.0 if is_at_rest else usual, usual]))
    table = dict(rows)
    return (
        np.array([table[id(variable)] for variable in model.trainable_variables], np.float32)
        .reshape(-1, 2)
        .T
    )


def check(model: keras.Model, recipe: Recipe) -> None:
    """Refuses a recipe that does not fit the layers of a built model.

    Its patterns match nothing, or it freezes or rests more than there is.

    Raises:
        ValueError: with the name of the setting.
    """
    found = levels(model)
    for name, counts in (("frozen", recipe.frozen > 0), ("head", recipe.head_fraction > 0)):
        if counts and getattr(recipe, name) >= len(found):
            given = f"`{name}` ({getattr(recipe, name)})"
            raise ValueError(
                f"{given} must be below the {len(found)} layers with kernels of `{model.name}`."
            )
    if recipe.layer_rate:
        paths = [(*path, variable.name) for _, path, variable in _variables(model, found)]
        check_patterns(recipe.layer_rate, paths)


def _variables(
    model: keras.Model, found: Levels
) -> Iterator[tuple[int, Sequence[str], keras.Variable]]:
    """Level, path of its layer and the variable itself, for everything that the levels train."""
    paths = forward(model)
    for index, level in enumerate(found):
        for layer in level:
            for variable in layer._trainable_variables:
                yield index, paths[layer], variable


def multiplier(
    path: Sequence[str], height: int, layer_decay: float, layer_rate: Iterable[str]
) -> float:
    """The multiplier of one variable's learning rate.

    Of the last pattern that matches it, else by its depth.

    Args:
        path: names from the outermost model's layer down to the variable: `("backbone", "conv2d",
            "kernel")`.
        height: layers with kernels above its own; 0 for the last one.
        layer_decay: factor from one layer to the one below it, in `(0, 1]`.
        layer_rate: texts as `parsed` takes them.

    Example:
        >>> (
        ...     multiplier(("dense", "kernel"), 2, 0.5, []),
        ...     multiplier(("dense", "kernel"), 2, 0.5, ["dense=0.1"]),
        ... )
        (0.25, 0.1)
    """
    found = layer_decay**height
    for pattern, number in map(parse_layer_rate, layer_rate):
        found = number if matches(pattern, path) else found
    return found


def matches(pattern: str, path: Sequence[str]) -> bool:
    """Whether a glob matches any part of a path, from one name to another.

    Example:
        >>> path = ("backbone", "conv2d_1", "kernel")
        >>> [matches(pattern, path) for pattern in ("backbone", "conv*", "*/kernel", "dense")]
        [True, True, True, False]
    """
    ends = range(1, len(path) + 1)
    parts = ("/".join(path[start:end]) for end in ends for start in range(end))
    return any(fnmatch.fnmatchcase(part, pattern) for part in parts)


def check_patterns(layer_rate: Iterable[str], paths: Sequence[Sequence[str]]) -> None:
    """Refuses a pattern that matches nothing.

    Args:
        layer_rate: texts as `parsed` takes them.
        paths: of every variable, as `multiplier` takes them.

    Raises:
        ValueError: naming the pattern, and what there is.
    """
    for pattern, _ in map(parse_layer_rate, layer_rate):
        if not any(matches(pattern, path) for path in paths):
            known = list(dict.fromkeys("/".join(path[:-1]) for path in paths))
            hint = (
                naming.did_you_mean(pattern, known)
                or f"; layers with weights are: {', '.join(known)}."
            )
            raise ValueError(f"`layer_rate`: {pattern!r} matches no layer and no variable{hint}")
