"""Bags: which trainings there are, what they say of examples that they left out, and the choice."""

import dataclasses
import functools

import numpy as np
import pytest
from fake_trainer import CHUNK, FakeModels, facts

from kerastune.analysis import calibration
from kerastune.playbook import retention
from kerastune.playbook.context import Context
from kerastune.playbook.ensemble_values import LeftOut, Validation
from kerastune.playbook.rules import bag, full_training
from kerastune.playbook.rules.training_steps import TrainingSteps
from kerastune.playbook.stages.ensemble import Ensemble, candidates, of_recipe
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

RECIPE = Recipe(total_steps=200)
COUNT, LAST = 500, 100  # examples, and those of the validation part among them
TRUE = np.random.default_rng(5).integers(0, 3, COUNT)
SMALL = functools.partial(facts, num_train=400, num_validation=LAST, bags=True, timed=False)


@pytest.fixture(autouse=True)
def gains(recorded):
    """What bags gained on other tasks."""
    recorded(gains={"bag": {"table, small": {"mean": 0.0086, "std": 0.0128, "tasks": 3}}})


def trained(name, recipe=RECIPE, steps=None, **cut):
    changes = {key: cut.pop(key) for key in ("diverged_at", "out_of_time") if key in cut}
    steps = steps or recipe.total_steps
    until = recipe.total_steps if "out_of_time" in changes else steps
    spec = TrialSpec(name, cut.pop("stage", "ensemble"), recipe, 0, until, CHUNK, True, **cut)
    evals = ({"step": steps, "loss": 0.5, "accuracy": 0.8},)
    scores = np.ones(LAST if not cut.get("repeat") else COUNT // 5)
    losses = {"loss": np.linspace(2, 0.1, steps)}
    return Outcome(spec, losses, evals, example_scores=scores, **changes)


def single():
    return {"train-200": trained("train-200", stage="train")}


def whole(repeats=2):
    found = single()
    for repeat in bag.repeats(RECIPE, 10, {})[:repeats]:
        found |= {name: trained(name, recipe, **cut) for name, (recipe, cut) in repeat.items()}
    return found


def guesses(seed, wrong, count=COUNT):
    """Probabilities for the last examples, a share of which is wrong."""
    generator = np.random.default_rng(seed)
    missed = (TRUE[-count:] + generator.integers(1, 3, count)) % 3
    chosen = np.where(generator.random(count) < wrong, missed, TRUE[-count:])
    return np.where(chosen[:, None] == np.arange(3), 0.8, 0.1)


def stage(wrong_of_one, wrong_of_members, members=10, folds=0):
    def figures(predictions):
        assert len(predictions) == LAST  # as of every other model, so that they compare
        right = float(np.mean(predictions.argmax(axis=1) == TRUE[-LAST:]))
        return {"accuracy": right, **calibration.figures(predictions, TRUE[-LAST:])}

    def predict(name):
        outcome = whole()[name]
        rows = np.flatnonzero(np.arange(COUNT) % 5 == outcome.spec.left_out - 1)
        return rows, guesses(outcome.spec.recipe.seed, wrong_of_members)[rows]

    validation = Validation(TRUE[-LAST:], lambda name: guesses(1, wrong_of_one, LAST), figures)
    models = FakeModels(lambda: validation, left_out=lambda: LeftOut(TRUE, predict))
    return Ensemble(models, members, folds)


# What is trained


MANY = {"num_train": 5000}


def proposed(allowance, found=None, known=SMALL, **options):
    context = Context(RECIPE, known(allowance=allowance), single() if found is None else found)
    return stage(0.2, 0.2, **options).propose(context)


def test_the_first_repeat_is_whole_and_each_member_has_a_fold_and_a_seed_of_its_own():
    assert [len(proposed(200 * count)) for count in (5, 9, 10, 99)] == [5, 9, 10, 20]
    assert len(proposed(200 * 99, members=7)) == 10  # at most twice as many, in whole repeats
    specs = proposed(2000)
    cuts = {(spec.folds, spec.left_out, spec.repeat) for spec in specs}
    assert cuts == {(5, fold, repeat) for fold in range(1, 6) for repeat in (1, 2)}
    assert {spec.recipe.seed for spec in specs} == set(range(2, 12))
    assert all(spec.keep_best and spec.eval_every == CHUNK for spec in specs)
    assert len({spec.trial for spec in specs}) == 10


def test_without_room_or_leave_for_a_bag_the_recipe_gets_other_seeds():
    for specs, count in (
        (proposed(249), 1),
        (proposed(2000, known=lambda **given: SMALL(**{**given, "bags": False})), 9),
    ):
        assert len(specs) == count and not any(spec.repeat for spec in specs)
    asked = proposed(2000, folds=3)  # by the user: folds of the training part
    assert [spec.folds for spec in asked[:3]] == [3] * 3 and not any(s.repeat for s in asked)


def test_where_whole_trainings_do_not_fit_those_of_a_bag_are_shorter():
    timed, many = (functools.partial(SMALL, **each) for each in ({"timed": True}, MANY))
    # In steps that are left: 1,000, and of a budget in seconds nine tenths of 1,100.
    for specs, steps in ((proposed(1000), 200), (proposed(1100, known=timed), 150)):
        assert {spec.recipe.total_steps for spec in specs if spec.repeat == 1} == {steps}
        assert [spec.repeat for spec in specs][:5] == [1] * 5
    # Where more than the first repeat fits, whole members fill what is left.
    filled = [proposed(left) for left in (1300, 1790)]
    assert [len(specs) for specs in filled] == [6, 8]
    assert [specs[0].recipe.total_steps for specs in filled] == [200, 200]
    steps = [bag.member_steps(RECIPE, 10, left, SMALL(), {}) for left in (1190, 1200, 1390, 9999)]
    assert steps == [230, 200, 230, 200]
    # Of more examples they are at least three quarters as long.
    assert {spec.recipe.total_steps for spec in proposed(800, known=many)} == {150}
    assert not any(spec.repeat for spec in proposed(700, known=many))
    assert all(spec.repeat for spec in proposed(700))


def test_once_the_first_repeat_is_whole_less_of_the_time_is_spared():
    found, timed = whole(repeats=1), functools.partial(SMALL, timed=True)
    predicting = stage(0.2, 0.2)._cost_of_predicting(Context(RECIPE, timed(allowance=0), found))
    for left, count in ((209, 0), (212, 1), (250, 1)):
        assert len(proposed(1000 + predicting + left, found, timed)) == count


def test_members_of_a_new_longer_bag_are_begun_as_if_there_were_none():
    found, longer = whole(repeats=1), RECIPE.over(1000)
    found |= {"train-1000": trained("train-1000", longer, stage="train")}
    timed = SMALL(timed=True, allowance=0)
    predicting = stage(0.2, 0.2)._cost_of_predicting(Context(longer, timed, found))
    spent = sum(each.steps for each in found.values() if each.spec.stage == "ensemble")
    known = dataclasses.replace(timed, allowance=round(spent + predicting + 6250))
    specs = stage(0.2, 0.2).propose(Context(longer, known, found))
    assert sum(spec.recipe.total_steps for spec in specs) == 5 * 1000


def test_a_limit_of_epochs_is_told_in_whole_calls_as_the_recipe_has_it():
    names = {"optimizer": RECIPE.optimizer, "batch_size": 256}
    known = SMALL(num_train=3000, starting_recipe=names, starting_steps=1400, most_epochs=20)
    recipe = RECIPE.replace(batch_size=256)  # 235 steps are 20 epochs
    assert known.known_steps(recipe) == 200 and bag.trainings(known, recipe) == 6


def test_members_take_no_more_epochs_than_the_user_allows():
    known = SMALL(most_epochs=32)  # 200 steps of 64 of 400 examples
    assert bag.member_steps(RECIPE, 10, 1190, known, {}) == 200


def test_a_shorter_bag_that_was_begun_keeps_its_steps_until_half_as_many_more_fit():
    shorter = {}
    for name, (recipe, cut) in bag.repeats(RECIPE.over(100), 10, {})[0].items():
        shorter[name] = trained(name, recipe, **cut)
    found = single() | shorter
    begun = [bag.member_steps(RECIPE, 50, left, SMALL(), found) for left in (0, 700, 749, 750)]
    assert begun == [100, 100, 100, 150]
    assert bag.member_steps(RECIPE.replace(momentum=0.5), 40, 600, SMALL(), found) == 120
    # Of an evaluation at the end alone none is shorter.
    assert bag.member_steps(RECIPE, 200, 999, SMALL(), {}) == 200
    decision = decided(0.2, 0.2, found)
    assert decision.headline.startswith("Average of 5 models")


def test_a_repeat_that_was_begun_is_finished_and_one_that_lost_a_fold_is_given_up():
    repeat = bag.repeats(RECIPE, 10, {})[0]
    half = {name: trained(name, *[recipe], **cut) for name, (recipe, cut) in repeat.items()}
    half.pop("ensemble-fold-5")
    left = Context(RECIPE, SMALL(allowance=900), single() | half)
    assert [spec.trial for spec in stage(0, 0).propose(left)] == ["ensemble-fold-5"]
    half["ensemble-fold-2"] = dataclasses.replace(half["ensemble-fold-2"], diverged_at=10)
    assert bag.members([repeat], single() | half) == [] == bag.due([repeat], 200, 900, half)


def test_a_later_repeat_goes_on_without_a_fold_that_failed():
    found = whole()
    failed = found["ensemble-fold-7"].spec
    cut = {"folds": 5, "left_out": 2, "repeat": 2}
    found[failed.trial] = trained(failed.trial, failed.recipe, diverged_at=10, **cut)
    found.pop("ensemble-fold-10")
    planned = bag.repeats(RECIPE, 20, found)
    assert [name for name, _ in bag.due(planned, 200, 500, found)] == [
        "ensemble-fold-10",
        "ensemble-fold-11",
    ]
    names = bag.members(planned, found)
    assert len(names) == 8 and "ensemble-fold-7" not in names
    decision = decided(0.2, 0.2, found)
    assert decision.values.repeats == 2 and "(2 cuts)" in decision.numbers


def test_of_a_longer_bag_that_is_not_whole_the_shorter_one_stays():
    found = whole(repeats=1)
    longer = RECIPE.over(400)
    found |= {"train-400": trained("train-400", longer, stage="train")}
    name, (recipe, cut) = next(iter(bag.repeats(longer, 5, found)[0].items()))
    found[name] = trained(name, recipe, **cut)
    context = Context(longer, SMALL(data="table, small"), found)
    decision = stage(0.2, 0.2).decide(context)
    assert decision.headline.startswith("Average of 5 models") and name not in decision.evidence


def test_what_ran_out_of_time_is_a_member_only_if_it_is_as_good_as_whole():
    for steps, expected in ((150, 5), (100, 0)):
        found = whole(repeats=1)
        spec = found["ensemble-fold-3"].spec
        cut = {"folds": 5, "left_out": 3, "repeat": 1}
        late = trained(spec.trial, spec.recipe, steps, out_of_time=True, **cut)
        assert len(bag.members(bag.repeats(RECIPE, 10, {}), found | {spec.trial: late})) == expected


def test_a_training_leaves_time_for_a_bag_where_there_may_be_one():
    def steps(**known):
        return TrainingSteps(CHUNK, Context(RECIPE, SMALL(**known), {}), True, 1, 0.5, False)

    def leaves(**known):
        return steps(**known)._leaves

    assert leaves(allowance=300) == leaves(allowance=1200) == pytest.approx(5 / 6)
    assert leaves(allowance=299) == 0.0 < leaves(allowance=1200, bags=False)
    assert leaves(allowance=299, timed=True) == 0
    # Of a budget for short trainings only they are as short as that.
    found = [steps(allowance=n).wanted for n in (299, 300, 600, 1200)]
    assert found == [200, 50, 100, 200] and steps(allowance=300, bags=False).wanted == 200
    # A recipe that is given is trained as it is.
    given = TrainingSteps(CHUNK, Context(RECIPE, SMALL(allowance=600), {}), False, 1, 0.5, False)
    assert given.wanted == 200 == steps(allowance=300).asked


def test_a_network_that_names_its_steps_gets_a_bag_instead_of_a_longer_training():
    names = {"starting_recipe": {"optimizer": RECIPE.optimizer}, "starting_steps": 200, **MANY}

    def steps(recipe=RECIPE, outcomes=None, **known):
        found = single() if outcomes is None else outcomes
        context = Context(recipe, SMALL(**{"allowance": 1400, **names, **known}), found)
        return TrainingSteps(CHUNK, context, True, 1, 0.5, False)

    assert steps()._leaves == pytest.approx(5 / 6) and steps().due() == []
    assert steps(starting_steps=0)._leaves == 0.5 and steps(starting_steps=0).due()
    # It is not shortened where it overfits, either: the best evaluation of every member is kept.
    evals = (
        {"step": 100, "loss": 0.3, "accuracy": 0.9},
        {"step": 200, "loss": 0.9, "accuracy": 0.5},
    )
    rises = {"train-200": dataclasses.replace(single()["train-200"], evals=evals)}
    shorter = [steps(outcomes=rises, given=given).due() for given in ({"dropout"}, set())]
    assert [[spec.recipe.total_steps for spec in each] for each in shorter] == [[100], []]
    # Without a bag other seeds follow; a longer one comes only where there is time for many.
    assert steps(bags=False).due() == [] and steps(bags=False, allowance=2000).due()
    first = [steps(outcomes={}, bags=False, timed=True, allowance=n) for n in (599, 600)]
    assert [each._leaves > 0 for each in first] == [False, True]
    assert [each.due()[0].recipe.total_steps for each in first] == [550, 200]
    wanted = [steps(outcomes={}, allowance=left).wanted for left in (1200, 900, 402, 396)]
    assert wanted == [200, 150, 67, 200]
    # Its members, too, take a third of those steps at least.
    known = SMALL(**names)
    members = [bag.member_steps(RECIPE, 10, left, known, {}) for left in (600, 350, 330)]
    assert members == [120, 70, 200]
    shorter = [bag.member_steps(RECIPE.over(80), 10, left, known, {}) for left in (350, 300)]
    assert shorter == [70, 80]
    assert steps(outcomes={}, allowance=900, starting_steps=0).wanted == 200
    # Fewer steps, as an extension may find them, are too few for the network.
    for total in (100, 3000):
        other = steps(RECIPE.over(total), {})
        assert other.wanted == 200 and other._leaves == pytest.approx(5 / 6)


# What it is worth


def decided(wrong_of_one, wrong_of_members, found=None, **known):
    context = Context(RECIPE, SMALL(data="table, small", **known), found or whole())
    return stage(wrong_of_one, wrong_of_members).decide(context)


def test_a_bag_is_kept_without_significance_and_its_figures_are_of_examples_left_out():
    decision = decided(0.2, 0.21)
    values = decision.values
    assert values.kept and values.repeats == 2 and not values.gain.is_significant
    assert decision.headline == "Average of 10 models, each leaving out a fifth"
    assert set(values.weights.values()) == {0.1} and values.mean == "arithmetic"
    assert values.trial == "train-200" and set(decision.evidence) == set(whole())
    names = bag.members(bag.repeats(RECIPE, 10, {}), whole())
    left_out = stage(0.2, 0.21)._models.left_out()
    mean = bag.out_of_fold([left_out.predict(name) for name in names], COUNT)
    right = np.mean(mean[-LAST:].argmax(axis=1) == TRUE[-LAST:])
    assert values.validation.before["accuracy"] == pytest.approx(right)
    assert values.validation.single["accuracy"] + values.gain.gain == pytest.approx(right)
    bins = np.array(values.reliability["before"])
    assert bins[:, 1] @ bins[:, 2] == pytest.approx(np.mean(mean.argmax(axis=1) == TRUE))
    for words in ("on 3 other tasks", "500 training and validation examples (2 cuts)"):
        assert words in decision.numbers


def test_a_bag_that_is_expected_to_lose_is_left_out_and_what_was_known_before_decides():
    decision = decided(0.05, 0.6)
    assert not decision.values.kept and decision.values.weights == {"train-200": 1.0}
    assert decision.evidence == ("train-200",) and "is left out" in decision.numbers
    assert "-" in decision.numbers.split(" points")[0]


def test_after_an_extension_members_are_of_the_recipe_that_it_found():
    longer = RECIPE.over(400)
    planned = bag.repeats(longer, 10, whole())
    assert list(planned[0])[0] == "ensemble-fold-1-again1"
    assert bag.members(planned, whole()) == []
    assert len(bag.due(planned, 400, 4000, whole())) == 10


@pytest.mark.parametrize("failed", [{"diverged_at": 10}, {"out_of_time": True, "steps": 100}])
def test_an_extension_tries_what_failed_once_more_with_another_seed(failed):
    found = whole(repeats=1)
    spec = found["ensemble-fold-3"].spec
    cut = {"folds": 5, "left_out": 3, "repeat": 1}
    found[spec.trial] = trained(spec.trial, spec.recipe, **cut, **failed)
    assert not any(each.left_out == 3 for each in proposed(1400, found))
    again, *_ = proposed(1400, found, lambda **given: SMALL(**given, extension=1))
    assert (again.trial, again.start) == ("ensemble-fold-3-again1", 0)
    assert (again.folds, again.left_out, again.repeat) == (5, 3, 1)
    assert again.recipe.seed not in {each.spec.recipe.seed for each in found.values()}
    planned = bag.repeats(
        RECIPE, 5, found | {again.trial: trained(again.trial, again.recipe, **cut)}, 1
    )
    assert list(planned[0])[2] == again.trial
    found[again.trial] = trained(again.trial, again.recipe, **cut, **failed)
    for extension, expected in ((1, 0), (2, 1)):  # no more than once in each
        specs = proposed(1400, found, lambda **given: SMALL(**given, extension=extension))
        assert sum(each.repeat == 1 for each in specs) == expected


def test_one_repeat_makes_a_bag_of_five():
    decision = decided(0.2, 0.2, whole(repeats=1))
    assert decision.headline.startswith("Average of 5 models")
    assert decision.values.repeats == 1 and "(1 cut)" in decision.numbers


def test_a_mean_is_not_judged_as_if_it_gained_nothing_over_one_of_its_models(recorded):
    # Single members are compared with the single model, and are no better than it.
    recorded(gains={"bag": {"table, small": {"mean": 0.0086, "std": 0.1, "tasks": 3}}})
    values = decided(0.2, 0.23, whole(repeats=1)).values
    assert values.gain.gain < -0.005 and values.kept


def test_numbers_have_a_bag_too():
    generator = np.random.default_rng(0)
    targets = generator.normal(size=(COUNT, 1))
    noisy = {name: targets + 0.5 * generator.normal(size=(COUNT, 1)) for name in whole()}

    def predict(name):
        rows = np.flatnonzero(np.arange(COUNT) % 5 == whole()[name].spec.left_out - 1)
        return rows, noisy[name][rows]

    known = LeftOut(targets, predict)
    verdict = bag.judge(
        bag.members(bag.repeats(RECIPE, 10, {}), whole()),
        known,
        noisy["train-200"][-LAST:],
        "explained variance",
    )
    assert verdict.gain.gain == pytest.approx(0.125, abs=0.06)


def test_examples_that_no_model_left_out_are_refused():
    with pytest.raises(ValueError, match="1 examples were left out by no model"):
        bag.out_of_fold([(np.array([0]), np.ones([1, 2]))], 2)


# What else looks at trainings


def test_a_training_that_was_judged_by_other_examples_is_compared_with_none():
    found = whole()
    better = {
        name: dataclasses.replace(each, example_scores=each.example_scores + each.spec.repeat)
        for name, each in found.items()
    }
    assert candidates(better) == ["train-200"]
    assert of_recipe(RECIPE.replace(seed=2), better).spec.trial == "train-200"
    assert full_training.is_comparable(found["train-200"])
    assert not full_training.is_comparable(found["ensemble-fold-1"])


def test_weights_of_a_bag_stay_only_where_it_was_kept():
    found = whole()
    kept, left = decided(0.2, 0.2), decided(0.05, 0.6)
    assert retention.surplus(found, [kept], keep=0) == []
    assert set(retention.surplus(found, [left], keep=20)) == set(found) - {"train-200"}
