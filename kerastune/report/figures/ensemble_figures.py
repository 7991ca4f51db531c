"""Figures of ensembles, views, pruning and distillation, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerastune.analysis.comparison import Comparison
from kerastune.playbook.ensemble_values import EnsembleValues
from kerastune.playbook.stages.distill import DistillValues
from kerastune.playbook.stages.prune import PruneValues
from kerastune.playbook.stages.tta import TtaValues
from kerastune.report.figures import plotting
from kerastune.report.gain_steps import Rung


def ensemble(values: EnsembleValues) -> bytes:
    """Weights of the members, how much they disagree, and their calibration.

    Args:
        values: of the decision of stage `ensemble`.
    """
    shown = [_weights, *([_disagreement] if len(values.disagreement) > 1 else [])]
    shown += [_reliability] if values.reliability else []
    figure, panels = plotting.panels(
        0.9 + 0.32 * len(values.weights), *[plotting.HEIGHT] * (len(shown) - 1)
    )
    for draw, axes in zip(shown, panels, strict=True):
        draw(axes, values)
    return plotting.png(figure)


def views(values: TtaValues) -> bytes:
    """Gain of every view, alone and averaged with the example, with 95 % intervals.

    Of views that are kept, also their calibration.

    Args:
        values: of the decision of stage `tta`.
    """
    names = sorted(values.added, key=lambda name: values.added[name].gain, reverse=True)
    shown = [1.1 + 0.32 * len(names), *([plotting.HEIGHT] if values.reliability else [])]
    figure, (axes, *below) = plotting.panels(*shown)
    for lower in below:
        _reliability(lower, values)
    is_loss = values.scored_by == "loss"
    ways = (
        (values.alone, -0.12, plotting.GREY, "in the example's place"),
        (values.added, 0.12, plotting.BLUE, "averaged with it"),
    )
    for effects, aside, color, label in ways:
        mean, low, high = _intervals([effects[name] for name in names], is_loss)
        style = {"fmt": "o", "color": color, "capsize": 3, "label": label}
        axes.errorbar(mean, np.arange(len(names)) + aside, xerr=[mean - low, high - mean], **style)
    weights = dict(zip(values.views, values.weights[1:], strict=True))
    words = [f"{name} (kept: {weights[name]:.2g})" if name in weights else name for name in names]
    axes.set_yticks(range(len(names)), words)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=1)
    # What does not keep the label loses a hundred times what the others gain.
    axes.set_xscale("symlog", linthresh=0.01 if is_loss else 1)
    axes.xaxis.set_major_formatter("{x:g}")
    unit = "fall of the loss" if is_loss else f"points of {values.scored_by}"
    axes.set(xlabel=f"gain on validation, {unit}", title="What every view gains")
    plotting.legend(axes)
    return plotting.png(figure)


def steps(rungs: Sequence[Rung], measure: str) -> bytes:
    """What every step from the final model to the exported one gained on validation.

    Args:
        rungs: the steps, the final model first.
        measure: what models are compared by, as `Facts.scored_by`.
    """
    compared = [("gain", measure, f"points of {measure}")] * (measure != "loss")
    compared += [("loss_gain", "loss", "fall of the loss")]
    # A temperature alone changes no accuracy.
    compared = [
        each for each in compared if any(getattr(rung, each[0]) is not None for rung in rungs[1:])
    ]
    figure, panels = plotting.panels(*[0.9 + 0.4 * (len(rungs) - 1)] * len(compared))
    for axes, (which, kind, unit) in zip(panels, compared, strict=True):
        for place, rung in enumerate(rungs[1:]):
            if (gain := getattr(rung, which)) is not None:
                (mean,), (low,), (high,) = _intervals([gain], kind == "loss")
                color, label = (
                    (plotting.GREEN, "kept") if rung.is_kept else (plotting.GREY, "left out")
                )
                style = {"fmt": "o", "color": color, "capsize": 4, "label": label}
                axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], **style)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(rungs) - 1), [rung.name for rung in rungs[1:]])
        axes.set_ylim(len(rungs) - 1.5, -0.5)
        axes.set(xlabel=f"{unit} over the step before (right is better)")
        plotting.legend(axes)
    panels[0].set_title("What each step gained on validation")
    return plotting.png(figure)


def pruning(values: PruneValues) -> bytes:
    """Cost of every sparsity on validation, and the size of the gzipped weights.

    With 95 % intervals.

    Args:
        values: of the decision of stage `prune`.
    """
    figure, (upper, lower) = plotting.panels(plotting.HEIGHT, 0.8 * plotting.HEIGHT)
    points = [point for point in values.curve if point.gain is not None]
    shares = 100 * np.array([point.sparsity for point in points])
    is_loss = values.scored_by == "loss"
    mean, low, high = _intervals([point.gain for point in points], is_loss)
    upper.axhline(0, color="black", linewidth=1)
    upper.errorbar(
        shares, mean, yerr=[mean - low, high - mean], fmt="o-", color=plotting.BLUE, capsize=3
    )
    unit = "fall of the loss" if is_loss else f"points of {values.scored_by}"
    upper.set(ylabel=f"gain, {unit}", title="What pruning costs on validation, and what it saves")
    lower.plot(shares, [point.gzip_bytes / 1000 for point in points], "s-", color=plotting.GREEN)
    lower.set(ylabel="gzipped weights, kB", ylim=(0, None))
    for axes in (upper, lower):
        axes.set_xlabel("zeros among the weights of kernels, %")
        if values.kept:
            axes.axvline(100 * values.sparsity, color=plotting.ORANGE, linestyle=":", label="kept")
            plotting.legend(axes)
    return plotting.png(figure)


def distillation(values: DistillValues) -> bytes:
    """Gain of a student for every temperature and mix, with 95 % intervals.

    On validation.

    Args:
        values: of the decision of stage `distill`.
    """
    points = [point for point in values.grid if point.gain is not None]
    figure, (axes,) = plotting.panels(1.3 + 0.4 * len(points))
    is_loss = values.scored_by == "loss"
    mean, low, high = _intervals([point.gain for point in points], is_loss)
    axes.errorbar(
        mean,
        range(len(points)),
        xerr=[mean - low, high - mean],
        fmt="o",
        color=plotting.BLUE,
        capsize=3,
    )
    axes.set_yticks(
        range(len(points)), [f"temperature {p.temperature:g}, mix {p.mix:g}" for p in points]
    )
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=1)
    unit = "fall of the loss" if is_loss else f"points of {values.scored_by}"
    axes.set(
        xlabel=f"gain on validation, {unit}",
        title="What a teacher brings the student",
    )
    return plotting.png(figure)


def _intervals(gains: Sequence[Comparison], is_loss: bool) -> list[np.ndarray]:
    """Means of gains and the ends of their intervals, as a loss or in points."""
    ends = [(gain.gain, gain.low, gain.high) for gain in gains]
    return list((1 if is_loss else 100) * np.reshape(ends, (-1, 3)).T)


def _weights(axes, values: EnsembleValues) -> None:
    names = sorted(values.weights, key=values.weights.get)
    axes.barh(names, [values.weights[name] for name in names], color=plotting.GREEN)
    kept = f"{values.mean} mean" if values.kept else "a single model"
    axes.set(xlabel="weight", title=f"Members ({kept})")
    axes.grid(alpha=0.3, axis="x")


def _disagreement(axes, values: EnsembleValues) -> None:
    image = axes.imshow(values.disagreement, cmap="viridis", vmin=0)
    axes.figure.colorbar(image, ax=axes)
    axes.set(xlabel="member", ylabel="member", title="How much two members disagree")
    axes.set(xticks=range(len(values.disagreement)), yticks=range(len(values.disagreement)))


def _reliability(axes, values: EnsembleValues | TtaValues) -> None:
    axes.plot([0, 1], [0, 1], color=plotting.GREY, linestyle=":", label="as promised")
    temperature, validation = values.temperature, values.validation
    ways = [("before", validation.before, "as averaged")]
    if temperature != 1:
        ways.append(("after", validation.after, f"temperature {temperature:.3g}"))
    for name, figures, words in ways:
        confidence, right, _ = np.transpose(values.reliability[name])
        axes.plot(confidence, right, "o-", label=f"{words}: error {figures['ece']:.3f}")
    axes.set(xlabel="confidence", ylabel="accuracy", title="What is promised, and what comes of it")
    plotting.legend(axes)
