"""Recipes that helped elsewhere: the most promising first, and what is expected to be best kept."""

import dataclasses

import numpy as np
import pytest
from fake_trainer import facts
from test_stages import scored

from kerastune.playbook.context import Context
from kerastune.playbook.rules import known_recipes
from kerastune.playbook.rules.expected_gain import BUILT_IN, WIDER
from kerastune.playbook.stages.recipes import BASE, LEAST_TRAININGS, Recipes
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

RECIPE = Recipe(learning_rate=0.03, total_steps=600)
STAGE = Recipes(chunk=50)
CHANGES = {
    "base": {},
    "rate x1/3": {"rate": 1 / 3},
    "smoothing": {"label_smoothing": 0.1},
    "adam": {"optimizer": "adam", "learning_rate": 1e-3},
    "late": {"decay_start": 0.5},
    "length x3": {"length": 3.0},
    "dropout .1": {"dropout": 0.1, "regularizers": "on"},
    "batch 256": {"batch_size": 256, "rate": 2.0},
}


def gains(**means):
    std = 0.01 / WIDER
    return {
        name: {"table": {"mean": means.get(name, -0.05), "std": std, "tasks": 9}}
        for name in CHANGES
    }


def drive(shares, known=None, recipe=RECIPE):
    """Trains what is proposed: that share of the examples is right, 0.8 by default."""
    known, outcomes = known or facts(allowance=9000), {}
    while specs := STAGE.propose(Context(recipe, known, outcomes)):
        (spec,) = specs
        done = scored(spec.recipe.total_steps, shares.get(spec.trial, 0.8), spec.trial)
        whole = dataclasses.replace(
            spec, start=0, until=spec.recipe.total_steps, eval_every=50, stage="recipes"
        )
        outcomes[spec.trial] = dataclasses.replace(done, spec=whole)
    return outcomes, STAGE.decide(Context(recipe, known, outcomes))


def test_the_most_promising_is_tried_first_and_the_best_expectation_kept(recorded):
    recorded(changes=CHANGES, gains=gains(smoothing=0.03, late=0.02))
    outcomes, decision = drive({"recipes-smoothing": 0.805, "recipes-late": 0.85})
    assert list(outcomes)[:3] == [BASE, "recipes-smoothing", "recipes-late"]
    assert decision.values.trial == "recipes-late" and decision.values.kept in decision.headline
    assert decision.after == RECIPE.replace(decay_start=300)
    assert "measured +5, 95 % CI" in decision.numbers and "+2 on 9 other tasks" in decision.numbers
    # What lost everywhere else is not worth a training.
    assert "recipes-rate-x1-3" not in outcomes


def test_where_nothing_promises_more_than_a_tie_the_recipe_stays(recorded):
    recorded(changes=CHANGES, gains=gains())
    outcomes, decision = drive({})
    assert list(outcomes) == [BASE] and decision.after == RECIPE
    recorded(changes=CHANGES, gains=gains(smoothing=0.0))
    outcomes, decision = drive({"recipes-smoothing": 0.7})
    assert "recipes-smoothing" in outcomes and decision.after == RECIPE
    assert "stays" in decision.headline and decision.values.trial == BASE


def test_trainings_are_shorter_where_the_allowance_holds_few_and_the_recipe_keeps_its_steps(
    recorded,
):
    recorded(changes=CHANGES, gains=gains(smoothing=0.03))
    outcomes, decision = drive({"recipes-smoothing": 0.85}, facts(allowance=2000))
    assert outcomes[BASE].spec.recipe.total_steps == 2000 // LEAST_TRAININGS
    assert decision.after == RECIPE.replace(label_smoothing=0.1)
    outcomes, decision = drive({}, facts(allowance=1000))
    assert not outcomes and decision.after == RECIPE and "do not hold" in decision.numbers


def test_of_a_built_in_network_changes_of_its_own_recipe_are_tried(recorded):
    gained = {"table": {"mean": 0.03, "std": 0.01 / WIDER, "tasks": 9}}
    recorded(
        changes=CHANGES,
        gains=gains(),
        gains_of={BUILT_IN: {"no dropout": gained}},
        changes_of_built_in={"no dropout": {"optimizer": "adam", "dropout": None}},
    )
    own = RECIPE.replace(optimizer="adam", dropout=0.25)
    known = facts(allowance=9000, starting_recipe={"optimizer": "adam"})
    outcomes, decision = drive({"recipes-no-dropout": 0.85}, known, own)
    assert list(outcomes) == [BASE, "recipes-no-dropout"]
    assert decision.headline == "Kept: no dropout" and decision.after.dropout is None


def test_what_a_stage_before_trained_is_not_trained_again(recorded):
    recorded(changes=CHANGES, gains=gains(smoothing=0.03))
    paid = scored(600, 0.8, "decay-linear", stage="decay")
    spec = dataclasses.replace(paid.spec, recipe=RECIPE)
    outcomes = {"decay-linear": dataclasses.replace(paid, spec=spec)}
    (first,) = STAGE.propose(Context(RECIPE, facts(allowance=9000), outcomes))
    assert first.trial == "recipes-smoothing"


def test_a_diverged_or_failed_candidate_is_passed_over(recorded):
    recorded(changes=CHANGES, gains=gains(smoothing=0.03, late=0.02))
    base = scored(600, 0.8, BASE, stage="recipes")
    spec = TrialSpec("recipes-smoothing", "recipes", RECIPE, 0, 600, 50)
    outcomes = {BASE: base, "recipes-smoothing": Outcome.failed(spec, ValueError("none"))}
    context = Context(RECIPE, facts(allowance=9000), outcomes)
    (due,) = STAGE.propose(context)
    assert due.trial == "recipes-late"
    assert STAGE.decide(context).after.label_smoothing == 0


# Changes as recipes


def applied(name, recipe=RECIPE, outcomes=None, **known):
    context = Context(recipe, facts(**known), outcomes or {})
    return known_recipes.changed(recipe, CHANGES[name], context, chunk=50)


def test_changes_are_relative_to_the_recipe():
    assert applied("rate x1/3").learning_rate == pytest.approx(0.01)
    assert applied("late").decay_start == 300
    larger = applied("batch 256")
    assert (larger.batch_size, larger.learning_rate, larger.total_steps) == (256, 0.06, 150)
    assert applied("adam").learning_rate == 1e-3 and applied("adam").optimizer == "adam"


def test_changes_without_a_meaning_here_are_left_out():
    assert applied("length x3") is None
    assert applied("dropout .1", unusable={"dropout": "no layer"}) is None
    assert applied("batch 256", fixed_batch_size=True) is None
    assert applied("batch 256", RECIPE.replace(batch_size=32)) is None
    assert applied("adam", RECIPE.replace(optimizer="lion")) is None


def test_a_recipe_with_adam_is_changed_as_it_was_recorded_with_adam(recorded):
    changes = {**CHANGES, "decayed": {"optimizer": "adam", "weight_decay": 0.1}}
    recorded(changes=changes, gains=gains())
    base = RECIPE.replace(optimizer="adam")
    found = {
        each.name: each for each in known_recipes.candidates(base, Context(base, facts(), {}), 50)
    }
    assert found["decayed"].recipe == base.replace(weight_decay=0.1)
    assert found["decayed"].words == "weight decay 0.1"
    assert found["adam"].recipe == base.replace(learning_rate=1e-3)


def test_names_of_trials_are_fit_for_files_and_words_for_people(recorded):
    recorded(changes=CHANGES, gains=gains())
    found = known_recipes.candidates(RECIPE, Context(RECIPE, facts(), {}), 50)
    trials = [each.trial for each in found]
    assert len(set(trials)) == len(trials) and np.all(
        [set(t) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") for t in trials]
    )
    words = {each.name: each.words for each in found}
    assert words["rate x1/3"] == "learning rate x0.333"
    assert words["late"] == "decay from 50 % of the steps" and "base" not in words
