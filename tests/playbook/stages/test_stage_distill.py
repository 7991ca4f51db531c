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


def test_a_gain_that_stays_with_other_seeds_is_kept():
    best = NAMES[2]
    wrong = {best: 60, **{f"{best}-seed{seed}": 62 for seed in (2, 3)}}
    segments, decision = searched(wrong)
    again = [spec for spec in segments if "-seed" in spec.trial]
    assert {spec.trial for spec in again} == {f"{best}-seed2", "train-200-seed2"}
    # The repetition has the teacher's numbers where, and only where, the first had them.
    for spec in again:
        assert (spec.temperature, spec.mix) == (
            GRID[2] if spec.trial.startswith(best) else (1.0, 0.0)
        )
        assert spec.recipe.seed == 2
    values = decision.values
    assert values.kept and values.trial == best and values.gain.seeds == 2
    assert (values.temperature, values.mix) == GRID[2]
    assert [point.trial for point in values.grid] == NAMES
    assert values.grid[2].gain.gain == pytest.approx(0.04)
    assert decision.numbers.startswith(
        "The best of 4 settings (temperature 4, 50 % of the loss from the teacher) against the "
        "student alone: +4 points"
    )
    assert "over 2 seeds" in decision.reason
    assert decision.headline == "Student with its teacher"


def test_a_gain_that_other_seeds_do_not_show_is_not_kept():
    wrong = {NAMES[0]: 70, f"{NAMES[0]}-seed2": 130, f"{NAMES[0]}-seed3": 120}
    _, decision = searched(wrong)
    assert not decision.values.kept and decision.values.trial == "train-200"
    assert decision.values.gain.seeds == 3 and "Student without a teacher" in decision.reason


def test_within_noise_nothing_is_repeated_and_the_student_alone_comes_back():
    segments, decision = searched({NAMES[1]: 99})
    assert not [spec for spec in segments if "-seed" in spec.trial]
    assert (
        decision.values.trial == "train-200"
        and "not significant (95 % CI includes 0)" in decision.reason
    )


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
