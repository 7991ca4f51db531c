"""Figures of a cross-validation, as PNG bytes: metrics and training curves by fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerastune.analysis import curves as smoothing
from kerastune.report import gain_steps, metric_names
from kerastune.report.figures import plotting
from kerastune.report.summaries import training_loss
from kerastune.trial import Outcome

HEIGHT = 1.7  # inches, of the panel of one metric


def per_fold(result: dict[str, Any]) -> bytes:
    """Every metric in every fold, with its mean and the 95 % interval of that.

    Args:
        result: of a cross-validation, as `crossval.json` has it.
    """
    summary = {name: result["summary"][name] for name in gain_steps.in_order(result["summary"])}
    figure, panels = plotting.panels(*[HEIGHT] * len(summary))
    places = np.arange(1, len(result["by fold"]) + 1)
    for axes, (name, found) in zip(panels, summary.items(), strict=True):
        values = [fold["metrics"][name] for fold in result["by fold"]]
        axes.axhspan(found["low"], found["high"], color=plotting.BLUE, alpha=0.15, linewidth=0)
        axes.axhline(found["mean"], color=plotting.BLUE, linewidth=1.1)
        axes.plot(places, values, "o", color=plotting.ORANGE)
        axes.set(ylabel=plotting.words(metric_names.called(name)), xlim=(0.5, len(places) + 0.5))
    panels[0].set_title("Every fold (dots), their mean and its 95 % interval")
    plotting.count_along(
        panels[-1], "fold" if result["repeats"] == 1 else "fold, one repeat after another"
    )
    return plotting.png(figure)


def curves(outcomes: Mapping[str, Outcome]) -> bytes:
    """Smoothed training loss of every fold, and what was measured on what it holds out."""
    figure, (upper, lower) = plotting.panels(*[plotting.HEIGHT] * 2)
    names = [name for outcome in outcomes.values() for values in outcome.evals for name in values]
    metric = next((name for name in ("accuracy", "mae", "loss") if name in names), "loss")
    for (name, outcome), shade in zip(
        outcomes.items(), plotting.shades(len(outcomes)), strict=True
    ):
        plotting.line(upper, smoothing.smoothed(outcome.losses), name, color=shade, linestyle="-")
        points = [(values["step"], values[metric]) for values in outcome.evals if metric in values]
        lower.plot(*np.transpose(points), ".-", color=shade, label=plotting.words(name))
    note = training_loss.noted({name: each.spec for name, each in outcomes.items()})
    upper.set(ylabel="smoothed training loss", yscale="log", title=f"Training{note}")
    lower.set(
        xlim=upper.get_xlim(),
        ylabel=plotting.words(metric_names.called(metric)),
        title="On what is held out",
    )
    for axes in (upper, lower):
        plotting.count_along(axes, "step")
        plotting.legend(axes)
    return plotting.png(figure)
