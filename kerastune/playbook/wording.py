"""Comparisons of models in words; the only place that makes them.

*Significant* means that the 95 % interval of the paired difference does not include 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from kerastune.analysis.comparison import Comparison
from kerastune.playbook.rules.expected_gain import TIE, Expected

SHARES = ("accuracy", "macro-F1", "ROC AUC")  # measures that lie within 0 and 1
KNOWN = "this network has learnt well with it on most tables"
KEPT = (
    "averages of models did better on other data sets with this network's own recipe than with one "
    "that was tuned on a single validation set"
)
VERDICTS = {
    1: "a significant gain",
    -1: "a significant loss",
    0: "not significant (95 % CI includes 0)",
}


def sentences(parts: Iterable[str]) -> str:
    """Parts as sentences: each with a capital and a full stop.

    Example:
        >>> sentences(["it overfits", "dropout 0.3: kept"])
        'It overfits. Dropout 0.3: kept.'
    """
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def shortened(words: str, most: int = 12) -> str:
    """The first words, for a headline with names that are the user's.

    Example:
        >>> shortened("a b c d", most=3)
        'a b …'
    """
    given = words.split()
    return words if len(given) <= most else " ".join([*given[: most - 1], "…"])


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


def signed(mean: float, measure: str) -> str:
    """The number of `gained` alone.

    Example:
        >>> signed(0.0125, "accuracy"), signed(0.1, "loss")
        ('+1.25', '-0.1')
    """
    return f"{-mean:+.3g}" if measure == "loss" else f"{100 * mean:+.3g}"


def interval(low: float, high: float, measure: str) -> str:
    """The ends of such a difference's interval, in the same units; two shares differ by at most 1.

    Example:
        >>> interval(0.001, 0.024, "accuracy"), interval(0.1, 0.2, "loss")
        ('+0.1 to +2.4', '-0.2 to -0.1')
        >>> interval(0.9, 1.02, "macro-F1")
        '+90 to +100'
    """
    if measure in SHARES:
        low, high = max(low, -1.0), min(high, 1.0)
    ends = (-high, -low) if measure == "loss" else (100 * low, 100 * high)
    return f"{ends[0]:+.3g} to {ends[1]:+.3g}"


def confidence(compared: Comparison, measure: str) -> str:
    """The interval of a comparison, with what it is.

    Example:
        >>> confidence(Comparison(0.02, 0.01, 0.03), "accuracy")
        '95 % CI +1 to +3'
    """
    return f"95 % CI {interval(compared.low, compared.high, measure)}"


def gain(compared: Comparison, measure: str) -> str:
    """The gain of a comparison with its interval.

    Example:
        >>> gain(Comparison(0.02, 0.01, 0.03), "accuracy")
        '+2 points of accuracy (95 % CI +1 to +3)'
    """
    return f"{gained(compared.gain, measure)} ({confidence(compared, measure)})"


def expected(gain: Expected, compared: Comparison, measure: str) -> str:
    """An expected gain, with what was measured and what other tasks say.

    Example:
        >>> expected(Expected(0.009, 0.004), Comparison(0.011, 0.001, 0.021), "accuracy")
        '+0.9 points of accuracy expected on validation (measured +1.1, 95 % CI +0.1 to +2.1)'
    """
    measured = f"measured {signed(compared.gain, measure)}, {confidence(compared, measure)}"
    if compared.mirrored is not None:
        both = f"{signed(compared.mirrored.gain, measure)}"
        measured += f"; with each example and its mirror image {both}"
    if gain.prior.tasks:
        others = signed(gain.prior.mean * (gain.tie / TIE), measure)
        measured += f"; {others} on {gain.prior.tasks} other tasks"
    return f"{gained(gain.mean, measure)} expected on validation ({measured})"


def verdict(compared: Comparison) -> str:
    """Whether a comparison is significant.

    Example:
        >>> verdict(Comparison(0.02, -0.01, 0.05))
        'not significant (95 % CI includes 0)'
    """
    return VERDICTS[compared.sign]
