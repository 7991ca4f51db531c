"""The picture of a cross-validation: every metric in every fold, as PNG bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune import drawing

HEIGHT = 1.7  # inches, of the panel of one metric


def per_fold(result: dict[str, Any]) -> bytes:
    """Every metric in every fold, with its mean and the 95 % interval of that.

    Args:
        result: of a cross-validation, as `crossval.json` has it.
    """
    summary = result["summary"]
    figure, panels = drawing.panels(*[HEIGHT] * len(summary))
    places = np.arange(1, len(result["by fold"]) + 1)
    for axes, (name, found) in zip(panels, summary.items()):
        values = [fold["metrics"][name] for fold in result["by fold"]]
        axes.axhspan(found["low"], found["high"], color=drawing.BLUE, alpha=0.15, linewidth=0)
        axes.axhline(found["mean"], color=drawing.BLUE, linewidth=1.1)
        axes.plot(places, values, "o", color=drawing.ORANGE)
        axes.set(ylabel=drawing.words(name), xlim=(0.5, len(places) + 0.5))
    panels[0].set_title("Every fold (dots), their mean and its 95 % interval")
    drawing.count_along(panels[-1], "fold" if result["repeats"] == 1 else "fold, one repeat after another")
    return drawing.png(figure)
