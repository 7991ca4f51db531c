"""Class weights come with imbalanced classes, and only where they are expected to gain."""

import numpy as np
import pytest

from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.stages.class_weights import BALANCED, BASE, Weights
from kerastune.playbook.stages.regularize import Regularize
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

CHUNK, COUNT = 50, 400
RECIPE = Recipe(learning_rate=0.03, total_steps=600)
STAGE = Weights(CHUNK)


def facts(**changes):
    usual = {
        "num_train": 6400,
        "num_validation": COUNT,
        "objective": Objective("macro_f1", "max"),
        "allowance": 10**6,
    }
    return Facts(
        **{**usual, "num_classes": 3, "imbalanced": True, "scored_by": "macro-F1", **changes}
    )


def ended(spec, share, stage=None, **changes):
    total = spec.recipe.total_steps
    spec = TrialSpec(spec.trial, stage or spec.stage, spec.recipe, 0, total, CHUNK, keep_best=True)
    evals = ({"step": total, "loss": 0.5, "macro_f1": share, "accuracy": share},)
    scores = (np.arange(COUNT) < share * COUNT).astype(float)
    curves = {"loss": np.full(total, 0.5), "accuracy": np.full(total, share)}
    return Outcome(spec, curves, evals, example_scores=None if changes else scores, **changes)


def paid_for(share=0.8, **changes):
    """The training of stage `decay`, and of the same steps."""
    recipe = RECIPE.replace(**changes)
    return {"decay-linear": ended(TrialSpec("decay-linear", "decay", recipe, 0, 600, CHUNK), share)}


def drive(balanced, known=None, outcomes=None, recipe=RECIPE, **changes):
    """Trains what is proposed: with weights a share of `balanced` is right, else 0.8."""
    known, outcomes = known or facts(), dict(outcomes or {})
    while specs := STAGE.propose(Context(recipe, known, outcomes)):
        for spec in specs:
            weighted = spec.recipe.class_weights == "balanced"
            share = balanced if weighted else 0.8
            outcomes[spec.trial] = ended(spec, share, **(changes if weighted else {}))
    return outcomes, STAGE.decide(Context(recipe, known, outcomes))


@pytest.mark.parametrize("share, gain", [(0.9, "+10"), (0.805, "+0.5")])
def test_an_expected_gain_is_kept_after_one_training(share, gain):
    outcomes, decision = drive(share, outcomes=paid_for())
    assert decision.after == RECIPE.replace(class_weights="balanced")
    assert decision.values.trial == BALANCED and set(outcomes) == {"decay-linear", BALANCED}
    assert outcomes[BALANCED].spec.recipe == RECIPE.replace(
        class_weights="balanced", regularizers="on"
    )
    assert "points of macro-F1 expected on validation" in decision.reason
    assert f"(measured {gain}, 95 % CI" in decision.reason
    assert set(decision.evidence) == set(outcomes)


@pytest.mark.parametrize("share", [0.8, 0.7975, 0.7])
def test_what_is_not_expected_to_gain_is_left_out(share):
    outcomes, decision = drive(share, outcomes=paid_for())
    assert decision.after == RECIPE and decision.values.trial == "decay-linear"
    assert "No class weights" in decision.reason and BALANCED in outcomes


def test_without_a_training_that_is_paid_for_both_are_trained():
    outcomes, decision = drive(0.9)
    assert {BASE, BALANCED} == set(outcomes) and decision.after.class_weights == "balanced"
    assert drive(0.9, outcomes=paid_for(learning_rate=0.1))[0].keys() > {BASE, BALANCED}
    # Trained without its regularizers, it is another network.
    assert drive(0.9, facts(regularized=True), paid_for())[0].keys() > {BASE, BALANCED}


@pytest.mark.parametrize(
    "changes, recipe, words",
    [
        ({"imbalanced": False}, RECIPE, "No class is three times as large"),
        (
            {"unusable": {"class_weights": "the data came with class weights"}},
            RECIPE,
            "data came with class weights",
        ),
        ({}, RECIPE.replace(class_weights="balanced"), "recipe has them already"),
    ],
)
def test_where_nothing_is_to_be_tried_nothing_is_trained(changes, recipe, words):
    outcomes, decision = drive(0.9, facts(**changes), recipe=recipe, outcomes=paid_for())
    assert (
        list(outcomes) == ["decay-linear"] and decision.after == recipe and words in decision.reason
    )
    assert (
        decision.evidence == ()
    )  # of a training that has nothing to do with it no picture is drawn


def test_a_budget_that_does_not_hold_the_training_leaves_it_out():
    outcomes, decision = drive(0.9, facts(allowance=599), paid_for())
    assert (
        list(outcomes) == ["decay-linear"] and "599 steps for trainings of 600" in decision.reason
    )
    assert decision.after == RECIPE and decision.values.trial == "decay-linear"
    outcomes, decision = drive(0.9, facts(allowance=600), paid_for())
    assert BALANCED in outcomes and decision.after.class_weights == "balanced"


def test_weights_that_make_it_diverge_are_left_out():
    outcomes, decision = drive(0.9, outcomes=paid_for(), diverged_at=30)
    assert decision.after == RECIPE and "did not come to an end" in decision.reason


@pytest.mark.parametrize("share, name", [(0.9, BALANCED), (0.8, BASE)])
def test_later_stages_do_not_train_again_what_this_one_has_trained(share, name):
    outcomes, decision = drive(share)
    plan = Regularize(CHUNK)
    assert not plan.propose(Context(decision.after, facts(), outcomes))
    assert plan.decide(Context(decision.after, facts(), outcomes)).values.trial == name
    runs = Train(CHUNK)._steps(Context(decision.after, facts(), outcomes)).runs
    assert [run.spec.trial for run in runs] == [name]
