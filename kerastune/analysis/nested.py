"""Arrays in dicts, lists and tuples, as models with several outputs take their targets.

A structure is a dict, or a list or tuple whose entries are arrays, dicts, or lists of them. A list
of numbers is an array. `None` stays `None`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def is_nested(values: Any) -> bool:
    """Whether values are a structure of arrays, and not an array.

    Example:
        >>> import numpy as np
        >>> is_nested({"a": [1, 2]}), is_nested([np.zeros(2), np.zeros(2)]), is_nested([[1], [2]])
        (True, True, False)
    """
    if isinstance(values, dict):
        return True
    return isinstance(values, (list, tuple)) and any(
        is_nested(each) or len(getattr(each, "shape", ())) > 0 for each in values
    )


def mapped(function: Callable[..., Any], values: Any, *others: Any) -> Any:
    """The same structure with a function of every array; lists become tuples.

    Args:
        function: of an array, and of the arrays at the same place of the others.
        values: an array, a structure of them, or `None`.
        others: of the same structure.

    Example:
        >>> import numpy as np
        >>> mapped(len, {"a": np.zeros(3), "b": [np.zeros(2), np.zeros(1)]})
        {'a': 3, 'b': (2, 1)}
    """
    if values is None:
        return None
    if isinstance(values, dict):
        return {
            name: mapped(function, each, *(other[name] for other in others))
            for name, each in values.items()
        }
    if is_nested(values):
        return tuple(mapped(function, *each) for each in zip(values, *others, strict=True))
    return function(values, *others)


def named(values: Any, name: str) -> list[tuple[str, Any]]:
    """Every array of a structure, with a name that tells its place.

    Example:
        >>> import numpy as np
        >>> [place for place, _ in named({"a": np.zeros(3), "b": (np.zeros(2), np.zeros(1))}, "y")]
        ["y['a']", "y['b'][0]", "y['b'][1]"]
    """
    if values is None:
        return []
    if not is_nested(values):
        return [(name, values)]
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    return [found for key, each in entries for found in named(each, f"{name}[{key!r}]")]


def leaves(values: Any) -> list[Any]:
    """The arrays of a structure, in their order.

    Example:
        >>> import numpy as np
        >>> [len(each) for each in leaves((np.zeros(2), np.zeros(1)))]
        [2, 1]
    """
    return [array for _, array in named(values, "")]
