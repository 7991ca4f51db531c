"""What metrics are called in a report."""

from __future__ import annotations

from kerastune.report import gain_steps


def called(name: str) -> str:
    """A metric as people call it.

    Example:
        >>> called("macro_f1"), called("val_top_5")
        ('macro-F1', 'top 5')
    """
    return gain_steps.FIGURES.get(name, name.removeprefix("val_").replace("_", " "))
