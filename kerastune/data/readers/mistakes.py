"""Cells that look like mistakes in a column of numbers or dates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from kerastune.data.readers import dates, numerals
from kerastune.data.readers.asked import typed

NUMBER_STYLES = (numerals.PLAIN, numerals.POINT, numerals.COMMA)
A_FEW = 1000  # texts that tell which styles may read most of all
FEWEST = 10  # different cells from which on a few others look like mistakes
MOSTLY = 0.9  # of the different cells are numbers where the others look like mistakes
MOST_SHOWN = 60  # characters of a cell


def refuse(name: str, given: list[str]) -> None:
    """Refuses a column of numbers, or of dates, that a few other cells are among.

    Args:
        name: of the column.
        given: its different texts, without those that stand for missing ones.

    Raises:
        ValueError: in one line, with the remedies.

    Example:
        >>> refuse("age", [str(number) for number in range(30)] + ["oops"])
        Traceback (most recent call last):
        ValueError: Column 'age' has numbers and 1 other texts, such as 'oops': mend them, or ...
    """
    for kind, read, styles in (
        ("number", numerals.numbers, NUMBER_STYLES),
        ("date", dates.seconds, dates.ORDERS),
    ):
        strangers = _unreadable(given, read, styles)
        is_mostly = len(given) >= FEWEST and 1 - len(strangers) / len(given) >= MOSTLY
        if not strangers or not is_mostly:
            continue
        if not (kind == "number" and numerals.are_codes(given)):
            raise ValueError(
                f"Column '{name}' has {kind}s and {len(strangers)} other texts, such as "
                f"{strangers[0][:MOST_SHOWN]!r}: mend them, or say {typed(name, kind)} (others are "
                f"missing) or {typed(name, 'category')}."
            )


def _unreadable(
    given: list[str],
    read: Callable[[Sequence[str], str], np.ndarray],
    styles: Sequence[str],
) -> list[str]:
    """The texts that the style which reads most of them does not read; all if it is not `MOSTLY`.

    Args:
        given: texts.
        read: gives numbers for texts in a style, NaN for those that it does not read.
        styles: what the first of them reads, all others read, too.
    """
    # A style that reads most of the texts reads most of some of them.
    some = given if len(given) <= A_FEW else random.Random(0).sample(given, A_FEW)
    fitting = [
        style for style in styles if _count_lost(read(some, style)) < 2 * (1 - MOSTLY) * len(some)
    ]
    unread = given
    if styles[0] in fitting:
        unread = lost(given, read(given, styles[0]))
    others = [lost(unread, read(unread, style)) for style in fitting if style != styles[0]]
    return min([unread, *others], key=len)


def _count_lost(values: np.ndarray) -> int:
    return int(np.count_nonzero(np.isnan(values)))


def lost(texts: list[str], values: np.ndarray) -> list[str]:
    """The texts whose values are NaN.

    Example:
        >>> lost(["1", "x"], np.array([1.0, np.nan]))
        ['x']
    """
    return [text for text, is_lost in zip(texts, np.isnan(values), strict=True) if is_lost]


def likely_style(given: Sequence[str]) -> str:
    """The style of numbers that reads most of some texts.

    Example:
        >>> likely_style(["1,5", "2,5", "x"])
        '1.234,5'
    """
    unread = [_count_lost(numerals.numbers(given, style)) for style in NUMBER_STYLES]
    return NUMBER_STYLES[int(np.argmin(unread))]
