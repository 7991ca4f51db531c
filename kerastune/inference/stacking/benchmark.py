"""Measures how long calls take, in turns, so that other load hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

ROUNDS = 30
WARM_UPS = 3  # the first calls trace and allocate


def medians(calls: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each of several calls, taken in turns.

    Args:
        calls: functions without arguments, by name; each must wait for its result.
        rounds: calls of each, at least 1; three before them are not counted.

    Example:
        >>> sorted(medians({"a": lambda: None, "b": lambda: sum(range(1000))}, rounds=3))
        ['a', 'b']
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARM_UPS + rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= WARM_UPS:
                seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(each)) for name, each in seconds.items()}
