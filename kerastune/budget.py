"""How much a search may spend: wall time, or a number of training steps."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable

UNITS = {"s": 1, "m": 60, "h": 3600}
LEAST_STEPS = 1000
LEAST_SECONDS = 5
# Of a budget in time: for the figures of merit, saving, pictures, and a machine that slows down.
FINISH_FRACTION = 0.05
LEAST_FINISH = 0.6  # seconds that they take without any picture
# Times what the first trial of a search took, most of it tracing, that they take at least.
FINISH_CALLS = 2.0
FIRST_CALL = 1.0  # seconds that it is taken to take before it was timed
MOST_FINISH_FRACTION = 0.15  # of a budget; what does not fit in it is left out
MOST_GROWTH = 1.5  # times its planned steps, of a training that follows the clock
SLACK_FRACTION = 0.02  # of a budget in time, by which a training may run over what was planned


@dataclasses.dataclass(frozen=True)
class Budget:
    """Steps or seconds that a search may spend; exactly one of them is set.

    The final training is part of it.

    A budget in steps is deterministic. One in seconds counts evaluation and figures, not the import
    of TensorFlow.

    Args:
        steps: training steps of all trials together.
        seconds: wall time, added up over interruptions.
        extends: whether it comes on top of what a search has had.

    Example:
        >>> Budget.parse("4m").seconds, Budget.parse("6000steps").steps
        (240.0, 6000)
        >>> str(Budget.parse("+10m"))
        '+600s'
    """

    steps: int | None = None
    seconds: float | None = None
    extends: bool = False

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget of a text such as `90s`, `4m`, `1.5h` or `6000steps`; with `+` before it, of
        an extension.

        Raises:
            ValueError: when the text is neither, or asks for less than 1,000 steps or 5 seconds.
        """
        match = re.fullmatch(r"(\+?)(\d{1,12}(?:\.\d{1,6})?)\s*(s|m|h|steps)", text.strip())
        if not match:
            raise ValueError(
                "`budget` must be a time (90s, 4m, 1.5h), a number of steps (6000steps), or what a "
                f"search is extended by (+10m, +2000steps), got {text!r}."
            )
        extends, number, unit = bool(match[1]), float(match[2]), match[3]
        if unit == "steps":
            if number < LEAST_STEPS or number != int(number):
                raise ValueError(
                    f"`budget` must be a whole number of at least {LEAST_STEPS} steps, "
                    f"got {text!r}."
                )
            return cls(steps=int(number), extends=extends)
        seconds = number * UNITS[unit]
        if seconds < LEAST_SECONDS:
            raise ValueError(f"`budget` must be at least {LEAST_SECONDS}s, got {text!r}.")
        return cls(seconds=seconds, extends=extends)

    def for_trials(self, first_call: float = FIRST_CALL) -> float:
        """Seconds after which no trial is planned any more.

        The rest is for what follows the last one.

        Args:
            first_call: seconds that the first trial took, which tell how fast the machine traces
                and draws; 0 where nothing is drawn.

        Example:
            >>> [Budget.parse(text).for_trials() for text in ("6s", "60s", "10m")]
            [5.1, 57.0, 570.0]
        """
        finish = min(
            max(FINISH_CALLS * first_call, LEAST_FINISH), MOST_FINISH_FRACTION * self.seconds
        )
        return self.seconds - max(FINISH_FRACTION * self.seconds, finish)

    def deadline(self, first_call: float = FIRST_CALL) -> float:
        """Seconds after which training stops where it is; infinite for a budget in steps."""
        return (
            float("inf")
            if self.seconds is None
            else self.for_trials(first_call) + SLACK_FRACTION * self.seconds
        )

    def __str__(self) -> str:
        amount = f"{self.steps}steps" if self.seconds is None else f"{self.seconds:.15g}s"
        return f"{'+' * self.extends}{amount}"


class Stopwatch:
    """Monotonic seconds, but for those that are left out.

    While TensorFlow is imported, for example, nothing of a budget is spent.

    Example:
        >>> watch = Stopwatch(clock=lambda: 10.0)
        >>> watch.leave_out(4.0)
        >>> watch()
        6.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._left_out = clock, 0.0

    def __call__(self) -> float:
        return self._clock() - self._left_out

    def leave_out(self, seconds: float) -> None:
        """Takes back seconds that passed already."""
        self._left_out += seconds
