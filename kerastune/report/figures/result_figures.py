"""Pictures of what a search came to: how good, at what cost, and where it errs; as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerastune.analysis import calibration, error_analysis, metrics
from kerastune.report import search_sections
from kerastune.report.figures import ensemble_figures, plotting
from kerastune.report.figures.vector import INK_DARK, INK_LIGHT
from kerastune.report.gain_steps import Rung
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import verdict

MOST_NUMBERED = 10  # classes of a confusion matrix whose cells hold numbers
MOST_NAMED = 20  # classes of a confusion matrix that are named
LEAST_IN_BIN = 5  # examples, below which a point of the reliability diagram is chance
PER_ROW = 3  # small pictures
MOST_POINTS = 3000  # of a scatter plot


def drawn(
    result: dict,
    costs: dict[str, tuple[int, float]],
    kept: Predictions | None,
    rungs: Sequence[Rung] = (),
) -> dict[str, bytes]:
    """Every picture that there are data for, by the name under which a report shows it.

    Args:
        result: the figures of `result.json`.
        costs: steps and seconds by stage.
        kept: what the models gave.
        rungs: the steps from the final model to the exported one.
    """
    found = {"spending": spending(costs)} if costs else {}
    if len(rungs) > 1:
        found["steps"] = ensemble_figures.steps(rungs, result["scored_by"])
    if kept is None:
        return found
    return found | {"result": compared(result, kept)} | of_errors(kept)


def of_errors(kept: Predictions) -> dict[str, bytes]:
    """The pictures of where the final model errs, by name."""
    found = {}
    true, outputs = kept.true[kept.part], kept.outputs[kept.final][kept.part]
    if kept.is_classification:
        counts = metrics.confusion(true, outputs.argmax(axis=1), len(kept.class_names))
        found |= {
            "confusion": confusion(counts, kept.class_names),
            "reliability": reliability(kept),
        }
    else:
        found["residuals"] = residuals(outputs, true)
    if (
        kept.mistakes is not None
        and kept.mistakes.pictures is not None
        and len(kept.mistakes.indices)
    ):
        found["mistakes"] = mistakes(kept)
    return found


def compared(result: dict, kept: Predictions) -> bytes:
    """Every model with its 95 % interval, and its paired difference to the baseline."""
    gain = result.get("gain")
    figure, axes = plotting.panels(0.9 + 0.4 * len(kept.outputs), *([1.2] if gain else []))
    measure, true = search_sections.measure(kept, result), kept.true[kept.part]
    for place, (name, parts) in enumerate(kept.outputs.items()):
        value, low, high = error_analysis.with_interval(parts[kept.part], true, measure)
        color = plotting.GREY if name == "baseline" else plotting.BLUE
        _interval(axes[0], place, value, low, high, color)
    axes[0].set_yticks(range(len(kept.outputs)), list(kept.outputs))
    axes[0].set_ylim(len(kept.outputs) - 0.5, -0.5)
    axes[0].set(xlabel=f"{measure} on the {kept.part} part, 95 % interval")
    if gain:
        is_loss = result["scored_by"] == "loss"
        factor = -1 if is_loss else 100
        ends = sorted((factor * gain["low"], factor * gain["high"]))
        _interval(axes[1], 0, factor * gain["mean"], *ends, plotting.GREEN)
        axes[1].axvline(0, color="black", linewidth=1)
        name = verdict.shown_model(result)
        axes[1].set_yticks([0], [f"{'final model' if name == 'final' else name} minus\nbaseline"])
        unit = (
            "of loss (left is better)"
            if is_loss
            else f"points of {result['scored_by']} (right is better)"
        )
        axes[1].set(xlabel=f"{unit}, paired 95 % interval", ylim=(0.6, -0.6))
    return plotting.png(figure)


def _interval(axes, place: float, value: float, low: float, high: float, color: str) -> None:
    axes.errorbar(
        value,
        place,
        xerr=[[value - low], [high - value]],
        fmt="o",
        color=color,
        capsize=5,
        markersize=7,
    )
    axes.annotate(
        f"{value:.4g}", (value, place), xytext=(0, 8), textcoords="offset points", ha="center"
    )


def spending(costs: dict[str, tuple[int, float]]) -> bytes:
    """Shares of the stages in steps and in seconds, as two stacked bars."""
    figure, (axes,) = plotting.panels(2.6)
    totals = np.maximum(np.sum(list(costs.values()), axis=0), 1e-12)
    left = np.zeros(2)
    hatches = ("", "///", "...")
    for place, (stage, spent) in enumerate(costs.items()):
        shares = 100 * np.array(spent) / totals
        color, hatch = (
            plotting.COLORS[place % len(plotting.COLORS)],
            hatches[place // len(plotting.COLORS) % 3],
        )
        axes.barh(
            [0, 1],
            shares,
            left=left,
            color=color,
            hatch=hatch,
            edgecolor="white",
            label=plotting.words(stage),
        )
        for bar, share in enumerate(shares):
            if share >= 7:
                is_dark = color in (plotting.BLUE, plotting.GREEN, plotting.ORANGE)
                ink = INK_LIGHT if is_dark else INK_DARK
                style = {"ha": "center", "va": "center", "color": ink}
                axes.text(left[bar] + share / 2, bar, f"{share:.0f} %", **style)
        left += shares
    axes.set_yticks([0, 1], [f"{totals[0]:,.0f} steps", f"{totals[1]:,.0f} s"])
    axes.set(
        xlim=(0, 100), ylim=(1.5, -0.5), xlabel="share in %", title="What was spent on which stage"
    )
    plotting.legend(axes)
    axes.grid(visible=False)
    return plotting.png(figure)


def confusion(counts: np.ndarray, class_names: tuple[str, ...]) -> bytes:
    """What was taken for what, shaded by the share of the true class."""
    count = len(counts)
    figure, (axes,) = plotting.panels(4.0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.7)
    if count <= MOST_NUMBERED:
        for (row, column), number in np.ndenumerate(counts):
            if number:
                ink = INK_LIGHT if shares[row, column] > 0.6 else INK_DARK
                axes.text(column, row, f"{number}", ha="center", va="center", color=ink)
    if count <= MOST_NAMED:
        names = [plotting.words(name, 14) for name in class_names]
        axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted class", ylabel="true class", title="What was taken for what")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return plotting.png(figure)


def reliability(kept: Predictions) -> bytes:
    """Accuracy against confidence of every model; points grow with the number of examples."""
    figure, (axes,) = plotting.panels(4.6)
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="as promised")
    true = kept.true[kept.part]
    colors = dict(
        zip((name for name in kept.outputs if name != "baseline"), plotting.COLORS, strict=False)
    )
    for name, parts in kept.outputs.items():
        rows = calibration.reliability(parts[kept.part], true)
        rows = rows[rows[:, 2] * len(true) >= LEAST_IN_BIN]
        error = calibration.calibration_error(parts[kept.part], true)
        style = {
            "color": colors.get(name, plotting.GREY),
            "linestyle": "--" if name == "baseline" else "-",
        }
        axes.plot(
            rows[:, 0],
            rows[:, 1],
            label=f"{plotting.words(name)} (calibration error {error:.3f})",
            **style,
        )
        axes.scatter(
            rows[:, 0], rows[:, 1], s=12 + 150 * rows[:, 2], color=style["color"], zorder=3
        )
    axes.set(xlabel="confidence", ylabel="accuracy", title="Can its confidence be trusted?")
    axes.set(xlim=(min(axes.get_xlim()[0], 0.5), 1.02), ylim=(-0.02, 1.04))
    plotting.legend(axes)
    return plotting.png(figure)


def residuals(outputs: np.ndarray, true: np.ndarray) -> bytes:
    """Predicted against true values, and the errors, of every output."""
    figure, (upper, lower) = plotting.panels(3.6, 3.6)
    some = np.random.default_rng(1).permutation(len(true))[:MOST_POINTS]
    style = {"s": 14, "alpha": 0.6, "edgecolors": "none"}
    for column, color in zip(range(true.shape[1]), plotting.COLORS, strict=False):
        label = f"output {column}" if true.shape[1] > 1 else "examples"
        upper.scatter(true[some, column], outputs[some, column], color=color, label=label, **style)
        lower.scatter(
            true[some, column], (outputs - true)[some, column], color=color, label=label, **style
        )
    ends = [true.min(), true.max()]
    upper.plot(ends, ends, color="black", linewidth=1, linestyle=":", label="without error")
    lower.axhline(0, color="black", linewidth=1, linestyle=":")
    upper.set(xlabel="true value", ylabel="predicted value", title="Predicted against true")
    lower.set(xlabel="true value", ylabel="predicted minus true", title="Errors")
    plotting.legend(upper)
    return plotting.png(figure)


def mistakes(kept: Predictions) -> bytes:
    """The worst mistakes as small pictures: true class, what was predicted instead, and how surely.

    One image holds them all: an axes for each takes longer to draw than everything else in a
    report.
    """
    found = kept.mistakes
    height, width = found.pictures.shape[1:3]
    caption, gap = -(-width // 2), -(-width // 20)  # of pixels, above and beside a picture
    rows = -(-len(found.indices) // PER_ROW)
    sheet = np.full([rows * (caption + height), PER_ROW * (width + gap) - gap, 3], 255, np.uint8)
    figure = plotting.blank(plotting.WIDTH * sheet.shape[0] / sheet.shape[1], layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    outputs, true = kept.outputs[kept.final][found.part], kept.true[found.part]
    for place, (index, picture) in enumerate(zip(found.indices, found.pictures, strict=True)):
        row, column = divmod(place, PER_ROW)
        top, left = row * (caption + height) + caption, column * (width + gap)
        sheet[top : top + height, left : left + width] = picture
        style = {"ha": "center", "va": "center"}
        axes.text(
            left + (width - 1) / 2,
            top - 0.5 - caption / 2,
            _caption(kept, true[index], outputs[index]),
            **style,
        )
    axes.imshow(sheet, interpolation="nearest")
    axes.set_axis_off()
    return plotting.png(figure)


def _caption(kept: Predictions, true, output: np.ndarray) -> str:
    if not kept.is_classification:
        return f"true {true[0]:.4g}\npredicted {output[0]:.4g}"
    names = [
        plotting.words(name, 12)
        for name in (kept.class_names[true], kept.class_names[output.argmax()])
    ]
    return f"is {names[0]}\nsays {names[1]}\n({output.max():.2f})"
