"""Folds as rules on arrays: who is held out when, what is refused, and how wide an interval is."""

import numpy as np
import pytest

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
