"""Cuts are seeded and stratified; targets are taken for what they are."""

import numpy as np
import pytest

from kerastune.data import splits
from kerastune.data.targets.fitted import fit_targets


def test_a_cut_takes_every_example_exactly_once():
    stay, off = splits.cut(101, [3])
    assert sorted([*stay, *off]) == list(range(101))
    assert len(off) == round(101 * splits.FRACTION)


def test_a_cut_keeps_the_shares_of_the_classes():
    classes = np.repeat([0, 1, 2], [600, 300, 100])
    _, off = splits.cut(1000, [1], classes)
    assert np.bincount(classes[off]).tolist() == [90, 45, 15]


def test_a_cut_is_the_same_for_the_same_seed_only():
    classes = np.arange(200) % 4
    first, again, other = (splits.cut(200, seed, classes)[1] for seed in ([5, 0], [5, 0], [5, 1]))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_a_cut_is_not_the_end_of_the_data():
    _, off = splits.cut(1000, [1])
    assert 350 < off.mean() < 650


def test_a_cut_is_capped_for_large_data():
    assert len(splits.cut(200_000, [1])[1]) == splits.LARGEST_CUT


def test_a_class_with_one_example_stays_in_training():
    classes = np.array([0] * 20 + [1] + [2])
    stay, _ = splits.cut(22, [1], classes)
    assert set(classes[stay]) == {0, 1, 2}


def test_classes_with_one_example_each_are_not_cut_at_all():
    assert splits.quotas(np.array([1] * 10 + [10]), 5).tolist() == [0] * 10 + [3]


def test_too_few_examples_are_not_cut():
    with pytest.raises(ValueError, match=r"has 9 examples, too few to split"):
        splits.cut(9, [1])


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (np.array([True, False]), "classification"),
        (np.array(["a", "b"]), "classification"),
        (np.eye(3), "classification"),
        (np.eye(3, dtype=bool), "classification"),
        (np.array([10, 20, 30]), "classification"),
        (np.arange(100), "classification"),
        (np.arange(100) * 7, "regression"),
        (np.array([0.0, 1.0, 1.0]), "classification"),
        (np.array([1.0, 2.0, 5.0]), "regression"),
        (np.arange(30.0), "regression"),
        (np.array([[0.5, 1.5], [2.0, 3.0]]), "regression"),
        (np.array([[0], [1]]), "classification"),
    ],
)
def test_the_kind_is_told_by_the_targets(y, kind):
    assert splits.infer_kind(y) == kind


def test_several_labels_per_example_are_refused():
    with pytest.raises(ValueError, match="not one-hot"):
        splits.infer_kind(np.array([[1, 1, 0], [0, 0, 1]]))


def test_labels_that_do_not_run_from_0_are_renumbered_and_keep_their_names():
    classes = splits.find_classes(np.array([30, 10, 20, 10]))
    assert classes.names == ("10", "20", "30")
    assert classes.encode(np.array([[20], [30]]), "test").tolist() == [1, 2]
    assert not classes.is_numbered


def test_one_hot_texts_and_booleans_become_integers():
    assert splits.find_classes(np.eye(3)).encode(np.eye(3)[[2, 0]], "test").tolist() == [2, 0]
    assert splits.find_classes(np.array(["no", "yes"])).encode(
        np.array(["yes"]), "test"
    ).tolist() == [1]
    assert splits.find_classes(np.array([True, False])).names == ("False", "True")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([-1, 0, 1]), "label -1; labels are at least 0"),
        (np.array([0.0, 0.5]), "whole numbers, got 0.5"),
        (np.array([0, 1, 3]), r"run from 0 to 3, but 2 have no example"),
        (np.array([[0.2, 0.8]]), "not one-hot"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        splits.find_classes(y)


@pytest.mark.parametrize(
    "y", [np.array([2]), np.array([9]), np.array([-3]), np.array(["a"]), np.eye(3)[:1]]
)
def test_labels_unknown_to_the_training_part_are_refused(y):
    with pytest.raises(ValueError, match="of the test part"):
        splits.find_classes(np.array([1, 3])).encode(y, "test")


def test_known_names_are_kept():
    assert splits.find_classes(np.array([0, 1]), ("cat", "dog")).names == ("cat", "dog")


def test_regression_targets_are_standardized_by_the_training_part():
    targets = fit_targets(np.array([[10.0], [30.0]]), None)
    assert (targets.mean, targets.scale) == (20.0, 10.0)
    encoded = targets.encode(np.array([[40.0]]), "test")
    assert encoded.tolist() == [2.0] and encoded.dtype == np.float32
    assert (
        fit_targets(np.array([[10.0], [30.0]]), None, as_given=True)
        .encode(np.ones((1, 1)), "test")
        .ndim
        == 2
    )


def test_several_outputs_have_a_mean_and_a_scale_each():
    targets = fit_targets(np.array([[0.0, 10.0], [2.0, 30.0]]), None)
    assert targets.mean.tolist() == [1.0, 20.0] and targets.scale.tolist() == [1.0, 10.0]
    assert targets.encode(np.array([[2.0, 10.0]]), "test").tolist() == [[1.0, -1.0]]


def test_a_target_that_never_changes_is_refused():
    with pytest.raises(ValueError, match="constant .0.1."):
        fit_targets(np.full(7, 0.1), None)


def test_numbered_labels_and_one_hot_rows_stay_as_given_for_ones_own_model():
    for y in (
        np.eye(3, dtype="float32"),
        np.arange(3, dtype="uint8")[:, None],
        np.array([0.0, 1.0, 2.0]),
    ):
        assert fit_targets(y, splits.find_classes(y), as_given=True).encode(y, "training") is y
    texts = np.array(["a", "b"])
    assert fit_targets(texts, splits.find_classes(texts), as_given=True).encode(
        texts, "x"
    ).tolist() == [0, 1]
