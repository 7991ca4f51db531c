"""The decays as formulas and as Keras schedules, which must be the same."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastune import schedules
from kerastune.recipe import Recipe
from kerastune.schedules import exponential_decay, linear_decay, rates

ARGUMENTS = [
    (0.01, 5000, 100),
    (0.01, 5000, 1),
    (0.3, 250, 30),
    (1.0, 7, 3),
    (0.1, 50, 100),
    (0.1, 1, 1),
]


def test_the_example_of_the_guide():
    # 0.01 over 5000 steps is 0.006 at step 2000; the guide's "step 3000" is a slip, where the line
    # gives 0.004.
    assert linear_decay(2000, 0.01, 5000) == pytest.approx(0.006)
    assert linear_decay(3000, 0.01, 5000) == pytest.approx(0.004)


def test_the_rate_is_constant_between_two_changes():
    rates = linear_decay(np.arange(300), 1.0, 300, interval=100)
    assert rates.tolist() == pytest.approx([1.0] * 100 + [2 / 3] * 100 + [1 / 3] * 100)


@pytest.mark.parametrize("rate, total, interval", ARGUMENTS)
def test_it_begins_at_the_rate_never_rises_and_is_zero_from_the_last_step_on(rate, total, interval):
    rates = linear_decay(np.arange(2 * total + 2), rate, total, interval)
    assert rates[0] == rate
    assert (np.diff(rates) <= 0).all()
    assert (rates[:total] > 0).all() and (rates[total:] == 0).all()


def test_an_interval_that_does_not_divide_the_steps():
    rates = linear_decay(np.arange(8), 1.0, 7, interval=3)
    assert rates.tolist() == pytest.approx([1, 1, 1, 4 / 7, 4 / 7, 4 / 7, 1 / 7, 0])


def test_a_step_gives_a_number_and_an_array_an_array():
    assert np.ndim(linear_decay(3, 0.1, 10)) == 0
    assert linear_decay(np.zeros([2, 3], int), 0.1, 10).shape == (2, 3)
    assert linear_decay(np.array([], int), 0.1, 10).shape == (0,)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 0.0, 10, 1), "`learning_rate` must be > 0, got 0.0"),
        ((0, float("nan"), 10, 1), "`learning_rate` must be > 0, got nan"),
        ((0, 0.1, 0, 1), "`total_steps` must be >= 1, got 0"),
        ((0, 0.1, 10, 0), "`interval` must be >= 1 step, got 0"),
        ((-1, 0.1, 10, 1), "`step` must be >= 0, got -1"),
        ((np.array([0, -2]), 0.1, 10, 1), "`step` must be >= 0, got -2"),
        ((0, 0.1, 10, 1, -1), "`start` must be >= 0, got -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear_decay(*arguments)


@pytest.mark.parametrize("arguments", [(0.0, 10, 1), (0.1, 0, 1), (0.1, 10, 0)])
def test_the_keras_schedule_refuses_the_same(arguments):
    with pytest.raises(ValueError, match="must be"):
        schedules.LinearDecay(*arguments)


@pytest.mark.parametrize("rate, total, interval", ARGUMENTS)
def test_the_keras_schedule_is_the_formula_to_the_last_bit(rate, total, interval):
    steps = np.arange(total + 5)
    expected = linear_decay(steps, rate, total, interval).astype(np.float32)
    schedule = schedules.LinearDecay(rate, total, interval)
    np.testing.assert_array_equal(np.asarray(schedule(steps)), expected)
    assert float(schedule(total // 2)) == expected[total // 2]


def test_the_keras_schedule_goes_through_its_configuration():
    schedule = schedules.LinearDecay(0.3, 250, interval=30)
    restored = schedules.LinearDecay.from_config(schedule.get_config())
    given = {"learning_rate": 0.3, "total_steps": 250, "interval": 30, "start": 0}
    assert restored.get_config() == schedule.get_config() == given
    for each in (schedule, schedules.ExponentialDecay(0.3, 250, 0.1, 30)):
        again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(each))
        assert type(again) is type(each) and again.get_config() == each.get_config()


def test_the_keras_schedule_is_saved_with_a_model_and_goes_on(tmp_path):
    x, y = np.ones([8, 1], "float32"), np.zeros([8, 1], "float32")
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedules.LinearDecay(0.1, 10, interval=2)), loss="mse")
    model.fit(x, y, batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer._learning_rate, schedules.LinearDecay)
    assert int(loaded.optimizer.iterations) == 4
    assert float(loaded.optimizer.learning_rate) == np.float32(linear_decay(4, 0.1, 10, 2))


# A later start (S3.3) and the staircase (S3.4).

LATE = [
    (0.01, 5000, 100, 2700),
    (0.3, 250, 30, 249),
    (1.0, 7, 3, 2),
    (0.1, 50, 100, 50),
    (0.1, 50, 7, 99),
]
STAIRS = [(0.01, 2700, 0.5, 500), (0.3, 0, 0.1, 30), (1.0, 3, 0.9, 1), (0.1, 99, 1 / 3, 1000)]


@pytest.mark.parametrize("rate, total, interval, start", LATE)
def test_a_later_start_is_the_same_line_over_the_steps_that_are_left(rate, total, interval, start):
    found = linear_decay(np.arange(total + 5), rate, total, interval, start)
    assert (found[: min(start, total)] == rate).all() and (found[total:] == 0).all()
    if start < total:
        np.testing.assert_array_equal(
            found[start:total],
            linear_decay(np.arange(total - start), rate, total - start, interval),
        )


def test_the_first_drop_of_the_staircase_is_at_its_start():
    found = exponential_decay(np.arange(7), 1.0, start=2, factor=0.5, interval=3)
    assert found.tolist() == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert exponential_decay(0, 1.0, start=0, factor=0.5, interval=3) == 0.5


def test_the_half_rule_of_the_guide():
    # Validation is best at step 3000: decay starts at 2700, and by 3000 the rate is a half,
    # whatever the interval.
    for interval in (1, 100, 10_000):
        assert exponential_decay(3000, 0.01, 2700, 0.5, interval) <= 0.005
        assert exponential_decay(2699, 0.01, 2700, 0.5, interval) == 0.01


@pytest.mark.parametrize("arguments", LATE)
def test_the_delayed_keras_schedule_is_the_formula_to_the_last_bit(arguments):
    steps = np.arange(arguments[1] + 5)
    expected = linear_decay(steps, *arguments).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(schedules.LinearDecay(*arguments)(steps)), expected)


@pytest.mark.parametrize("arguments", STAIRS)
def test_the_keras_staircase_is_the_formula_to_the_last_bit(arguments):
    steps = np.r_[0 : arguments[1] + 3000, 10**6]
    expected = exponential_decay(steps, *arguments).astype(np.float32)
    # TensorFlow takes what is not a normal number for zero.
    expected[expected < np.finfo(np.float32).tiny] = 0
    np.testing.assert_array_equal(
        np.asarray(schedules.ExponentialDecay(*arguments)(steps)), expected
    )
    assert float(schedules.ExponentialDecay(*arguments)(arguments[1])) == np.float32(
        arguments[0] * arguments[2]
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 0.0, 10), "`learning_rate` must be > 0, got 0.0"),
        ((0, 0.1, -1), "`start` must be >= 0, got -1"),
        ((0, 0.1, 1, 1.0), r"`factor` must be in \(0, 1\), got 1.0"),
        ((0, 0.1, 1, 0.0), r"`factor` must be in \(0, 1\), got 0.0"),
        ((0, 0.1, 1, 0.5, 0), "`interval` must be >= 1 step, got 0"),
        ((-1, 0.1, 1), "`step` must be >= 0, got -1"),
    ],
)
def test_bad_arguments_of_the_staircase_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        exponential_decay(*arguments)
    if arguments[0] >= 0:
        with pytest.raises(ValueError, match=message):
            schedules.ExponentialDecay(*arguments[1:])


def test_the_rates_of_a_recipe_are_those_of_its_decay():
    recipe = Recipe(
        learning_rate=0.3, decay_start=20, decay_factor=0.1, decay_interval=30, total_steps=90
    )
    steps = np.arange(90)
    assert rates(recipe.replace(decay="none")).tolist() == [0.3]
    assert rates(recipe).tolist() == linear_decay(steps, 0.3, 90, interval=30, start=20).tolist()
    staircase = rates(recipe.replace(decay="exponential"))
    assert (
        staircase.tolist()
        == exponential_decay(steps, 0.3, start=20, factor=0.1, interval=30).tolist()
    )


def test_the_formula_needs_no_tensorflow():
    code = (
        "import sys; from kerastune.schedules import linear_decay as d; d(0, 1.0, 1); "
        "print('keras' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], timeout=60, text=True) == "False\n"


def test_cosine_falls_from_the_rate_to_zero_symmetrically_and_waits_for_its_start():
    steps = np.arange(101)
    rates = schedules.cosine_decay(steps, 0.2, 100)
    assert rates[0] == 0.2 and rates[100] == 0 and np.all(np.diff(rates) < 0)
    np.testing.assert_allclose(rates[:51] + rates[100:49:-1], 0.2)
    late = schedules.cosine_decay(steps, 0.2, 100, start=40)
    assert np.all(late[:41] == 0.2) and late[70] == pytest.approx(0.1)


def test_a_recipe_warms_up_and_its_keras_schedules_agree():
    recipe = Recipe(learning_rate=0.2, decay="cosine", total_steps=50, warmup_steps=10)
    rates = schedules.rates(recipe)
    expected = schedules.cosine_decay(np.arange(50), 0.2, 50) * np.minimum(
        (np.arange(50) + 1) / 10, 1
    )
    np.testing.assert_allclose(rates, expected)
    warmed = schedules.WarmUp(schedules.CosineDecay(0.2, 50), 10)
    again = schedules.WarmUp.from_config(warmed.get_config())
    np.testing.assert_allclose([float(again(step)) for step in range(50)], rates, atol=1e-6)
    assert schedules.rates(Recipe(decay="none", warmup_steps=2, total_steps=4)).tolist() == (
        [0.005, 0.01, 0.01, 0.01]
    )
