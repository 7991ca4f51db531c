"""Bad data are refused in one line before any training."""

import dataclasses

import numpy as np
import pytest

from kerastune.data import checks, memory, raw
from kerastune.problem import Part, Problem


def good_part(**changes):
    part = Part(np.arange(12, dtype="float32").reshape(6, 2), np.array([0, 1, 2, 0, 1, 2]))
    return dataclasses.replace(part, **changes)


def good_problem(**changes):
    problem = Problem(
        "toy", "classification", good_part(), good_part(), good_part(), class_names=("a", "b", "c")
    )
    return dataclasses.replace(problem, **changes)


def with_value(value):
    x = np.ones((6, 2))
    x[4, 1] = value
    return x


def test_a_good_task_passes():
    checks.check(good_problem(), batch_size=6)
    checks.check(good_problem(train=good_part(sample_weight=np.ones(6))), batch_size=1)
    checks.check(good_problem(class_weight={0: 2.0}), batch_size=1)
    regression = good_part(y=np.linspace(0, 1, 6))
    checks.check(Problem("toy", "regression", regression, regression), batch_size=1)


BAD_PARTS = {
    "nan": (
        dict(x=with_value(np.nan)),
        r"1 values that are NaN or infinite, first in row 4, column 1",
    ),
    "infinite": (dict(x=with_value(np.inf)), "NaN or infinite"),
    "nan in y": (
        dict(y=np.array([0, 1, 2, 0, 1, np.nan])),
        "`y` of the .* part has 1 values that are NaN",
    ),
    "lengths": (dict(y=np.array([0, 1, 2])), "6 examples in `x` but 3 in `y`"),
    "too high": (dict(y=np.array([0, 1, 2, 3, 1, 2])), "label 3; expected 0 to 2"),
    "negative": (dict(y=np.array([0, 1, 2, -1, 1, 2])), "label -1; expected 0 to 2"),
    "text": (dict(y=np.array(list("abcabc"))), "number the classes"),
    "columns": (dict(y=np.eye(6)), "has 6 columns, expected 1 or 3|shapes"),
    "empty": (dict(x=np.ones((0, 2)), y=np.ones(0)), r"empty \(shape \(0, 2\)\)"),
    "no features": (dict(x=np.ones((6, 0))), "no features"),
    "rank of y": (dict(y=np.ones((6, 1, 1))), "rank 3"),
    "object": (dict(x=np.full((6, 2), None)), "dtype object"),
    "complex": (dict(x=np.ones((6, 2), complex)), "dtype complex128"),
    "shape": (dict(x=np.ones((6, 3))), "have the shapes"),
    "names": (dict(x={"a": np.ones(6)}), "have the shapes"),
    "slash": (dict(x={"a/b": np.ones(6)}), "'/'"),
    "no inputs": (dict(x={}), "empty dict"),
    "weight length": (dict(sample_weight=np.ones(5)), r"shape \(5,\), expected \(6,\)"),
    "weight negative": (dict(sample_weight=np.array([1, 1, 1, 1, 1, -1.0])), "1 negative"),
    "weight nan": (dict(sample_weight=np.array([1, 1, 1, 1, 1, np.nan])), "NaN"),
    "weight zero": (dict(sample_weight=np.zeros(6)), "0 for every"),
}


def test_built_in_models_take_numbers_of_several_features_and_other_models_more():
    y = np.arange(6) % 3
    for x, message in [(np.ones(6), r"rank 1 .*reshape"), (np.full((6, 2), "a"), "dtype <U1")]:
        with pytest.raises(ValueError, match=message):
            checks.check_part(Part(x, y), "training")
        checks.check_part(Part(x, y), "training", any_inputs=True)
        checks.check_part(Part((x, {"a": x}), y), "training", any_inputs=True)


@pytest.mark.parametrize("where", ["train", "validation", "test"])
@pytest.mark.parametrize("bad", BAD_PARTS)
def test_a_bad_part_is_refused_in_one_line(bad, where):
    changes, message = BAD_PARTS[bad]
    with pytest.raises(ValueError, match=message) as error:
        checks.check(good_problem(**{where: good_part(**changes)}), batch_size=2)
    assert "\n" not in str(error.value)


def test_the_part_is_named():
    with pytest.raises(ValueError, match="of the validation part"):
        checks.check(good_problem(validation=good_part(x=with_value(np.nan))), batch_size=2)


def test_a_class_missing_in_training_is_refused_elsewhere_it_is_not():
    without = good_part(y=np.array([0, 2, 2, 0, 2, 2]))
    with pytest.raises(
        ValueError, match=r"1 of 3 classes have no example in the training part \(b\)"
    ):
        checks.check(good_problem(train=without), batch_size=2)
    checks.check(good_problem(validation=without, test=without), batch_size=2)


def test_one_class_only_is_refused():
    only = good_part(y=np.zeros(6, int))
    with pytest.raises(ValueError, match="only one class"):
        checks.check(Problem("toy", "classification", only, only, class_names=("a",)), batch_size=2)


@pytest.mark.parametrize(
    ("batch_size", "message"), [(7, r"\(7\) is larger than .* \(6 examples\)"), (0, "at least 1")]
)
def test_a_batch_size_that_cannot_be_is_refused(batch_size, message):
    with pytest.raises(ValueError, match=message):
        checks.check(good_problem(), batch_size)


def test_the_batch_size_is_checked_against_a_stream_too():
    with pytest.raises(ValueError, match="larger"):
        checks.check(good_problem(train=None, stream=range(3)), batch_size=4)
    checks.check(good_problem(train=None, stream=range(4)), batch_size=4)


@pytest.mark.parametrize(
    ("refit", "member_folds", "message"),
    [(True, 0, "^`refit` joins .* needs arrays"), (False, 3, "^`member_folds` must be 0")],
)
def test_a_stream_is_neither_joined_nor_cut(refit, member_folds, message):
    stream = good_problem(train=None, stream=range(9))
    with pytest.raises(ValueError, match=message):
        checks.check_joined_and_cut(stream, refit, member_folds)
    checks.check_joined_and_cut(stream, False, 0)


@pytest.mark.parametrize("class_weight", [{3: 1.0}, {0: -1.0}, {0: np.nan}, {"a": 1.0}])
def test_bad_class_weights_are_refused(class_weight):
    with pytest.raises(ValueError, match="class_weight"):
        checks.check(good_problem(class_weight=class_weight), batch_size=2)


def test_sparse_ragged_object_and_single_values_are_no_arrays():
    sparse = type("csr_matrix", (), {"toarray": lambda self: None})()
    for values, message in [
        (sparse, "sparse"),
        ([[1], [1, 2]], "ragged"),
        (np.array([None]), "object"),
        (3, "single"),
    ]:
        with pytest.raises(ValueError, match=f"`x` .*{message}"):
            raw.as_array(values, "`x` here")
    assert raw.as_array([[1, 2]], "`x`").shape == (1, 2)


def test_what_is_larger_than_memory_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    memory.check(1000, "a.npz")
    with pytest.raises(ValueError, match="a.npz needs about"):
        memory.check(1001, "a.npz")


def test_a_single_class_in_the_training_part_is_refused_however_many_outputs_there_are():
    with pytest.raises(ValueError, match="All training examples have the class dog; .*nothing"):
        checks.check_classes(np.ones(9, int), ("cat", "dog"), "training", spare_outputs=True)
