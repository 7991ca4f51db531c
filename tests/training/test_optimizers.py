"""The tunable optimizers are Keras's own, but for what can be changed after tracing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune import schedules
from kerastune.recipe import OPTIMIZERS, Recipe
from kerastune.training import optimizers
from kerastune.training.optimizers import RateTable, TunableSGD

STEPS = 20


def gradients():
    return np.random.default_rng(0).normal(size=(STEPS, 3, 2)).astype("float32")


class Trace:
    """One variable, updated by a function that is traced once; counts its traces."""

    def __init__(self, optimizer):
        self.variable = keras.Variable(np.ones([3, 2], "float32"))
        self.optimizer, self.traces = optimizer, 0
        optimizer.build([self.variable])
        self._step = tf.function(self._traced)

    def _traced(self, gradient):
        self.traces += 1
        self.optimizer.apply([gradient], [self.variable])

    def step(self, gradient):
        self._step(tf.constant(gradient))
        return self.variable.numpy()

    def path(self, steps=None):
        return np.array([self.step(gradient) for gradient in gradients()[steps or slice(None)]])


def tuned(family="sgd", nesterov=False, momentum=0.9, rates=(0.1,)):
    recipe = Recipe(optimizer=family, nesterov=nesterov, momentum=momentum)
    optimizer = optimizers.tunable(recipe)
    optimizers.configure(optimizer, np.array(rates), recipe)
    return optimizer


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_takes_the_steps_of_keras(momentum, nesterov):
    stock = Trace(keras.optimizers.SGD(0.1, momentum=momentum, nesterov=nesterov)).path()
    np.testing.assert_allclose(
        Trace(tuned("sgd", nesterov, momentum)).path(), stock, rtol=1e-6, atol=1e-6
    )


def test_adam_takes_the_steps_of_keras():
    np.testing.assert_array_equal(
        Trace(tuned("adam")).path(), Trace(keras.optimizers.Adam(0.1)).path()
    )


@pytest.mark.parametrize("options", [{"clipnorm": 0.5}, {"weight_decay": 0.1}, {"use_ema": True}])
def test_the_other_options_of_sgd_work_as_in_keras(options):
    trace = Trace(TunableSGD(0.1, **options))
    stock = Trace(keras.optimizers.SGD(0.1, momentum=0.9, **options))
    np.testing.assert_allclose(trace.path(), stock.path(), rtol=1e-6, atol=1e-6)


def test_momentum_and_rate_change_after_tracing():
    trace = Trace(tuned(momentum=0.9, rates=[0.1]))
    trace.path()
    for momentum, rate in ((0.5, 0.1), (0.5, 0.02), (0.0, 0.3)):
        optimizers.configure(trace.optimizer, np.array([rate]), Recipe(momentum=momentum))
        for variable, value in zip(trace.optimizer.variables, (0, np.zeros([3, 2])), strict=True):
            variable.assign(value)
        trace.variable.assign(np.ones([3, 2]))
        stock = Trace(keras.optimizers.SGD(rate, momentum=momentum)).path()
        np.testing.assert_allclose(trace.path(), stock, rtol=1e-6, atol=1e-6)
    assert trace.traces == 1


@pytest.mark.parametrize("family", ["sgd", "adam"])
def test_schedules_of_any_length_change_after_tracing(family):
    trace = Trace(tuned(family, momentum=0.0))
    gradient = np.ones([3, 2], "float32")
    for rates in ([0.1], np.linspace(0.2, 0.0, 7), np.full(100, 0.05)):
        optimizers.configure(trace.optimizer, np.asarray(rates), Recipe(momentum=0.0))
        for variable in trace.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        values = np.array([trace.variable.numpy(), *(trace.step(gradient) for _ in range(10))])
        # The last one stays.
        expected = np.asarray(rates)[np.minimum(np.arange(10), len(rates) - 1)]
        np.testing.assert_allclose(-np.diff(values, axis=0)[:, 0, 0], expected, atol=1e-5)
    assert trace.traces == 1


def test_what_is_a_setting_is_no_state():
    for family in ("sgd", "adam"):
        trace = Trace(tuned(family))
        stock = Trace(keras.optimizers.get({"class_name": family, "config": {}}))
        names = [variable.path.split("/")[-1] for variable in trace.optimizer.variables]
        assert "momentum_value" not in names and "rates" not in names
        extra = 1 if family == "sgd" else 0  # the momentum that stock SGD leaves out when it is 0
        assert len(names) == len(stock.optimizer.variables) - 1 + extra  # and the rate


def test_loss_scaling_is_looked_through():
    scaled = keras.optimizers.LossScaleOptimizer(tuned())
    assert optimizers.inner(scaled) is scaled.inner_optimizer
    assert optimizers.inner(scaled.inner_optimizer) is scaled.inner_optimizer
    optimizers.configure(scaled, np.array([0.3, 0.2]), Recipe(momentum=0.25))
    assert float(scaled.inner_optimizer.momentum_value) == 0.25
    assert float(scaled.learning_rate) == np.float32(0.3)


@pytest.mark.parametrize("family", [name for name in OPTIMIZERS if name != "sgd"])
def test_any_optimizer_takes_the_steps_of_keras_and_changes_its_rate_after_tracing(family):
    trace = Trace(tuned(family, rates=[0.1]))
    stock = Trace(getattr(keras.optimizers, OPTIMIZERS[family])(0.1))
    np.testing.assert_allclose(trace.path(), stock.path(), rtol=1e-5, atol=1e-6)
    optimizers.configure(trace.optimizer, np.array([0.02]), Recipe(optimizer=family))
    stock.optimizer.learning_rate = 0.02
    np.testing.assert_allclose(trace.path(), stock.path(), rtol=1e-5, atol=1e-6)
    assert trace.traces == 1


def test_beta_2_and_the_average_are_those_of_keras():
    recipe = Recipe(optimizer="adam", beta_2=0.5, ema=0.8)
    optimizer = optimizers.tunable(recipe)
    optimizers.configure(optimizer, np.array([0.1]), recipe)
    trace = Trace(optimizer)
    stock = Trace(keras.optimizers.Adam(0.1, beta_2=0.5, use_ema=True, ema_momentum=0.8))
    np.testing.assert_array_equal(trace.path(), stock.path())
    last = trace.variable.numpy()
    optimizer.finalize_variable_values([trace.variable])
    np.testing.assert_array_equal(trace.variable.numpy(), last)
    stock.optimizer.finalize_variable_values([stock.variable])
    optimizers.swap_average(optimizer)
    np.testing.assert_array_equal(trace.variable.numpy(), stock.variable.numpy())
    optimizers.swap_average(optimizer)
    np.testing.assert_array_equal(trace.variable.numpy(), last)


def test_muon_leaves_the_last_layer_to_adam():
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3), keras.layers.Dense(2)])
    settings = optimizers.kept_settings(model, "muon")
    optimizer = optimizers.tunable(Recipe(optimizer="muon"), **settings)
    optimizer.build(model.trainable_variables)
    by_adam = [velocity is not None for velocity in optimizer.adam_velocities]
    assert by_adam == [False, True, True, True]


def test_a_rate_table_cannot_be_saved_by_accident():
    with pytest.raises(TypeError, match="stock"):
        RateTable().get_config()


@pytest.mark.parametrize(
    "made", [optimizers.tunable(Recipe()), optimizers.tunable(Recipe(optimizer="adam"))]
)
def test_only_clipping_and_weight_decay_of_a_users_optimizer_are_kept(made):
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    assert optimizers.kept_settings(model) == {}
    model.compile(keras.optimizers.RMSprop(0.3, momentum=0.5, global_clipnorm=2.0))
    assert optimizers.kept_settings(model) == {"global_clipnorm": 2.0}
    model.compile(made)
    assert optimizers.kept_settings(model) == {}


RECIPES = [
    Recipe(optimizer="sgd", learning_rate=0.2, momentum=0.7, nesterov=False, decay="none"),
    Recipe(
        optimizer="sgd",
        learning_rate=0.2,
        momentum=0.0,
        nesterov=True,
        decay="linear",
        total_steps=50,
    ),
    Recipe(optimizer="adam", learning_rate=0.003, decay="linear", total_steps=50),
]


STAIRCASES = [
    Recipe(
        learning_rate=0.3,
        decay="exponential",
        decay_start=13,
        decay_factor=0.3,
        decay_interval=9,
        total_steps=60,
    ),
    Recipe(learning_rate=0.3, decay="exponential", decay_start=0, decay_interval=1, total_steps=20),
    Recipe(learning_rate=0.3, decay="linear", decay_start=13, decay_interval=9, total_steps=60),
    Recipe(learning_rate=0.3, decay="linear", decay_start=60, total_steps=60),
]


@pytest.mark.parametrize("recipe", STAIRCASES)
def test_a_staircase_is_saved_exactly_as_keras_own(recipe):
    optimizer = optimizers.stock(recipe)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again._learning_rate) is keras.optimizers.schedules.PiecewiseConstantDecay
    saved = [float(again._learning_rate(step)) for step in range(recipe.total_steps)]
    assert saved == schedules.rates(recipe).astype(np.float32).tolist()
    past = 0.0 if recipe.decay == "linear" else saved[-1]
    assert [float(again._learning_rate(recipe.total_steps + more)) for more in (0, 1000)] == [
        past,
        past,
    ]


def test_a_decay_that_never_starts_is_a_plain_rate():
    recipe = Recipe(learning_rate=0.3, decay="exponential", decay_start=100, total_steps=100)
    assert float(optimizers.stock(recipe)._learning_rate) == np.float32(0.3)


def test_of_a_saved_staircase_with_very_many_steps_some_are_taken_together():
    recipe = Recipe(
        learning_rate=0.3, decay="linear", decay_start=400, decay_interval=1, total_steps=2000
    )
    schedule = optimizers.stock(recipe)._learning_rate
    assert len(schedule.boundaries) == optimizers.MOST_LEVELS
    steps = np.array([0, 400, 1000, 1500, 1999, 2000])
    saved = [float(schedule(step)) for step in steps.tolist()]
    expected = schedules.linear_decay(steps, 0.3, 2000, 1, 400)
    np.testing.assert_allclose(saved, expected, atol=0.3 * 8 / 1600)
    assert saved[0] == np.float32(0.3) and saved[-1] == 0.0


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_stock_optimizer_of_a_recipe_is_keras_own_and_can_be_saved(recipe):
    optimizer = optimizers.stock(recipe)
    assert (
        type(optimizer)
        is {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[recipe.optimizer]
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    if recipe.optimizer == "sgd":
        assert (optimizer.momentum, optimizer.nesterov) == (recipe.momentum, recipe.nesterov)
    if recipe.decay == "none":
        assert float(optimizer.learning_rate) == np.float32(recipe.learning_rate)
        return
    rates = [float(optimizer._learning_rate(step)) for step in (0, 25, 50)]
    assert rates == pytest.approx([recipe.learning_rate, recipe.learning_rate / 2, 0.0])
