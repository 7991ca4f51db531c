"""What targets are taken for, by what a model was compiled with."""

import numpy as np
import pytest

from kerastune.data import loading
from kerastune.data.targets import target_kinds
from kerastune.problem import OTHER, Declared, joined

NUMBERS = np.linspace(-2.0, 5.0, 40)
GRADES = np.arange(40) % 5 + 2
YES = np.arange(40) % 2
ROWS = np.stack([YES, np.arange(40) % 3 == 0, np.ones(40, int)], axis=1)
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


def said(loss="", width=1, activation="linear", own=False, accuracy=False, **others):
    output = None if width is None else (width,)
    settings = {"output": output, "num_outputs": 1, **others}
    return Declared(True, loss, own, activation=activation, measures_accuracy=accuracy, **settings)


@pytest.mark.parametrize(
    "y, declared, expected",
    [
        (GRADES, said("meansquarederror"), "regression"),
        (GRADES[:, None], said("huber"), "regression"),
        (GRADES, said("poisson", activation="softplus"), "regression"),
        (GRADES - 2, said("sparsecategoricalcrossentropy", 9, "softmax"), "classification"),
        ((GRADES - 2.0), said("sparsecategoricalcrossentropy", 5), "classification"),
        (np.eye(5)[GRADES - 2], said("categoricalcrossentropy", 5, "softmax"), "classification"),
        (np.full([40, 5], 0.2), said("categoricalcrossentropy", 5, "softmax"), "other"),
        (YES, said("binarycrossentropy", 1, "sigmoid"), "classification"),
        (YES * 0.8, said("binarycrossentropy", 1, "sigmoid"), "other"),
        (np.array(["no", "yes"])[YES], said("binarycrossentropy", 1), "classification"),
        (ROWS, said("binarycrossentropy", 3, "sigmoid"), "other"),
        (np.eye(2)[YES], said("binarycrossentropy", 2, "sigmoid"), "classification"),
        (NUMBERS, said("quantiles", 3, own=True), "other"),
        (NUMBERS, said("mine", 1, own=True), "regression"),
        (GRADES - 2, said("focal", 5, own=True), "classification"),
        (YES, said("mine", 1, "sigmoid", own=True), "classification"),
        (YES, said("mine", 1, own=True, accuracy=True), "classification"),
        (YES, said("contrastive", 1, own=True), "regression"),
        (2 * YES - 1, said("hinge", 1, "tanh"), "other"),
        (np.zeros([40, 4, 4]), said("meansquarederror", output=(4, 4)), "other"),
        (NUMBERS, said("meansquarederror", output=()), "other"),
        ({"a": NUMBERS, "b": YES}, said("several", num_outputs=2, names=("a", "b")), "other"),
        (None, said(), "other"),
    ],
)
def test_a_compiled_model_tells_the_kind(y, declared, expected):
    assert target_kinds.kind_of(y, declared) == expected


def test_what_the_user_says_wins_where_there_is_one_target():
    assert target_kinds.kind_of(YES, said("meansquarederror"), "classification") == "classification"
    assert target_kinds.kind_of(ROWS, Declared(), "regression") == "regression"
    with pytest.raises(ValueError, match="`kind` must be"):
        target_kinds.kind_of(YES, Declared(), "ordinal")


@pytest.mark.parametrize(
    "y, declared, message",
    [
        (GRADES, Declared(output=(1,)), "has 5 classes, but the model one output and no loss: say"),
        (np.array(list("abcde"))[GRADES - 2], said("meansquarederror"), "loss meansquarederror"),
        (ROWS, Declared(), "several labels per example; only a compiled model"),
        (np.zeros([40, 2, 2]), Declared(), "rank 3"),
        ({"a": YES, "b": YES}, Declared(), "several targets; only a compiled model"),
        (None, Declared(), "`y` is missing"),
        (GRADES - 2, said("categoricalcrossentropy", 5), "one-hot rows, or compile a sparse loss"),
        (np.eye(5)[GRADES - 2], said("sparsecategoricalcrossentropy", 5), "one label per example"),
        (GRADES, said("binarycrossentropy", 1, "sigmoid"), "values from 2 to 6.* takes 0 to 1"),
    ],
)
def test_doubts_and_what_only_a_compiled_model_can_learn_are_asked_in_one_line(
    y, declared, message
):
    with pytest.raises(ValueError, match=message) as error:
        target_kinds.kind_of(y, declared)
    assert "\n" not in str(error.value)


def test_compiled_models_keep_the_scale_of_targets_and_others_do_not():
    mse = said("meansquarederror")
    kept = loading.from_arrays(X, NUMBERS, ask=lambda few: mse)
    assert kept.attach is None and kept.target_scale == 1 and kept.target_std > 1
    assert np.isin(kept.validation.y, NUMBERS.astype("float32")).all()
    for other in (
        loading.from_arrays(X, NUMBERS),
        loading.from_arrays(X, NUMBERS, ask=lambda few: mse, standardize_targets=True),
    ):
        assert other.attach is not None and other.target_std == 1
        assert abs(other.train.y.mean()) < 1e-6
        assert "standardized for training" in other.notes[0]


def test_the_switch_is_suggested_where_it_helps_and_refused_where_the_loss_has_a_scale():
    far, poisson = NUMBERS + 500, said("poisson", activation="softplus")
    hints = [
        any("standardize_targets=True" in note for note in problem.notes)
        for problem in (
            loading.from_arrays(X, far, ask=lambda few: said("meansquarederror")),
            loading.from_arrays(X, NUMBERS, ask=lambda few: said("meansquarederror")),
            loading.from_arrays(X, far, ask=lambda few: poisson),
        )
    ]
    assert hints == [True, False, False]
    with pytest.raises(ValueError, match="`standardize_targets` is True, but the loss .poisson."):
        loading.from_arrays(X, far, ask=lambda few: poisson, standardize_targets=True)


def test_outputs_without_labels_are_classes_of_their_own():
    wide = said("sparsecategoricalcrossentropy", 6, "softmax")
    problem = loading.from_arrays(X, 2 * YES, ask=lambda few: wide)
    assert problem.class_names == ("0", "1", "2", "3", "4", "5")
    assert not problem.imbalanced and set(problem.train.y) == {0, 2}
    with pytest.raises(ValueError, match="5 classes, but the model 3 outputs"):
        narrow = said("sparsecategoricalcrossentropy", 3, "softmax")
        loading.from_arrays(X, GRADES, ask=lambda few: narrow)


@pytest.mark.parametrize(
    "y",
    [
        {"price": NUMBERS, "kind": YES},
        [NUMBERS, {"mask": np.zeros([40, 3, 3], int)}],
        np.zeros([40, 4, 4, 1], "float32"),
        None,
    ],
)
def test_any_targets_are_cut_and_joined_as_they_are(y):
    problem = loading.from_arrays(X, y, ask=lambda few: said("several", num_outputs=0))
    assert problem.kind == "other" and problem.num_classes == 0 and problem.attach is None
    assert (len(problem.train), len(problem.validation)) == (34, 6)
    assert len(joined(problem.train, problem.validation)) == 40


def test_weights_of_any_targets_are_cut_with_them():
    y, weight = np.zeros([40, 5], int), np.ones([40, 5])
    tags = said("sparsecategoricalcrossentropy", output=(5, 3))
    problem = loading.from_arrays(X, y, sample_weight=weight, ask=lambda few: tags)
    assert problem.validation.sample_weight.shape == (6, 5)
    with pytest.raises(ValueError, match="`sample_weight` of the training part needs `y`"):
        loading.from_arrays(X, None, sample_weight=weight, ask=lambda few: said())


def test_names_stand_for_places_where_a_model_lists_its_outputs():
    listed = said("several", num_outputs=2, names=("b", "a"), is_listed=True)
    y = {"a": NUMBERS, "b": YES}
    weight = {"a": np.ones(40), "b": np.ones(40)}
    problem = loading.from_arrays(X, y, sample_weight=weight, ask=lambda few: listed)
    assert problem.train.y[0].dtype == YES.dtype and len(problem.train.sample_weight) == 2


@pytest.mark.parametrize(
    "y, message",
    [
        ({"price": NUMBERS}, "has no 'kind'; the model's outputs are price, kind"),
        ({"price": NUMBERS, "kind": YES, "x": YES}, "has 'x', which is no output"),
        (NUMBERS, "is one array, but the model has 2 outputs .price, kind.: give"),
        ([NUMBERS, YES, YES], "is 3 arrays, but the model has 2 outputs"),
        ({"price": NUMBERS, "kind": YES[:9]}, "40 examples in `x` but 9 in `y.'kind'.`"),
        ({"price": NUMBERS * np.nan, "kind": YES}, "`y.'price'.` of the training part has 40"),
    ],
)
def test_targets_that_are_not_those_of_the_outputs_are_named(y, message):
    two = said("several", num_outputs=2, names=("price", "kind"))
    with pytest.raises(ValueError, match=message) as error:
        loading.from_arrays(X, y, ask=lambda few: two)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_signs_are_two_classes_under_a_cross_entropy_and_stay_under_a_hinge(dtype):
    x, y = np.arange(120.0).reshape(60, 2), np.where(np.arange(60) % 3 == 0, 1, -1).astype(dtype)
    classes = loading.from_arrays(
        x, y, ask=lambda few: said("binarycrossentropy"), class_weight={-1: 2.0}
    )
    assert classes.kind == "classification" and classes.class_weight == {0: 2.0}
    np.testing.assert_array_equal(classes.train.y, classes.train.x[:, 0] % 6 == 0)
    assert "Labels -1, 1 are learnt as 0, 1, and given so." in classes.notes
    signs = loading.from_arrays(x, y, ask=lambda few: said("hinge"), class_weight="balanced")
    assert signs.kind == OTHER and set(np.unique(signs.train.y)) == {-1, 1}
    rare = signs.train.y == 1
    weight = signs.train.sample_weight
    assert weight[rare].sum() == pytest.approx(weight[~rare].sum())
    with pytest.raises(ValueError, match="`class_weight` has the label 5"):
        loading.from_arrays(x, y, ask=lambda few: said("hinge"), class_weight={5: 1.0})


def test_labels_with_gaps_are_told_where_they_are_renumbered_and_stay_where_outputs_are_wide():
    x, y = np.arange(120.0).reshape(60, 2), np.array([0, 2, 5])[np.arange(60) % 3]
    for width, kept, told in ((3, [0, 1, 2], 1), (6, [0, 2, 5], 0)):
        declared = said("sparsecategoricalcrossentropy", output=(width,), activation="softmax")
        problem = loading.from_arrays(x, y, ask=lambda few, declared=declared: declared)
        assert np.unique(problem.train.y).tolist() == kept
        assert problem.notes.count("Labels 0, 2, 5 are learnt as 0, 1, 2, and given so.") == told
