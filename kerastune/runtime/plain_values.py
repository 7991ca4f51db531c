"""Dataclasses as plain values for JSON and back, led by their annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


def to_plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses and mappings as dicts, tuples as lists.

    Args:
        value: a dataclass, mapping, list or tuple of such, or a number, text, truth value or
            `None`.

    Example:
        >>> Gain = dataclasses.make_dataclass("Gain", [("fraction", float), ("of", "str | None")])
        >>> to_plain({"gains": (Gain(0.5, None),)})
        {'gains': [{'fraction': 0.5, 'of': None}]}
    """
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """The value of a kind that `to_plain` gave.

    Args:
        kind: an annotation: a dataclass, `X | None`, `tuple[X, ...]`, `list[X]` or `dict[str, X]`
            of such; anything else stays as it is.
        value: plain.

    Raises:
        TypeError: for a name that a dataclass does not have, or one that it needs and is missing.

    Example:
        >>> Gain = dataclasses.make_dataclass("Gain", [("fraction", float), ("of", "str | None")])
        >>> from_plain(Gain | None, {"fraction": 0.5, "of": None})
        Gain(fraction=0.5, of=None)
        >>> from_plain(dict[str, tuple[float, ...]], {"a": [0.5, 0.5]})
        {'a': (0.5, 0.5)}
    """
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: from_plain(hints.get(name), each) for name, each in value.items()})
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (part,) = (each for each in parts if each is not types.NoneType)
        return None if value is None else from_plain(part, value)
    if origin in (tuple, list):
        return origin(from_plain(parts[0], each) for each in value)
    if origin is dict:
        return {name: from_plain(parts[1], each) for name, each in value.items()}
    return value
