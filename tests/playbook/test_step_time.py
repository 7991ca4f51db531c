"""What a step takes: from the trials that say it, and from none in a table of few."""

import numpy as np
import pytest

from kerastune.playbook import step_time
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

RECIPE = Recipe(batch_size=64, hyperparameters={"units": 8})


def trial(name, steps, seconds, stage="lr", evals=True, timed=0.0, **changes):
    spec = TrialSpec(name, stage, RECIPE.replace(**changes), 0, max(steps, 1))
    found = ({"step": steps, "loss": 1.0},) if evals else ()
    curves = {"loss": np.ones(steps, np.float32)}
    return Outcome(spec, curves, found, seconds=seconds, seconds_per_step=timed)


def estimated(*trials):
    return step_time.seconds_per_step({each.spec.trial: each for each in trials}, RECIPE)


def test_before_anything_was_timed_it_is_a_guess():
    assert estimated() == step_time.FIRST_SECONDS_PER_STEP
    # A single first call is mostly tracing.
    assert estimated(trial("a", 1, 9.0, timed=9.0)) == step_time.FIRST_SECONDS_PER_STEP


def test_single_calls_tell_a_slow_machine():
    calls = [trial("a", 1, 9.0, timed=9.0), trial("b", 1, 2.5, timed=2.5)]
    assert estimated(*calls) == pytest.approx(2.5 - step_time.CALL_SECONDS)
    quick = [trial("a", 1, 9.0, timed=9.0), trial("b", 1, 0.1, timed=0.1)]
    assert estimated(*quick) == step_time.FIRST_SECONDS_PER_STEP


def test_without_an_evaluation_a_tenth_is_added_for_it():
    assert estimated(trial("a", 100, 50.0, evals=False, timed=0.01)) == pytest.approx(0.011)


def test_it_is_the_median_of_the_last_three_long_trials():
    trials = [trial(f"t{n}", 1000, seconds) for n, seconds in enumerate((900, 10, 20, 80))]
    short = trial("short", 100, 100)
    assert estimated(*trials, short) == pytest.approx(0.02)


def test_tracing_of_the_first_trial_does_not_count():
    assert estimated(trial("a", 100, 3.2, timed=0.005)) == pytest.approx(0.0055)
    assert estimated(trial("a", 100, 3.2), trial("b", 100, 0.6)) == pytest.approx(0.019)


def test_trials_like_the_recipe_count_where_there_are_any():
    other_network = trial("a", 1000, 100, hyperparameters={"units": 512})
    other_batch = trial("b", 1000, 50, batch_size=512)
    like = trial("c", 1000, 10)
    assert estimated(other_network) == pytest.approx(0.1)
    assert estimated(other_network, other_batch) == pytest.approx(0.05)
    assert estimated(like, other_batch, other_network) == pytest.approx(0.01)


def test_the_baseline_counts_only_where_there_is_nothing_else():
    baseline = trial("baseline", 1000, 100, stage="baseline")
    assert estimated(baseline) == pytest.approx(0.1)
    assert estimated(baseline, trial("a", 100, 2)) == pytest.approx(0.02)
