"""Dates and times in texts, as seconds since 1970."""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Sequence

import numpy as np

from kerastune.data.readers import numerals

YEAR_FIRST, DAY_FIRST, MONTH_FIRST, NAMED = "y-m-d", "d/m/y", "m/d/y", "month by name"
ORDERS = (YEAR_FIRST, DAY_FIRST, MONTH_FIRST, NAMED)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FEWEST_DIGITS_OF_YEAR = 2
MOST_PLAIN = 100_000  # cells that are read at once; of more their few different days are
MOST_KEPT = 50_000  # days that are remembered, as many columns have the same
LONGEST = 40  # characters of one
HOURS = 24  # of a day
FIRST_LOOK = 20  # cells that tell most orders that a column does not have
PIVOT = 69  # two digits from here on are of the 20th century, as POSIX has it
_LIKE_DATES = re.compile(r"\d[^\d\n]*[-/. ][^\d\n]*\d")  # in some line
_PLAIN_DAY = r"(?!0000)\d{4}-\d\d-\d\d"
_PLAIN = re.compile(rf"(?:{_PLAIN_DAY})?(?:\n(?:{_PLAIN_DAY})?)*", re.ASCII)
_CLOCK = re.compile(r"[T ,]+\d{1,2}:.*$", re.MULTILINE)  # the time of day, to the end of a line
_TIME = re.compile(
    r"[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
)
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_YEAR = r"(?P<year>\d{4}|\d{2})"
_NUMBERS = {
    YEAR_FIRST: r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
    DAY_FIRST: rf"(?P<day>\d{{1,2}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark){_YEAR}",
    MONTH_FIRST: rf"(?P<month>\d{{1,2}})(?P<mark>[-/.])(?P<day>\d{{1,2}})(?P=mark){_YEAR}",
}
_NAMED = (
    rf"(?P<day>\d{{1,2}})[ -]{_NAME}[ ,-]+{_YEAR}",
    rf"{_NAME}[ -](?P<day>\d{{1,2}}),?[ -]{_YEAR}",
)
_PATTERNS = {
    **{order: (re.compile(pattern),) for order, pattern in _NUMBERS.items()},
    NAMED: tuple(map(re.compile, _NAMED)),
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
    some = numerals.given(cells[:FIRST_LOOK])
    is_year_first = _fits(some, YEAR_FIRST)
    # What begins with the year is read in any order.
    fitting = [order for order in ORDERS[1:] if is_year_first or _fits(some, order)]
    given = numerals.given(cells) if fitting else []
    if not given:
        return ""
    if is_year_first:
        is_other = np.isnan(seconds(given, YEAR_FIRST))
        if not is_other.any():
            return YEAR_FIRST
        given = [cell for cell, other in zip(given, is_other, strict=True) if other]
    if given != some or is_year_first:
        fitting = [order for order in fitting if _fits(given, order)]
    if not {DAY_FIRST, MONTH_FIRST} <= set(fitting):
        return fitting[0] if fitting else ""
    if all("." in cell.split(" ")[0] for cell in given):
        return DAY_FIRST
    days = {_CLOCK.sub("", cell) for cell in given}
    matched = [_PATTERNS[DAY_FIRST][0].fullmatch(day) for day in days]
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
    if len(cells) <= FIRST_LOOK:
        return np.array([_moment(cell.strip(), order) for cell in cells], np.float64)
    # A column has many moments, but few days and few times of day.
    lines = numerals.as_lines([cell.strip() for cell in cells])
    if not _LIKE_DATES.search(lines):
        return np.full(len(cells), np.nan)
    days = _CLOCK.sub("", lines).split("\n")
    times = [cell[len(day) :] for cell, day in zip(lines.split("\n"), days, strict=True)]
    of_day = {day: _midnight(day, order) for day in set(days)}
    of_time = {time: _of_day(time) for time in set(times)}
    found = [of_day[day] + of_time[time] for day, time in zip(days, times, strict=True)]
    return np.array(found, np.float64)


def plain_column(cells: np.ndarray) -> np.ndarray | None:
    """A column in which every cell is a day such as `2024-01-31`, or empty, datetime64 `[n]`; else,
    and of more than `MOST_PLAIN` cells, `None`.

    It says no more than `order_of` and `seconds`, but of ten thousands of columns in a second.

    Args:
        cells: texts, as objects.

    Example:
        >>> plain_column(np.array(["2024-01-31", ""], object)).astype(str).tolist()
        ['2024-01-31', 'NaT']
        >>> plain_column(np.array(["2024-01-31", "31.1.2024"], object)) is None
        True
    """
    first = cells[0] if cells.dtype.kind == "O" and 0 < len(cells) <= MOST_PLAIN else None
    if not isinstance(first, str) or not _PLAIN.fullmatch(first):
        return None
    try:
        if not _PLAIN.fullmatch("\n".join(cells.tolist())):
            return None
        found = cells.astype("datetime64[D]")
    except (TypeError, ValueError):
        return None
    return None if np.isnat(found).all() else found


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


def _fits(cells: Sequence[str], order: str) -> bool:
    first, rest = cells[:FIRST_LOOK], cells[FIRST_LOOK:]
    is_first = not any(math.isnan(_moment(cell, order)) for cell in first)
    return is_first and not np.isnan(seconds(rest, order)).any()


def _moment(cell: str, order: str) -> float:
    clock = _CLOCK.search(cell) if ":" in cell else None
    place = clock.start() if clock else len(cell)
    return _midnight(cell[:place], order) + _of_day(cell[place:])


def _midnight(day: str, order: str) -> float:
    return _kept_midnight(day, order) if len(day) <= LONGEST else math.nan


@functools.lru_cache(maxsize=MOST_KEPT)
def _kept_midnight(day: str, order: str) -> float:
    """Seconds from 1970 to the beginning of a day."""
    patterns = (*_PATTERNS[order], *(_PATTERNS[YEAR_FIRST] if order != YEAR_FIRST else ()))
    found = next((match for each in patterns if (match := each.fullmatch(day))), None)
    if found is None:
        return np.nan
    parts = found.groupdict()
    month = _month(parts.get("name") or "") if parts.get("name") else int(parts["month"])
    try:
        when = datetime.datetime(_year(parts["year"]), month, int(parts["day"]))
    except ValueError:
        return np.nan
    return (when - _EPOCH).total_seconds()


def _of_day(time: str) -> float:
    """Seconds since midnight, in UTC."""
    if not time:
        return 0.0
    found = _TIME.fullmatch(time)
    hour = int(found["hour"]) if found else HOURS
    if hour >= HOURS:
        return np.nan
    if found["half"]:
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    minutes = int(found["minute"]) - _offset(found["zone"])
    return 3600 * hour + 60 * minutes + float(found["second"] or 0)


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
