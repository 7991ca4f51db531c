"""How many steps a training has that ends with the time of a budget."""

from __future__ import annotations

from kerastune.budget import MOST_GROWTH

RESERVE = 0.01  # of what is left, for a machine that slows down


def total_steps(
    done: int, planned: int, seconds_left: float, seconds_per_step: float, unit: int
) -> int:
    """Steps in all of a training whose last step falls at the end of the time.

    Args:
        done: steps that are trained.
        planned: steps in all, as planned so far.
        seconds_left: until the time ends; infinite where nothing ends it.
        seconds_per_step: that one took so far, evaluations and all, `> 0`.
        unit: of whose multiples the number is one.

    Returns:
        At least `done`, at most 1.5 times what was planned.

    Example:
        >>> total_steps(1000, 4000, seconds_left=10.0, seconds_per_step=0.005, unit=50)
        2950
        >>> total_steps(1000, 4000, seconds_left=float("inf"), seconds_per_step=0.005, unit=50)
        4000
    """
    if seconds_left == float("inf"):
        return planned
    more = max((1 - RESERVE) * seconds_left, 0.0) / seconds_per_step
    found = min(done + more, MOST_GROWTH * planned)
    return max(int(found // unit) * unit, done)
