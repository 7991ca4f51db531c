"""The pictures of a cross-validation, as PNG bytes: every metric in every fold, and how each fold was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerastune import curves as smoothing
from kerastune import drawing, ladder
from kerastune.trial import Outcome

HEIGHT = 1.7  # inches, of the panel of one metric


def per_fold(result: dict[str, Any]) -> bytes:
    """Every metric in every fold, with its mean and the 95 % interval of that.

    Args:
        result: of a cross-validation, as `crossval.json` has it.
    """
    summary = {name: result["summary"][name] for name in ladder.in_order(result["summary"])}
    figure, panels = drawing.panels(*[HEIGHT] * len(summary))
    places = np.arange(1, len(result["by fold"]) + 1)
    for axes, (name, found) in zip(panels, summary.items()):
        values = [fold["metrics"][name] for fold in result["by fold"]]
        axes.axhspan(found["low"], found["high"], color=drawing.BLUE, alpha=0.15, linewidth=0)
        axes.axhline(found["mean"], color=drawing.BLUE, linewidth=1.1)
        axes.plot(places, values, "o", color=drawing.ORANGE)
        axes.set(ylabel=drawing.words(ladder.FIGURES.get(name, name)), xlim=(0.5, len(places) + 0.5))
    panels[0].set_title("Every fold (dots), their mean and its 95 % interval")
    drawing.count_along(panels[-1], "fold" if result["repeats"] == 1 else "fold, one repeat after another")
    return drawing.png(figure)


def curves(outcomes: Mapping[str, Outcome]) -> bytes:
    """Smoothed training loss of every fold, and what was measured on what it holds out."""
    figure, (upper, lower) = drawing.panels(*[drawing.HEIGHT] * 2)
    names = [name for outcome in outcomes.values() for values in outcome.evals for name in values]
    metric = next((name for name in ("accuracy", "mae", "loss") if name in names), "loss")
    for (name, outcome), shade in zip(outcomes.items(), drawing.shades(len(outcomes))):
        drawing.line(upper, smoothing.smoothed(outcome.losses), name, color=shade, linestyle="-")
        points = [(values["step"], values[metric]) for values in outcome.evals if metric in values]
        lower.plot(*np.transpose(points), ".-", color=shade, label=drawing.words(name))
    upper.set(ylabel="smoothed training loss", yscale="log", title="Training")
    lower.set(xlim=upper.get_xlim(), ylabel=drawing.words(metric), title="On what is held out")
    for axes in (upper, lower):
        drawing.count_along(axes, "step")
        drawing.legend(axes)
    return drawing.png(figure)
