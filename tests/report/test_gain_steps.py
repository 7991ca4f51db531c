"""From the final model to the exported one: the steps, what each gained, and the calibration."""

import pytest

from kerastune.analysis.comparison import Comparison, named
from kerastune.playbook.decision import Decision
from kerastune.playbook.ensemble_values import EnsembleValues, ValidationFigures
from kerastune.playbook.stages.tta import TtaValues
from kerastune.recipe import Recipe
from kerastune.report import gain_steps, markdown, search_sections
from kerastune.report.figures import ensemble_figures, plotting
from kerastune.report.search_sections import Findings

FIGURES = {"accuracy": 0.9, "nll": 0.4, "ece": 0.05}
CALIBRATION = {"nll": 0.4, "ece": 0.05, "brier": 0.2}


def interval(mean):
    return Comparison(mean, mean - 0.01, mean + 0.01)


def decided(stage, evidence, values):
    return Decision(stage, Recipe(), Recipe(), "So it is", "So it is.", evidence, values)


def ensemble(kept=True, members=("a", "b"), temperature=1.5):
    validation = {
        name: {**FIGURES, "nll": nll}
        for name, nll in (("single", 0.4), ("before", 0.3), ("after", 0.25))
    }
    values = EnsembleValues(
        weights=dict.fromkeys(members, 0.5),
        temperature=temperature,
        kept=kept,
        gain=interval(0.02),
        loss_gain=interval(0.1),
        temperature_gain=interval(0.05),
        validation=ValidationFigures(**validation),
    )
    return decided("ensemble", members, values)


def views(kept=True):
    after = {"before": {**FIGURES, "nll": 0.24}, "after": {**FIGURES, "nll": 0.2}} if kept else {}
    gains = {"gain": interval(0.03), "loss_gain": interval(0.02)}
    values = TtaValues(kept=kept, validation=ValidationFigures(**after), **gains)
    return decided("tta", (), values)


def result(model="tta", temperature=0.8, **parts):
    exported = {"model": model, "temperature": temperature, "gain": named(interval(0.04))}
    exported |= {"before": {**CALIBRATION, "ece": 0.09}, "after": CALIBRATION}
    shown = {name: {"validation": FIGURES} for name in ("final", model)}
    return {**shown, "exported": exported, "scored_by": "accuracy", **parts}


def told(*arguments):
    return [
        (
            rung.name,
            rung.is_kept,
            rung.gain and rung.gain.gain,
            rung.loss_gain and rung.loss_gain.gain,
        )
        for rung in gain_steps.rungs(*arguments)
    ]


FINAL = ("final model", True, None, None)


def test_every_step_stands_on_the_one_before():
    assert told([ensemble(), views()], result()) == [
        FINAL,
        ("+ ensemble", True, 0.02, 0.1),
        ("+ temperature 1.5", True, None, 0.05),
        ("+ TTA", True, 0.03, 0.02),
        ("+ temperature of TTA 0.8", True, None, 0.04),
    ]
    losses = [rung.figures["nll"] for rung in gain_steps.rungs([ensemble(), views()], result())]
    assert losses == [0.4, 0.3, 0.25, 0.24, 0.4]  # the last as the result has it


def test_what_is_left_out_is_told_with_its_gain_and_has_no_figures():
    found = gain_steps.rungs([ensemble(kept=False), views(kept=False)], result("final", 1.0))
    assert [rung.name for rung in found] == [
        "final model",
        "+ ensemble",
        "+ TTA",
        "+ temperature",
    ]
    assert not any(rung.is_kept or rung.figures for rung in found[1:]) and all(
        rung.loss_gain for rung in found[1:]
    )


def test_a_temperature_of_an_ensemble_without_views_comes_once():
    found = told([ensemble(), views(kept=False)], result("ensemble", 1.5))
    assert [name for name, *_ in found] == [
        "final model",
        "+ ensemble",
        "+ TTA",
        "+ temperature 1.5",
    ]


def test_a_single_training_is_no_ensemble_and_without_a_model_there_is_no_step():
    alone = told([ensemble(kept=False, members=("a",))], result("final", 1.0))
    assert alone == [FINAL, ("+ temperature", False, None, 0.04)]
    assert (
        gain_steps.rungs([ensemble()], {})
        == []
        == gain_steps.rungs([], {"final": {"validation": FIGURES}})
    )


def test_numbers_have_no_temperature():
    of_numbers = {
        "final": {"validation": {"rmse": 1.0}},
        "exported": {"model": "final"},
        "scored_by": "loss",
    }
    assert told([views(kept=False)], of_numbers) == [FINAL, ("+ TTA", False, 0.03, 0.02)]
    assert gain_steps.exported(of_numbers) == "Model to use: the final model."


ERROR = "Expected calibration error"
COOLED = "cross-fitted (0.0900 before temperature 1.5)."


@pytest.mark.parametrize(
    "given, words",
    [
        (result("ensemble", 1.5), f"the ensemble. {ERROR} 0.0500 on validation, {COOLED}"),
        (
            result("tta", 0.8, tta={"test": {"ece": 0.07}}),
            f"test-time augmentation. {ERROR} 0.0700 on test, 0.0500 on validation",
        ),
        (
            result("final", 1.0),
            "0.0500 on validation; no temperature lowers the NLL significantly.",
        ),
    ],
)
def test_how_far_it_can_be_trusted_is_told(given, words):
    assert words in gain_steps.exported(given)


def test_the_report_has_a_table_and_a_picture_of_the_steps(monkeypatch):
    decisions, found = [ensemble(), views(kept=False)], result("ensemble", 1.5)
    drawn, make = [], plotting.png
    monkeypatch.setattr(plotting, "png", lambda figure: drawn.append(figure) or make(figure))
    pictures = {"steps": ensemble_figures.steps(gain_steps.rungs(decisions, found), "accuracy")}
    upper, lower = drawn[0].axes
    # The points of the figure.
    assert [float(each[0].get_xdata()[0]) for each in upper.containers] == pytest.approx([2, 3])
    assert [float(each[0].get_xdata()[0]) for each in lower.containers] == pytest.approx(
        [0.1, 0.02, 0.04]
    )
    findings = Findings(decisions, {}, found, {}, Recipe(), pictures=pictures)
    text = markdown.render("t", search_sections.sections(findings), "report")
    assert "![Gain of each step" in text and "(report/steps.png)" in text
    assert r"| \+ ensemble | yes | +2 points (+1 to +3) | -0.1 (-0.11 to -0.09) | 0.9000 |" in text
    assert r"| \+ TTA | left out | +3 points (+2 to +4) | -0.02 (-0.03 to -0.01) | \- |" in text


def test_where_a_temperature_is_the_only_step_no_empty_axes_stand_above_it(monkeypatch):
    drawn = []
    monkeypatch.setattr(plotting, "png", drawn.append)
    rungs = gain_steps.rungs([], result("calibrated", 1.5))
    assert [rung.gain for rung in rungs] == [None, None]
    ensemble_figures.steps(rungs, "accuracy")
    (axes,) = drawn[0].axes
    assert "fall of the loss" in axes.get_xlabel()


def test_where_a_loss_compares_it_is_told_once():
    found = {**result("ensemble", 1.5), "scored_by": "loss"}
    text = markdown.render(
        "t", search_sections.sections(Findings([ensemble()], {}, found, {}, Recipe())), "report"
    )
    assert r"| \+ ensemble | yes | -0.1 (-0.11 to -0.09) | 0.9000 |" in text
