"""How much a search may spend: wall time, or a number of training steps."""

from __future__ import annotations

import dataclasses
import re

UNITS = {"s": 1, "m": 60, "h": 3600}
LEAST_STEPS = 1000
LEAST_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Budget:
    """Steps or seconds that a search may spend, the final training included; exactly one of them is set.

    A budget in steps is deterministic. One in seconds counts evaluation and figures, not the import of TensorFlow.

    Args:
        steps: training steps of all trials together.
        seconds: wall time, added up over interruptions.

    Example:
        >>> Budget.parse("4m").seconds, Budget.parse("6000steps").steps
        (240.0, 6000)
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget of a text such as `90s`, `4m`, `1.5h` or `6000steps`.

        Raises:
            ValueError: when the text is neither, or asks for less than 1,000 steps or 10 seconds.
        """
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*(s|m|h|steps)", text.strip())
        if not match:
            raise ValueError(f"`budget` must be a time (90s, 4m, 1.5h) or a number of steps (6000steps), got {text!r}.")
        number, unit = float(match[1]), match[2]
        if unit == "steps":
            if number < LEAST_STEPS or number != int(number):
                raise ValueError(f"`budget` must be a whole number of at least {LEAST_STEPS} steps, got {text!r}.")
            return cls(steps=int(number))
        seconds = number * UNITS[unit]
        if seconds < LEAST_SECONDS:
            raise ValueError(f"`budget` must be at least {LEAST_SECONDS}s, got {text!r}.")
        return cls(seconds=seconds)

    def __str__(self) -> str:
        return f"{self.steps}steps" if self.seconds is None else f"{self.seconds:.15g}s"
