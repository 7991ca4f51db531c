"""Tells a network that no learning rate changes, such as a frozen or dead one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerastune.analysis import curves
from kerastune.playbook import wording
from kerastune.trial import Outcome

LEAST_RATES = 3  # that change nothing, before a search ends


def is_everything(tried: Mapping[float, Outcome]) -> bool:
    """Whether several learning rates left the weights, and so every loss, as they were.

    Steps of the same number see the same batch, whatever the learning rate.

    Args:
        tried: outcomes by learning rate.

    Example:
        >>> is_everything({})
        False
    """
    if len(tried) < LEAST_RATES:
        return False
    norms = [outcome.update_norms for outcome in tried.values()]
    if any(each.any() or not each.size for each in norms):
        return False
    losses = _losses(tried)
    return np.allclose(losses, losses[0], rtol=curves.SAME_VALUE, atol=curves.TINY)


def told(tried: Mapping[float, Outcome]) -> str:
    """What was seen, and where to look, in sentences."""
    losses = _losses(tried)
    loss = curves.smoothed(losses[0])[-1]
    return wording.sentences(
        [
            f"{len(tried)} learning rates from {min(tried):g} to {max(tried):g} gave the same "
            f"losses for {losses.shape[1]} steps ({loss:.3g} at their end), and no weight changed",
            "look for frozen layers, units that give 0 for every example, or a loss that does not "
            "depend on the weights",
        ]
    )


def _losses(tried: Mapping[float, Outcome]) -> np.ndarray:
    """Losses `[learning rates, steps]`, over the steps that all of them have."""
    common = min(outcome.steps for outcome in tried.values())
    return np.stack([outcome.losses[:common] for outcome in tried.values()])
