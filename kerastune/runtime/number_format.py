"""Numbers as people read them: in tables, sentences and on the screen."""

from __future__ import annotations

from typing import Any

LEAST, FEW = 1e-3, 10  # between them a metric has four decimals
LONG, LONGEST = 999.5, 1e9  # floats between them are written as whole numbers


def number(value: Any) -> str:
    """A value as it stands in a table.

    Example:
        >>> number(0.123456), number(True), number([1, 2.0]), number(None), number(25330.4)
        ('0.1235', 'yes', '1, 2', '-', '25,330')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value != value:
            return "-"
        return f"{value:,.0f}" if LONG <= abs(value) < LONGEST else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(number(each) for each in value) or "none"
    return str(value)


def figure(value: float) -> str:
    """A metric: four decimals between 0.001 and 10, else as `number`.

    Example:
        >>> figure(0.98333), figure(46.6321), figure(25330.4), figure(3.1e-5)
        ('0.9833', '46.63', '25,330', '3.1e-05')
    """
    value = float(value)
    is_usual = value == 0 or LEAST <= abs(value) < FEW
    return f"{value:.4f}" if is_usual else number(value)
