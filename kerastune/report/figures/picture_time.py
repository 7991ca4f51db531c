"""What pictures may cost of a budget in seconds: on a busy machine they are left out first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

FRACTION = 0.06  # of a budget, for the pictures of decisions
FIRST = 1.0  # seconds of a picture before one was drawn
AT_THE_END = 6  # pictures of the result


class PictureTime:
    """Tells whether there is time for pictures; `kerastune report` draws what was left out.

    Args:
        seconds: of the budget; `None` for one in steps, which holds all pictures.
        spent: gives the seconds of the budget that are spent.
        is_short: whether the budget holds no search, and so no picture.

    Example:
        >>> PictureTime(60.0, lambda: 10.0).is_enough(), PictureTime(10.0, lambda: 2.0).is_enough()
        (True, False)
    """

    def __init__(self, seconds: float | None, spent: Callable[[], float], is_short: bool = False):
        self._seconds, self._spent, self._is_short = seconds, spent, is_short
        self._used, self._latest = 0.0, FIRST

    def is_enough(self) -> bool:
        """Whether a decision may be drawn now."""
        if self._is_short or self._seconds is None:
            return not self._is_short
        is_late = self._spent() + self._latest > self._seconds
        return not is_late and self._used + self._latest <= FRACTION * self._seconds

    def is_enough_at_the_end(self, decisions: int = 0, result: int = AT_THE_END) -> bool:
        """Whether the result may be drawn, and so many decisions.

        Args:
            decisions: that have no picture yet.
            result: pictures of the result.
        """
        if self._is_short or self._seconds is None:
            return not self._is_short
        return self._spent() + (result + decisions) * self._latest <= self._seconds

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Measures what a picture takes, for the length of a `with` block."""
        began = self._spent()
        yield
        self._latest = self._spent() - began
        self._used += self._latest
