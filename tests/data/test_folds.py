"""Folds as rules on arrays: who is held out when, what is refused, and how wide an interval is."""

import numpy as np
import pytest
from scipy import stats

from kerastune.analysis import error_analysis
from kerastune.data import folds
from kerastune.problem import Part, Problem

CLASSES = np.repeat([0, 1, 2], [30, 20, 10])
GROUPS = np.arange(60) % 12


@pytest.mark.parametrize("classes", [None, CLASSES])
@pytest.mark.parametrize("groups", [None, GROUPS, GROUPS.astype(str)])
def test_every_example_is_held_out_once_in_every_repeat(classes, groups):
    found = folds.cut(60, 4, repeats=3, seed=5, classes=classes, groups=groups)
    assert [(fold.repeat, fold.number) for fold in found] == [
        (r, n) for r in (1, 2, 3) for n in (1, 2, 3, 4)
    ]
    for repeat in (1, 2, 3):
        held_out = [fold.held_out for fold in found if fold.repeat == repeat]
        assert sorted(np.concatenate(held_out)) == list(range(60))
    for fold in found:
        assert sorted([*fold.train, *fold.held_out]) == list(range(60))
    assert len({fold.name for fold in found}) == 12


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_no_group_is_on_both_sides(classes):
    for fold in folds.cut(60, 4, repeats=3, classes=classes, groups=GROUPS):
        assert not set(GROUPS[fold.train]) & set(GROUPS[fold.held_out])


def test_classes_keep_their_shares():
    for fold in folds.cut(60, 5, repeats=2, classes=CLASSES):
        assert np.bincount(CLASSES[fold.held_out]).tolist() == [6, 4, 2]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_rows_of_a_training_part_leave_out_another_fold_each(kind):
    part = Part(np.zeros([60, 2]), CLASSES if kind == "classification" else CLASSES / 7)
    problem = Problem(
        "toy", kind, part, part, class_names=("a", "b", "c") if kind == "classification" else ()
    )
    left_out = [
        np.setdiff1d(np.arange(60), folds.training_rows(problem, 5, number))
        for number in range(1, 6)
    ]
    assert sorted(np.concatenate(left_out)) == list(range(60)) and {
        len(rows) for rows in left_out
    } == {12}
    assert kind == "regression" or all(
        np.bincount(CLASSES[rows]).tolist() == [6, 4, 2] for rows in left_out
    )


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_a_seed_gives_the_same_cut_and_a_repeat_another(groups):
    def cut(seed):
        return [fold.held_out.tolist() for fold in folds.cut(60, 3, 2, seed, CLASSES, groups)]

    assert cut(1) == cut(1) != cut(2)
    assert cut(1)[:3] != cut(1)[3:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folds": 1}, "`folds` must be at least 2, got 1"),
        ({"folds": 3, "repeats": 0}, "`repeats` must be at least 1, got 0"),
        ({"folds": 61}, r"`folds` \(61\) is more than the examples \(60\)"),
        (
            {"folds": 11, "classes": CLASSES},
            r"`folds` \(11\) is more than the smallest class has examples \(10\)",
        ),
        ({"folds": 13, "groups": GROUPS}, r"`folds` \(13\) is more than there are groups \(12\)"),
        ({"folds": 3, "groups": GROUPS[:59]}, r"`groups` has shape \(59,\), expected \(60,\)"),
        (
            {"folds": 3, "groups": np.where(GROUPS == 2, np.nan, GROUPS)},
            "missing for 5 examples, first in row 2",
        ),
        (
            {"folds": 3, "groups": np.where(GROUPS == 2, "", "a")},
            "missing for 5 examples, first in row 2",
        ),
        (
            {"folds": 2, "classes": CLASSES, "groups": CLASSES},
            "would have no training example in fold-",
        ),
    ],
)
def test_what_can_not_be_cut_is_refused_by_name(arguments, words):
    with pytest.raises(ValueError, match=words):
        folds.cut(60, **arguments)


def test_the_interval_over_folds_is_the_corrected_one():
    values = [0.90, 0.92, 0.94, 0.96, 0.98]
    found = folds.summary([{"r2": value} for value in values], [80] * 5, [20] * 5)["r2"]
    half = stats.t.ppf(0.975, 4) * np.sqrt(1 / 5 + 20 / 80) * np.std(values, ddof=1)
    assert found["mean"] == pytest.approx(0.94)
    assert found["std"] == pytest.approx(np.std(values, ddof=1))
    assert found["low"] == pytest.approx(0.94 - half)
    assert found["high"] == pytest.approx(0.94 + half)


def test_the_interval_over_folds_holds_the_truth_about_as_often_as_it_says():
    # A fold's score is the mean of its own examples and of what all folds have from the same
    # examples in training.
    generator, num_folds, hits = np.random.default_rng(3), 5, 0
    for _ in range(1000):
        shared, own = (
            generator.normal(0, np.sqrt(0.2)),
            generator.normal(0, np.sqrt(0.8), num_folds),
        )
        rows = [{"score": shared + value} for value in own]
        found = folds.summary(rows, [80] * num_folds, [20] * num_folds)["score"]
        hits += found["low"] <= 0 <= found["high"]
    assert 930 < hits < 970


def test_an_interval_ends_where_the_metric_does_and_what_is_not_finite_is_left_out():
    rows = [{"accuracy": 1.0, "rmse": 0.0, "r2": np.nan}, {"accuracy": 0.5, "rmse": 3.0, "r2": 0.5}]
    found = folds.summary(rows, [5, 5], [5, 5])
    assert set(found) == {"accuracy", "rmse"}
    assert (found["accuracy"]["low"], found["accuracy"]["high"], found["rmse"]["low"]) == (0, 1, 0)


def test_the_share_of_all_examples_has_wilsons_interval():
    right = np.arange(40) % 10 > 0
    outputs, true = np.eye(2)[right.astype(int)], np.ones(40, int)
    found = folds.pooled(right)
    assert [found[name] for name in ("mean", "low", "high")] == pytest.approx(
        error_analysis.with_interval(outputs, true, "accuracy"), abs=1e-4
    )


def test_copies_within_a_group_make_no_interval_narrower():
    generator = np.random.default_rng(1)
    right, groups = (generator.random(30) < 0.8).astype(float), np.arange(30)
    once = folds.pooled(right, groups)
    copied = folds.pooled(np.repeat(right, 5), np.repeat(groups, 5))
    assert copied == pytest.approx(once)
    alone = folds.pooled(np.repeat(right, 5))
    assert alone["high"] - alone["low"] < 0.6 * (copied["high"] - copied["low"])


def test_errors_have_the_normal_interval():
    errors = np.array([1.0, 2.0, 3.0, 6.0])
    found = folds.pooled(errors, ends=(0.0, np.inf))
    half = stats.norm.ppf(0.975) * errors.std(ddof=1) / 2
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((3, 3 - half, 3 + half))


def test_no_end_of_an_interval_is_where_a_metric_of_any_name_cannot_be():
    names = ["val_accuracy", "val_head_f1_score_1", "val_auc", "val_mean_io_u", "val_box_r2_score"]
    rows = [dict.fromkeys(names, value) for value in (0.7, 1.0, 0.99)]
    found = folds.summary(rows, [20] * 3, [10] * 3)
    assert {name: each["high"] for name, each in found.items()} == dict.fromkeys(names, 1)
    errors = [{"val_out_mean_absolute_error": value, "val_loss": value} for value in (0.0, 4.0)]
    found = folds.summary(errors, [5, 5], [5, 5])
    assert found["val_out_mean_absolute_error"]["low"] == 0 > found["val_loss"]["low"]
    groups = np.arange(4) // 2
    assert folds.pooled([0.0, 0.0, 0.0, 9.0], groups, ends=(0.0, np.inf))["low"] == 0


# Training and validation part together


def small(kind="classification", weights=(None, None)):
    """A problem whose examples are numbered, and all differ."""
    classes = CLASSES[np.random.default_rng(1).permutation(60)]
    y = classes if kind == "classification" else classes / 7
    parts = (
        Part(np.arange(first, last), y[first:last], each)
        for (first, last), each in zip(((0, 45), (45, 60)), weights, strict=True)
    )
    names = ("a", "b", "c") if kind == "classification" else ()
    return Problem("small", kind, *parts, class_names=names, cut="random")


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_both_parts_are_cut_into_folds_that_hold_every_example_once_per_repeat(kind):
    seen = []
    for repeat in (1, 2):
        cuts = [folds.problem_of(small(kind), 5, fold, repeat) for fold in range(1, 6)]
        for each in cuts:
            assert sorted([*each.train.x, *each.validation.x]) == list(range(60))
            assert len(each.validation) == 12 and np.any(each.train.x >= 45)
            if kind == "classification":
                assert np.bincount(each.validation.y).tolist() == [6, 4, 2]
        seen.append([each.validation.x.tolist() for each in cuts])
        assert sorted(sum(seen[-1], [])) == list(range(60))
        again = [folds.of_all(small(kind), 5, fold, repeat).held_out for fold in range(1, 6)]
        assert [each.tolist() for each in again] == seen[-1]
    assert seen[0] != seen[1]


def test_a_part_without_weights_gets_none_so_that_batches_keep_their_form():
    ones, twos = np.ones(45), np.full(15, 2.0)
    for weights in ((ones, twos), (None, twos), (ones, None), (None, None)):
        found = folds.problem_of(small(weights=weights), 5, 1, 1)
        for part, given in zip((found.train, found.validation), weights, strict=True):
            assert (part.sample_weight is None) == (given is None)
            if part.sample_weight is not None and weights[1] is not None:
                expected = np.where(part.x >= 45, 2.0, 1.0)
                assert part.sample_weight.tolist() == expected.tolist()
