"""Optimizers whose rate, schedule and momentum can change between trials without a new trace."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.recipe import OPTIMIZERS, Recipe
from kerastune.schedules import rates

Rate = float | keras.optimizers.schedules.LearningRateSchedule
MOST_LEVELS = 200  # of a saved staircase: Keras looks at every one of them at every step
KEPT = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")


class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule held in a variable: the rate of every step, replaced between trials.

    The traced function reads the variable, so any schedule of any length is the same graph. Steps
    past the end of the table keep its last rate.

    Example:
        >>> table = RateTable()
        >>> table.assign(np.array([0.1, 0.05]))
        >>> round(float(table(7)), 4)
        0.05
    """

    def __init__(self):
        super().__init__()
        self.rates = tf.Variable(
            np.zeros(1, np.float32), shape=[None], trainable=False, name="rates"
        )

    def assign(self, rates: np.ndarray) -> None:
        """Replaces the rates, an array `[steps]`."""
        self.rates.assign(np.asarray(rates, np.float32))

    def __call__(self, step):
        last = tf.shape(self.rates)[0] - 1
        return tf.gather(self.rates, tf.minimum(tf.cast(step, tf.int32), last))

    def get_config(self) -> dict[str, Any]:
        raise TypeError("A RateTable can't be saved; `stock` returns the optimizer to save.")


class TunableSGD(keras.optimizers.SGD):
    """Keras's SGD with the momentum in a variable.

    Stock SGD bakes the momentum into the traced function, where a later change of it is silently
    ignored. Here `momentum_value` may be assigned at any time, 0 included.
    """

    def __init__(self, learning_rate: Any, nesterov: bool = False, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, momentum=0.9, nesterov=nesterov, **kwargs)
        # Not tracked as an optimizer variable: it is a setting, not a state that training changes.
        self.momentum_value = tf.Variable(0.9, trainable=False, name="momentum_value")

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: Any
    ) -> None:
        rate = tf.cast(learning_rate, variable.dtype)
        gradient = tf.cast(gradient, variable.dtype)
        momentum = tf.cast(self.momentum_value, variable.dtype)
        velocity = self.momentums[self._get_variable_index(variable)]
        step = momentum * velocity - rate * gradient
        self.assign(velocity, step)
        self.assign_add(variable, momentum * step - rate * gradient if self.nesterov else step)


class LayerRates:
    """Mixed into an optimizer: multiplies the updates of every variable by its own number.

    Everything else stays that of one optimizer: one schedule, one norm to clip by, slots for all
    variables, which go on collecting where nothing moves. A multiplier of 0 leaves its variable
    where it is, whatever momentum and weight decay say. The numbers are in variables, so they may
    be assigned at any time without a new trace.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes slots and multipliers, 1 for every variable.

        `[2, variables]`, before `first_steps` and after.
        """
        if not self.built:
            self.multipliers = tf.Variable(
                np.ones([2, len(variables)], np.float32), trainable=False
            )
            self.first_steps = tf.Variable(0, dtype=tf.int32, trainable=False)
        super().build(variables)

    def assign_add(self, variable: keras.Variable, value: tf.Tensor) -> None:
        super().assign_add(variable, self._multiplied(variable, value))

    def assign_sub(self, variable: keras.Variable, value: tf.Tensor) -> None:
        super().assign_sub(variable, self._multiplied(variable, value))

    def _multiplied(self, variable, value):
        """A change of a model's variable, multiplied; that of a slot as it is."""
        index = self._trainable_variables_indices.get(self._var_key(variable))
        return value if index is None else tf.cast(self._multiplier(index), value.dtype) * value

    def _multiplier(self, index: int):
        is_later = tf.cast(tf.cast(self.iterations, tf.int32) >= self.first_steps, tf.int32)
        return self.multipliers[is_later, index]

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = tf.cast(self.learning_rate, variable.dtype)
                decay = tf.cast(self.weight_decay, variable.dtype)
                self.assign_sub(variable, variable * decay * rate)


class AveragedWeights:
    """Mixed into an optimizer with `use_ema`: a `fit` ends with the weights that it trained.

    Keras would end it with their average, and no segment could go on from there.
    """

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Leaves the weights as they are."""


@functools.cache
def _kind(family: str, layered: bool, averaged: bool) -> type[keras.optimizers.Optimizer]:
    own = TunableSGD if family == "sgd" else getattr(keras.optimizers, OPTIMIZERS[family])
    mixed = (*(LayerRates,) * layered, *(AveragedWeights,) * averaged)
    return type(f"Tunable{OPTIMIZERS[family]}", (*mixed, own), {}) if mixed else own


def kept_settings(model: keras.Model, family: str = "") -> dict[str, Any]:
    """Clipping and weight decay of the optimizer a model was compiled with.

    What a recipe does not speak of; of Muon also the last layer, which is none of its business.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> model.compile(keras.optimizers.AdamW(weight_decay=0.01, clipnorm=1.0))
        >>> kept_settings(model)
        {'weight_decay': 0.01, 'clipnorm': 1.0}
    """
    settings = {}
    if model.compiled:
        core = inner(model.optimizer)
        settings = {name: value for name in KEPT if (value := getattr(core, name, None))}
    if family == "muon":
        last = [layer.name for layer in model.layers if layer.weights][-1:]
        settings["exclude_layers"] = [f"(^|/){re.escape(name)}/" for name in last]
    return settings


def decayed(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Gives an unbuilt optimizer a weight decay in a variable, and returns it.

    Of kernels only (rank 2 and more).

    Biases and the scales of normalization have nothing to do with how smooth the function is.
    """
    optimizer.weight_decay = tf.Variable(0.0, trainable=False, name="weight_decay")
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) < 2]
    )
    return optimizer


def tunable(recipe: Recipe, layered: bool = False, **settings: Any) -> keras.optimizers.Optimizer:
    """Optimizer of a recipe whose rate is a `RateTable`: one object for all trials of one trace.

    Args:
        recipe: its optimizer, and what of it is part of the trace.
        layered: whether every variable has a multiplier of its own.
        settings: as `kept_settings` gives them.
    """
    kind = _kind(recipe.optimizer, layered, recipe.ema > 0)
    settings |= {"use_ema": True} if recipe.ema else {}
    if recipe.optimizer == "sgd":
        optimizer = kind(RateTable(), nesterov=recipe.nesterov, **settings)
    else:
        optimizer = kind(learning_rate=RateTable(), **_adaptive_settings(recipe), **settings)
    if recipe.ema:
        optimizer.ema_momentum = tf.Variable(recipe.ema, trainable=False, name="ema_momentum")
    return optimizer


def _adaptive_settings(recipe: Recipe) -> dict[str, Any]:
    has_it = recipe.beta_2 is not None and takes_beta_2(recipe.optimizer)
    return {"beta_2": recipe.beta_2} if has_it else {}


def takes_beta_2(family: str) -> bool:
    """Whether an optimizer has a `beta_2`.

    Example:
        >>> takes_beta_2("adamw"), takes_beta_2("rmsprop")
        (True, False)
    """
    kind = getattr(keras.optimizers, OPTIMIZERS[family])
    return "beta_2" in inspect.signature(kind).parameters


def swap_average(optimizer: keras.optimizers.Optimizer) -> None:
    """Puts the moving average of the weights in their place, and the weights in its."""
    core = inner(optimizer)
    for variable, average in zip(
        core._trainable_variables, core._model_variables_moving_average, strict=True
    ):
        if average is not None:
            now = variable.numpy().copy()
            variable.assign(average)
            average.assign(now)


def inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer itself, unwrapped from the loss scaling of mixed precision."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def step_counter(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Counts the steps of a training: its batches, also where several make up one update.

    Example:
        >>> optimizer = keras.optimizers.SGD(gradient_accumulation_steps=4)
        >>> int(step_counter(optimizer).numpy())
        0
    """
    core = inner(optimizer)
    return core._iterations if core.gradient_accumulation_steps else optimizer.iterations


def configure(
    optimizer: keras.optimizers.Optimizer,
    rates: np.ndarray,
    recipe: Recipe,
) -> None:
    """Sets learning rates, momentum, weight decay and averaging of a `tunable` optimizer in place.

    Without a new trace.
    """
    core = inner(optimizer)
    core._learning_rate.assign(rates)
    if isinstance(core, TunableSGD):
        core.momentum_value.assign(recipe.momentum)
    if recipe.weight_decay:
        core.weight_decay.assign(recipe.weight_decay)
    if recipe.ema:
        core.ema_momentum.assign(recipe.ema)


def configure_layers(
    optimizer: keras.optimizers.Optimizer, multipliers: np.ndarray, first_steps: int
) -> None:
    """Sets the multipliers of a built optimizer with `LayerRates`, in place, without a new trace.

    Args:
        optimizer: as `tunable` makes it when it is layered.
        multipliers: `[2, variables]`, in the order of the variables that it was built with.
        first_steps: steps in which the first row counts.
    """
    core = inner(optimizer)
    core.multipliers.assign(multipliers)
    core.first_steps.assign(first_steps)


def stock(recipe: Recipe, rate: Rate | None = None, **settings: Any) -> keras.optimizers.Optimizer:
    """The plain Keras optimizer of a recipe: what is saved, loadable without kerastune.

    Linear decay from the first step becomes Keras's `PolynomialDecay` of power 1: the same line,
    without the steps of `decay_interval`. No schedule of Keras's waits before it decays but
    `PiecewiseConstantDecay`, which is any staircase exactly: it serves for the rest. Past
    `total_steps` an exponential decay keeps its last rate. `settings` are those of `kept_settings`;
    a `rate` takes the place of the recipe's.

    Example:
        >>> stock(Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.5)).momentum
        0.5
    """
    rate = _stock_rate(recipe) if rate is None else rate
    if recipe.weight_decay:
        settings["weight_decay"] = recipe.weight_decay
    if recipe.ema:
        settings |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(
            rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **settings
        )
    kind = getattr(keras.optimizers, OPTIMIZERS[recipe.optimizer])
    return kind(learning_rate=rate, **_adaptive_settings(recipe), **settings)


def stock_like(optimizer: keras.optimizers.Optimizer, recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer of `stock` that the variables of a `tunable` one, as saved, are those of.

    Its learning rate is a schedule, be it a constant one.
    """
    rate = _stock_rate(recipe)
    if isinstance(rate, float):
        rate = keras.optimizers.schedules.PolynomialDecay(rate, 1, end_learning_rate=rate)
    kept = {name: getattr(inner(optimizer), name, None) for name in KEPT}
    settings = {name: value for name, value in kept.items() if isinstance(value, (int, float))}
    return stock(recipe, rate, **settings)


def _stock_rate(recipe: Recipe) -> Rate:
    if recipe.decay == "cosine" and recipe.decay_start == 0 and not recipe.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.total_steps)
    if recipe.decay == "linear" and recipe.decay_start == 0 and not recipe.warmup_steps:
        return keras.optimizers.schedules.PolynomialDecay(
            recipe.learning_rate, recipe.total_steps, end_learning_rate=0.0, power=1.0
        )
    table = rates(recipe)
    if recipe.decay in ("linear", "cosine"):
        table = np.append(table, 0.0)
    # A boundary is the last step of the rate before it.
    boundaries = np.flatnonzero(np.diff(table))
    # Of too many every k-th, counted from the end: zero is reached when it should be.
    boundaries = boundaries[::-1][:: -(-len(boundaries) // MOST_LEVELS) or 1][::-1]
    if not len(boundaries):
        return recipe.learning_rate
    values = table[np.append(0, boundaries + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries.tolist(), values.tolist())
