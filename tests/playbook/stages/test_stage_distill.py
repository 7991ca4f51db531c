"""Whether a teacher helps: on trainings made by hand, whose scores are known."""

import numpy as np
import pytest

from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.stages import distill, registry
from kerastune.playbook.stages.distill import GRID, Distill, trial_name
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

RECIPE = Recipe(total_steps=200, regularizers="on")
COUNT = 1000
NAMES = [trial_name(*each) for each in GRID]


def facts(allowance=100_000):
    return Facts(6400, COUNT, Objective("accuracy", "max"), allowance)


def outcome(spec, wrong, stop=None):
    """A training to the end of its spec that gets the first `wrong` validation examples wrong."""
    steps = stop or spec.until
    scores = (np.arange(COUNT) >= wrong).astype(float)
    evals = ({"step": steps, "accuracy": 1 - wrong / COUNT},)
    return Outcome(spec, {"loss": np.ones(steps)}, evals, diverged_at=stop, example_scores=scores)


ALONE = outcome(TrialSpec("train-200", "train", RECIPE, 0, 200, 50, keep_best=True), wrong=100)


def searched(wrong, allowance=100_000):
    """What the stage asks for and what comes of it, until it asks no more; by name, 100 where
    nothing is said.
    """
    stage, outcomes, segments = Distill(), {"train-200": ALONE}, []
    while specs := stage.propose(Context(RECIPE, facts(allowance), outcomes)):
        segments.append(specs[0])
        outcomes[specs[0].trial] = outcome(specs[0], wrong.get(specs[0].trial, 100))
    return segments, stage.decide(Context(RECIPE, facts(allowance), outcomes))


def test_the_grid_is_trained_with_the_recipe_of_the_student_from_the_start():
    segments, decision = searched({})
    assert {spec.trial for spec in segments} == set(NAMES)
    assert {(spec.temperature, spec.mix) for spec in segments} == set(GRID)
    assert all(not spec.after and spec.keep_best for spec in segments)
    for spec in segments:
        # Twice the gradient of a hard target, at a temperature of 2, for the teacher's share alone.
        rate = RECIPE.learning_rate / (1 + spec.mix * (spec.temperature - 1))
        assert spec.recipe.learning_rate == pytest.approx(rate)
        assert spec.recipe.replace(learning_rate=RECIPE.learning_rate) == RECIPE
    assert decision.values.steps_spent == 4 * 200


@pytest.mark.parametrize("wrong, gain", [(60, 0.04), (98, 0.002)])
def test_an_expected_gain_is_kept(wrong, gain):
    best = NAMES[2]
    segments, decision = searched({best: wrong})
    assert {spec.trial for spec in segments} == set(NAMES)  # one training of each decides
    values = decision.values
    assert values.kept and values.trial == best and values.gain.gain == pytest.approx(gain)
    assert (values.temperature, values.mix) == GRID[2]
    assert [point.trial for point in values.grid] == NAMES
    assert values.grid[2].gain == values.gain
    assert decision.numbers.startswith(
        "The best of 4 settings (temperature 4, 50 % of the loss from the teacher) against the "
        "student alone: +"
    )
    measured = f"points of accuracy expected on validation (measured +{100 * gain:g}, 95 % CI "
    assert measured in decision.numbers
    assert decision.headline == "Student with its teacher"
    assert set(decision.evidence) == {"train-200", *NAMES}


@pytest.mark.parametrize("wrong", [100, 101, 130])
def test_without_an_expected_gain_the_student_alone_comes_back(wrong):
    _, decision = searched(dict.fromkeys(NAMES, wrong))
    assert not decision.values.kept and decision.values.trial == "train-200"
    assert decision.headline == "Student without a teacher"
    assert f"(measured {(100 - wrong) / 10:+g}, 95 % CI " in decision.numbers


def test_the_budget_cuts_the_grid_and_a_diverged_setting_is_passed_over():
    segments, decision = searched({NAMES[0]: 90}, allowance=500)
    assert {spec.trial for spec in segments} == set(NAMES[:2]) and decision.numbers.startswith(
        "The best of 2 settings"
    )
    stage, outcomes = Distill(), {"train-200": ALONE}
    for spec in stage.propose(Context(RECIPE, facts(), outcomes)):
        outcomes[spec.trial] = outcome(spec, wrong=0, stop=30)
    assert [*outcomes] == ["train-200", *NAMES]
    decision = stage.decide(Context(RECIPE, facts(), outcomes))
    assert not decision.values.kept and "nothing to compare" in decision.reason


def test_it_stands_alone_behind_the_training():
    registry.check(["train", "distill"])
    for names in (["train", "distill", "prune"], ["train", "tta", "distill"]):
        with pytest.raises(ValueError, match="`stages` can't have both distill and "):
            registry.check(names)
    assert distill.trial_name(2.0, 0.9) == "distill-t2-m0.9"
