"""Members of one architecture as one model for serving.

`[batch, ...] -> [batch, members, outputs]`.

*Stacked*, layers of all members become one layer each: dense layers one batched product,
convolutions one grouped convolution. As *branches*, the members stand side by side in one graph.
Which is faster depends on sizes and machine, so `fastest` measures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.inference.stacking import benchmark
from kerastune.inference.stacking.layers import again, settings
from kerastune.inference.stacking.layers import stack as stack_layer
from kerastune.inference.stacking.stacked import SHARED, CannotStack, Stacked

BATCH_SIZES = (1, 64)
TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Report:
    """Which form was kept, and why.

    Args:
        kept: `"stacked"` or `"branches"`.
        reason: one sentence, with the numbers if there are some.
        milliseconds: median time of a call by form and batch size; empty where there was nothing to
            compare.
    """

    kept: str
    reason: str
    milliseconds: dict[str, dict[int, float]] = dataclasses.field(default_factory=dict)


def stack(members: Sequence[keras.Model]) -> keras.Model:
    """One model whose layers compute all members at once; the weights are copied.

    Functional and Sequential models are walked node by node, nested ones and residual connections
    too. What all members compute alike from the inputs (their preprocessing) is computed once.

    Args:
        members: built models of one architecture, with one output each; only what matters at
            inference must be alike.

    Returns:
        A model `[batch, ...] -> [batch, members, ...]` of stock Keras layers.

    Raises:
        CannotStack: a `ValueError` that says which layer or difference stands in the way.

    Example:
        >>> members = [
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]) for _ in range(5)
        ... ]
        >>> stack(members).output_shape
        (None, 5, 3)
    """
    graphs = [graph_of(member) for member in members]
    for tensors in zip(*(graph.inputs for graph in graphs), strict=False):
        if len({(tuple(tensor.shape), tensor.dtype) for tensor in tensors}) > 1:
            raise CannotStack("the members take inputs of different shapes or types")
    inputs = fresh_inputs(members[0])
    flat = [Stacked(tensor, SHARED, len(members)) for tensor in keras.tree.flatten(inputs)]
    outputs = _run(graphs, flat)
    if len(outputs) != 1:
        raise CannotStack(f"the members have {len(outputs)} outputs, expected one")
    return keras.Model(inputs, outputs[0].by_members())


def branches(members: Sequence[keras.Model]) -> keras.Model:
    """The members side by side in one graph, sharing their weights with the members themselves.

    Args:
        members: built models that take the same inputs and give one output of the same shape.

    Returns:
        A model `[batch, ...] -> [batch, members, ...]`.

    Example:
        >>> members = [
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]) for _ in range(2)
        ... ]
        >>> branches(members).output_shape
        (None, 2, 3)
    """
    inputs = fresh_inputs(members[0])
    outputs = []
    for number, member in enumerate(members):
        # Names must differ within a graph, and members often share theirs.
        if getattr(member, "inputs", None):
            member = keras.Model(inputs_of(member), member.outputs[0], name=f"member_{number}")
        output = member(inputs)
        outputs.append(keras.layers.Reshape((1, *output.shape[1:]))(output))
    return keras.Model(
        inputs, keras.layers.Concatenate(1)(outputs) if len(outputs) > 1 else outputs[0]
    )


def fastest(
    members: Sequence[keras.Model], x: Any, rounds: int = benchmark.ROUNDS
) -> tuple[keras.Model, Report]:
    """Stacked members or branches, whichever answers sooner on these inputs.

    Both are compiled as they would be for serving, and called in turns with batches of 1 and of 64;
    the geometric mean of the two ratios of medians decides. Members that can't be stacked, or whose
    stacked outputs differ by more than 1e-5 of the largest output above 1, become branches.

    Args:
        members: built models of the same inputs, with one output each.
        x: raw inputs `[n, ...]`, an array or a dict of them.
        rounds: calls that are measured of each, at least 1.

    Returns:
        A model `[batch, ...] -> [batch, members, ...]`, and what was found.

    Example:
        >>> members = [
        ...     keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]) for _ in range(2)
        ... ]
        >>> model, report = fastest(members, np.zeros([64, 4], "float32"), rounds=3)
        >>> report.kept in ("stacked", "branches"), sorted(report.milliseconds)
        (True, ['branches', 'stacked'])
    """
    models = {"branches": branches(members)}
    if len(members) < 2:
        return models["branches"], Report("branches", "There is only one member: nothing to stack.")
    try:
        models["stacked"] = stack(members)
    except CannotStack as error:
        return models["branches"], Report("branches", f"The members can't be stacked: {error}.")
    return faster(models, x, rounds)


def faster(
    models: dict[str, keras.Model], x: Any, rounds: int = benchmark.ROUNDS
) -> tuple[keras.Model, Report]:
    """The faster of the same model `"stacked"` and as `"branches"`.

    As `fastest` decides it.
    """
    functions = {name: compiled(model) for name, model in models.items()}
    wanted, found = (
        functions[name](batch(x, BATCH_SIZES[-1])).numpy() for name in ("branches", "stacked")
    )
    difference = np.abs(wanted - found).max() / max(1.0, np.abs(wanted).max())
    if not difference <= TOLERANCE:
        return models["branches"], Report(
            "branches", f"Stacked outputs differ by {difference:.2g}."
        )
    times = {name: {} for name in functions}
    for size in BATCH_SIZES:
        calls = {name: _call(function, batch(x, size)) for name, function in functions.items()}
        for name, seconds in benchmark.medians(calls, rounds).items():
            times[name][size] = 1000 * seconds
    ratio = np.exp(
        np.mean([np.log(times["stacked"][size] / times["branches"][size]) for size in BATCH_SIZES])
    )
    kept = "stacked" if ratio < 1 else "branches"
    words = " and ".join(
        f"{times['stacked'][size]:.2f} ms stacked to {times['branches'][size]:.2f} in branches for "
        f"a batch of {size}"
        for size in BATCH_SIZES
    )
    return models[kept], Report(kept, f"Members take {words}; {kept} is faster.", times)


def compiled(model: keras.Model) -> Callable[[Any], tf.Tensor]:
    """The model at inference as one TensorFlow function, as it would be served."""
    return tf.function(lambda x: model(x, training=False))


def batch(x: Any, size: int) -> Any:
    """The first examples as tensors, repeated where there are fewer than `size`."""
    return keras.tree.map_structure(
        lambda array: tf.constant(array[np.arange(size) % len(array)]), x
    )


def _call(function: Callable[[Any], tf.Tensor], x: Any) -> Callable[[], np.ndarray]:
    return lambda: function(x).numpy()


# Walking the graphs of all members in step.


def graph_of(model: keras.Model) -> Any:
    """The functional graph of a model."""
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth") or not type(model).__module__.startswith("keras."):
        raise CannotStack(
            f"model `{model.name}` ({type(model).__name__}) is neither functional nor Sequential"
        )
    return graph


def nodes_of(graph: Any) -> Iterator[Any]:
    """The calls of a functional graph's layers and operations, in an order that works."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def _run(graphs: Sequence[Any], inputs: Sequence[Stacked]) -> list[Stacked]:
    """What the graphs of all members make of these inputs."""
    values = list(inputs)
    places = [{id(tensor): place for place, tensor in enumerate(graph.inputs)} for graph in graphs]
    steps = [list(nodes_of(graph)) for graph in graphs]
    if len({len(nodes) for nodes in steps}) > 1 or len({len(graph.inputs) for graph in graphs}) > 1:
        raise CannotStack("the members have different numbers of layers or inputs")
    for nodes in zip(*steps, strict=True):
        if len({type(node.operation) for node in nodes}) > 1:
            raise CannotStack(f"`{nodes[0].operation.name}` is not of the same kind in all members")
        wires = [
            [place[id(x)] for x in node.arguments.keras_tensors]
            for node, place in zip(nodes, places, strict=True)
        ]
        if any(wire != wires[0] for wire in wires) or not _same_constants(nodes):
            raise CannotStack(
                f"`{nodes[0].operation.name}` does not have the same inputs in all members"
            )
        found = _apply(nodes, [values[place] for place in wires[0]])
        for node, place in zip(nodes, places, strict=True):
            place |= {
                id(tensor): len(values) + number for number, tensor in enumerate(node.outputs)
            }
        values += found
    return [values[places[0][id(tensor)]] for tensor in graphs[0].outputs]


def _apply(nodes: Sequence[Any], inputs: list[Stacked]) -> list[Stacked]:
    each = [node.operation for node in nodes]
    if isinstance(each[0], keras.Model):
        return _run([graph_of(model) for model in each], inputs)
    if any(settings(operation) != settings(each[0]) for operation in each):
        raise CannotStack(f"`{each[0].name}` has different settings in the members")
    if all(x.form == SHARED for x in inputs) and _same_weights(each):
        return _apply_once(nodes[0], inputs)
    return [stack_layer(each, inputs)]


def _apply_once(node: Any, inputs: list[Stacked]) -> list[Stacked]:
    """What all members compute alike is computed once."""
    tensors = {
        id(old): x.tensor for old, x in zip(node.arguments.keras_tensors, inputs, strict=True)
    }
    arguments, named = node.arguments.fill_in(tensors)
    made = again(node.operation)
    outputs = keras.tree.flatten(made(*arguments, **named))
    if getattr(made, "weights", None):
        made.set_weights(node.operation.get_weights())
    return [Stacked(output, SHARED, inputs[0].count) for output in outputs]


def _same_weights(each: Sequence[Any]) -> bool:
    first, *others = [
        operation.get_weights() if hasattr(operation, "get_weights") else [] for operation in each
    ]
    return all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def _same_constants(nodes: Sequence[Any]) -> bool:
    """Whether what is not a tensor of the graph is the same in all calls."""
    first, *others = [
        [
            value
            for value in keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
            if not isinstance(value, keras.KerasTensor)
        ]
        for node in nodes
    ]
    return all(len(other) == len(first) and all(map(_same, first, other)) for other in others)


def _same(a: Any, b: Any) -> bool:
    if hasattr(a, "shape") or hasattr(b, "shape"):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and np.array_equal(a, b)
    return a == b


def inputs_of(model: keras.Model) -> Any:
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def fresh_inputs(model: keras.Model) -> Any:
    """New inputs like those of a model."""
    return keras.tree.map_structure(
        lambda tensor: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name),
        inputs_of(model),
    )
