"""Finds members side by side inside a model, such as an ensemble, and stacks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerastune.inference.stacking import stacked_model
from kerastune.inference.stacking.stacked import CannotStack
from kerastune.inference.stacking.stacked_model import Report


def for_serving(model: keras.Model, x: Any, rounds: int = 30) -> tuple[keras.Model, Report | None]:
    """The model, or the same with its members stacked, whichever is faster.

    Measured on these inputs.

    Args:
        model: a built model.
        x: raw inputs `[n, ...]`, an array or a dict of them.
        rounds: calls that are measured of each.

    Returns:
        The model to serve, and what was found; `None` if there are no members side by side.

    Example:
        >>> import numpy as np
        >>> inputs = keras.Input([4])
        >>> members = [
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]) for _ in range(2)
        ... ]
        >>> model = keras.Model(
        ...     inputs, keras.layers.Average()([member(inputs) for member in members])
        ... )
        >>> _, report = for_serving(model, np.zeros([2, 4], "float32"), rounds=2)
        >>> sorted(report.milliseconds)
        ['branches', 'stacked']
    """
    stacked, reasons = stack_inside(model)
    if stacked is not model:
        return stacked_model.faster({"branches": model, "stacked": stacked}, x, rounds)
    return model, Report(
        "branches", f"The members can't be stacked: {reasons[0]}."
    ) if reasons else None


def stack_inside(model: keras.Model) -> tuple[keras.Model, list[str]]:
    """The model with groups of members stacked, at any depth of nested models.

    Weights of members are copied.

    Members are nested models that are called on the same tensors.

    Returns:
        A new model, or the same one if nothing could be stacked; and why groups could not be.
    """
    reasons: list[str] = []
    return _rebuilt(model, {}, reasons), reasons


def _rebuilt(model: keras.Model, made: dict[int, keras.Model], reasons: list[str]) -> keras.Model:
    """The model around stacked members.

    A nested model that is called several times is rebuilt once.
    """
    if id(model) in made:
        return made[id(model)]
    made[id(model)] = model
    try:
        graph = stacked_model.graph_of(model)
    except CannotStack:
        return model
    nodes = list(stacked_model.nodes_of(graph))
    groups = _stacked_groups(nodes, reasons)
    grouped = {id(node) for group, _ in groups for node in group}
    inner = {
        id(node): _rebuilt(node.operation, made, reasons)
        for node in nodes
        if isinstance(node.operation, keras.Model) and id(node) not in grouped
    }
    if groups or any(inner[id(node)] is not node.operation for node in nodes if id(node) in inner):
        made[id(model)] = _again(model, graph, nodes, groups, inner)
    return made[id(model)]


def _stacked_groups(
    nodes: Sequence[Any], reasons: list[str]
) -> list[tuple[list[Any], keras.Model]]:
    """Calls of nested models on the same tensors, and the model that replaces them."""
    by_inputs: dict[tuple[int, ...], list[Any]] = {}
    for node in nodes:
        if isinstance(node.operation, keras.Model):
            by_inputs.setdefault(tuple(id(x) for x in node.arguments.keras_tensors), []).append(
                node
            )
    groups = []
    for group in by_inputs.values():
        if len({id(node.operation) for node in group}) == len(group) > 1:
            try:
                stacked = stacked_model.stack([node.operation for node in group])
            except CannotStack as error:
                reasons.append(str(error))
                continue
            outputs = [stacked.output[:, number] for number in range(len(group))]
            groups.append(
                (
                    group,
                    keras.Model(stacked.input, outputs, name=f"stacked_{group[0].operation.name}"),
                )
            )
    return groups


def _again(
    model: keras.Model, graph: Any, nodes: Sequence[Any], groups: Sequence[Any], inner: dict
) -> keras.Model:
    """The same calls on new inputs, with stacked groups and rebuilt nested models."""
    inputs = stacked_model.fresh_inputs(model)
    tensors = dict(zip(map(id, graph.inputs), keras.tree.flatten(inputs), strict=True))
    stacked_at = {id(group[0]): (group, stacked) for group, stacked in groups}
    grouped = {id(node) for group, _ in groups for node in group}
    for node in nodes:
        if id(node) in grouped and id(node) not in stacked_at:
            continue
        group, operation = stacked_at.get(id(node), ([node], inner.get(id(node), node.operation)))
        arguments, named = node.arguments.fill_in(tensors)
        outputs = keras.tree.flatten(operation(*arguments, **named))
        tensors |= zip((id(old) for each in group for old in each.outputs), outputs, strict=True)
    outputs = [tensors[id(tensor)] for tensor in graph.outputs]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)
