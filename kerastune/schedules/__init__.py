"""Schedules: `linear_decay` is pure (no TensorFlow); `LinearDecay` is the same as a Keras schedule."""

from kerastune.schedules.linear import linear_decay

__all__ = ["LinearDecay", "linear_decay"]


def __getattr__(name):
    if name == "LinearDecay":
        from kerastune.schedules.keras_schedules import LinearDecay

        return LinearDecay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
