"""Rows, bar and lines of a search, on a screen that remembers."""

import dataclasses
import types

from kerastune.analysis.comparison import Comparison
from kerastune.budget import Budget
from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.train import TrainValues
from kerastune.recipe import Recipe
from kerastune.runtime.screen import Screen
from kerastune.trial import Outcome, TrialSpec
from kerastune.tuner.display import progress, time_left


class Remembering(Screen):
    def __init__(self):
        self.lines, self.rows, self.bars = [], [], []

    def line(self, text, style=""):
        self.lines.append(text)

    def row(self, cells):
        self.rows.append(cells)

    def bar(self, fraction, left, words):
        self.bars.append((fraction, left, words))


class Study:
    spent = 0.0

    def seconds(self):
        return self.spent

    def announce(self, words):
        self.announced = words


def outcome(trial, accuracy):
    spec = TrialSpec(trial, "lr", Recipe(), 0, 100)
    return Outcome(spec, {"loss": []}, evals=({"step": 100, "accuracy": accuracy, "loss": 1.0},))


def of_fold(trial, accuracy):
    """Evaluated on a part of its own."""
    spec = TrialSpec(trial, "ensemble", Recipe(), 0, 100, folds=5, left_out=1, repeat=1)
    return dataclasses.replace(outcome(trial, accuracy), spec=spec)


def searching(budget="100s"):
    spec = TrialSpec("lr-0.1", "lr", Recipe(total_steps=10), 0, 100)
    playbook = types.SimpleNamespace(
        study=Study(),
        stages=[registry.find(name) for name in ("lr", "train")],
        decisions=[],
        decided=0,
        outcomes={},
        in_flight=[spec],
        recipe=Recipe(total_steps=10),
        objective=Objective("accuracy", "max"),
        scored_by="accuracy",
    )
    shown = Remembering()
    display = progress.Display(Budget.parse(budget), shown)
    display.begin(playbook, [("digits: 10 examples", "")])
    return display, playbook, shown, spec


def test_the_bar_tells_trial_step_best_and_an_estimate_beside_the_bound():
    display, playbook, shown, spec = searching()
    display.segment(spec)
    assert playbook.study.announced[0].startswith("lr: lr-0.1, steps 0 to 100, since ")
    for accuracy in (0.5, 0.9, 0.7):
        display.recorded(outcome("a", accuracy))
    display.recorded(of_fold("b", 1.0))  # which says nothing of the others
    playbook.study.spent = 40.0
    display.steps(30)
    fraction, left, words = shown.bars[-1]
    assert fraction == 0.4 and words == "lr-0.1: step 30 of 100 · best accuracy 0.9000"
    assert left.startswith("about ") and left.endswith(" left, at most 1 min 00 s")


def test_a_decision_is_a_row_with_what_it_gained_and_its_own_seconds():
    display, playbook, shown, _ = searching()
    playbook.study.spent = 3.0
    display.decided(Decision("lr", Recipe(), Recipe(), "Learning rate 0.1", "so"))
    playbook.study.spent = 10.5
    for ends in ((0.02, 0.01, 0.03), (0.02, -0.01, 0.03), (-0.02, -0.03, -0.01)):
        gained = TrainValues(gain=Comparison(*ends))
        display.decided(Decision("train", Recipe(), Recipe(), "Tuned", "so", (), gained))
    assert shown.lines == ["digits: 10 examples"]
    assert shown.rows == [
        ("lr", "Learning rate 0.1", "", "3.0 s"),
        ("train", "Tuned", "+2 points", "7.5 s"),
        ("train", "Tuned", "", "0.0 s"),  # not significant
        ("train", "Tuned", "", "0.0 s"),  # a loss, so that it was not kept
    ]


def test_a_budget_in_steps_ends_with_what_comes_on_top():
    display, _, shown, spec = searching("1000steps")
    display.segment(spec)
    display.steps(100)
    assert shown.bars[-1][0] == 0.1


def test_the_estimate_never_exceeds_the_bound_and_counts_what_is_left_of_a_stage():
    stages = [registry.find(name) for name in ("lr", "batch", "train", "ensemble", "tta")]
    assert time_left.estimate(stages, {}, 0.0, 10.0, 5.0) == 5.0
    half = time_left.estimate(stages, {"lr": 4.0}, 3.0, 10.0, 100.0)
    assert half == 1.0 + 10.0 + 10.0
    decided = dict.fromkeys(("lr", "batch", "train", "ensemble", "tta"), 1.0)
    assert time_left.estimate(stages, decided, 0.0, 10.0, 100.0) == 0.0
