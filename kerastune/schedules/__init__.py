"""Schedules: plain functions `step -> rate` (no TensorFlow), the same as Keras schedules, and those of a recipe."""

from kerastune.schedules.exponential import exponential_decay
from kerastune.schedules.linear import linear_decay
from kerastune.schedules.of_recipe import rates

__all__ = ["ExponentialDecay", "LinearDecay", "exponential_decay", "linear_decay", "rates"]


def __getattr__(name):
    if name in ("ExponentialDecay", "LinearDecay"):
        from kerastune.schedules import keras_schedules

        return getattr(keras_schedules, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
