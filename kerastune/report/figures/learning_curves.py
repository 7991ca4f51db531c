"""Learning curves of the final model and the baseline, each named at its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from kerastune.analysis import curves
from kerastune.objective import Objective, kept_evaluation
from kerastune.report import metric_names
from kerastune.report.blocks import Drawing
from kerastune.report.figures import plotting
from kerastune.report.summaries import training_loss
from kerastune.trial import Outcome

LEAST_GAP = 0.09  # of an axes' height between two names
ROOM = 1.55  # times the steps: the names stand on the right
COLORS = (plotting.BLUE, plotting.GREY)


def drawn(trials: Mapping[str, Outcome], objective: Objective) -> Drawing | None:
    """Training and validation of whole trainings; `None` where nothing was evaluated.

    Args:
        trials: by what they are called, the final model first; the first two are drawn.
        objective: the validation value that chooses; a dot is where the weights are kept.
    """
    shown = {name: each for name, each in list(trials.items())[:2] if each.steps and each.evals}
    if not shown:
        return None
    metric = objective.name
    with_metric = metric != "loss" and any(metric in each.evals[-1] for each in shown.values())
    figure, axes = plotting.panels(*[plotting.HEIGHT] * (1 + with_metric))
    last = max(each.steps for each in shown.values())
    kept = [_kept(each, objective) for each in shown.values()]
    _losses(axes[0], shown)
    if with_metric:
        _values(axes[1], shown, metric, [each[metric] for each in kept if metric in each])
    for panel, name in zip(axes, ("loss", metric), strict=False):
        for color, each in zip(COLORS, kept, strict=False):
            if name in each:
                panel.plot(each["step"], each[name], "o", color=color)
    for each in axes:
        plotting.count_along(each, "step")
        each.set_xlim(0, ROOM * last)
        each.set_xticks([tick for tick in each.get_xticks() if 0 <= tick <= last])
    return plotting.png(figure)


def _losses(axes: Axes, shown: Mapping[str, Outcome]) -> None:
    ends = []
    for color, (name, outcome) in zip(COLORS, shown.items(), strict=False):
        smooth = curves.smoothed(outcome.losses)
        plotting.line(axes, smooth, f"{name}, training", color=color, linestyle=":")
        ends.append((outcome.steps, smooth[-1], f"{name}, training", color))
        points = _points(outcome, "loss")
        if points:
            style = {"color": color, "linestyle": "-", "linewidth": 2}
            axes.plot(*np.transpose(points), **style)
            ends.append((*points[-1], f"{name}, validation", color))
    note = training_loss.noted({name: each.spec for name, each in shown.items()})
    title = "Loss (dotted: training, line: validation)"
    axes.set(yscale="log", title=f"{title}{f'. Training loss{note}' if note else ''}")
    _name(axes, ends)


def _values(axes: Axes, shown: Mapping[str, Outcome], metric: str, kept: Sequence[float]) -> None:
    ends, values = [], []
    for color, (name, outcome) in zip(COLORS, shown.items(), strict=False):
        points = _points(outcome, metric)
        if points:
            style = {"color": color, "linestyle": "-", "linewidth": 2}
            axes.plot(*np.transpose(points), **style)
            ends.append((*points[-1], name, color))
            values += [value for _, value in points]
    # Ends, and what is kept, are seen, however few of the values are those of a short training.
    plotting.limit(axes, values, 0.15, 1.0, seen=[*kept, *(end[1] for end in ends)])
    axes.set(title=f"Validation {metric_names.called(metric)} (dot: kept weights)")
    _name(axes, ends)


def _kept(outcome: Outcome, objective: Objective) -> dict[str, float]:
    """The evaluation whose weights a training keeps; empty where it keeps none."""
    is_measured = all(objective.name in each for each in outcome.evals)
    if not (outcome.spec.keep_best and is_measured):
        return {}
    return kept_evaluation(outcome.evals, objective, outcome.spec.sparsity > 0) or {}


def _points(outcome: Outcome, metric: str) -> list[tuple[int, float]]:
    return [(each["step"], each[metric]) for each in outcome.evals if metric in each]


def _name(axes: Axes, ends: list[tuple[int, float, str, str]]) -> None:
    """Names lines at their ends, pushed apart where they would lie on one another."""
    if not ends:
        return
    right = max(step for step, *_ in ends)
    heights = [axes.transData.transform((right, end[1]))[1] for end in ends]
    low, high = axes.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    places = apart([(each - low) / (high - low) for each in heights])
    for (step, value, name, color), place in zip(ends, places, strict=True):
        axes.annotate(
            plotting.words(name),
            (step, value),
            xytext=((1 / ROOM) + 0.02, place),
            textcoords="axes fraction",
            color=color,
            va="center",
            annotation_clip=False,
        )


def apart(places: list[float]) -> list[float]:
    """Places in 0 to 1, in the same order from below, none too close to the next.

    Example:
        >>> [round(place, 2) for place in apart([0.5, 0.5, 0.9])]
        [0.5, 0.59, 0.9]
    """
    order = np.argsort(places, kind="stable")
    found = np.clip(np.array(places, np.float64)[order], 0.03, 0.97)
    for index in range(1, len(found)):
        found[index] = max(found[index], found[index - 1] + LEAST_GAP)
    found -= max(found[-1] - 0.97, 0.0)
    for index in range(len(found) - 2, -1, -1):
        found[index] = min(found[index], found[index + 1] - LEAST_GAP)
    placed = np.empty(len(places))
    placed[order] = found
    return placed.tolist()
