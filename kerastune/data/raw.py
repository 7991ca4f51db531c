"""What a source of data gives, still unchecked, and how pairs of arrays and datasets become it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import checks, streams, user_inputs
from kerastune.data.readers.columns import Column
from kerastune.problem import Part


@dataclasses.dataclass(frozen=True)
class Raw:
    """What a source gives, before it is checked, cut and prepared.

    With a `stream`, the training part holds a profile in place of the inputs. With `is_table`,
    inputs are columns, and `columns` tells what each became, `label` what the targets are. The
    `groups` that examples belong to are those of the training part, then of a validation part that
    the source has; `order` are times of the training part that it is cut by. Images have an
    `image_size`.
    """

    name: str
    parts: dict[str, Part]
    stream: Any = None
    kind: str = ""
    class_names: tuple[str, ...] = ()
    is_table: bool = False
    notes: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    order: np.ndarray | None = None
    columns: tuple[Column, ...] = ()
    label: Column | None = None
    image_size: int = 0


def from_pairs(values: dict[str, Any], name: str) -> Raw:
    """Makes a `Raw` of pairs of arrays, and of datasets.

    They are given by `train`, `validation` and `test`; `None` is left out.

    Example:
        >>> list(from_pairs({"train": ([[1.0], [2.0]], [0, 1]), "test": None}, "two").parts)
        ['training']
    """
    parts = {
        where: _part(values[where], where)
        for where in ("validation", "test")
        if values.get(where) is not None
    }
    given, notes = values["train"], []
    if user_inputs.is_batches(given):
        given = user_inputs.read(given, "The training part", streams=True)
    if hasattr(given, "num_batches"):
        given = streams.of_batches(given)
        notes.append("The training part is larger than memory: it stays a stream.")
    if not streams.is_dataset(given):
        return Raw(name, {"training": _part(given, "training"), **parts})
    if "validation" not in parts:
        how = '`validation_data`, or a "validation" part beside "train"'
        raise ValueError(
            f"{name}: a tf.data.Dataset, or what else is larger than memory, cannot be split; give "
            f"a validation part as well ({how})."
        )
    train, count = streams.scan(given)
    if "test" not in parts:
        notes.append("There is no test part: a stream cannot be split.")
    stream = streams.single_examples(given, count)
    return Raw(name, {"training": train, **parts}, stream=stream, notes=tuple(notes))


def refuse_stream(x: Any) -> None:
    """Raises `ValueError` for a `tf.data.Dataset`, whose examples can't be cut into folds."""
    if streams.is_dataset(x):
        raise ValueError("A tf.data.Dataset can't be split into folds; give arrays.")


def _part(value: Any, where: str) -> Part:
    """A part from `(x, y)`, `(x, y, sample_weight)` or a dataset of those; `y` may be `None`."""
    if streams.is_dataset(value):
        return streams.materialize(value, where)
    if user_inputs.is_batches(value):
        value = user_inputs.read(value, f"The {where} part")
    if isinstance(value, tuple) and len(value) == 1:
        value = (*value, None)
    if isinstance(value, (np.ndarray, dict)) or user_inputs.is_frame(value):
        value = (value, None)
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise ValueError(
            f"The {where} part must be (x, y), (x, y, sample_weight), or a tf.data.Dataset, a "
            "PyDataset or a generator of those."
        )
    x, y, *weight = value
    what = f"of the {where} part"
    if y is None and weight and weight[0] is not None:
        raise ValueError(f"`sample_weight` {what} needs `y`; leave it out, or give targets.")
    weight = _arrays(weight[0], "sample_weight", what) if weight else None
    if isinstance(weight, np.ndarray) and weight.ndim == 2 and weight.shape[1] == 1:
        weight = weight[:, 0]
    return Part(_arrays(x, "x", what), _arrays(y, "y", what), weight)


def _arrays(values: Any, name: str, what: str) -> Any:
    """A structure of arrays; a DataFrame in it becomes an array."""
    names = iter([place for place, _ in nested.named(values, name)])
    return nested.mapped(lambda each: as_array(each, f"`{next(names)}` {what}"), values)


def as_array(values: Any, what: str) -> np.ndarray:
    """Gives `values` as an array, and refuses sparse, ragged and object ones by name.

    Example:
        >>> as_array([[1, 2], [3]], "`x`")
        Traceback (most recent call last):
            ...
        ValueError: `x` is ragged (its rows differ in length); pad or crop them to one shape.
    """
    kind, values = type(values).__name__, user_inputs.as_numpy(values)
    if hasattr(values, "toarray") or "Sparse" in kind:
        raise ValueError(
            f"{what} is sparse ({kind}), expected an array; convert it with `.toarray()`."
        )
    try:
        array = None if "Ragged" in kind else user_inputs.as_numpy(np.asarray(values))
    except ValueError:
        array = None
    if array is None:
        raise ValueError(
            f"{what} is ragged (its rows differ in length); pad or crop them to one shape."
        )
    if array.dtype.kind != "U":
        checks.check_dtype(array, what)
    if array.ndim == 0:
        raise ValueError(
            f"{what} is a single value ({kind}), expected an array with one entry for every "
            "example."
        )
    return array
