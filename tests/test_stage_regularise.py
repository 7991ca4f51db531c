"""Stage 4: weight decay and augmentation come where the curves show overfitting, and only beyond noise."""

import numpy as np
import pytest

from kerastune.recipe import Recipe
from kerastune.scores import Objective
from kerastune.stages import regularise, whole
from kerastune.stages.base import Facts
from kerastune.stages.regularise import BASE, SHRINKS, STRENGTHS, Regularise
from kerastune.trial import Outcome, TrialSpec

CHUNK, COUNT = 50, 400
RECIPE = Recipe(learning_rate=0.03, total_steps=600)
STAGE = Regularise(CHUNK)
DECAYS = [f"regularise-decay-{shrink:g}" for shrink in SHRINKS]
AUGMENTED = [f"regularise-augment-{strength:g}" for strength in STRENGTHS]


def facts(**changes):
    return Facts(**{"num_train": 6400, "num_validation": COUNT, "objective": Objective("accuracy", "max"),
                    "allowance": 10**6, "num_classes": 10, **changes})  # fmt: skip


def ended(spec, share, training=1.0, losses=(0.5, 0.5), **changes):
    """A whole training: its share of validation examples that are right, and its accuracy in training."""
    total = spec.recipe.total_steps
    spec = TrialSpec(spec.trial, changes.pop("stage", spec.stage), spec.recipe, 0, total, CHUNK, keep_best=True)
    evals = tuple({"step": step, "loss": loss, "accuracy": share} for step, loss in zip((total // 2, total), losses))
    curves = {"loss": np.linspace(2, 0.1, total), "accuracy": np.full(total, training)}
    return Outcome(spec, curves, evals, example_scores=(np.arange(COUNT) < share * COUNT).astype(float), **changes)


def drive(shares, known=None, recipe=RECIPE, **base):
    """Trains whatever is proposed, with the share of right examples that its name gives (0.8 by default)."""
    known, outcomes = known or facts(), {}
    while specs := STAGE.propose(recipe, known, outcomes):
        for spec in specs:
            settings = base if spec.trial == BASE else {}
            outcomes[spec.trial] = ended(spec, shares.get(spec.trial, 0.8), **settings)
    return outcomes, STAGE.decide(recipe, known, outcomes)


def test_nothing_is_added_without_overfitting():
    outcomes, decision = drive({}, training=0.81)
    assert list(outcomes) == [BASE] and decision.after == RECIPE.replace(regularisers="on")
    assert "no overfitting, so nothing is added" in decision.reason and decision.values["trial"] == BASE


@pytest.mark.parametrize(
    "signs", [{"training": 0.80 + 1.97 * np.sqrt(0.16 / COUNT)}, {"training": 0.8, "losses": (0.5, 0.526)}]
)
def test_a_gap_beyond_noise_or_a_rising_validation_loss_is_overfitting(signs):
    outcomes, decision = drive({}, **signs)
    assert list(outcomes) == [BASE, *DECAYS, *AUGMENTED] and "it overfits" in decision.reason
    assert decision.after.weight_decay == 0 and decision.reason.count("so it is left out") == 2


def test_the_best_strength_is_kept_beyond_noise_and_the_next_thing_comes_on_top_of_it():
    outcomes, decision = drive({DECAYS[1]: 0.88, DECAYS[2]: 0.90, AUGMENTED[0]: 0.95})
    assert all(outcomes[name].spec.recipe.weight_decay == decision.after.weight_decay > 0 for name in AUGMENTED)
    assert decision.after.weight_decay == outcomes[DECAYS[2]].spec.recipe.weight_decay
    assert decision.after.augmentation == STRENGTHS[0]
    rates = [outcomes[f"regularise-rate-x{f:g}"].spec.recipe for f in regularise.RATES]
    assert [each.learning_rate for each in rates] == [0.015, 0.06]
    assert {each.augmentation for each in rates} == {STRENGTHS[0]}
    assert decision.values["trial"] == AUGMENTED[0] and set(decision.evidence) == set(outcomes)


def test_a_gain_within_noise_is_left_out():
    outcomes, decision = drive({name: 0.805 for name in DECAYS + AUGMENTED})
    assert decision.after.weight_decay == decision.after.augmentation == 0
    assert not any("rate" in name for name in outcomes) and "within noise, so it is left out" in decision.reason


def test_weight_decay_shrinks_a_weight_by_the_same_share_whatever_rate_and_steps():
    for recipe in (RECIPE, RECIPE.replace(learning_rate=0.3), RECIPE.replace(decay="none", total_steps=3000)):
        outcomes, _ = drive({}, recipe=recipe)
        for name, shrink in zip(DECAYS, SHRINKS):
            trained = outcomes[name].spec.recipe
            area = recipe.learning_rate * recipe.total_steps * (0.5 if recipe.decay == "linear" else 1.0)
            assert trained.weight_decay * area == pytest.approx(shrink, rel=0.15)


def test_what_the_decay_stage_trained_is_the_base_unless_the_model_has_regularisers():
    spec = whole.segment("decay-linear", "decay", RECIPE, None, CHUNK)
    trained = {"decay-linear": ended(spec, 0.8, training=0.8)}
    assert STAGE.propose(RECIPE, facts(), trained) == []
    assert STAGE.decide(RECIPE, facts(), trained).values["trial"] == "decay-linear"
    (spec,) = STAGE.propose(RECIPE, facts(regularised=True), trained)
    assert spec.trial == BASE and spec.recipe.regularisers == "on"


@pytest.mark.parametrize("allowance", [0, 599, 600, 2999, 3000, 4199, 4200])
def test_the_allowance_is_never_overrun_and_what_is_left_out_is_said(allowance):
    outcomes, decision = drive({}, facts(allowance=allowance))
    assert sum(outcome.steps for outcome in outcomes.values()) <= allowance
    assert (BASE in outcomes) == (allowance >= 600)
    assert (DECAYS[0] in outcomes) == (allowance >= 3000)
    assert (AUGMENTED[0] in outcomes) == (1800 <= allowance < 3000 or allowance >= 4200)  # what fits is still tried
    if allowance < 600:
        assert decision.after == RECIPE and "no whole training" in decision.reason
    elif allowance < 3000:
        assert "weight decay was left out" in decision.reason


def test_trainings_go_in_quarters_and_those_that_fail_are_no_candidates():
    (first,) = STAGE.propose(RECIPE, facts(), {})
    assert (first.start, first.until, first.keep_best) == (0, 150, True)
    outcomes, _ = drive({DECAYS[0]: 0.95})
    lost = {"diverged_at": 20, "example_scores": None}
    outcomes = {BASE: outcomes[BASE]} | {name: _lost(outcomes[name], lost) for name in DECAYS}
    assert {spec.trial for spec in STAGE.propose(RECIPE, facts(), outcomes)} == set(AUGMENTED)


def _lost(outcome, changes):
    return Outcome(outcome.spec, outcome.curves, outcome.evals, **changes)


def test_a_regression_overfits_by_its_squared_errors():
    known = facts(objective=Objective("loss", "min"), num_classes=0, scored_by="explained variance")
    spec = whole.segment(BASE, "regularise", RECIPE, None, CHUNK)
    run = ended(spec, 0.8)
    for training, validation, expected in ((0.1, 0.5, True), (0.48, 0.5, False)):
        evals = ({"step": 300, "loss": validation}, {"step": 600, "loss": validation})
        each = Outcome(run.spec, {"loss": np.full(600, training)}, evals, example_scores=run.example_scores)
        assert regularise.overfitting(each, known)[1] == expected
