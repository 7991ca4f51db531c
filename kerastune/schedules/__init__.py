"""Learning rate schedules as plain functions, as Keras schedules, and of a recipe.

The functions `step -> rate` need no TensorFlow.
"""

from kerastune.runtime import lazy
from kerastune.schedules.exponential import exponential_decay
from kerastune.schedules.linear import linear_decay
from kerastune.schedules.of_recipe import rates

__all__ = ["ExponentialDecay", "LinearDecay", "exponential_decay", "linear_decay", "rates"]

__getattr__ = lazy.attributes(
    __name__,
    {name: "kerastune.schedules.keras_schedules" for name in ("ExponentialDecay", "LinearDecay")},
)
