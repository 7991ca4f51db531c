"""The figure of the probe: how far each layer's weights are moved by a step."""

from __future__ import annotations

import numpy as np

from kerastune.report.figures import plotting
from kerastune.trial import Outcome


def ratio_by_layer(trials: dict[str, Outcome]) -> bytes | None:
    """Ratio of update to weight norm of every layer by step; `None` where there is one step only.

    Args:
        trials: of the probe, by name, at least one.
    """
    if all(len(outcome.norm_steps) < 2 for outcome in trials.values()):
        return None
    figure, (axes,) = plotting.panels(4.2)
    for outcome in trials.values():
        ratios = outcome.update_norms / np.maximum(outcome.weight_norms, 1e-12)
        shades = plotting.shades(len(outcome.layers))
        # Of many layers a few are named; the color tells the depth of the others.
        named = np.linspace(
            0, len(shades) - 1, min(len(shades), plotting.MOST_LABELLED // 2)
        ).astype(int)
        for column, layer in enumerate(outcome.layers):
            label = plotting.words(layer) if column in named else "_"
            style = {"color": shades[column], "linestyle": "-", "markersize": 4}
            axes.plot(outcome.norm_steps, ratios[:, column], marker="o", label=label, **style)
    moved = any(outcome.update_norms.any() for outcome in trials.values())
    axes.set(
        ylabel="update norm / weight norm",
        yscale="log" if moved else "linear",
        title="How far a step moves each layer",
    )
    plotting.count_along(axes, "step")
    plotting.legend(axes)
    return plotting.png(figure)
