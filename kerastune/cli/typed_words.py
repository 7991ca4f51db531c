"""Messages in Python's words as they are typed on the command line: the only place that turns names
into flags.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import Any

# What is guessed may be the name of a column or of a value as well.
NAMED = re.compile(r"(?<!did you mean )`(\w+)(?:=([^`]+))?`")


def as_flags(message: str, names: Collection[str]) -> str:
    """A message whose `name` and `name=value` are flags, where a flag has that name.

    Args:
        message: of an error.
        names: of all flags.

    Example:
        >>> names = ["budget", "overwrite", "types", "ignore"]
        >>> as_flags("`budget` (1m) is short: say `overwrite=True`, not `x`.", names)
        '`--budget` (1m) is short: say --overwrite, not `x`.'
        >>> as_flags("Say `types={'zip': 'category'}` or `ignore=['a', 'b']`.", names)
        'Say --types=zip:category or --ignore=a,b.'
    """

    def typed(found: re.Match) -> str:
        name, value = found[1], found[2]
        if name not in names:
            return found[0]
        return f"`--{name}`" if value is None else _flag(name, value)

    return NAMED.sub(typed, message)


def _flag(name: str, text: str) -> str:
    try:
        value: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return f"--{name}={text}"
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    if isinstance(value, dict):
        value = [f"{key}:{kind}" for key, kind in value.items()]
    return f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
