"""A search that tuned nothing says so, with a budget that would."""

from types import SimpleNamespace

import pytest
from fake_trainer import CHUNK

from kerastune.budget import Budget
from kerastune.playbook.budget_plan import BudgetPlan
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
