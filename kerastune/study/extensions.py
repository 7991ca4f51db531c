"""What a study says of extensions: budgets that came on top of the one that a search began with.

An extension is recorded before anything of it is trained, and once more when all of it is written.
So a command that is given again after a crash goes on with the one that has not ended.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from kerastune.study.database import Study
from kerastune.study.reader import Record


@dataclasses.dataclass(frozen=True)
class Extension:
    """Where a search stood when it was extended.

    Args:
        number: of the extension, `>= 1`.
        budget: that was added, as a text.
        seconds: that the search had taken.
        steps: that it had trained.
        decided: number of its decisions.
        again: stages that had trained nothing, which are asked once more.
        trained: trials of the final training.
    """

    number: int
    budget: str
    seconds: float = 0.0
    steps: int = 0
    decided: int = 0
    again: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()


def read(record: Record) -> list[Extension]:
    """All extensions of a search, in their order."""
    found = []
    for number in itertools.count(1):
        if (plain := record.fact(f"extension/{number}")) is None:
            return found
        listed = {name: tuple(plain[name]) for name in ("again", "trained")}
        found.append(Extension(**{**plain, **listed}))


def begin(study: Study, extension: Extension) -> None:
    """Records an extension."""
    study.put_fact(f"extension/{extension.number}", dataclasses.asdict(extension))


def end(study: Study, extension: Extension) -> None:
    """Records that all of an extension is written, once."""
    if not has_ended(study, extension):
        study.put_fact(f"ended/{extension.number}", True)


def has_ended(record: Record, extension: Extension) -> bool:
    """Whether all of an extension is written."""
    return record.fact(f"ended/{extension.number}") is not None


def kept(record: Record, number: int) -> int | None:
    """Number of the extension whose models are handed out after one of them; `None` before that is
    known.
    """
    found = record.fact(of_number("result", number))
    return None if found is None else found.get("extension")


def built_on(record: Record, number: int) -> frozenset[int]:
    """Numbers of the extensions whose decisions led to the models of one, itself among them.

    An extension sets out from what was handed out before it: others, that gained nothing, are no
    part of it. 0 is the search itself.
    """
    found = {number}
    while number:
        before = kept(record, number - 1)
        number = number - 1 if before is None else before
        found.add(number)
    return frozenset(found)


def has_result(record: Record) -> bool:
    """Whether the search and all its extensions have come to a result."""
    return record.fact(of_number("result", len(read(record)))) is not None


def result(record: Record) -> dict[str, Any]:
    """The figures of the latest result; empty before the first."""
    for extension in reversed(read(record)):
        if (found := record.fact(of_number("result", extension.number))) is not None:
            return found
    return record.fact("result") or {}


def of_number(name: str, number: int) -> str:
    """Name of a fact of an extension; 0 is the search itself.

    Example:
        >>> of_number("result", 0), of_number("result", 1)
        ('result', 'result/1')
    """
    return f"{name}/{number}" if number else name
