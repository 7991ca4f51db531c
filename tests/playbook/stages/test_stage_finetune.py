"""How deep a pretrained model is unfrozen, and how its rates fall from layer to layer, on made-up
outcomes.
"""

import dataclasses

import numpy as np
import pytest

from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts, spent
from kerastune.playbook.stages.baseline import baseline_recipe
from kerastune.playbook.stages.finetune import BASE, FineTune, depths
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.report.figures import decision_figures
from kerastune.trial import Outcome, TrialSpec

CHUNK, COUNT = 50, 400
RECIPE = Recipe(learning_rate=0.1, total_steps=200, frozen=6)
STAGE = FineTune(CHUNK, stretch=2)


def facts(**changes):
    usual = {
        "num_train": 1000,
        "num_validation": COUNT,
        "objective": Objective("accuracy", "max"),
        "allowance": 10**6,
    }
    return Facts(**{**usual, "levels": 7, "pretrained": 6, **changes})


def ended(spec, share, diverged_at=None):
    total = spec.recipe.total_steps
    scores = (np.arange(COUNT) < round(share * COUNT)).astype(float)
    spec = TrialSpec(spec.trial, spec.stage, spec.recipe, 0, total, spec.eval_every, keep_best=True)
    evals = ({"step": total, "loss": 0.5, "accuracy": share},)
    values = {
        "diverged_at": diverged_at,
        "example_scores": None if diverged_at is not None else scores,
    }
    return Outcome(spec, {"loss": np.full(total, 0.5)}, evals, **values)


def drive(share, known=None, recipe=RECIPE):
    """Trains what is proposed; `share` gives that of right answers by recipe, `None` where it
    diverges.
    """
    known, outcomes = known or facts(), {}
    while specs := STAGE.propose(Context(recipe, known, outcomes)):
        for spec in specs:
            found = share(spec.recipe)
            outcomes[spec.trial] = ended(spec, found or 0.0, None if found is not None else 7)
    return outcomes, STAGE.decide(Context(recipe, known, outcomes))


def flat(recipe):
    return 0.7


def deep(best_frozen=2, best_rate=0.03, best_decay=1.0):
    """The nearer to the best of everything the better; deeper or faster than that is worse."""

    def share(recipe):
        off = (
            abs(recipe.frozen - best_frozen) / 10
            + abs(np.log10(recipe.learning_rate / best_rate)) / 10
        )
        return 0.9 - off - abs(recipe.layer_decay - best_decay) / 3 if recipe.frozen < 6 else 0.4

    return share


def test_the_head_comes_first_and_trainings_are_whole_ones_of_stretched_steps():
    (base,) = STAGE.propose(Context(RECIPE, facts(), {}))
    assert base.trial == BASE and base.recipe == RECIPE.replace(
        total_steps=400, regularizers="on", head=1
    )
    (second,) = STAGE.propose(Context(RECIPE, facts(), {BASE: ended(base, 0.7)}))
    assert (second.recipe.frozen, second.recipe.learning_rate, second.recipe.head_fraction) == (
        4,
        0.1,
        0.25,
    )


def test_unfreezing_goes_from_the_top_in_steps_and_each_has_its_rate_checked():
    outcomes, decision = drive(flat)
    rates = {
        frozen: {
            o.spec.recipe.learning_rate for o in outcomes.values() if o.spec.recipe.frozen == frozen
        }
        for frozen in depths(6)
    }
    assert rates == {4: {0.03, 0.1, 0.3}, 2: {0.03, 0.1, 0.3}, 0: {0.03, 0.1, 0.3}}
    assert list(outcomes)[1].startswith("finetune-4-") and list(outcomes)[-1].startswith(
        "finetune-0-"
    )
    assert set(decision.evidence) == set(outcomes)


def test_without_an_expected_gain_only_the_head_is_trained():
    _, decision = drive(flat)
    assert decision.after == RECIPE and decision.values.trial == BASE
    assert "6 lowest layers stay frozen" in decision.reason
    assert decision.reason.count("(measured +0, 95 % CI +0 to +0), so it is left out") == 3
    assert not any(gain.is_kept for gain in decision.values.gains)


def test_what_is_expected_to_gain_is_kept_with_its_rate_after_one_training():
    outcomes, decision = drive(deep())
    kept = {"frozen": 2, "head_fraction": 0.25, "learning_rate": 0.03, "layer_decay": 1.0}
    assert decision.after == RECIPE.replace(**kept) and decision.values.trial == "finetune-2-0.03"
    assert {outcome.spec.recipe.seed for outcome in outcomes.values()} == {RECIPE.seed}
    assert "expected on validation (measured +" in decision.reason
    assert dataclasses.replace(decision.values, **kept) == decision.values
    kept = [gain.trial for gain in decision.values.gains if gain.is_kept]
    assert kept == ["finetune-4-0.03", "finetune-2-0.03"]


@pytest.mark.parametrize("share, is_kept", [(0.7025, True), (0.7, False), (0.6975, False)])
def test_a_gain_need_not_be_significant(share, is_kept):
    _, decision = drive(lambda recipe: 0.7 if recipe.frozen == 6 else share)
    assert (decision.after.frozen == 4) is is_kept
    assert (decision.values.trial == BASE) is not is_kept


def test_its_picture_shows_every_gain():
    outcomes, decision = drive(deep())
    assert decision_figures.of_decision(decision, outcomes).startswith(b"\x89PNG")


def test_a_significant_loss_ends_the_unfreezing():
    outcomes, decision = drive(lambda recipe: 0.8 if recipe.frozen == 6 else 0.5)
    assert {outcome.spec.recipe.frozen for outcome in outcomes.values()} == {6, 4}
    assert decision.after == RECIPE and "(measured -30, 95 % CI -34.2 to " in decision.reason


def test_the_next_depth_starts_from_the_rate_of_the_last_one():
    outcomes, _ = drive(deep(best_rate=0.01))
    assert (
        "finetune-4-0.01" in outcomes
        and "finetune-2-0.03" in outcomes
        and "finetune-2-0.1" not in outcomes
    )


def test_the_decay_from_layer_to_layer_is_tuned_on_what_was_kept():
    outcomes, decision = drive(deep(best_decay=0.56))
    tried = {outcome.spec.recipe.layer_decay for outcome in outcomes.values()}
    assert decision.after.layer_decay == 0.562 and {1.0, 0.74, 0.562, 0.416} == tried
    assert "falls by 0.562 from layer to layer" in decision.reason and decision.after.frozen == 2


def test_rates_of_layers_that_were_given_stay():
    outcomes, decision = drive(deep(), recipe=RECIPE.replace(layer_rate=["conv2d=0.1"]))
    assert (
        not any("layer_decay" in name for name in outcomes)
        and "those that were given" in decision.reason
    )


def test_what_diverges_is_left_out():
    _, decision = drive(lambda recipe: 0.7 if recipe.frozen == 6 else None)
    assert decision.after == RECIPE and "could not be trained to an end" in decision.reason


@pytest.mark.parametrize("allowance", [0, 49, 50, 400, 800, 1700, 5000])
def test_the_allowance_is_never_exceeded(allowance):
    outcomes, decision = drive(deep(), facts(allowance=allowance))
    assert spent(outcomes, "finetune") <= allowance and decision.values.steps_spent == spent(
        outcomes, "finetune"
    )
    if allowance < 50:
        assert decision.after == RECIPE and "Nothing is unfrozen" in decision.reason


def test_trainings_are_shorter_where_the_budget_would_not_hold_a_few():
    outcomes, decision = drive(deep(), facts(allowance=1300))
    assert {outcome.spec.recipe.total_steps for outcome in outcomes.values()} == {200}
    assert "Each training has 200 steps" in decision.reason and decision.after.frozen == 2
    assert decision.after.total_steps == 100  # which later stages stretch again
    assert drive(flat, facts(allowance=1300))[1].after == RECIPE


def test_a_model_without_loaded_weights_is_left_as_it_is():
    recipe = RECIPE.replace(frozen=0)
    assert STAGE.propose(Context(recipe, facts(pretrained=0), {})) == []
    decision = STAGE.decide(Context(recipe, facts(pretrained=0), {}))
    assert (
        decision.after == recipe
        and decision.values.trial is None
        and "Nothing to fine-tune" in decision.reason
    )


def test_what_it_trained_is_not_trained_again():
    outcomes, decision = drive(deep())
    runs = Train(CHUNK, stretch=2)._steps(Context(decision.after, facts(), outcomes)).runs
    assert [run.spec.trial for run in runs] == ["finetune-2-0.03"]


def test_the_baseline_is_trained_as_a_whole_at_one_rate():
    baseline = baseline_recipe(
        RECIPE.replace(layer_decay=0.5, layer_rate=["a=1"], head_fraction=0.5), facts()
    )
    assert (baseline.frozen, baseline.head_fraction, baseline.layer_decay, baseline.layer_rate) == (
        0,
        0.0,
        1.0,
        (),
    )
