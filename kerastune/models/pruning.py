"""Magnitude pruning of any Keras model, in place (S4.4).

Masks hold after every update, and can be taken off again.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerastune.analysis import sparsity as rules
from kerastune.models import regularization

Which = Callable[[keras.Variable], bool]


class Mask(keras.constraints.Constraint):
    """Multiplies a variable by a mask of 0 and 1, around whatever constraint was there.

    Keras applies a variable's constraint after each update, inside the train function, so the zeros
    hold at every step however many steps one execution takes. The mask is a variable: another mask
    is not another graph.

    Args:
        variable: whose constraint this becomes.

    Example:
        >>> mask = Mask(keras.Variable(np.ones([2, 2])))
        >>> mask.assign(np.array([[1, 0], [0, 1]]))
        >>> np.asarray(mask(np.full([2, 2], 3.0))).tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """

    def __init__(self, variable: keras.Variable):
        self.before = variable.constraint
        # No layer's: what is saved has no masks.
        self.mask = tf.Variable(
            np.ones(variable.shape, np.float32), trainable=False, name="pruning_mask"
        )

    def __call__(self, w):
        w = tf.convert_to_tensor(w)
        mask = tf.cast(self.mask, w.dtype)
        if self.before is None:
            return w * mask
        # A norm should be that of the weights that are left; and what is no zero after all becomes
        # one again.
        return tf.convert_to_tensor(self.before(w * mask)) * mask

    def assign(self, mask: np.ndarray) -> None:
        """Replaces the mask, an array of the variable's shape."""
        self.mask.assign(np.asarray(mask, np.float32))


def is_kernel(variable: keras.Variable) -> bool:
    """Whether a variable is a kernel, of rank 2 or more.

    No bias, scale of a norm, or embedding.

    Example:
        >>> [
        ...     is_kernel(variable)
        ...     for variable in keras.Sequential(
        ...         [keras.Input([4]), keras.layers.Dense(2)]
        ...     ).variables
        ... ]
        [True, False]
    """
    return "kernel" in variable.name and len(variable.shape) >= 2


def prunable(model: keras.Model, which: Which = is_kernel) -> list[keras.Variable]:
    """The trainable variables of a model that are to be pruned.

    Args:
        model: a built model.
        which: tells of a variable whether it is; its `path` holds the names of its layers.

    Raises:
        ValueError: for a model that is not built, or has no such variable.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4]), keras.layers.Dense(8), keras.layers.Dense(2, name="head")]
        ... )
        >>> [
        ...     tuple(kernel.shape)
        ...     for kernel in prunable(model, lambda v: is_kernel(v) and "head" not in v.path)
        ... ]
        [(4, 8)]
    """
    regularization.require_built(model)
    found = [variable for variable in model.trainable_variables if which(variable)]
    if not found:
        raise ValueError(
            f"model `{model.name}` has no trainable variable to prune: choose some with `which`, "
            "a function of a variable, as lambda v: len(v.shape) >= 2."
        )
    return found


def install(model: keras.Model, which: Which = is_kernel) -> bool:
    """Makes masks of ones the constraints of the kernels to be pruned.

    Masks that are there already stay as they are.

    Returns:
        Whether any was missing. A train function that Keras traced before does not know new
        constraints: the next
        `fit` traces anew.

    Raises:
        ValueError: as `prunable`.
    """
    missing = [
        variable for variable in prunable(model, which) if not isinstance(variable.constraint, Mask)
    ]
    for variable in missing:
        variable.constraint = Mask(variable)
    if missing:
        model.train_function = None
    return bool(missing)


def prune(
    model: keras.Model, sparsity: float, scope: str = "global", which: Which = is_kernel
) -> None:
    """Sets the smallest weights to zero, in place.

    They stay zero in training that follows.

    All masks are worked out anew from the present weights: what is zero already goes first.

    Args:
        model: a built model.
        sparsity: share of zeros, in `[0, 1)`; 0 frees all weights.
        scope: `"global"`: the smallest of all kernels together; `"layer"`: of each.
        which: as in `prunable`.

    Raises:
        ValueError: for a sparsity or scope out of range, or a model with nothing to prune.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input([4]), keras.layers.Dense(8), keras.layers.Dense(2)]
        ... )
        >>> prune(model, 0.75)
        >>> measured(model)
        0.75
        >>> strip(model)
    """
    rules.check(sparsity)
    rules.check_scope(scope)
    install(model, which)
    kernels = prunable(model, which)
    values = [np.asarray(kernel) for kernel in kernels]
    for kernel, mask, value in zip(
        kernels, rules.masks(values, sparsity, scope), values, strict=True
    ):
        kernel.constraint.assign(mask)
        kernel.assign(value * mask)


def hold(model: keras.Model) -> None:
    """Sets masked weights to zero again, wherever they have changed.

    Something else than an update may have changed them.
    """
    for variable in _masked(model):
        variable.assign(variable.value * tf.cast(variable.constraint.mask, variable.dtype))


def measured(model: keras.Model, which: Which = is_kernel) -> float:
    """Share of zeros among the weights that are to be pruned.

    Example:
        >>> measured(
        ...     keras.Sequential(
        ...         [keras.Input([4]), keras.layers.Dense(2, kernel_initializer="zeros")]
        ...     )
        ... )
        1.0
    """
    return rules.zeros([np.asarray(variable) for variable in prunable(model, which)])


def strip(model: keras.Model) -> None:
    """Takes all masks off, in place.

    Every variable has the constraint it had before, and zeros stay zeros.

    What is trained afterwards changes them again. Saving needs no stripping: a saved model has
    neither masks nor anything else of kerastune's.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> prune(model, 0.5)
        >>> strip(model)
        >>> model.layers[0].kernel.constraint is None, measured(model)
        (True, 0.5)
    """
    masked = _masked(model)
    for variable in masked:
        variable.constraint = variable.constraint.before
    if masked:
        model.train_function = None


def _masked(model: keras.Model) -> list[keras.Variable]:
    # Also what was frozen meanwhile.
    return [variable for variable in model.variables if isinstance(variable.constraint, Mask)]
