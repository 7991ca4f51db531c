"""Figures of decisions: what is on them, read off Matplotlib's axes."""

import dataclasses

import numpy as np
import pytest

from kerastune.analysis import curves
from kerastune.analysis.comparison import Comparison
from kerastune.analysis.trial_curves import Curves
from kerastune.playbook.decision import Decision
from kerastune.playbook.rules.hill_climb import Tried
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report.figures import decision_figures, plotting
from kerastune.trial import Outcome, TrialSpec

PNG = b"\x89PNG\r\n\x1a\n"


def outcome(name, rate=0.1, steps=100, diverged_at=None, evals=(), layers=()):
    losses = 1 + np.exp(-np.arange(steps) * rate / 3)
    if diverged_at is not None:
        losses[diverged_at:] = np.nan
    norm_steps = np.arange(0, steps, 10)
    return Outcome(
        TrialSpec(name, "lr", Recipe(learning_rate=rate), 0, steps),
        Curves(
            {"loss": losses.astype(np.float32)},
            norm_steps=norm_steps,
            update_norms=np.full([len(norm_steps), len(layers)], 0.02),
            weight_norms=np.full([len(norm_steps), len(layers)], 2.0),
        ),
        evals=tuple(evals),
        layers=layers,
        diverged_at=diverged_at,
    )


def decision(stage, outcomes, **values):
    recipe, found = Recipe(learning_rate=0.05), registry.find(stage).values(**values)
    return Decision(stage, recipe, recipe, "So it is", "because", tuple(outcomes), found)


def test_stage_2_is_drawn_against_examples_seen(drawn):
    evals = [
        {"step": 50, "loss": 1.0, "accuracy": 0.5},
        {"step": 100, "loss": 0.9, "accuracy": 0.6},
    ]
    outcomes = {"batch-64": outcome("batch-64", evals=evals)}
    for stage, last, unit in (("batch", 99 * 64, "examples seen"), ("train", 99, "step")):
        assert decision_figures.of_decision(decision(stage, outcomes), outcomes).startswith(PNG)
        upper, lower = drawn[-1].axes[-2:]
        assert (
            upper.lines[0].get_xdata().max() == last
            and upper.get_xlabel() == lower.get_xlabel() == unit
        )
        assert lower.lines[0].get_xdata()[-1] == (100 * 64 if stage == "batch" else 100)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are made, to look at."""
    kept, make = [], plotting.png
    for module, name in ((decision_figures, "_png"), (plotting, "png")):
        monkeypatch.setattr(module, name, lambda figure: kept.append(figure) or make(figure))
    return kept


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def grid():
    trials = {"lr-0": (0.3, 150), "lr-1": (0.01, 100), "lr-2": (0.1, 100)}
    return {name: outcome(name, rate, steps) for name, (rate, steps) in trials.items()}


def test_loss_against_rate_at_the_steps_that_all_have(drawn):
    trials = grid()
    trials["lr-3"] = outcome("lr-3", 3.0, diverged_at=20)
    png = decision_figures.of_decision(
        decision("lr", trials, learning_rate=0.1, converged_step=80), trials
    )
    assert png.startswith(PNG)
    upper, lower = drawn[0].axes
    points = upper.lines[0]
    assert list(points.get_xdata()) == [0.01, 0.1, 0.3]
    expected = [curves.smoothed(trials[name].losses[:100])[-1] for name in ("lr-1", "lr-2", "lr-0")]
    np.testing.assert_allclose(points.get_ydata(), expected)
    assert labels(upper) == ["diverged", "chosen: 0.1", "where it began: 0.05"]
    assert "after 100 steps" in upper.get_ylabel() and upper.get_xscale() == "log"
    assert labels(lower) == ["0.01", "0.1", "0.3", "converged"]
    assert [line.get_linewidth() for line in lower.lines[:3]] == [1.1, 2.6, 1.1]
    assert len(lower.lines[2].get_xdata()) == 150


def test_a_grid_that_diverged_whole_is_drawn_too(drawn):
    trials = {
        "lr-0": outcome("lr-0", 3.0, diverged_at=5),
        "lr-1": outcome("lr-1", 1.0, diverged_at=0),
    }
    assert decision_figures.of_decision(decision("lr", trials), trials).startswith(PNG)
    assert labels(drawn[0].axes[0]) == ["diverged", "where it began: 0.05"]


def test_the_probe_shows_the_ratio_of_every_layer(drawn):
    trials = {"probe": outcome("probe", layers=("hidden", "out"))}
    assert decision_figures.of_decision(decision("probe", trials), trials).startswith(PNG)
    (axes,) = drawn[0].axes
    assert labels(axes) == ["hidden", "out"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 0.01)
    assert list(axes.lines[0].get_xdata()) == list(range(0, 100, 10))
    one = {"probe": outcome("probe", steps=1, layers=("hidden", "out"))}
    assert decision_figures.of_decision(decision("probe", one), one) is None  # no curve


@pytest.mark.parametrize("measure, first", [("accuracy", 2.0), ("loss", 0.02)])
def test_stage_4_shows_every_gain_with_its_interval(drawn, measure, first):
    gains = [
        Tried("a", "dropout 0.3", Comparison(0.02, 0.01, 0.04), is_kept=True),
        Tried("a", "a horizontal flip", Comparison(0.03, 0.01, 0.04)),
    ]
    made = decision("regularize", {"a": outcome("a")}, gains=gains, scored_by=measure)
    assert decision_figures.of_decision(made, {"a": outcome("a")}).startswith(PNG)
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "dropout 0.3",
        "a horizontal flip",
    ]
    assert labels(axes) == ["kept", "left out"] and measure in axes.get_xlabel()
    line, _, (bar,) = axes.containers[0]
    assert line.get_xdata()[0] == pytest.approx(first)
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [first / 2, 2 * first])
    many = [
        dataclasses.replace(gains[0], words=f"{count} layers frozen at a rate of 0.003")
        for count in range(12)
    ]
    decision_figures.of_decision(
        decision("finetune", {"a": outcome("a")}, gains=many, scored_by=measure),
        {"a": outcome("a")},
    )
    (axes,) = drawn.pop().axes
    assert axes.get_yticklabels()[0].get_text() == "0 layers frozen at a\nrate of 0.003"
    assert axes.figure.get_figheight() > drawn[0].get_figheight()  # no label on top of another
    nothing = decision("regularize", {"a": outcome("a")}, gains=[], scored_by=measure)
    assert (
        decision_figures.of_decision(nothing, {"a": outcome("a")}).startswith(PNG)
        and len(drawn[1].axes) == 2
    )


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_whole_trainings_show_training_and_validation(drawn, metric):
    evals = [{"step": step, "loss": 1.0, metric: step / 100} for step in (50, 100)]
    trials = {"train-1": outcome("train-1", evals=evals), "baseline": outcome("baseline")}
    assert decision_figures.of_decision(decision("train", trials), trials).startswith(PNG)
    upper, lower = drawn[0].axes
    assert [line.get_label() for line in upper.lines] == ["train-1", "baseline"] == labels(lower)
    assert lower.get_ylabel() == f"validation {metric}"
    assert list(lower.lines[0].get_xdata()) == [50, 100]
    assert list(lower.lines[0].get_ydata()) == [0.5, 1.0]


def test_long_curves_are_thinned_but_keep_their_ends(drawn):
    trials = {"train": outcome("train", rate=0.001, steps=5 * plotting.MOST_POINTS)}
    decision_figures.of_decision(decision("train", trials), trials)
    steps = drawn[0].axes[0].lines[0].get_xdata()
    assert len(steps) == plotting.MOST_POINTS and (steps[0], steps[-1]) == (
        0,
        5 * plotting.MOST_POINTS - 1,
    )


def test_only_evidence_is_drawn(drawn):
    trials = grid()
    decision_figures.of_decision(decision("lr", ["lr-0", "unknown"]), trials)
    assert list(drawn[0].axes[0].lines[0].get_xdata()) == [0.3]
    assert decision_figures.of_decision(decision("start", []), trials) is None
    assert decision_figures.of_decision(decision("start", ["unknown"]), trials) is None
