"""Pictures of decisions, as PNG bytes."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure

from kerastune import curves
from kerastune.stages.base import Decision
from kerastune.trial import Outcome

MOST_POINTS = 2000  # of one line


def of_decision(decision: Decision, outcomes: dict[str, Outcome]) -> bytes | None:
    """The figure of a stage's decision, or `None` when its stage has none."""
    trials = {name: outcomes[name] for name in decision.evidence if name in outcomes}
    if not trials:
        return None
    if decision.stage == "lr":
        return loss_against_rate(decision, trials)
    if decision.stage == "probe":
        return ratio_by_layer(trials)
    if decision.values.get("gains"):
        return gains(decision)
    return validation_curves(trials, by_examples=decision.stage == "batch")


def loss_against_rate(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    """Smoothed loss of every rate after the steps that all have, and the curves that it was read off."""
    figure, (upper, lower) = _panels(2)
    rates = {outcome.spec.recipe.learning_rate: outcome for outcome in trials.values()}
    chosen = decision.values.get("learning_rate")
    sound = {rate: o for rate, o in sorted(rates.items()) if o.diverged_at is None}
    common = min((o.steps for o in sound.values()), default=0)
    upper.plot(list(sound), [curves.smoothed(o.losses[:common])[-1] for o in sound.values()], "o-", color="tab:blue")
    for rate in sorted(set(rates) - set(sound)):
        upper.axvline(rate, color="tab:red", linestyle=":", label="diverged")
    if chosen is not None:
        upper.axvline(chosen, color="tab:green", linestyle="--", label=f"chosen: {chosen:g}")
    upper.axvline(decision.before.learning_rate, color="tab:gray", linestyle="-.", label="the probe's suggestion")
    upper.set(
        xscale="log", xlabel="learning rate", ylabel=f"smoothed loss after {common} steps", title="Loss against rate"
    )
    _legend(upper)
    for rate, outcome in sound.items():
        _line(lower, curves.smoothed(outcome.losses), f"{rate:g}", bold=rate == chosen)
    if "converged_step" in decision.values:
        lower.axvline(decision.values["converged_step"], color="black", linestyle=":", label="converged")
    lower.set(xlabel="step", ylabel="smoothed training loss", yscale="log", title="The curves")
    _legend(lower)
    return _png(figure)


def ratio_by_layer(trials: dict[str, Outcome]) -> bytes:
    """Ratio of update to weight norm of every layer over the steps of the probe."""
    figure, (axes,) = _panels(1)
    for outcome in trials.values():
        ratios = outcome.update_norms / np.maximum(outcome.weight_norms, 1e-12)
        for column, layer in enumerate(outcome.layers):
            axes.plot(outcome.norm_steps, ratios[:, column], "o-", label=layer)
    axes.set(xlabel="step", ylabel="update norm / weight norm", yscale="log", title="How far a step moves each layer")
    _legend(axes)
    return _png(figure)


def gains(decision: Decision) -> bytes:
    """Gain of everything that stage 4 tried over what was kept before it, with its 95 % interval."""
    figure, (axes,) = _panels(1)
    measure = decision.values["scored_by"]
    unit = f"points of {measure}" if measure != "loss" else "fall of the loss"
    for place, each in enumerate(decision.values["gains"]):
        mean, low, high = ((1 if measure == "loss" else 100) * each[name] for name in ("mean", "low", "high"))
        color, label = ("tab:green", "kept") if each["kept"] else ("tab:gray", "left out")
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=color, capsize=3, label=label)
    words = [each["words"] for each in decision.values["gains"]]
    axes.set_yticks(range(len(words)), words)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=1)
    axes.set(xlabel=f"gain on validation, {unit} (95 % interval)", title="What regularises")
    _legend(axes)
    return _png(figure)


def validation_curves(trials: dict[str, Outcome], by_examples: bool = False) -> bytes:
    """Training loss and validation values of trainings, against steps or against the examples that they have seen."""
    figure, (upper, lower) = _panels(2)
    unit = "examples seen" if by_examples else "step"
    for name, outcome in trials.items():
        each = outcome.spec.recipe.batch_size if by_examples else 1
        _line(upper, curves.smoothed(outcome.losses), name, each=each)
        if outcome.evals:
            metric = "accuracy" if "accuracy" in outcome.evals[0] else "loss"
            lower.plot([each * e["step"] for e in outcome.evals], [e[metric] for e in outcome.evals], ".-", label=name)
            lower.set(xlabel=unit, ylabel=f"validation {metric}", title="Validation")
    upper.set(xlabel=unit, ylabel="smoothed training loss", yscale="log", title="Training")
    _legend(upper)
    _legend(lower)
    return _png(figure)


def _panels(count: int):
    # One above the other: TensorBoard shows pictures in narrow cards.
    figure = Figure(figsize=(6, 4 * count), dpi=100, layout="constrained")
    return figure, figure.subplots(count, 1, squeeze=False)[:, 0]


def _line(axes, values: np.ndarray, label: str, bold: bool = False, each: int = 1) -> None:
    """A curve over its steps, or over `each` examples per step."""
    steps = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).astype(int))
    axes.plot(each * steps, values[steps], label=label, linewidth=2.5 if bold else 1)


def _legend(axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    if unique:
        axes.legend(unique.values(), unique.keys(), fontsize="small")
    axes.grid(alpha=0.3)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
