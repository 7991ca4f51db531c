"""What a user says of a data source besides its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user says of a data source besides its name.

    Args:
        label: column of a table to predict.
        groups: column of a table, or array of a `.npz`, that tells which examples belong together:
            they stay in one part, and it is no input.
        time: column of a table to cut by: the latest rows are tested on.
        ignore: columns of a table that are no inputs.
        types: what columns of a table are (`columns.ASKED`), by name.
        image_size: height and width that images are resized to, in pixels, at least 1.
        skip_broken: leave out images that can't be read.
        validation_data: a further source of the same form, for the validation part.
        test_data: likewise, for the test part.

    Example:
        >>> Asked(label="price", ignore=["note"]).ignore
        ('note',)
    """

    label: str = ""
    groups: str = ""
    time: str = ""
    ignore: Sequence[str] = ()
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    image_size: int = 64
    skip_broken: bool = False
    validation_data: Any = ""
    test_data: Any = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ignore", tuple(self.ignore))
        object.__setattr__(self, "types", dict(self.types))

    @property
    def of_tables(self) -> dict[str, Any]:
        """What only a table has a use for, by the name of its flag, where it is said."""
        names = ("label", "time", "ignore", "types")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    @property
    def further(self) -> dict[str, Any]:
        """Sources of other parts, where they are given."""
        given = {"validation": self.validation_data, "test": self.test_data}
        return {where: source for where, source in given.items() if not _is_empty(source)}


def _is_empty(source: Any) -> bool:
    return source is None or (isinstance(source, str) and not source)


def typed(name: str, kind: str) -> str:
    """How a column is given a type, in Python's words.

    Example:
        >>> typed("zip", "category")
        "`types={'zip': 'category'}`"
    """
    return f"`types={{{name!r}: {kind!r}}}`"


def ignored(name: str) -> str:
    """How a column is left out, in Python's words.

    Example:
        >>> ignored("zip")
        "`ignore=['zip']`"
    """
    return f"`ignore=[{name!r}]`"
