"""Pictures of decisions, as PNG bytes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np

from kerastune.analysis import curves
from kerastune.analysis.comparison import Z
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report import metric_names
from kerastune.report.figures import ensemble_figures, plotting, probe_figures
from kerastune.report.figures.plotting import legend as _legend
from kerastune.report.figures.plotting import line as _line
from kerastune.report.figures.plotting import png as _png
from kerastune.report.figures.vector import INK_DARK, INK_LIGHT
from kerastune.report.summaries import alternatives, training_loss
from kerastune.trial import Outcome

LABEL_WIDTH = 24  # characters, beyond which a label goes on in the next line
LABEL_HEIGHT = 0.2  # inches of one line
MOST_COMPARED = 24  # trainings in one panel


def of_decision(decision: Decision, outcomes: dict[str, Outcome]) -> bytes | None:
    """The figure of a stage's decision, or `None` when there is nothing to draw.

    Its kind is the one that the stage declares. Of a stage that nobody knows, as in the study of
    another version, trainings are compared.
    """
    stage = registry.find(decision.stage)
    trials = {name: outcomes[name] for name in decision.evidence if name in outcomes}
    return FIGURES[stage.figure if stage else "trainings"](decision, trials)


def loss_against_rate(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    """Smoothed loss of every rate after the steps that all have, and the curves that it was read
    off.
    """
    figure, (upper, lower) = _panels(2)
    rates = {outcome.spec.recipe.learning_rate: outcome for outcome in trials.values()}
    chosen, converged = decision.values.learning_rate, decision.values.converged_step
    sound = {rate: o for rate, o in sorted(rates.items()) if o.diverged_at is None}
    common = min((o.steps for o in sound.values()), default=0)
    losses = [curves.smoothed(o.losses[:common])[-1] for o in sound.values()]
    upper.plot(list(sound), losses, "o-", color=plotting.BLUE)
    for rate in sorted(set(rates) - set(sound)):
        upper.axvline(rate, color=plotting.ORANGE, linestyle=":", label="diverged")
    if chosen is not None:
        upper.axvline(chosen, color=plotting.GREEN, linestyle="--", label=f"chosen: {chosen:g}")
    suggested = decision.before.learning_rate
    upper.axvline(
        suggested, color=plotting.GREY, linestyle="-.", label=f"where it began: {suggested:.2g}"
    )
    upper.set(xscale="log", xlabel="learning rate", title=f"Loss against rate{_note(trials)}")
    upper.set(ylabel=f"smoothed training loss\nafter {common:,} steps", yscale=_scale(losses))
    _legend(upper)
    for (rate, outcome), shade in zip(sound.items(), plotting.shades(len(sound))):
        style = {"color": shade, "linestyle": "-"}
        _line(lower, curves.smoothed(outcome.losses), f"{rate:g}", bold=rate == chosen, **style)
    if converged is not None:
        lower.axvline(converged, color="black", linestyle=":", label="converged")
    lower.set(ylabel="smoothed training loss", yscale="log", title="The curves, by rate")
    plotting.count_along(lower, "step")
    _legend(lower)
    return _png(figure)


def gains(decision: Decision) -> bytes:
    """Gain of everything that a stage tried over what was kept before, with its 95 % interval."""
    words = [textwrap.fill(each.words, LABEL_WIDTH) for each in decision.values.gains]
    figure, (axes,) = plotting.panels(
        max(plotting.HEIGHT, LABEL_HEIGHT * len("\n".join(words).split("\n")))
    )
    measure = decision.values.scored_by
    unit = f"points of {measure} gained" if measure != "loss" else "fall of the loss"
    for place, each in enumerate(decision.values.gains):
        factor = 1 if measure == "loss" else 100
        mean, low, high = (factor * end for end in (each.gain.gain, each.gain.low, each.gain.high))
        color, label = (plotting.GREEN, "kept") if each.is_kept else (plotting.GREY, "left out")
        axes.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            fmt="o",
            color=color,
            capsize=3,
            label=label,
        )
    axes.set_yticks(range(len(words)), words)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=1)
    title = f"{registry.find(decision.stage).figure_title}, 95 % intervals"
    axes.set(xlabel=unit, title=title)
    _legend(axes)
    return _png(figure)


def score_by_trial(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    """What every network had reached after the first horizon, in the order of the trials, and how
    each went on.
    """
    figure, (upper, lower) = _panels(2)
    values = decision.values
    scores, winner, name = values.scores, values.winner, values.objective
    kinds = {"tried": [], "lost": [], "winner": []}
    for index, (trial, score) in enumerate(scores.items()):
        kinds["lost" if score is None else "winner" if trial == winner else "tried"].append(
            (index, score)
        )
    least = min((score for score in scores.values() if score is not None), default=0.0)
    for kind, marker in (("tried", "o"), ("lost", "x"), ("winner", "*")):
        if kinds[kind]:
            shown = [least if score is None else score for _, score in kinds[kind]]
            label = "diverged or failed" if kind == "lost" else kind
            size = 12 if kind == "winner" else 6
            upper.plot(
                [index for index, _ in kinds[kind]], shown, marker, markersize=size, label=label
            )
    upper.set(
        xlabel="trial (0: as it was)",
        ylabel=f"validation {metric_names.called(name)}",
        title="After the first horizon",
    )
    for trial in values.finalists:
        evals = [each for each in trials[trial].evals if name in each]
        lower.plot(
            [each["step"] for each in evals], [each[name] for each in evals], ".-", label=trial
        )
    lower.set(
        xlabel="step", ylabel=f"validation {metric_names.called(name)}", title="Those that went on"
    )
    _legend(upper)
    _legend(lower)
    return _png(figure)


def settings_compared(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    """Smoothed losses of batch sizes and momenta after as many examples as all have seen, and the
    curves.
    """
    kinds = len({_kind(outcome.spec.recipe) for outcome in trials.values()})
    figure, (top, upper, lower) = plotting.panels(
        1.1 + 0.4 * kinds, plotting.HEIGHT, plotting.HEIGHT
    )
    _map(top, decision, trials)
    _draw_curves(upper, lower, decision, trials, by_examples=True)
    return _png(figure)


def trainings_compared(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    """Training loss and validation values of whole trainings, and by how much they differ at their
    end.
    """
    scored = {
        name: outcome for name, outcome in trials.items() if outcome.example_scores is not None
    }
    sizes = {len(outcome.example_scores) for outcome in scored.values()}
    is_paired = len(scored) > 1 and len(sizes) == 1
    compared = dict(list(scored.items())[: MOST_COMPARED if is_paired else 0])
    below = [0.9 + 0.3 * len(compared)] if compared else []
    figure, axes = plotting.panels(plotting.HEIGHT, plotting.HEIGHT, *below)
    _draw_curves(axes[0], axes[1], decision, trials)
    if compared:
        _differences(axes[2], compared, alternatives.chosen_trial(decision, trials))
    return _png(figure)


def _draw_curves(
    upper, lower, decision: Decision, trials: dict[str, Outcome], by_examples: bool = False
) -> None:
    unit, chosen = (
        "examples seen" if by_examples else "step",
        alternatives.chosen_trial(decision, trials),
    )
    metric = _metric(trials)
    for name, outcome in trials.items():
        each = outcome.spec.recipe.batch_size if by_examples else 1
        _line(upper, curves.smoothed(outcome.losses), name, bold=name == chosen, each=each)
        values = [(each * e["step"], e[metric]) for e in outcome.evals if metric in e]
        width = 2.6 if name == chosen else 1.1
        lower.plot(
            *(np.transpose(values) if values else ([], [])),
            marker=".",
            label=plotting.words(name),
            lw=width,
        )
    upper.set(ylabel="smoothed training loss", yscale="log", title=f"Training{_note(trials)}")
    lower.set(
        xlim=upper.get_xlim(),
        ylabel=f"validation {metric_names.called(metric)}",
        title="Validation",
    )
    for axes in (upper, lower):
        plotting.count_along(axes, unit)
    values = [e[metric] for outcome in trials.values() for e in outcome.evals if metric in e]
    plotting.limit(lower, values, *((0.0, 0.85) if metric == "loss" else (0.15, 1.0)))
    _legend(lower)


def _note(trials: dict[str, Outcome]) -> str:
    return training_loss.noted({name: each.spec for name, each in trials.items()})


def _metric(trials: dict[str, Outcome]) -> str:
    names = {name for outcome in trials.values() for values in outcome.evals for name in values}
    return next((name for name in ("macro_f1", "accuracy") if name in names), "loss")


def _map(axes, decision: Decision, trials: dict[str, Outcome]) -> None:
    """Batch size against momentum; a cell is the loss after as many examples as all that came
    through have seen.
    """
    sound = [o for o in trials.values() if o.diverged_at is None]
    seen = min((o.steps * o.spec.recipe.batch_size for o in sound), default=0)
    cells: dict[tuple[str, int], float] = {}
    for outcome in trials.values():
        recipe = outcome.spec.recipe
        steps = max(seen // recipe.batch_size, 1)
        loss = (
            np.nan
            if outcome.diverged_at is not None
            else float(curves.smoothed(outcome.losses[:steps])[-1])
        )
        cells.setdefault((_kind(recipe), recipe.batch_size), loss)
    kinds, sizes = sorted({kind for kind, _ in cells}), sorted({size for _, size in cells})
    grid = np.array([[cells.get((kind, size), np.nan) for size in sizes] for kind in kinds])
    axes.imshow(np.log(np.maximum(grid, 1e-12)), cmap="cividis", aspect="auto")
    lightest = np.nanmean(np.log(np.maximum(grid, 1e-12))) if np.isfinite(grid).any() else 0
    for (kind, size), loss in cells.items():
        told = "diverged" if np.isnan(loss) else f"{loss:.3g}"
        ink = INK_LIGHT if np.log(max(loss, 1e-12)) <= lightest else INK_DARK
        axes.text(sizes.index(size), kinds.index(kind), told, ha="center", va="center", color=ink)
    kind, size = _kind(decision.after), decision.after.batch_size
    if (kind, size) in cells:
        corner = (sizes.index(size) - 0.47, kinds.index(kind) - 0.46)
        axes.add_patch(_frame(corner))
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_yticks(range(len(kinds)), kinds)
    axes.grid(visible=False)
    axes.set(
        xlabel="batch size (framed: chosen)", title=f"Loss after {seen:,} examples{_note(trials)}"
    )


def _frame(corner: tuple[float, float]):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 0.94, 0.92, fill=False, edgecolor=plotting.ORANGE, linewidth=3)


def _kind(recipe: Recipe) -> str:
    """Optimizer and momentum in a few words."""
    if recipe.optimizer != "sgd":
        return recipe.optimizer.capitalize()
    return f"SGD {recipe.momentum:g}" + (" Nesterov" if recipe.nesterov and recipe.momentum else "")


def _differences(axes, scored: dict[str, Outcome], chosen: str | None) -> None:
    """How much better or worse trainings are than the chosen one, or else the first, paired over
    validation examples, with 95 % intervals.
    """
    first = chosen if chosen in scored else next(iter(scored))
    others = [name for name in scored if name != first]
    ordered = [scored[name].example_scores for name in (first, *others)]
    all_scores = np.stack(ordered).astype(np.float64)
    is_share = set(np.unique(all_scores[0])) <= {0.0, 1.0}
    gains = (100 if is_share else 1) * (all_scores[1:] - all_scores[0])
    means, errors = gains.mean(axis=1), Z * gains.std(axis=1) / np.sqrt(gains.shape[1])
    for place, (mean, error) in enumerate(zip(means, errors)):
        axes.errorbar(mean, place, xerr=error, fmt="o", color=plotting.BLUE, capsize=4)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(others)), [plotting.words(name, 24) for name in others])
    axes.set_ylim(len(others) - 0.5, -0.5)
    unit = "points of accuracy" if is_share else "of the score of an example"
    axes.set(
        xlabel=f"{unit}, 95 % interval; right is better",
        title=f"On validation, against {plotting.words(first)}",
    )


def _panels(count: int):
    return plotting.panels(*[plotting.HEIGHT] * count)


def _scale(values: list[float]) -> str:
    sound = [value for value in values if np.isfinite(value) and value > 0]
    return "log" if sound and max(sound) > 20 * min(sound) else "linear"


Draw = Callable[[Decision, dict[str, Outcome]], bytes | None]


def _of_trials(draw: Draw) -> Draw:
    """The same figure, which there is only where there are trials to draw."""
    return lambda decision, trials: draw(decision, trials) if trials else None


def _of_values(draw: Callable[[Values], bytes]) -> Draw:
    """A figure of a decision's values, which there is only where there are trials behind them."""
    return _of_trials(lambda decision, trials: draw(decision.values))


def _gains_or_trainings(decision: Decision, trials: dict[str, Outcome]) -> bytes:
    return gains(decision) if decision.values.gains else trainings_compared(decision, trials)


def _views(decision: Decision, trials: dict[str, Outcome]) -> bytes | None:
    return ensemble_figures.views(decision.values) if decision.values.added else None


# By the kind that a stage declares.
FIGURES: dict[str, Draw] = {
    "trainings": _of_trials(trainings_compared),
    "learning rates": _of_trials(loss_against_rate),
    "ratios": _of_trials(lambda decision, trials: probe_figures.ratio_by_layer(trials)),
    "settings": _of_trials(settings_compared),
    "networks": _of_trials(score_by_trial),
    "gains": _of_trials(_gains_or_trainings),
    "ensemble": _of_values(ensemble_figures.ensemble),
    "views": _views,
    "distillation": _of_values(ensemble_figures.distillation),
    "pruning": _of_values(ensemble_figures.pruning),
}
