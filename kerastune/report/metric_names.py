"""What metrics are called in a report."""

from __future__ import annotations

from kerastune.report import gain_steps


def called(name: str) -> str:
    """A metric as people call it.

    Example:
        >>> called("val_macro_f1"), called("top_5")
        ('macro-F1', 'top 5')
    """
    name = name.removeprefix("val_")
    return gain_steps.FIGURES.get(name, name.replace("_", " "))
