"""Which regularizers of a recipe a model and its data have a use for."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.models import recipe_checks
from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe


def model(loss, *between):
    made = keras.Sequential([keras.Input([3]), *between, layers.Dense(2, "softmax")])
    made.compile("sgd", loss)
    return made


def problem(x):
    part = Part(x, np.zeros(4, int))
    return Problem("toy", "classification", part, part, class_names=("a", "b"))


CASES = [
    (np.zeros([4, 3], "float32"), {"flip"}),
    (np.zeros([4, 5, 3], "float32"), {"flip"}),
    (np.zeros([4, 5, 5, 3], "float32"), set()),
    (np.zeros([4, 5, 5, 3], "uint8"), set()),
    (np.zeros([4, 5, 5], "uint8"), set()),
    (np.zeros([4, 5, 5, 3], "int64"), {"flip", "augmentation"}),
    (np.zeros([4, 3], int), {"flip", "augmentation"}),
    ({"image": np.zeros([4, 5, 5, 3], "float32"), "kind": np.zeros(4, int)}, set()),
]


@pytest.mark.parametrize("x, expected", CASES)
def test_inputs_tell_what_can_be_augmented(x, expected):
    made = model("sparse_categorical_crossentropy", layers.Dropout(0.0))
    reasons = recipe_checks.unusable(made, problem(x))
    assert set(reasons) == expected and all(reasons.values())


def test_a_model_without_dropout_and_with_another_loss_has_no_use_for_either():
    reasons = recipe_checks.unusable(model("mse"), problem(np.zeros([4, 5, 5, 3], "float32")))
    assert set(reasons) == {"dropout", "label_smoothing"}
    assert (
        "Dropout family" in reasons["dropout"]
        and "mean_squared_error" in reasons["label_smoothing"]
    )


@pytest.mark.parametrize("name, value", [("dropout", 0.3), ("flip", True), ("augmentation", 0.1)])
def test_a_recipe_that_wants_what_changes_nothing_is_refused(name, value):
    recipe_checks.check(Recipe(), {name: "so it is"})
    recipe_checks.check(Recipe(**{name: value}), {})
    with pytest.raises(
        ValueError, match=f"`{name}` .*{value}.* has no effect: so it is; leave it out"
    ):
        recipe_checks.check(Recipe(**{name: value}), {name: "so it is"})


def test_class_weights_are_for_classes_and_those_of_the_data_are_kept():
    made, x = model("mse"), np.zeros([4, 5, 5, 3], "float32")
    own = dataclasses.replace(
        problem(x), kind="classification", class_names=("a", "b"), class_weight={0: 2.0}
    )
    reasons = recipe_checks.unusable(made, own)
    assert reasons["class_weights"] == "the data have class weights, which are kept"
    assert "class_weights" not in recipe_checks.unusable(
        made, dataclasses.replace(own, class_weight=None)
    )
    reasons = recipe_checks.unusable(
        made, dataclasses.replace(own, kind="regression", class_weight=None)
    )
    with pytest.raises(
        ValueError, match="`class_weights` .balanced. has no effect: there are no classes"
    ):
        recipe_checks.check(Recipe(class_weights="balanced"), reasons)
    recipe_checks.check(Recipe(), reasons)
