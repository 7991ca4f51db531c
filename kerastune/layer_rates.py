"""How fast a layer learns compared with the others (S4.3): a decay per depth, and patterns that name layers."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence

from kerastune import naming


def parsed(text: str) -> tuple[str, float]:
    """Pattern and multiplier of a text like `"conv2d*=0.1"`.

    Raises:
        ValueError: for another form, or a multiplier that is not a finite number of 0 or more.

    Example:
        >>> parsed("backbone/*=0.1")
        ('backbone/*', 0.1)
    """
    pattern, _, number = text.rpartition("=")
    try:
        multiplier = float(number)
    except ValueError:
        multiplier = math.nan
    if not pattern or not 0 <= multiplier < math.inf:
        raise ValueError(f"`layer_rate` must be pattern=multiplier with a number >= 0, as in dense*=0.1, got {text!r}.")
    return pattern, multiplier


def multiplier(path: Sequence[str], height: int, layer_decay: float, layer_rate: Iterable[str]) -> float:
    """What the rate of one variable is multiplied by: of the last pattern that matches it, else by its depth.

    Args:
        path: names from the outermost model's layer down to the variable: `("backbone", "conv2d", "kernel")`.
        height: layers with kernels above its own; 0 for the last one.
        layer_decay: factor from one layer to the one below it, in `(0, 1]`.
        layer_rate: texts as `parsed` takes them.

    Example:
        >>> multiplier(("dense", "kernel"), 2, 0.5, []), multiplier(("dense", "kernel"), 2, 0.5, ["dense=0.1"])
        (0.25, 0.1)
    """
    found = layer_decay**height
    for pattern, number in map(parsed, layer_rate):
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


def check(layer_rate: Iterable[str], paths: Sequence[Sequence[str]]) -> None:
    """Refuses a pattern that matches nothing.

    Args:
        layer_rate: texts as `parsed` takes them.
        paths: of every variable, as `multiplier` takes them.

    Raises:
        ValueError: naming the pattern, and what there is.
    """
    for pattern, _ in map(parsed, layer_rate):
        if not any(matches(pattern, path) for path in paths):
            known = list(dict.fromkeys("/".join(path[:-1]) for path in paths))
            hint = naming.did_you_mean(pattern, known) or f"; layers with weights are: {', '.join(known)}."
            raise ValueError(f"`layer_rate`: {pattern!r} matches no layer and no variable{hint}")
