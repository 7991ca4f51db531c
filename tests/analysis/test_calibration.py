"""Calibration on hand-made probabilities."""

import numpy as np
import pytest
from sklearn import metrics

from kerastune.analysis import calibration


def drawn(temperature=1.0, count=20_000, classes=4, seed=0):
    """Probabilities, and classes drawn from what they are at a temperature."""
    generator = np.random.default_rng(seed)
    probabilities = calibration.softmax(generator.normal(size=(count, classes)) * 2)
    true = [
        generator.choice(classes, p=row) for row in calibration.tempered(probabilities, temperature)
    ]
    return probabilities, np.array(true)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    probabilities, true = drawn(temperature)
    found = calibration.best_temperature(probabilities, true)
    assert found == pytest.approx(temperature, rel=0.05)
    before = calibration.figures(probabilities, true)
    after = calibration.figures(calibration.tempered(probabilities, found), true)
    assert after["ece"] < 0.012 and after["nll"] <= before["nll"]
    assert after["ece"] < before["ece"] or temperature == 1.0


def test_tempering_keeps_the_class_and_one_changes_nothing():
    probabilities, _ = drawn(count=50)
    assert calibration.tempered(probabilities, 1.0) is probabilities
    hot = calibration.tempered(probabilities, 3.0)
    assert (hot.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (hot.max(axis=1) < probabilities.max(axis=1)).all()
    np.testing.assert_allclose(hot.sum(axis=1), 1)


def test_figures_are_those_of_scikit_learn():
    probabilities, true = drawn(count=300)
    found = calibration.figures(probabilities, true)
    assert found["nll"] == pytest.approx(metrics.log_loss(true, probabilities))
    assert found["brier"] == pytest.approx(
        np.mean(np.sum((probabilities - np.eye(4)[true]) ** 2, axis=1))
    )


def test_the_calibration_error_of_known_bins():
    # Three examples promised 0.9 of which two are right, and one promised 0.6 that is wrong.
    first = np.array([0.9, 0.9, 0.9, 0.6])
    probabilities, true = np.stack([first, 1 - first], axis=1), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(
        calibration.reliability(probabilities, true), [[0.6, 0, 0.25], [0.9, 2 / 3, 0.75]]
    )
    assert calibration.calibration_error(probabilities, true) == pytest.approx(
        0.25 * 0.6 + 0.75 * (0.9 - 2 / 3)
    )


def test_certainty_falls_in_the_last_bin_and_a_certain_mistake_is_finite():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert calibration.reliability(probabilities, np.array([0, 1])).tolist() == [[1.0, 0.5, 1.0]]
    assert calibration.log_losses(probabilities, np.array([0, 1])).tolist() == [
        0.0,
        -np.log(calibration.LEAST),
    ]
    assert np.isfinite(calibration.tempered(probabilities, 0.5)).all()


@pytest.mark.parametrize("count", [20, 100])
def test_of_few_examples_a_temperature_promises_others_no_worse_on_the_mean(count):
    # Sure and mostly right, as of breast_cancer: what the likelihood of a few asks for is 0.1.
    probabilities, true = drawn(1.0, classes=2, seed=1)
    probabilities, true = np.split(probabilities, 200), np.split(true, 200)
    rises, plain = [], []
    for given, classes in zip(probabilities, true):
        few = slice(0, min(count, len(given) // 2))
        found = calibration.best_temperature(given[few], classes[few])
        others = calibration.tempered(given[few.stop :], found), classes[few.stop :]
        before = calibration.log_losses(given[few.stop :], classes[few.stop :]).mean()
        rises.append(calibration.log_losses(*others).mean() - before)
        plain.append(before)
    assert np.mean(rises) < 0.01 * np.mean(plain)


def test_22_examples_that_are_all_right_hardly_cool_and_1000_do():
    sure = np.tile([0.95, 0.05], (1000, 1))
    few, many = (calibration.best_temperature(sure[:n], np.zeros(n, int)) for n in (22, 1000))
    assert 0.85 < few < 1 and many < 0.65


def test_when_all_are_right_the_temperature_stays_within_its_bounds():
    probabilities = np.tile([0.8, 0.2], (30, 1))
    assert calibration.best_temperature(probabilities, np.zeros(30, int)) >= calibration.COLDEST
    assert calibration.best_temperature(probabilities, np.ones(30, int)) <= calibration.HOTTEST
