"""The poor man's probe (S1.7): a learning rate from the very first updates of fresh weights.

The seed's rule, that each update should move the weights by one fixed share of their size, was
measured first: after 20 to 60 batches the share at the best rate lies anywhere from 0.001 to 0.25,
falling with width (0.11 at 64 units, 0.001 at 1024) and rising with the batch (0.01 at 8 examples,
0.25 at 256). What holds better looks at the first update only, before training has changed what is
measured, and differs by optimizer:

- Adam moves every weight by about the rate in its first step, whatever the gradient. The share of
  the weights' size that this update is, `TARGET_RATIO`, is nearly the same at all good rates.
- SGD's good rates follow Polyak's step, the loss over the squared norm of its gradient (Polyak
  1987, "Introduction to Optimization"; Loizou et al. 2020, arXiv:2002.10542): the rate at which one
  plain step would, to first order,
  remove a given share of the loss. Fresh weights differ, so several starts of one batch each are
  averaged.

Both constants are medians over the fourteen rows of `python runs/benchmark_probe.py
--tasks=fitting`: generated tables, images and regressions (half decades, 300 steps, three seeds,
momentum 0.9). None of them is in the table reported.
"""

from __future__ import annotations

import numpy as np

TARGET_RATIO = 0.035  # Adam: first update over weights at a good rate
# SGD: fraction of the loss that one plain step would remove at a good learning rate, at
# momentum 0.9.
LOSS_SHARE = 0.53
FITTED_MOMENTUM = 0.9
SGD_STARTS = 8  # fresh starts of one batch; the first update of the others hardly differs
BATCHES = 60  # in all, at most
BASELINE_RATE = 1e-3  # of the measured update; any rate gives the same suggestion
LARGEST = 1e6  # learning rate; a first update that asks for more moves nothing


def starts(optimizer: str) -> int:
    """Number of fresh starts that a suggestion averages, by the optimizer's lower-case name.

    Example:
        >>> starts("sgd"), starts("adamw")
        (8, 1)
    """
    return SGD_STARTS if optimizer == "sgd" else 1


def whole_model_ratio(update_norms: np.ndarray, weight_norms: np.ndarray) -> np.ndarray:
    """Ratio of update to weight norm of the whole model, `[k]`.

    From norms by layer, `[k, layers]`.

    Example:
        >>> whole_model_ratio(np.array([[0.3, 0.4]]), np.array([[3.0, 4.0]])).tolist()
        [0.1]
    """
    weights = np.linalg.norm(weight_norms, axis=1)
    return np.linalg.norm(update_norms, axis=1) / np.maximum(weights, np.finfo(np.float32).tiny)


def adam_rate(rates: np.ndarray, ratios: np.ndarray) -> float:
    """The rate at which Adam's first update would be `TARGET_RATIO` of the weights' size.

    Args:
        rates: learning rate of every measured first update `[k]`, `> 0`.
        ratios: its norm over that of the weights `[k]`; what is not finite or not above 0 is left
            out, and so is what asks for a rate above `LARGEST`.

    Returns:
        The rate, from the geometric mean over the measurements.

    Raises:
        ValueError: when no usable measurement is left.

    Example:
        >>> round(adam_rate(np.array([1e-3]), np.array([0.007])), 6)
        0.005
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return _geometric_mean(TARGET_RATIO / (np.asarray(ratios, np.float64) / rates))


def sgd_rate(
    rates: np.ndarray,
    losses: np.ndarray,
    update_norms: np.ndarray,
    momentum: float = 0.9,
    nesterov: bool = True,
) -> float:
    """The learning rate at which one plain gradient step removes `LOSS_SHARE` of the loss.

    To first order.

    Momentum carries a step on, so a good rate falls with it: by `sqrt(1 - momentum)`, between not
    at all and `1 - momentum`, the two extremes that were seen.

    Args:
        rates: learning rate of every measured first update `[k]`, `> 0`.
        losses: loss of its batch before it `[k]`; what is not finite or not above 0 is left out,
            and so is what asks for a rate above `LARGEST`.
        update_norms: L2 norm of the update of the whole model `[k]`; as `losses`.
        momentum: of the optimizer, in `[0, 1)`; nothing has gathered yet when the first update is
            made.
        nesterov: whether the momentum is Nesterov's, which makes the first update `1 + momentum`
            times longer.

    Returns:
        The rate, from the geometric mean over the measurements.

    Raises:
        ValueError: when no usable measurement is left.

    Example:
        >>> round(
        ...     sgd_rate(
        ...         np.array([1e-3]),
        ...         np.array([2.0]),
        ...         np.array([4e-3]),
        ...         momentum=0.9,
        ...         nesterov=False,
        ...     ),
        ...     6,
        ... )
        0.06625
    """
    gradients = np.asarray(update_norms, np.float64) / rates / (1 + momentum if nesterov else 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = LOSS_SHARE * np.asarray(losses, np.float64) / gradients**2
    return _geometric_mean(plain) * float(np.sqrt((1 - momentum) / (1 - FITTED_MOMENTUM)))


def suggest_learning_rate(
    optimizer: str,
    rates: np.ndarray,
    losses: np.ndarray,
    update_norms: np.ndarray,
    weight_norms: np.ndarray,
    momentum: float = 0.9,
    nesterov: bool = True,
) -> float:
    """A learning rate from the first updates of one or several fresh starts (S1.7).

    Args:
        optimizer: its lower-case name; all but `"sgd"` have the rule for Adam, of the first
            update's size.
        rates: learning rate of every measured first update `[k]`, `> 0`; any rate gives the same
            suggestion.
        losses: loss of its batch before it `[k]`.
        update_norms: its L2 norm, by layer `[k, layers]`.
        weight_norms: L2 norm of the weights before it, by layer `[k, layers]`.
        momentum: of SGD, in `[0, 1)`.
        nesterov: whether SGD's momentum is Nesterov's.

    Raises:
        ValueError: when there is no usable measurement.

    Example:
        >>> rates, norms = np.array([1e-3]), np.array([[0.007]])
        >>> round(suggest_learning_rate("adam", rates, np.array([2.3]), norms, np.ones([1, 1])), 6)
        0.005
    """
    rates = np.asarray(rates, np.float64)
    if optimizer != "sgd":
        return adam_rate(rates, whole_model_ratio(update_norms, weight_norms))
    return sgd_rate(rates, losses, np.linalg.norm(update_norms, axis=1), momentum, nesterov)


def moves_nothing(losses: np.ndarray, update_norms: np.ndarray) -> bool:
    """Whether first updates that give no suggestion are those of a frozen or dead network.

    They are, where losses and norms are sound.

    Args:
        losses: loss of every batch before the update `[k]`.
        update_norms: L2 norms of the updates, by layer `[k, layers]`.

    Example:
        >>> moves_nothing(np.array([2.3]), np.array([[0.0, 1e-12]]))
        True
        >>> moves_nothing(np.array([np.nan]), np.array([[0.0, 1e-12]]))
        False
    """
    is_sound = np.isfinite(losses) & (losses > 0) & np.isfinite(update_norms).all(axis=1)
    return bool(is_sound.all())


def _geometric_mean(rates: np.ndarray) -> float:
    usable = rates[np.isfinite(rates) & (rates > 0) & (rates <= LARGEST)]
    if not len(usable):
        raise ValueError("no first update has a finite loss, and finite norms that move weights.")
    return float(np.exp(np.log(usable).mean()))
