"""A search that tuned nothing says so, with a budget that would."""

import dataclasses
from types import SimpleNamespace

import pytest
from fake_trainer import CHUNK, facts

from kerastune.budget import Budget
from kerastune.playbook.budget_plan import BudgetPlan
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import untuned
from kerastune.playbook.stages.baseline import Baseline
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec
from kerastune.tuner.search import Search

STAGES = [Baseline(CHUNK), LearningRate(CHUNK), Train(CHUNK)]


def failed(stage):
    return {stage: Outcome.failed(TrialSpec(stage, stage, Recipe(), 0, 50), ValueError("none"))}


@pytest.mark.parametrize("budget", ["5s", "10s", "45s", "1000steps"])
def test_the_budget_that_is_advised_is_larger_and_holds_a_search(budget):
    words = untuned.sentence(Budget.parse(budget), STAGES, failed("baseline"))
    advised = Budget.parse(words.split("a budget of ")[1].rstrip("."))
    assert not BudgetPlan(advised, STAGES).is_short
    for name in ("steps", "seconds"):
        if (given := getattr(Budget.parse(budget), name)) is not None:
            assert getattr(advised, name) >= 4 * given


def test_nothing_is_said_where_something_was_tuned_or_nothing_was_to_be():
    budget = Budget.parse("10s")
    assert untuned.sentence(budget, STAGES, failed("lr")) == ""
    assert untuned.sentence(budget, [Train(CHUNK)], failed("train")) == ""
    assert untuned.sentence(budget, STAGES, {}) == (
        "Not tuned: 10 s is too short for a search on this machine; try a budget of 1m."
    )


@pytest.mark.parametrize(
    "keeps, is_short, is_told", [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_recipe_that_stays_the_network_s_own_does_not_lack_time(keeps, is_short, is_told):
    playbook = SimpleNamespace(
        keeps_recipe=keeps,
        is_short=is_short,
        budget=Budget.parse("60s"),
        stages=STAGES,
        outcomes={},
    )
    settings = SimpleNamespace(refit=False)
    searched = SimpleNamespace(playbook=playbook, settings=settings, extension=None)
    assert bool(Search._untuned(searched)) == is_told


def test_a_recipe_stays_the_network_s_own_where_the_baseline_is_returned_too():
    own, names = Recipe("adam", 0.004), {"optimizer": "adam", "learning_rate": 0.004}
    baseline = Recipe("adam", 0.001, decay="none")
    known = facts(bags=True, starting_recipe=names, starting_steps=800)
    for after, expected in ((own, True), (baseline, True)):
        decided = SimpleNamespace(stage="train", before=own, after=after)
        playbook = SimpleNamespace(in_force=[decided], recipe=after, _facts=known)
        assert Playbook.keeps_recipe.fget(playbook) == expected
    other = dataclasses.replace(known, starting_recipe={"optimizer": "adam"})
    playbook = SimpleNamespace(in_force=[], recipe=own, _facts=other)
    assert not Playbook.keeps_recipe.fget(playbook)  # its learning rate is tuned
