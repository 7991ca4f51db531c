"""How long a search will still take: an estimate beside the bound that its budget sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kerastune.playbook.stages.base import Stage


def estimate(
    stages: Sequence[type[Stage] | Stage],
    seconds: Mapping[str, float],
    now: float,
    training: float,
    bound: float,
) -> float:
    """Seconds that a search will probably still take.

    A stage that tunes takes what those before it took on average, and a training what its steps
    take at the present pace; a stage that combines trainings has one of its own.

    Args:
        stages: of the search, in their order.
        seconds: of the stages that have decided, by name.
        now: seconds that the stage at work has taken.
        training: seconds of one training with the present recipe.
        bound: seconds that the budget holds at most.

    Example:
        >>> from kerastune.playbook.stages import registry
        >>> stages = [registry.find(name) for name in ("lr", "batch", "train")]
        >>> estimate(stages, {"lr": 4.0}, 1.0, 10.0, 60.0)
        13.0
    """
    tuned = [seconds[each.name] for each in stages if each.tunes and each.name in seconds]
    left, is_first = 0.0, True
    for each in stages:
        if each.name in seconds:
            continue
        if each.tunes:
            expected = sum(tuned) / len(tuned) if tuned else each.share * bound
        else:
            expected = training if each.share else 0.0
        left += max(expected - now, 0.0) if is_first else expected
        is_first = False
    return min(left, bound)
