"""The poor man's probe (S1.7): a learning rate from the size of updates relative to the weights."""

from __future__ import annotations

import numpy as np

from kerastune.trial import Outcome

# Ratio of the norm of an update to the norm of the weights at a good learning rate, by optimizer.
# Placeholder values; fitted below.
TARGET_RATIO = {"sgd": 0.05, "adam": 0.05}
REFERENCE_RATE = 1e-3  # at which it is measured: small enough to change little
BATCHES = 60
WARM_UP = 20  # batches before which the momentum is still gathering


def target_ratio(optimizer: str) -> float:
    """The ratio at a good rate for an optimizer family, by its lower-case name.

    Raises:
        ValueError: when no ratio is known for it.
    """
    if optimizer not in TARGET_RATIO:
        raise ValueError(f"no update ratio is known for {optimizer!r}; it is for: {', '.join(TARGET_RATIO)}.")
    return TARGET_RATIO[optimizer]


def whole_model_ratio(update_norms: np.ndarray, weight_norms: np.ndarray) -> np.ndarray:
    """Ratio of update to weight norm of all layers together, `[k]`, from norms by layer `[k, layers]`.

    Example:
        >>> whole_model_ratio(np.array([[0.3, 0.4]]), np.array([[3.0, 4.0]])).tolist()
        [0.1]
    """
    weights = np.linalg.norm(weight_norms, axis=1)
    return np.linalg.norm(update_norms, axis=1) / np.maximum(weights, np.finfo(np.float32).tiny)


def suggest_learning_rate(rates: np.ndarray, ratios: np.ndarray, target: float) -> float:
    """The rate at which the update ratio would be `target`, if the ratio grows in proportion to the rate (S1.7).

    Args:
        rates: learning rate at every measurement `[k]`, `> 0`.
        ratios: update/weight ratio of the whole model there `[k]`; values that are not finite or zero are left out.
        target: the ratio at a good rate, `> 0`.

    Returns:
        `target / median(ratios / rates)`.

    Raises:
        ValueError: when no usable ratio is left.

    Example:
        >>> round(suggest_learning_rate(np.full(3, 1e-3), np.array([1e-4, 2e-4, 2e-4]), target=1e-3), 6)
        0.005
    """
    rates, ratios = np.asarray(rates, np.float64), np.asarray(ratios, np.float64)
    usable = np.isfinite(ratios) & (ratios > 0) & (rates > 0)
    if not usable.any():
        raise ValueError("no update was measured yet: train at least one measured step before asking for a rate.")
    return float(target / np.median(ratios[usable] / rates[usable]))


def suggestion(outcome: Outcome) -> tuple[float, float]:
    """Suggested rate and measured whole-model ratio of a trial with a constant rate, its first 20 batches left out.

    Raises:
        ValueError: when nothing was measured, or no ratio is known for the optimizer.
    """
    recipe = outcome.spec.recipe
    settled = outcome.norm_steps >= WARM_UP
    ratios = whole_model_ratio(outcome.update_norms[settled], outcome.weight_norms[settled])
    rates = np.full(len(ratios), recipe.learning_rate)
    rate = suggest_learning_rate(rates, ratios, target_ratio(recipe.optimizer))
    return rate, float(np.median(ratios))
