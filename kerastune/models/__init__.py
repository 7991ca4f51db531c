"""Keras models: built, compiled, changed in place, described."""

from kerastune.runtime import lazy

__getattr__ = lazy.attributes(
    __name__, modules=("hypermodels", "keras_metrics", "pruning", "regularization")
)
