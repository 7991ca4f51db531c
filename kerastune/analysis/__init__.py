"""Rules on arrays (NumPy only): curves, metrics, comparisons, calibration."""

from kerastune.runtime import lazy

__getattr__ = lazy.attributes(
    __name__, modules=("calibration", "comparison", "curves", "learning_rate_probe", "metrics")
)
