"""Dates and times in texts, as seconds since 1970."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import numpy as np

from kerastune.data.readers import numerals

YEAR_FIRST, DAY_FIRST, MONTH_FIRST, NAMED = "y-m-d", "d/m/y", "m/d/y", "month by name"
ORDERS = (YEAR_FIRST, DAY_FIRST, MONTH_FIRST, NAMED)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FEWEST_DIGITS_OF_YEAR = 2
PIVOT = 69  # two digits from here on are of the 20th century, as POSIX has it
_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?"
)
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_YEAR = r"(?P<year>\d{4}|\d{2})"
_NUMBERS = {
    YEAR_FIRST: r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
    DAY_FIRST: rf"(?P<day>\d{{1,2}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark){_YEAR}",
    MONTH_FIRST: rf"(?P<month>\d{{1,2}})(?P<mark>[-/.])(?P<day>\d{{1,2}})(?P=mark){_YEAR}",
}
_NAMED = (
    rf"(?P<day>\d{{1,2}})[ -]{_NAME}[ -,]+{_YEAR}",
    rf"{_NAME}[ -](?P<day>\d{{1,2}}),?[ -]{_YEAR}",
)
_PATTERNS = {
    **{order: (re.compile(pattern + _TIME),) for order, pattern in _NUMBERS.items()},
    NAMED: tuple(re.compile(pattern + _TIME) for pattern in _NAMED),
}
_EPOCH = datetime.datetime(1970, 1, 1)


class Ambiguous(ValueError):
    """Days and months of a column can't be told apart."""


def order_of(cells: Sequence[str]) -> str:
    """In which order a column writes year, month and day; empty if they are no dates.

    Cells that stand for missing ones do not count. Day and month are told apart by days beyond 12,
    by points, or by being always the same, as the day of a column of months is.

    Args:
        cells: different texts of a column.

    Returns:
        One of `ORDERS`.

    Raises:
        Ambiguous: if every day could be a month, and the other way round.

    Example:
        >>> order_of(["2024-01-31", ""]), order_of(["1/31/2024"]), order_of(["1.2.2024"])
        ('y-m-d', 'm/d/y', 'd/m/y')
        >>> order_of(["12", "13"])
        ''
    """
    given = [cell.strip() for cell in cells if not numerals.is_missing(cell)]
    fitting = [order for order in ORDERS if given and not np.isnan(seconds(given, order)).any()]
    if YEAR_FIRST in fitting or not {DAY_FIRST, MONTH_FIRST} <= set(fitting):
        return fitting[0] if fitting else ""
    if all("." in cell.split(" ")[0] for cell in given):
        return DAY_FIRST
    matched = [_PATTERNS[DAY_FIRST][0].fullmatch(cell) for cell in given]
    first, second = ({int(each[part]) for each in matched if each} for part in ("day", "month"))
    if (len(first) == 1) != (len(second) == 1):
        return DAY_FIRST if len(first) == 1 else MONTH_FIRST
    raise Ambiguous(f"{given[0]!r} may be {DAY_FIRST} or {MONTH_FIRST}, and so all others")


def seconds(cells: Sequence[str], order: str) -> np.ndarray:
    """Cells as seconds since 1970 `[n]`, in UTC where they have a zone; NaN for what is no date.

    Args:
        cells: texts.
        order: one of `ORDERS`; dates that begin with the year are read in any.

    Example:
        >>> seconds(["02.01.1970", "1970-01-01T00:01", "31.02.2000"], "d/m/y").tolist()
        [86400.0, 60.0, nan]
    """
    patterns = (*_PATTERNS[order], *(_PATTERNS[YEAR_FIRST] if order != YEAR_FIRST else ()))
    return np.array([_seconds(cell.strip(), patterns) for cell in cells], np.float64)


def text(value: float) -> str:
    """Seconds since 1970 as a date, with the time of day where it is not midnight.

    Example:
        >>> text(86400.0), text(60.0), text(float("nan"))
        ('1970-01-02', '1970-01-01 00:01:00', '')
    """
    try:
        when = _EPOCH + datetime.timedelta(seconds=float(value))
    except (OverflowError, ValueError):
        return ""
    return str(when.date()) if when.time() == datetime.time() else str(when.replace(microsecond=0))


def _seconds(cell: str, patterns: Sequence[re.Pattern]) -> float:
    found = next((match for each in patterns if (match := each.fullmatch(cell))), None)
    if found is None:
        return np.nan
    parts = found.groupdict()
    month = _month(parts.get("name") or "") if parts.get("name") else int(parts["month"])
    hour, rest = int(parts["hour"] or 0), float(parts["second"] or 0)
    if parts["half"]:
        hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
    try:
        when = datetime.datetime(_year(parts["year"]), month, int(parts["day"]), hour)
    except ValueError:
        return np.nan
    minutes = int(parts["minute"] or 0) - _offset(parts["zone"])
    return (when - _EPOCH).total_seconds() + 60 * minutes + rest


def _month(name: str) -> int:
    """1 to 12, or 0 for what is no month in English."""
    short = name[:3].lower()
    return MONTHS.index(short) + 1 if short in MONTHS else 0


def _year(digits: str) -> int:
    if len(digits) > FEWEST_DIGITS_OF_YEAR:
        return int(digits)
    return int(digits) + (1900 if int(digits) >= PIVOT else 2000)


def _offset(zone: str | None) -> int:
    """Minutes that a zone is ahead of UTC."""
    if not zone or zone[0] not in "+-":
        return 0
    minutes = 60 * int(zone[1:3]) + int(zone[-2:])
    return minutes if zone[0] == "+" else -minutes
