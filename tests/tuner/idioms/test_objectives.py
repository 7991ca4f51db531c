"""The objective in every form that KerasTuner takes."""

import keras_tuner
import pytest

from kerastune.objective import Objective
from kerastune.tuner.idioms.objectives import direction, parse_objective


@pytest.mark.parametrize(
    "given, name, way",
    [
        (keras_tuner.Objective("val_auc", "max"), "auc", "max"),
        (keras_tuner.Objective("val_profit", "min"), "profit", "min"),
        ("val_accuracy", "accuracy", "max"),
        ("val_loss", "loss", "min"),
        ("val_mean_absolute_error", "mean_absolute_error", "min"),
        ("val_profit:max", "profit", "max"),
    ],
)
def test_name_and_direction_of_an_objective(given, name, way):
    assert parse_objective(given) == Objective(name, way)


def test_none_is_none():
    assert parse_objective(None) is parse_objective("") is None


@pytest.mark.parametrize(
    "given, words",
    [
        ("accuracy", "write 'val_accuracy', got 'accuracy'"),
        ("accuracy:max", "write val_accuracy"),
        (keras_tuner.Objective("loss", "min"), "write 'val_loss'"),
        ("val_profit", r"keras_tuner.Objective\('val_profit', 'max'\), or 'min'"),
        (["val_loss", "val_accuracy"], r"one value, got a list of 2 \(val_loss, val_accuracy\)"),
        ([keras_tuner.Objective("val_auc", "max")], r"a list of 1 \(val_auc\)"),
        (3, "must be a name such as 'val_accuracy'"),
        (keras_tuner.Objective("val_auc", "up"), "must be max or min, got 'up'"),
    ],
)
def test_what_can_not_be_an_objective_is_refused_in_a_sentence(given, words):
    with pytest.raises(ValueError, match=words) as refused:
        parse_objective(given)
    assert "\n" not in str(refused.value)


def test_directions_that_keras_tuner_gets_wrong():
    assert {direction(f"val_{name}") for name in ("f1_score", "r2_score", "mean_io_u")} == {"max"}
    assert direction("val_boxes_mean_squared_error") == direction("val_age_loss") == "min"
