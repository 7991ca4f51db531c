"""Differences between models in words; the only place that makes them."""

from __future__ import annotations


def gained(mean: float, measure: str) -> str:
    """A mean difference of examples' scores in words; `measure` is what they measure: `"accuracy"`,
    `"loss"` ...

    Example:
        >>> gained(0.0125, "accuracy"), gained(0.1, "loss")
        ('+1.25 points of accuracy', '-0.1 of loss')
    """
    return (
        f"{-mean:+.3g} of loss" if measure == "loss" else f"{100 * mean:+.3g} points of {measure}"
    )


def interval(low: float, high: float, measure: str) -> str:
    """The ends of such a difference's interval, in the same units.

    Example:
        >>> interval(0.001, 0.024, "accuracy"), interval(0.1, 0.2, "loss")
        ('+0.1 to +2.4', '-0.2 to -0.1')
    """
    ends = (-high, -low) if measure == "loss" else (100 * low, 100 * high)
    return f"{ends[0]:+.3g} to {ends[1]:+.3g}"


def spread(value: float, measure: str) -> str:
    """A standard deviation of such differences, in the same units.

    Example:
        >>> spread(0.0031, "accuracy")
        '0.31'
    """
    return f"{value if measure == 'loss' else 100 * value:.3g}"
