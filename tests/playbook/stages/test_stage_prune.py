"""How far a model is pruned: on trainings made by hand, whose losses are known."""

import dataclasses

import numpy as np
import pytest
from fake_trainer import FakeModels

from kerastune.budget import Budget
from kerastune.objective import Objective
from kerastune.playbook import warm_start
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import prune, registry
from kerastune.playbook.stages.prune import Prune
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec

RECIPE = Recipe(total_steps=400, regularizers="on")
COUNT = 1000


def facts(allowance=10_000):
    return Facts(6400, COUNT, Objective("accuracy", "max"), allowance)


def outcome(spec, wrong, stop=None):
    """A training to the end of its spec that gets the first `wrong` validation examples wrong."""
    steps = stop or spec.until
    scores = (np.arange(COUNT) >= wrong).astype(float)
    evals = ({"step": steps, "accuracy": 1 - wrong / COUNT},)
    return Outcome(spec, {"loss": np.ones(steps)}, evals, diverged_at=stop, example_scores=scores)


UNPRUNED = outcome(TrialSpec("train-400", "train", RECIPE, 0, 400, 50, keep_best=True), wrong=100)


def tried(stage, wrong_by_name, allowance=10_000, recipe=RECIPE, first=UNPRUNED):
    """What the stage asks for and what comes of it, until it asks no more."""
    outcomes, segments = {first.spec.trial: first}, []
    while specs := stage.propose(Context(recipe, facts(allowance), outcomes)):
        segments.append(specs[0])
        outcomes[specs[0].trial] = outcome(specs[0], wrong_by_name[specs[0].trial])
    return segments, stage.decide(Context(recipe, facts(allowance), outcomes))


def weights(trial):
    kernel = np.random.default_rng(0).normal(size=[50, 50]).astype(np.float32)
    if trial != "train-400":
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), float(trial.split("-")[1]) / 100)] = 0
    return [kernel, np.ones(50, np.float32)]


def test_every_sparsity_sets_out_from_the_trained_model_for_half_its_steps():
    segments, decision = tried(
        Prune([0.8, 0.5], FakeModels(weights=weights)), {"prune-50": 100, "prune-80": 101}
    )
    assert [spec.trial for spec in segments] == ["prune-50", "prune-80"]
    assert {spec.trial: spec.sparsity for spec in segments} == {"prune-50": 0.5, "prune-80": 0.8}
    assert {spec.after for spec in segments} == {"train-400"}
    assert segments[-1].until == 200 and segments[-1].recipe == RECIPE.replace(total_steps=200)
    assert decision.values.steps_spent == 400 and decision.after == RECIPE


def test_the_largest_sparsity_without_a_loss_beyond_noise_comes_back():
    stage = Prune((0.5, 0.8, 0.9), FakeModels(weights=weights))
    _, decision = tried(stage, {"prune-50": 95, "prune-80": 101, "prune-90": 180})
    values = decision.values
    assert values.kept and values.trial == "prune-80" and values.sparsity == 0.8
    assert [point.trial for point in values.curve] == [
        "train-400",
        "prune-50",
        "prune-80",
        "prune-90",
    ]
    sizes = [point.gzip_bytes for point in values.curve]
    assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.4 * sizes[0]
    assert values.curve[0].bytes == 4 * 2550 and values.curve[2].zeros == pytest.approx(
        0.8, abs=0.02
    )
    assert values.curve[3].gain.gain == pytest.approx(-0.08)
    assert decision.reason.startswith("Pruned to 80 % zeros. On validation -0.1 points of accuracy")
    assert (
        "not significant (95 % CI includes 0)" in decision.reason
        and "90 %: -8 points of accuracy" in decision.reason
    )
    assert f"{sizes[0] / sizes[2]:.3g} times less" in decision.reason


def test_a_sparsity_behind_one_that_loses_is_not_kept():
    _, decision = tried(
        Prune((0.5, 0.8, 0.9), FakeModels(weights=weights)),
        {"prune-50": 100, "prune-80": 180, "prune-90": 100},
    )
    assert decision.values.sparsity == 0.5


def test_where_every_sparsity_loses_the_model_comes_back_as_it_is():
    _, decision = tried(
        Prune((0.5, 0.9), FakeModels(weights=weights)), {"prune-50": 150, "prune-90": 300}
    )
    assert not decision.values.kept and decision.values.trial == "train-400"
    assert decision.reason.startswith(
        "No pruning. The final model is that of trial train-400. 50 %: -5 points"
    )
    assert decision.reason.count("a significant loss") == 2


def test_a_sparsity_of_zero_shows_what_fine_tuning_alone_does_and_is_not_kept():
    segments, decision = tried(
        Prune((0.0, 0.5), FakeModels(weights=weights)), {"prune-0": 80, "prune-50": 300}
    )
    assert segments[0].sparsity == 0 and not decision.values.kept
    assert "0 %: +2 points of accuracy" in decision.reason


def test_what_the_budget_does_not_hold_is_left_out_and_named():
    segments, decision = tried(
        Prune((0.5, 0.8), FakeModels(weights=weights)), {"prune-50": 100}, allowance=300
    )
    assert {spec.trial for spec in segments} == {"prune-50"}
    assert decision.values.sparsity == 0.5 and "so 80 % was not tried" in decision.reason


def test_a_fine_tuning_that_diverges_is_no_candidate():
    stage = Prune((0.5,), FakeModels(weights=weights))
    (spec,) = stage.propose(Context(RECIPE, facts(), {"train-400": UNPRUNED}))
    outcomes = {"train-400": UNPRUNED, "prune-50": outcome(spec, wrong=0, stop=30)}
    assert stage.propose(Context(RECIPE, facts(), outcomes)) == []
    decision = stage.decide(Context(RECIPE, facts(), outcomes))
    assert not decision.values.kept and "50 %: came to no end (step 30)" in decision.reason


def test_a_constant_rate_falls_in_the_fine_tuning():
    constant = RECIPE.replace(decay="none")
    first = outcome(
        TrialSpec("train-400", "train", constant, 0, 400, 50, keep_best=True), wrong=100
    )
    segments, _ = tried(
        Prune((0.5,), FakeModels(weights=weights)), {"prune-50": 100}, recipe=constant, first=first
    )
    assert segments[0].recipe.decay == "linear" and segments[0].recipe.total_steps == 200


def test_an_unfinished_training_may_be_pruned_where_its_weights_are_kept():
    constant = RECIPE.replace(decay="none", total_steps=1000)
    first = outcome(
        TrialSpec("train-400", "train", constant, 0, 400, 50, keep_best=True), wrong=100
    )
    _, decision = tried(
        Prune((0.8,), FakeModels(weights=weights)), {"prune-80": 100}, recipe=constant, first=first
    )
    assert decision.values.kept and "times less" in decision.reason


def test_what_sets_out_from_another_trial_has_its_weights_and_the_first_loss_of_a_fresh_network(
    tmp_path,
):
    """Against the loss of a trained network, any bump that pruning makes would count as an
    explosion.
    """
    kept = State(400, [np.full(3, 7.0)], [])
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        curves = {"loss": np.linspace(2.3, 0.001, 400, dtype=np.float32)}
        study.add_segment(dataclasses.replace(UNPRUNED, curves=curves), None, kept)
        search = Playbook(
            study,
            [Prune((0.5,), FakeModels(weights=weights))],
            RECIPE,
            facts(),
            Budget.parse("1000steps"),
        )
        state = search.state(search.next())
    assert state.step == 0 and state.optimizer == [] and state.first_loss == pytest.approx(2.3)
    assert (state.model[0] == kept.model[0]).all()


def test_without_a_model_there_is_nothing_to_prune():
    decision = Prune((0.5,), FakeModels(weights=weights)).decide(Context(RECIPE, facts(), {}))
    assert (
        "nothing to prune" in decision.reason
        and Prune((0.5,), FakeModels(weights=weights)).propose(Context(RECIPE, facts(), {})) == []
    )


@pytest.mark.parametrize(
    "sparsities, words",
    [((), "got none"), ((0.5, 1.0), r"\[0, 1\)"), ((0.8, 0.5, 0.8), "has 0.8 twice")],
)
def test_sparsities_that_can_not_be_tried_are_refused(sparsities, words):
    with pytest.raises(ValueError, match=f"`sparsity` .*{words}"):
        prune.checked(sparsities)


def test_pruning_stands_behind_the_training_and_not_beside_an_ensemble():
    registry.check(["lr", "train", "prune"])
    with pytest.raises(ValueError, match="can't have both prune and ensemble"):
        registry.check(["train", "ensemble", "prune"])
    with pytest.raises(ValueError, match="in the order"):
        registry.check(["prune", "train"])
    with pytest.raises(ValueError, match="`trained` is for the stages train and after it"):
        warm_start.check_stages(["lr", "train"])
