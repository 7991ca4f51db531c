"""The last stage: an ensemble is kept only where it beats the single model beyond noise."""

import functools
from pathlib import Path

import fake_trainer
import fault_harness
import numpy as np
import pytest
from fake_trainer import CHUNK, FakeModels, FakeTrainer, advance, canonical, facts
from places import HELPERS, ROOT

from kerastune.analysis import calibration
from kerastune.objective import Objective
from kerastune.playbook.context import Context
from kerastune.playbook.ensemble_values import EnsembleValues, Validation
from kerastune.playbook.stages.ensemble import Ensemble, candidates
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, TrialSpec

COUNT = 400
RECIPE = Recipe(total_steps=600)
TRUE = np.random.default_rng(5).integers(0, 3, COUNT)


def guesses(seed, wrong=0.2, sure=0.8):
    """Probabilities of a model that is wrong about a share of the examples, other ones than its
    fellows.
    """
    generator = np.random.default_rng(seed)
    chosen = np.where(
        generator.random(COUNT) < wrong, (TRUE + generator.integers(1, 3, COUNT)) % 3, TRUE
    )
    return np.where(chosen[:, None] == np.arange(3), sure, (1 - sure) / 2)


def figures(predictions):
    return {
        "accuracy": float(np.mean(predictions.argmax(axis=1) == TRUE)),
        **calibration.figures(predictions, TRUE),
    }


def stage(predictions, members=10, targets=TRUE, asked=None, folds=0):
    """The stage over predictions by trial name; who is not named guesses with a seed of its own."""

    def predict(name):
        if asked is not None:
            asked.append(name)
        return predictions[name] if name in predictions else guesses(sum(map(ord, name)))

    judged = (
        figures
        if targets is TRUE
        else lambda numbers: {"mse": float(np.mean((numbers - targets) ** 2))}
    )
    return Ensemble(FakeModels(lambda: Validation(targets, predict, judged)), members, folds)


def trained(name, recipe=RECIPE, of_stage="train", share=0.8, **changes):
    steps = changes.pop("steps", recipe.total_steps)
    spec = TrialSpec(name, of_stage, recipe, 0, changes.pop("until", steps), CHUNK, keep_best=True)
    evals = tuple(
        {"step": step, "loss": 0.5, "accuracy": share} for step in range(CHUNK, steps + 1, CHUNK)
    )
    changes = {"example_scores": (np.arange(COUNT) < share * COUNT).astype(float), **changes}
    return Outcome(spec, {"loss": np.linspace(2, 0.1, steps)}, evals, **changes)


def outcomes(*others):
    found = [trained("train-600"), *others]
    return {each.spec.trial: each for each in found}


def drive(chosen, known, found):
    """Trains the first segment that is proposed, whole, until there is none."""
    segments = []
    while specs := chosen.propose(Context(RECIPE, known, found)):
        spec = specs[0]
        segments.append(spec)
        before = found.get(spec.trial)
        assert spec.start == (before.steps if before else 0)
        found[spec.trial] = trained(spec.trial, spec.recipe, "ensemble", steps=spec.until)
    return segments


def test_the_chosen_recipe_is_trained_again_with_other_seeds_while_the_budget_holds_it():
    found = outcomes()
    segments = drive(stage({}), facts(allowance=1900, timed=False), found)
    assert list(found) == ["train-600", "ensemble-seed-2", "ensemble-seed-3", "ensemble-seed-4"]
    assert [spec.until for spec in segments[:2]] == [500, 600]  # in parts, all kept
    assert all(spec.keep_best and spec.eval_every == CHUNK for spec in segments)
    assert found["ensemble-seed-3"].spec.recipe == RECIPE.replace(seed=3)


def test_all_that_the_budget_holds_are_proposed_at_once_what_was_begun_being_paid_for_first():
    half = trained("ensemble-seed-2", RECIPE.replace(seed=2), "ensemble", steps=300)
    for allowance, expected in ((1799, 2), (1800, 3)):
        for found in (outcomes(), outcomes(half)):
            specs = stage({}).propose(
                Context(RECIPE, facts(allowance=allowance, timed=False), found)
            )
            assert [spec.trial for spec in specs] == [
                f"ensemble-seed-{2 + i}" for i in range(expected)
            ]


def test_no_more_seeds_than_members_and_a_seed_that_diverged_is_not_tried_again():
    found = outcomes(trained("ensemble-seed-2", RECIPE.replace(seed=2), "ensemble", diverged_at=10))
    drive(stage({}, members=4), facts(timed=False), found)
    assert list(found)[2:] == ["ensemble-seed-3", "ensemble-seed-4"]
    assert "ensemble-seed-2" not in candidates(found)


def test_a_seed_that_an_earlier_stage_trained_is_not_trained_again():
    found = outcomes(trained("train-600-seed2", RECIPE.replace(seed=2)))
    drive(stage({}, members=4), facts(timed=False), found)
    assert list(found)[2:] == ["ensemble-seed-3", "ensemble-seed-4"]
    for other in (RECIPE.replace(seed=2, dropout=0.5), RECIPE.replace(seed=2, total_steps=300)):
        found = outcomes(trained("another", other))
        drive(stage({}, members=3), facts(timed=False), found)
        assert list(found)[2:] == ["ensemble-seed-2", "ensemble-seed-3"]


def test_members_that_leave_out_a_fold_come_before_those_of_other_seeds():
    found = outcomes()
    segments = drive(stage({}, members=5, folds=3), facts(timed=False), found)
    assert list(found)[1:] == [
        "ensemble-fold-1",
        "ensemble-fold-2",
        "ensemble-fold-3",
        "ensemble-seed-5",
    ]
    cuts = {spec.trial: (spec.folds, spec.left_out, spec.recipe.seed) for spec in segments}
    assert list(cuts.values()) == [(3, 1, 2), (3, 2, 3), (3, 3, 4), (0, 0, 5)]
    found = outcomes(trained("train-600-seed2", RECIPE.replace(seed=2)))  # on all examples
    assert (
        stage({}, folds=3).propose(Context(RECIPE, facts(timed=False), found))[0].trial
        == "ensemble-fold-1"
    )


@pytest.mark.parametrize("folds", [1, 5, -1])  # of five members one is the recipe on all examples
def test_folds_that_the_members_do_not_hold_are_refused(folds):
    with pytest.raises(
        ValueError, match=rf"^`member_folds` must be 0, .* less than `members` \(5\), got {folds}"
    ):
        stage({}, members=5, folds=folds)


def test_with_a_budget_in_time_the_predictions_are_paid_for_too():
    predicting = 2 * COUNT / 3 / RECIPE.batch_size
    for spare, expected in ((1, 1), (-1, 0)):
        allowance = int(600 + predicting + spare)
        assert (
            len(stage({}).propose(Context(RECIPE, facts(allowance=allowance), outcomes())))
            == expected
        )
        assert (
            len(stage({}).propose(Context(RECIPE, facts(allowance=600, timed=False), outcomes())))
            == 1
        )


def test_what_was_begun_is_finished_though_nothing_is_left():
    half = trained("ensemble-seed-2", RECIPE.replace(seed=2), "ensemble", steps=300)
    (spec,) = stage({}).propose(Context(RECIPE, facts(allowance=0), outcomes(half)))
    assert (spec.trial, spec.start, spec.until) == ("ensemble-seed-2", 300, 600)


def test_seeds_of_a_baseline_that_was_chosen_train_as_long_as_it_did():
    baseline = trained("baseline", Recipe(decay="none", learning_rate=0.001), "baseline", steps=500)
    found = {
        "baseline": baseline,
        "decay-linear": trained("decay-linear", RECIPE, "decay", share=0.9),
    }
    handed_on = baseline.spec.recipe.replace(total_steps=500)
    spec = stage({}).propose(Context(handed_on, facts(), found))[0]
    assert spec.recipe == handed_on.replace(seed=2)
    assert stage({}).decide(Context(handed_on, facts(), found)).values.trial == "baseline"


def test_an_ensemble_that_gains_beyond_noise_is_kept_with_its_weights():
    found = outcomes(
        *(
            trained(f"ensemble-seed-{seed}", RECIPE.replace(seed=seed), "ensemble")
            for seed in (2, 3, 4)
        )
    )
    asked = []
    decision = stage({}, asked=asked).decide(Context(RECIPE, facts(), found))
    values = decision.values
    assert values.kept and values.gain.low > 0.05 and decision.after == RECIPE
    assert sorted(asked) == sorted(found)  # each is predicted once
    assert sum(values.weights.values()) == pytest.approx(1) and len(values.weights) >= 3
    assert values.trial == "train-600" == decision.evidence[0]
    before, after = values.validation.before, values.validation.after
    assert before["accuracy"] == after["accuracy"] > values.validation.single["accuracy"] + 0.05
    # Three who vote are right more often than their mean promises.
    assert values.temperature < 1 and after["nll"] < before["nll"] and after["ece"] < before["ece"]
    assert "points of accuracy against train-600 alone" in decision.reason
    assert "a significant gain" in decision.reason and "A temperature of" in decision.reason
    assert len(values.disagreement) == len(values.weights) and "disagree on" in decision.reason


def test_within_noise_the_single_model_comes_back():
    same = guesses(1)
    predictions = {
        "train-600": same,
        "decay-linear": np.roll(same, 0),
        "decay-none": guesses(1, sure=0.79),
    }
    found = outcomes(
        trained("decay-linear", RECIPE, "decay"), trained("decay-none", RECIPE, "decay")
    )
    decision = stage(predictions).decide(Context(RECIPE, facts(), found))
    assert not decision.values.kept and decision.values.weights == {"train-600": 1.0}
    assert "not significant (95 % CI includes 0)" in decision.reason
    assert "The single model is that of trial train-600" in decision.reason
    assert decision.values.validation.before == decision.values.validation.single


@pytest.mark.parametrize("sure, temperature", [(0.8, None), (0.97, "hot")])
def test_the_temperature_of_the_single_model_is_kept_only_beyond_noise(sure, temperature):
    decision = stage({"train-600": guesses(1, sure=sure)}).decide(
        Context(RECIPE, facts(), outcomes())
    )
    assert "there is one training only" in decision.reason
    if temperature is None:
        assert decision.values.temperature == 1 and "No temperature lowers" in decision.reason
    else:
        assert decision.values.temperature > 1.3


def test_who_diverged_or_kept_no_weights_is_no_candidate_and_who_was_stopped_is():
    found = outcomes(
        trained("cut", steps=300, until=450),
        trained("lr-3", of_stage="lr", example_scores=None),
        trained("lost", diverged_at=500),
        trained("constant", RECIPE.replace(decay="none"), steps=300, until=450),
    )
    assert candidates(found) == ["train-600", "cut", "constant"]


def test_without_any_training_there_is_nothing_to_combine():
    found = {"lr-3": trained("lr-3", of_stage="lr", example_scores=None)}
    assert stage({}).propose(Context(RECIPE, facts(), found)) == []
    decision = stage({}).decide(Context(RECIPE, facts(), found))
    assert decision.values == EnsembleValues() and "nothing to combine" in decision.reason


def test_numbers_are_combined_too():
    generator = np.random.default_rng(0)
    targets = generator.normal(size=(COUNT, 1))
    names = ["train-600", "ensemble-seed-2", "ensemble-seed-3"]
    predictions = {name: targets + generator.normal(size=(COUNT, 1)) for name in names}
    found = outcomes(
        *(trained(name, RECIPE.replace(seed=int(name[-1])), "ensemble") for name in names[1:])
    )
    known = facts(objective=Objective("loss", "min"), num_classes=0, scored_by="explained variance")
    decision = stage(predictions, targets=targets).decide(Context(RECIPE, known, found))
    values = decision.values
    assert values.kept and values.temperature == 1 and values.reliability == {}
    assert values.validation.after["mse"] < 0.5 * values.validation.single["mse"]
    assert (
        "points of explained variance" in decision.reason
        and "standard deviations apart" in decision.reason
    )


def test_an_ensemble_has_two_members_or_more():
    with pytest.raises(ValueError, match="`members` must be at least 2, got 1"):
        stage({}, members=1)


def test_a_longer_training_leaves_half_of_what_is_left_to_the_ensemble():
    known = facts(allowance=1800, timed=False)
    for leaves, expected in ((0.0, 1), (0.5, 0)):
        train = Train(CHUNK, leaves=leaves)
        (first,) = train.propose(Context(RECIPE, known, {}))
        done = trained(first.trial, first.recipe, steps=first.recipe.total_steps)
        assert len(train.propose(Context(RECIPE, known, {first.trial: done}))) == expected


# a whole search with it


def with_ensemble(study, *arguments, members=4, **options):
    """The playbook of the other tests, with an ensemble whose predictions come of the weights that
    the study keeps.
    """

    def predict(name):
        weights = study.checkpoint(name, "best").model[0]
        return guesses(int(1e6 * abs(weights[0])) % 2**32)

    search = plain(study, *arguments, **options)
    search.stages = [
        Train(CHUNK, leaves=0.5) if each.name == "train" else each for each in search.stages
    ]
    search.stages.append(Ensemble(FakeModels(lambda: Validation(TRUE, predict, figures)), members))
    return search


plain = fake_trainer.playbook


def test_the_weights_of_every_member_survive_the_search(tmp_path):
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        search = with_ensemble(study)
        advance(search, FakeTrainer())
        decision = search.decisions[-1]
        assert decision.stage == "ensemble" and decision.values.kept
        for name in decision.evidence:
            assert (
                study.checkpoint(name, "best") is not None
                and study.checkpoint(name, "last") is None
            )
        assert decision.values.trial == search.decisions[-2].values.trial
        assert sum(outcome.steps for outcome in search.outcomes.values()) <= 20_000


def test_stopping_after_every_segment_changes_nothing(tmp_path):
    (tmp_path / "whole").mkdir()
    ends = []
    for directory, at_once in ((tmp_path / "whole", 1000), (tmp_path, 1)):
        for _ in range(100):
            with Study(directory / "study.sqlite", directory / "lock") as study:
                search, trainer, count = (
                    with_ensemble(study, "6000steps"),
                    FakeTrainer(tau=100),
                    at_once,
                )
                while count and (spec := search.next()) is not None:
                    search.record(*trainer.run(spec, search.state(spec)))
                    count -= 1
                if search.stage is None:
                    ends.append(canonical(study))
                    break
    assert ends[0] == ends[1] and '"stage": "ensemble"' in ends[0]


def crashes_with_an_ensemble(where):
    from scipy import optimize  # noqa: F401  (before the forks, each of which would import it)

    fault_harness.playbook = functools.partial(with_ensemble, members=2)
    return fault_harness.in_memory(fault_harness.crashes_everywhere, where)


@pytest.mark.parametrize("where", ["inside", "after"])
@pytest.mark.slow
def test_a_crash_at_any_transaction_changes_nothing(where):
    call = f"crashes_with_an_ensemble({where!r})"
    (tally,) = fault_harness.tallies(
        [call], [Path(__file__).parent, HELPERS, ROOT], "from test_stage_ensemble import *"
    )
    tally.check()
    assert tally.tried >= 26
