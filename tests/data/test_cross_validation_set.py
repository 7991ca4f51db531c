"""What is cut into folds: all examples but the test part; every fold fits its own."""

import numpy as np
import pytest
import tensorflow as tf

from kerastune.data import cross_validation_set, folds, loading

HEADER = "age,city,patient,y"
CITIES = ("Bonn", "Rome", "Oslo")
ROWS = [
    f"{'' if row % 7 == 3 else 20 + row},{CITIES[row % 3]},p{row // 4},{1.5 * row}"
    for row in range(40)
]


def csv(tmp_path, rows):
    path = tmp_path / "people.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return str(path)


def load(tmp_path, rows):
    return cross_validation_set.load(
        csv(tmp_path, rows), label="y", groups="patient", kind="regression"
    )


def test_what_is_held_out_changes_nothing_that_is_fitted(tmp_path):
    # Means, medians, values of texts, and the scale of targets: rows that are held out are changed
    # beyond recognition.
    before = load(tmp_path, ROWS)
    fold = folds.cut(40, 4, groups=before.groups)[1]
    changed = [
        f"1e9,Mars,{row.split(',')[2]},-1e9" if i in fold.held_out else row
        for i, row in enumerate(ROWS)
    ]
    first, second = before.problem(fold), load(tmp_path, changed).problem(fold)
    np.testing.assert_array_equal(first.train.x, second.train.x)
    np.testing.assert_array_equal(first.train.y, second.train.y)
    assert (first.target_mean, first.target_scale) == (second.target_mean, second.target_scale)
    assert np.abs(second.validation.x[:, 0]).min() > 2.9  # the change did arrive, and was clipped
    assert not second.validation.x[:, 1:].any()  # a text that training does not know


def test_images_are_standardized_by_a_folds_training_part_alone():
    images = np.random.default_rng(1).random([20, 4, 4])
    fold = folds.cut(20, 4)[0]
    spoilt = images.copy()
    spoilt[fold.held_out] += 100
    tasks = [
        cross_validation_set.from_arrays(x, np.arange(20) % 2, prepare=True).problem(fold)
        for x in (images, spoilt)
    ]
    np.testing.assert_array_equal(tasks[0].train.x, tasks[1].train.x)
    assert tasks[0].train.x.mean() == pytest.approx(0, abs=1e-6)


def test_the_test_part_is_that_of_the_other_commands_and_in_no_fold():
    examples, problem = (
        cross_validation_set.load("iris", for_own_model=True),
        loading.load("iris", for_own_model=True),
    )
    fold = folds.cut(len(examples), 3, classes=examples.true)[0]
    np.testing.assert_array_equal(examples.problem(fold).test.x, problem.test.x)
    whole = loading.load("iris", for_own_model=True, seed=3)
    everything = np.concatenate([whole.train.x, whole.validation.x, whole.test.x])
    assert len(examples) + len(problem.test) == len(everything)
    assert len(set(examples.rows)) == len(examples) == 128


def test_validation_examples_are_folded_too_and_a_given_test_part_is_not(tmp_path):
    x, y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2
    path = tmp_path / "parts.npz"
    np.savez(
        path,
        x_train=x[:15],
        y_train=y[:15],
        x_val=x[15:25],
        y_val=y[15:25],
        x_test=x[25:],
        y_test=y[25:],
        who=np.arange(25) // 5,
    )
    examples = cross_validation_set.load(str(path), groups="who", for_own_model=True)
    assert len(examples) == len(examples.groups) == 25
    problem = examples.problem(folds.cut(25, 5, classes=examples.true, groups=examples.groups)[0])
    np.testing.assert_array_equal(
        np.sort(np.concatenate([problem.train.x, problem.validation.x])[:, 0]), x[:25, 0]
    )
    np.testing.assert_array_equal(problem.test.x, x[25:])


def test_a_column_of_groups_is_no_input_and_no_test_part_is_torn_from_them(tmp_path):
    examples = load(tmp_path, ROWS)
    assert examples.groups.tolist() == [f"p{row // 4}" for row in range(40)]
    assert len(examples) == 40 and "test" not in examples.raw.parts
    assert examples.problem(folds.cut(40, 4)[0]).train.x.shape[1] == 4  # age and three cities


@pytest.mark.parametrize(
    ("source", "groups", "words"),
    [
        (
            "people.csv",
            "doctor",
            r"`groups` \('doctor'\) must be a column of .*: age, city, patient",
        ),
        ("people.csv", "y", r"`groups` \('y'\) must be a column"),
        (
            "iris",
            "patient",
            r"`groups` \('patient'\) names a column of a table or an array of a .npz",
        ),
        ("parts.npz", "who", r"`groups` \('who'\) is not an array of"),
        ("parts.npz", "few", r"`groups` has shape \(3,\) and dtype int64, expected \(20,\)"),
    ],
)
def test_groups_that_are_not_there_are_refused(source, groups, words, tmp_path):
    csv(tmp_path, ROWS)
    np.savez(
        tmp_path / "parts.npz", x_train=np.eye(20), y_train=np.arange(20) % 2, few=np.arange(3)
    )
    path = source if source == "iris" else str(tmp_path / source)
    with pytest.raises(ValueError, match=words):
        cross_validation_set.load(path, label="y" * source.endswith("csv"), groups=groups)


def test_a_stream_is_refused():
    dataset = tf.data.Dataset.from_tensor_slices((np.eye(20), np.arange(20) % 2))
    with pytest.raises(ValueError, match="can't be split into folds; give arrays"):
        cross_validation_set.from_arrays(dataset)


def test_a_fold_that_nothing_can_be_fitted_to_is_named():
    examples = cross_validation_set.from_arrays(
        np.eye(4), np.array([5.0, 5.0, 5.0, 7.5]), kind="regression"
    )
    with pytest.raises(
        ValueError, match="fold-2 can't be trained on: `y` of the training part is constant .5.0."
    ):
        examples.problem(folds.Fold("fold-2", 1, 2, np.array([0, 1, 2]), np.array([3])))
