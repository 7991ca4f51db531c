"""Learning rate schedules as plain functions, as Keras schedules, and of a recipe.

The functions `step -> rate` need no TensorFlow.
"""

from kerastune.runtime import lazy
from kerastune.schedules.cosine import cosine_decay, warm_up
from kerastune.schedules.exponential import exponential_decay
from kerastune.schedules.linear import linear_decay
from kerastune.schedules.of_recipe import rates

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "LinearDecay",
    "WarmUp",
    "cosine_decay",
    "exponential_decay",
    "linear_decay",
    "rates",
    "warm_up",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        name: "kerastune.schedules.keras_schedules"
        for name in ("CosineDecay", "ExponentialDecay", "LinearDecay", "WarmUp")
    },
)
