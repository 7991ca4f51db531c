"""Fields of a dataclass that are described once: checks, flags and documentation come from them."""

from __future__ import annotations

import dataclasses
import math
import numbers
import textwrap
from typing import Any

# Of an annotation: in words, what is taken, what it becomes.
TYPES = {
    "float": ("a number", numbers.Real, float),
    "float | None": ("a number or none", numbers.Real, float),
    "int": ("an integer", numbers.Integral, int),
    "bool": ("true or false", bool, bool),
    "tuple[str, ...]": ("a list of texts", (list, tuple), tuple),
    "dict[str, Any]": ("a dict", dict, dict),
}
WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`; an end that is open is no part of them.

    Example:
        >>> fraction = Range(high=1)
        >>> str(fraction), 0.0 in fraction, 1.0 in fraction, str(Range(1))
        ('in [0, 1)', True, False, '>= 1')
    """

    low: float = 0
    high: float = math.inf
    is_low_open: bool = False
    is_high_open: bool = True

    def __contains__(self, number: float) -> bool:
        is_above = number > self.low if self.is_low_open else number >= self.low
        return is_above and (number < self.high if self.is_high_open else number <= self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>' if self.is_low_open else '>='} {self.low:g}"
        first, last = "[("[self.is_low_open], "])"[self.is_high_open]
        return f"in {first}{self.low:g}, {self.high:g}{last}"


def described(
    default: Any,
    help: str,
    doc: str,
    *,
    unit: str = "",
    allowed: Range | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field with its description in its metadata, under the names of these arguments.

    Args:
        default: value, or a type such as `dict` that makes one.
        help: one short line, for the command line.
        doc: for the documentation.
        unit: of a number, where it has one.
        allowed: of a number.
        choices: of a text.

    Example:
        >>> @dataclasses.dataclass
        ... class Training:
        ...     steps: int = described(10, "Length.", "updates, `>= 1`.", allowed=Range(1))
        >>> dataclasses.fields(Training)[0].metadata["help"]
        'Length.'
    """
    about = {"help": help, "doc": doc, "unit": unit, "allowed": allowed, "choices": choices}
    made = {"default_factory": default} if isinstance(default, type) else {"default": default}
    return dataclasses.field(**made, metadata=about)


def checked(field: dataclasses.Field, value: Any) -> Any:
    """The value of a described field, as plain Python has it: NumPy's numbers become Python's.

    Raises:
        ValueError: for a value of another type, or one that is not allowed.

    Example:
        >>> @dataclasses.dataclass
        ... class Training:
        ...     steps: int = described(10, "Length.", "updates, `>= 1`.", allowed=Range(1))
        >>> checked(dataclasses.fields(Training)[0], 0)
        Traceback (most recent call last):
            ...
        ValueError: `steps` must be >= 1, got 0.
    """
    choices, allowed = field.metadata["choices"], field.metadata["allowed"]
    if choices:
        if value not in choices:
            raise ValueError(f"`{field.name}` must be one of {', '.join(choices)}, got {value!r}.")
        return value
    words, accepted, plain = TYPES[field.type]
    if value is None and field.default is None:
        return None
    if type(value) is not plain:
        if not isinstance(value, accepted) or (plain is not bool and isinstance(value, bool)):
            raise ValueError(f"`{field.name}` must be {words}, got {value!r}.")
        value = plain(value)
    if allowed is not None and value not in allowed:
        finite = "a finite number " if plain is float and allowed.high == math.inf else ""
        raise ValueError(f"`{field.name}` must be {finite}{allowed}, got {value}.")
    return value


def documented(cls: type) -> type:
    """Puts the descriptions of the fields in place of `{fields}` in a docstring."""
    lines = [
        textwrap.fill(
            f"{field.name}: {field.metadata['doc']}",
            width=WIDTH,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
        )
        for field in dataclasses.fields(cls)
    ]
    cls.__doc__ = cls.__doc__.replace("        {fields}", "\n".join(lines))
    return cls


def flag(name: str, value: Any) -> str:
    """One line of an absl flagfile.

    Example:
        >>> flag("nesterov", False), flag("learning_rate", 0.1), flag("dropout", None)
        ('--nonesterov', '--learning_rate=0.1', '--dropout=none')
    """
    if value is None:
        return f"--{name}=none"
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value!r}" if isinstance(value, float) else f"--{name}={value}"
