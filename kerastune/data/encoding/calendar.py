"""What a model learns of a date: year, month, weekday, hour, days since the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DAY, HOUR = 86400.0, 3600.0
WEEKDAYS = tuple(f"weekday {number}" for number in range(7))  # 0 is Monday
GROWING = ("days", "year")
FEATURES = (
    *GROWING,
    "month (sine)",
    "month (cosine)",
    *WEEKDAYS,
    "hour (sine)",
    "hour (cosine)",
)


def features(seconds: Any, first: float, ops: Any = np) -> dict[str, Any]:
    """Features of dates, of the shape of `seconds`, by name; all NaN where the date is missing.

    Months and hours are points of a circle, since December is next to January.

    Args:
        seconds: since 1970, float64; NaN where missing.
        first: seconds of the day that days are counted from.
        ops: `numpy`, or `keras.ops` for tensors.

    Example:
        >>> found = features(np.array([0.0]), first=-86400.0)
        >>> float(found["days"][0]), float(found["year"][0]), float(found["weekday 3"][0])
        (1.0, 1970.0, 1.0)
    """
    is_missing = ops.isnan(seconds)
    given = ops.where(is_missing, ops.zeros_like(seconds), seconds)
    days = ops.floor(given / DAY)
    year, month = _year_and_month(days, ops)
    weekday = _rest(days + 3, 7, ops)  # the first of 1970 was a Thursday
    hour = (given - DAY * days) / HOUR
    found = {"days": (given - first) / DAY, "year": year}
    for name, place, length in (("month", month - 1, 12), ("hour", hour, 24)):
        angle = place * (2 * math.pi / length)
        found |= {f"{name} (sine)": ops.sin(angle), f"{name} (cosine)": ops.cos(angle)}
    one, zero = ops.ones_like(given), ops.zeros_like(given)
    found |= {
        name: ops.where(ops.equal(weekday, float(number)), one, zero)
        for number, name in enumerate(WEEKDAYS)
    }
    gap = zero + math.nan
    return {name: ops.where(is_missing, gap, found[name]) for name in FEATURES}


def _rest(value: Any, length: int, ops: Any) -> Any:
    return value - length * ops.floor(value / length)


def _year_and_month(days: Any, ops: Any) -> tuple[Any, Any]:
    """Year and month (1 to 12) of days since 1970, in the Gregorian calendar.

    Counted in years that begin in March, so that a leap day is the last, and in spans of 400 years,
    which all have 146,097 days.
    """
    shifted = days + 719468  # days since the first of March of the year 0
    span = ops.floor(shifted / 146097)
    of_span = shifted - 146097 * span
    year = ops.floor(
        (
            of_span
            - ops.floor(of_span / 1460)
            + ops.floor(of_span / 36524)
            - ops.floor(of_span / 146096)
        )
        / 365
    )
    of_year = of_span - (365 * year + ops.floor(year / 4) - ops.floor(year / 100))
    since_march = ops.floor((5 * of_year + 2) / 153)
    is_new_year = ops.floor(since_march / 10)  # January and February
    month = since_march + 3 - 12 * is_new_year
    return 400 * span + year + is_new_year, month
