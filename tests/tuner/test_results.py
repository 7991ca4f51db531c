"""Figures of the rarer of two classes are those of the model that is handed out."""

import types

import numpy as np
import pytest

from kerastune.analysis import calibration
from kerastune.tuner import results

HALF = np.full([4, 2], 0.5)
SINGLE = {"validation": np.array([[0.9, 0.1], [0.4, 0.6]]), "test": np.array([[0.8, 0.2]])}


def models(repeats=None):
    ensemble = None if repeats is None else types.SimpleNamespace(repeats=repeats)
    validation = types.SimpleNamespace(x=None)
    problem = types.SimpleNamespace(num_classes=2, validation=validation)
    return types.SimpleNamespace(
        problem=problem,
        ensemble=ensemble,
        ensemble_predictions=lambda x: HALF,
        tta_predictions=lambda x: (HALF, None),
    )


def test_a_temperature_moves_the_threshold():
    figures = {"exported": {"model": "calibrated", "temperature": 2.0}}
    name, found = results._handed_out(models(), figures, {"final": SINGLE})
    assert name == "calibrated"
    np.testing.assert_allclose(found["test"], calibration.tempered(SINGLE["test"], 2.0))
    assert found["validation"][0, 1] == pytest.approx(1 / (1 + 3))  # odds of 1 to 9, at their root


@pytest.mark.parametrize("name", ["ensemble", "tta"])
def test_several_models_and_views_have_thresholds_of_their_own(name):
    outputs, figures = {"final": SINGLE, name: {"test": HALF}}, {"exported": {"model": name}}
    found = results._handed_out(models(repeats=0), figures, outputs)
    assert found[0] == name and found[1]["validation"] is HALF is found[1]["test"]
    bagged = results._handed_out(models(repeats=2), figures, outputs)
    assert bagged == ("final", SINGLE)  # the members have seen the validation part


def test_otherwise_they_are_those_of_the_single_model():
    for figures in ({}, {"exported": {"model": "final"}}, {"exported": {"model": "refit"}}):
        outputs = {"final": SINGLE, "refit": {"test": HALF}}
        assert results._handed_out(models(), figures, outputs) == ("final", SINGLE)
