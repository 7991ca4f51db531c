"""A network that no learning rate changes ends the search, and what was seen is said."""

import numpy as np
from fake_trainer import CHUNK, facts

from kerastune.analysis.trial_curves import Curves
from kerastune.budget import Budget
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import unmoved
from kerastune.playbook.rules.rate_grid import HIGHEST
from kerastune.playbook.stages.base import Context
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec

RATES = (0.001, 0.01, 0.1)


def outcome(spec, update=0.0, other=0.0):
    losses = 1.1 + 0.1 * np.random.default_rng(3).normal(size=spec.until)
    norms = np.full([spec.until // 10, 2], update)
    curves = Curves({"loss": losses + other}, np.arange(0, spec.until, 10), norms, norms + 1)
    return Outcome(spec, curves, (), layers=("a", "b"))


def tried(**changes):
    made = {}
    for rate in RATES:
        recipe = Recipe(learning_rate=rate, decay="none", total_steps=100)
        made[rate] = outcome(TrialSpec(f"lr-{rate:g}", "lr", recipe, 0, 100), **changes)
    return made


def test_the_same_losses_without_an_update_are_told_from_those_of_a_network_that_learns():
    assert unmoved.is_everything(tried(), HIGHEST)
    assert not unmoved.is_everything(tried(update=1e-9), HIGHEST)
    differing = tried()
    differing[0.1] = outcome(differing[0.1].spec, other=0.001)
    assert not unmoved.is_everything(differing, HIGHEST)
    assert not unmoved.is_everything({0.1: tried()[0.1]}, HIGHEST)


def test_where_weights_move_a_little_the_rates_up_to_the_highest_are_tried_before_the_search_ends():
    made = tried(update=1e-9)
    stage, recipe = LearningRate(CHUNK), Recipe(learning_rate=0.01)

    def context():
        return Context(recipe, facts(), {each.spec.trial: each for each in made.values()})

    further = stage.propose(context())
    assert [spec.recipe.learning_rate for spec in further] == [1.0, HIGHEST]
    made |= {spec.recipe.learning_rate: outcome(spec, update=1e-9) for spec in further}
    assert stage.propose(context()) == []
    decision = stage.decide(context())
    assert decision.ends_search
    assert "5 learning rates from 0.001 to 10" in decision.numbers
    assert "no step moved the weights by more than 1e-09 of their size" in decision.numbers


def test_the_stage_proposes_nothing_more_and_says_what_it_saw():
    outcomes = {each.spec.trial: each for each in tried().values()}
    context = Context(Recipe(learning_rate=0.01), facts(), outcomes)
    stage = LearningRate(CHUNK)
    assert stage.propose(context) == []
    decision = stage.decide(context)
    assert decision.ends_search and decision.after == context.recipe
    assert "3 learning rates from 0.001 to 0.1 gave the same losses for 100" in decision.numbers


def test_a_playbook_ends_there_and_stays_ended_when_it_goes_on(tmp_path):
    def playbook(study):
        stages = [LearningRate(CHUNK), Train(CHUNK)]
        return Playbook(study, stages, Recipe(), facts(allowance=0), Budget.parse("9000steps"))

    with Study(tmp_path / "study.db", tmp_path / "lock", lambda: None) as study:
        search = playbook(study)
        while (spec := search.next()) is not None:
            search.record(outcome(spec), State(spec.until, [], []), None)
        assert [each.stage for each in search.decisions] == ["lr"] and search.stage is None
        assert len(search.outcomes) == len(RATES)
        assert playbook(study).next() is None
